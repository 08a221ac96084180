"""ComCNN and RecCNN at once, through a differentiable JPEG."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from comrec.jpegtuning.tuned import TunedJpeg
from comrec.sandwich import conditions
from comrec.train import losses, parallel, proxy
from comrec.train.codecs import through_codec
from comrec.train.degradation import payload
from comrec.train.recipe import Recipe
from comrec.train.schemes.base import VALIDATION_SEED, Sandwich, psnr


class Joint(Sandwich):
    """ComCNN and RecCNN at once: real JPEG forward, the proxy's gradient, and a rate term.

    loss = mean RMSE + lambda * w * proxy rate + penalty for compact pixels outside 0..255,
    where w follows real file sizes.
    """

    families = ("comrec",)
    GROUPS = 4  # qualities per batch

    @classmethod
    def together(cls, recipe: Recipe) -> int:
        """A group, which is one file."""
        return -(-recipe.batch // cls.GROUPS)

    @cached_property
    def coder(self) -> TunedJpeg:
        coder = payload(self.recipe.family, self.recipe.codec)
        assert isinstance(coder, TunedJpeg)
        return dataclasses.replace(coder, subsampling="4:2:0")

    def _group(self, original: Tensor, quality: float) -> tuple[Tensor, Tensor, Tensor, float]:
        """Reconstructions, proxy bits scaled to the real file's, penalty, the real file's bits."""
        told = conditions.before(self.coder, quality)
        condition = torch.tensor([told.quality / 100, told.full_chroma], device=original.device)
        condition = condition.expand(len(original), 2)
        with self.autocast():
            compact = self.pair["com"](original, condition[:, 0])
        compact = compact.float()
        steps = proxy.raster(list(self.coder.tuning.tables(quality, "4:2:0"))).to(original.device)
        imitated, rate = proxy.jpeg(compact, steps)
        decoded, bits = through_codec(self.coder, compact, quality)
        # The fixed cost of a file is no crop's fault.
        weight = proxy.fit_rate(rate.sum()[None], torch.tensor([max(bits - 5000.0, 0.0)]))
        with self.autocast():
            coded = proxy.straight_through(decoded, imitated)
            reconstruction = self.family.reconstruct(self.pair["rec"], coded, condition)
        return reconstruction.float(), weight * rate.sum(), proxy.outside(compact), bits

    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        recipe = self.recipe
        original, _, _ = self.draw(self.training, random, self.share)
        crops = self.together(recipe)
        groups = -(-recipe.batch // crops)
        qualities = random.uniform(*recipe.quality, groups)[parallel.share(groups)].tolist()
        losses_of_groups = []
        for part, quality in zip(torch.split(original, crops), qualities, strict=True):
            reconstruction, bits, penalty, _ = self._group(part, quality)
            distortion = losses.mean_rmse(reconstruction, part)
            pixels = part.shape[0] * part.shape[2] * part.shape[3]
            # d(RMSE)/d(rate) of a codec at work: proportional to its step.
            lmbda = recipe.lmbda * self.coder.tuning.luma_step(quality) / 255
            losses_of_groups.append(distortion + lmbda * bits / pixels + 0.01 * penalty)
        return torch.stack(losses_of_groups).mean()

    def validate(self) -> dict[str, float]:
        random = np.random.default_rng(VALIDATION_SEED)
        scores = []
        with torch.no_grad():
            original, _, _ = self.draw(self.validation, random)
            for quality in np.linspace(*self.recipe.quality, 4):
                reconstruction, _, _, bits = self._group(original, float(quality))
                pixels = original.shape[0] * original.shape[2] * original.shape[3]
                scores.append([psnr(reconstruction, original), bits / pixels])
        mean_db, bpp = np.mean(scores, axis=0)
        return {"psnr": float(mean_db), "bpp": float(bpp)}

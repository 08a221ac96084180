"""The learned codec `liu2018`, trained by a curriculum."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from comrec.entropy.contexts import INDICES, MEAN_STEPS
from comrec.inference.store import Network
from comrec.learned.hyperprior import Z_LIMIT
from comrec.train import (
    contexts,
    export,
    latent_tables,
    learned,
    losses,
    parallel,
    perceptual,
    rate,
)
from comrec.train.integer import bound, rounded
from comrec.train.recipe import Recipe
from comrec.train.schemes.base import VALIDATION_SEED, Learned, psnr


class Curriculum(Learned):
    """One stage of Liu et al. 2018's curriculum: distortion, quantisation, rate, then the metric.

    Without a rate term the loss is the distortion.
    """

    families = ("liu2018",)

    @classmethod
    def networks(cls, recipe: Recipe) -> nn.ModuleDict:
        """Those of `learned.networks`."""
        return learned.networks(recipe.width, recipe.finest_blocks)

    def __post_init__(self) -> None:
        self.has_rate = self.recipe.lambdas[1] > 0
        for role in ("g_a", "g_s"):
            # Without a rate term, larger gains would be a way around the noise.
            self.pair.get_submodule(f"{role}.gain").requires_grad_(self.has_rate)
        if self.has_rate:
            contexts.prepare(self.pair, self.training)

    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        recipe = self.recipe
        share = self.share
        original = self.training.crops(random, recipe.batch, recipe.crop, self.device, share)
        quality = torch.from_numpy(random.uniform(*recipe.quality, recipe.batch)[share] / 100)
        quality = quality.float().to(self.device)
        noise = torch.Generator(self.device).manual_seed(int(random.integers(2**31)))
        with self.autocast():
            reconstruction, bits = self.code(original, quality, noise)
        return self.loss(original, reconstruction, bits, quality)

    def code(
        self, original: Tensor, quality: Tensor, noise: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Reconstructions, and (N,) bits of each; rounded to integers where there is no noise."""
        y = self.pair["g_a"](original, quality)
        if not self.has_rate:
            return self.pair["g_s"](self._quantised(y, noise), quality), torch.zeros_like(quality)
        z = bound(self.pair["h_a"](y).float(), -Z_LIMIT, Z_LIMIT)
        with torch.autocast(self.device, enabled=False):
            index, mean = self.pair["h_s"](rounded(z))
            index, mean = (part[..., : y.shape[2], : y.shape[3]] for part in (index, mean))
            mean = mean / MEAN_STEPS
            distance = self._quantised(y - mean, noise)
            left, index = self.pair["contexts"](distance, index)
            scale = rate.scale_of(bound(index, 0, INDICES - 1))
            bits = rate.laplacian_bits(left, scale).flatten(1).sum(1)
            bits = bits + self.pair["prior"](self._quantised(z, noise)).flatten(1).sum(1)
        return self.pair["g_s"](distance + mean, quality), bits

    def _quantised(self, x: Tensor, noise: torch.Generator | None) -> Tensor:
        if self.recipe.quantiser == "none":
            return x
        if self.recipe.quantiser == "noise" and noise is not None:
            drawn = parallel.drawn(
                x, lambda whole: torch.rand(whole.shape, generator=noise, device=x.device)
            )
            return x + drawn - 0.5
        return rounded(x)

    def loss(
        self, original: Tensor, reconstruction: Tensor, bits: Tensor, quality: Tensor
    ) -> Tensor:
        if not self.has_rate:
            return self.distortion(reconstruction, original).mean()
        return super().loss(original, reconstruction, bits, quality)

    def validate(self) -> dict[str, float]:
        """At four qualities: estimated bits per pixel, PSNR, and MS-SSIM where trained for it."""
        random = np.random.default_rng(VALIDATION_SEED)
        recipe = self.recipe
        scores: dict[str, float] = {}
        original = self.validation.crops(random, 2 * recipe.batch, recipe.crop, self.device)
        for percent in np.linspace(*recipe.quality, 4):
            rows = []
            for part in original.chunk(2):
                quality = torch.full((len(part),), percent / 100, device=self.device).float()
                with torch.no_grad():
                    reconstruction, bits = self.code(part, quality, None)
                row = [float(bits.mean()) / (recipe.crop**2), psnr(reconstruction, part)]
                if recipe.codec == "ms-ssim":
                    row.append(float(losses.ms_ssim(reconstruction.clamp(0, 1), part).mean()))
                rows.append(row)
            for name, value in zip(("bpp", "psnr", "ms_ssim"), np.mean(rows, 0), strict=False):
                scores[f"{name}_{percent:.0f}"] = float(value)
        return scores

    def export(self, folder: Path, training: dict[str, Any]) -> list[Network]:
        if not self.has_rate:
            return []
        surrogate = self.pair["contexts"]
        assert isinstance(surrogate, contexts.Surrogate)
        found = partial(contexts.crops, self.pair, self.training, self.device)
        tables = latent_tables.fit(surrogate.order.cpu().numpy(), found, latent_tables.CROPS)
        made = export.write_learned(folder, self.recipe, self.pair, tables, training)
        return list(made.values())


class Perceptual(Curriculum):
    """The last stage, for low rates.

    distortion = MSE + FEATURES * feature distance + GENERATOR * generator loss. The networks and
    the discriminator learn in the same steps, each from its own loss.
    """

    # In squared grey levels. With a quarter of these, pictures looked like those trained for MSE.
    FEATURES = 800.0
    GENERATOR = 40.0

    @classmethod
    def networks(cls, recipe: Recipe) -> nn.ModuleDict:
        """Those of `learned.networks`, and a "discriminator"."""
        parts = super().networks(recipe)
        parts["discriminator"] = perceptual.Discriminator()
        return parts

    def loss(
        self, original: Tensor, reconstruction: Tensor, bits: Tensor, quality: Tensor
    ) -> Tensor:
        with self.autocast():
            discriminator_loss = self.discriminator.loss(original, reconstruction)
        return super().loss(original, reconstruction, bits, quality) + discriminator_loss

    def distortion(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        with self.autocast():
            distance: Tensor = self.features(reconstruction, original)
            generator_loss = self.discriminator.generator_loss(reconstruction)
        return (
            super().distortion(reconstruction, original)
            + self.FEATURES * distance
            + self.GENERATOR * generator_loss
        )

    @property
    def discriminator(self) -> perceptual.Discriminator:
        discriminator = self.pair["discriminator"]
        assert isinstance(discriminator, perceptual.Discriminator)
        return discriminator

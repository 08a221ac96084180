"""g_s of `liu2018` alone, on the latents that files hold."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from comrec.inference.store import Network
from comrec.learned.hyperprior import Networks
from comrec.train import export, latent_tables, latents, learned, losses
from comrec.train.data import PhotoStore, Track
from comrec.train.recipe import Recipe
from comrec.train.schemes.base import Learned, psnr

_SCORED = 32  # validation patches at most
_LEAST = 1e-6  # error of a patch; the root has no slope at 0


class Synthesis(Learned):
    """Encoders refine latents for the picture, through the g_s that there is; here g_s learns from
    what they made of them, and on that the tables are counted. All else is the package's, as are
    the coarse blocks of g_s: they would gain nothing, and hold most of its bytes. Without any
    steps, all of g_s stays as it is.

    Distortion is the recipe's, but its square root: so hard patches do not drown the others.
    """

    families = ("liu2018",)

    @classmethod
    def networks(cls, recipe: Recipe) -> nn.ModuleDict:
        """ "g_s" alone."""
        return nn.ModuleDict({"g_s": learned.Synthesis(recipe.width, recipe.finest_blocks)})

    def __post_init__(self) -> None:
        g_s = self.pair["g_s"]
        assert isinstance(g_s, learned.Synthesis)
        for block in g_s.coarse_blocks:
            block.requires_grad_(False)

    @classmethod
    def code_beforehand(cls, recipe: Recipe, store: PhotoStore, track: Track) -> None:
        """The latents of whole patches, as `latents.add` makes them."""
        latents.add(store, recipe.codec, recipe.quality, recipe.improved_quality_bins, track)

    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        drawn = random.integers(self._counts, size=(self.recipe.batch, 2))[self.share].tolist()
        original, reconstruction, quality = self._reconstructed(self.training, drawn)
        weighted = losses.price(quality, self.recipe.lambdas).sqrt()
        errors = weighted * self.distortion(reconstruction, original)
        return errors.clamp_min(_LEAST).sqrt().mean()

    @property
    def _counts(self) -> tuple[int, int]:
        """Of the training patches, and of the parts of the range of qualities."""
        return len(self.training.shapes), len(self.training.bins)

    def _reconstructed(
        self, store: PhotoStore, wanted: list[list[int]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        original, y, quality = (part.to(self.device) for part in latents.take(store, wanted))
        with self.autocast():
            return original, self.pair["g_s"](y, quality), quality

    def validate(self) -> dict[str, float]:
        """PSNR in each part of the range of qualities, by its middle."""
        parts, scores = self.recipe.improved_quality_bins, {}
        low, high = self.recipe.quality
        for part in range(parts):
            each = []
            with torch.no_grad():
                for patch in range(len(self.validation.shapes))[:_SCORED]:
                    original, reconstruction, _ = self._reconstructed(
                        self.validation, [[patch, part]]
                    )
                    each.append(psnr(reconstruction, original))
            middle = low + (part + 0.5) / parts * (high - low)
            scores[f"psnr_{middle:.0f}"] = float(np.mean(each))
        return scores

    def export(self, folder: Path, training: dict[str, Any]) -> list[Network]:
        recipe = self.recipe
        start = Networks.trained_for(recipe.family, recipe.codec)
        found = partial(latents.coded, self.training, start)
        tables = latent_tables.fit(start.contexts.order, found, math.prod(self._counts))
        g_s = self.pair["g_s"] if recipe.steps else None
        return export.write_synthesis(folder, recipe, g_s, tables, training, start)

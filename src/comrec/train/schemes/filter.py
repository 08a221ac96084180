"""RecCNN alone, on pictures that were coded beforehand."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import ClassVar, get_args

import numpy as np
import torch
from torch import Tensor, nn

from comrec.sandwich.our_jpeg import Tune
from comrec.train import losses, networks
from comrec.train.data import WORKERS, PhotoStore, QualityBins, Track
from comrec.train.degradation import RealCodec
from comrec.train.families import FAMILIES
from comrec.train.recipe import Recipe
from comrec.train.schemes.base import VALIDATION_SEED, Sandwich, psnr

_FINE = 0.68  # from this part of the quality range on, recipe.fine_share applies
_LUMA = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)


class Filter(Sandwich):
    """RecCNN on what the real codec gave back; ComCNN, if any, is the package's."""

    families: ClassVar[tuple[str, ...]] = ("jiang2017", "comrec")

    @classmethod
    def networks(cls, recipe: Recipe) -> nn.ModuleDict:
        """RecCNN alone, as "rec"."""
        return nn.ModuleDict({"rec": FAMILIES[recipe.family].rec(recipe.scale, recipe.size)})

    @classmethod
    def code_beforehand(cls, recipe: Recipe, store: PhotoStore, track: Track) -> None:
        """At the qualities, with the samplings and in the ways that the recipe says."""
        added = []
        for subsampling in ("4:2:0", "4:4:4") if recipe.full_chroma else ("",):
            payload = RealCodec(
                recipe.family, recipe.codec, recipe.scale, *recipe.quality, subsampling=subsampling
            )
            plain = replace(payload, files="plain")
            improved = replace(payload, files="improved")
            counts = {payload: recipe.quality_bins, plain: recipe.plain_quality_bins}
            for tune in get_args(Tune) if recipe.codec == "jpeg" else ("",):
                counts[replace(improved, tune=tune)] = recipe.improved_quality_bins
            for coder, count in counts.items():
                name = coder.files + subsampling.replace(":", "") + coder.tune
                weight = partial(_weight, recipe)
                added.append(QualityBins(name, coder, count, recipe.scale, weight))
        store.add_quality_bins(added, WORKERS, track)

    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        original, coded, condition = self.draw(self.training, random, self.share)
        if self.recipe.channels == 3:
            chances = random.random(self.recipe.batch)[self.share]
            gray = torch.from_numpy(chances < 0.12).view(-1, 1, 1, 1)
            original, coded = _some_gray(original, gray), _some_gray(coded, gray)
        with self.autocast():
            prediction = self._reconstruct(coded, condition)
        return losses.mean_rmse(prediction, original)

    def _reconstruct(self, coded: Tensor, condition: Tensor) -> Tensor:
        return self.family.reconstruct(self.pair["rec"], coded, condition)

    def validate(self) -> dict[str, float]:
        random = np.random.default_rng(VALIDATION_SEED)
        scores = []
        with torch.no_grad():
            for _ in range(4):
                original, coded, condition = self.draw(self.validation, random)
                plain = coded if self.recipe.scale == 1 else networks.upsample(coded)
                reconstruction = self._reconstruct(coded, condition)
                scores.append([psnr(reconstruction, original), psnr(plain, original)])
        reconstruction_db, plain_db = np.mean(scores, axis=0)
        return {"psnr": float(reconstruction_db), "psnr_plain": float(plain_db)}


def _weight(recipe: Recipe, fraction: float) -> float:
    return recipe.fine_share if fraction > _FINE else 1.0


def _some_gray(pictures: Tensor, gray: Tensor) -> Tensor:
    """Replace the chosen pictures by their luma: gray files go through the same network."""
    luma = (pictures * _LUMA.to(pictures)).sum(1, keepdim=True)
    return torch.where(gray.to(pictures.device), luma, pictures)

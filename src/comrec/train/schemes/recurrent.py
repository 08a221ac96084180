"""The recurrent codec of Toderici et al. 2017 as published, and Johnston et al. 2018's loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from comrec.errors import OptionError
from comrec.inference.store import Network
from comrec.train import losses, parallel, residuals, residuals_onnx
from comrec.train.recipe import Recipe
from comrec.train.schemes.base import VALIDATION_SEED, Scheme, psnr

_LOSSES = ("l1", "ssim")
_SCORED = (1, 2, 4, 8, 16)  # iterations
_CROPS = 12
_SIDE = 192  # of validation crops, where photographs are that large
_MS_SSIM_SIDE = 176  # the smallest multiple of 16 that MS-SSIM is defined for


class Recurrent(Scheme):
    """The absolute error after each iteration, averaged over iterations.

    "l1": at all places alike. "ssim": weighted by what their structural similarity lacks of 1.
    """

    families = ("toderici2017",)

    @classmethod
    def networks(cls, recipe: Recipe) -> nn.ModuleDict:
        """See `residuals.networks`.

        Raises:
            OptionError: the recipe's codec or width is none that there is.
        """
        if recipe.codec not in _LOSSES:
            raise OptionError(
                f"{recipe.name}: codec must be one of {', '.join(_LOSSES)}, not {recipe.codec}"
            )
        return residuals.networks(recipe)

    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        recipe = self.recipe
        share = self.share
        original = self.training.crops(random, recipe.batch, recipe.crop, self.device, share)
        # The binariser draws from PyTorch's generators: the same after a resumption.
        torch.manual_seed(int(random.integers(2**63)))
        pictures = torch.stack(self.pictures(original))
        errors = (pictures - original).abs()
        if recipe.codec == "l1":
            return errors.mean()
        return (self.weights(pictures.detach(), original) * errors).mean()

    def pictures(self, original: Tensor) -> list[Tensor]:
        """(N, 3, H, W) after each iteration, about in 0..1."""
        with self.autocast():
            coded = residuals.code(self.pair, self.recipe, original)
            return [picture for _, picture in coded]

    def weights(self, pictures: Tensor, original: Tensor) -> Tensor:
        """Of the errors after each iteration, (iterations, N, 3, H, W): 1 in the mean.

        Johnston et al. 2018, section 3.3, divide by a running mean over training; here it is that
        of the batch.
        """
        lacking = torch.stack([1 - losses.local_ssim(some, original) for some in pictures])
        return lacking / parallel.mean(lacking.mean()).clamp_min(1e-6)

    def validate(self) -> dict[str, float]:
        """After 1, 2, 4, 8 and 16 iterations, of 1/8 bit per pixel each: PSNR in dB, SSIM, and
        MS-SSIM where all photographs are large enough for it."""
        random = np.random.default_rng(VALIDATION_SEED)
        side = min(_SIDE, min(map(min, self.validation.shapes)) // 16 * 16)
        original = self.validation.crops(random, _CROPS, side, self.device)
        with torch.no_grad():
            pictures = self.pictures(original)
        scores: dict[str, float] = {}
        for count, picture in enumerate(pictures, 1):
            if count not in _SCORED:
                continue
            shown = picture.clamp(0, 1)
            scores[f"psnr_i{count}"] = psnr(shown, original)
            scores[f"ssim_i{count}"] = float(losses.ssim(shown, original).mean())
            if side >= _MS_SSIM_SIDE:
                scores[f"ms_ssim_i{count}"] = float(losses.ms_ssim(shown, original).mean())
        return scores

    def export(self, folder: Path, training: dict[str, Any]) -> list[Network]:
        """See `residuals_onnx.write`."""
        return residuals_onnx.write(folder, self.recipe, self.pair, training)

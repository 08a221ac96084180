"""One plane more for trained networks of `rippel2017`."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from comrec.train import rippel2017
from comrec.train.schemes.bitplanes import BitPlanes


class Finer(BitPlanes):
    """From a run of `BitPlanes` (--from): its planes, and one with half the step of the last.

    Only what predicts that plane learns. g_a and g_s stay as they are, but for their scales.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        analysis, synthesis = self.pair["g_a"], self.pair["g_s"]
        assert isinstance(analysis, rippel2017.Analysis)
        assert isinstance(synthesis, rippel2017.Synthesis)
        with torch.no_grad():
            analysis.scale += math.log(2)  # type: ignore[misc]  # latents are in finest steps
        gains = synthesis.gain.log.detach()
        synthesis.gain.log = nn.Parameter(torch.cat([gains, gains[-1:]]) - math.log(2))
        self.pair.requires_grad_(False)
        for predictor in self.planes.grow():
            predictor.requires_grad_(True)

    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        """Bits per pixel of the last plane."""
        recipe = self.recipe
        share = self.share
        original = self.training.crops(random, recipe.batch, recipe.crop, self.device, share)
        with torch.no_grad(), self.autocast():
            y = self.pair["g_a"](original)
        bits: Tensor = self.planes.plane(y, self.planes.count - 1)[0]
        return bits.sum() / (len(y) * recipe.crop**2)

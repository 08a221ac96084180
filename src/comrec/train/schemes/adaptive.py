"""`rippel2017` as published: one model for one rate, reached by feedback."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from comrec.train import parallel
from comrec.train.planes import truncated
from comrec.train.recipe import Recipe
from comrec.train.schemes.bitplanes import BitPlanes

_GAIN = 0.05  # by which alpha follows the code length, in the logarithm, a step
_START = 1e-3  # alpha
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (-1, 1))  # the paper's S


class Feedback(nn.Module):
    """The weight of the regulariser, alpha, which follows the code length.

    Rippel and Bourdev 2017, section 3.4: where code is longer than its target, alpha grows, and
    where it is shorter, alpha shrinks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log: Tensor
        self.register_buffer("log", torch.tensor(math.log(_START)))

    @property
    def alpha(self) -> Tensor:
        return self.log.exp()

    def follow(self, length: Tensor, target: float) -> None:
        """Move alpha by one step, at most by `_GAIN` in the logarithm.

        Args:
            length, target: of the code, in the same unit.
        """
        self.log.add_(_GAIN * (length.detach() / target - 1).clamp(-1, 1))


def codelength(y: Tensor) -> Tensor:
    """The paper's estimate, its equation 6: the mean over latents of the bits of their magnitude,
    and of their differences to neighbours.

    Args:
        y: (N, M, h, w) latents, in finest steps.
    """
    total = _bits(y)
    for down, along in _NEIGHBOURS:
        total = total + _bits(y - torch.roll(y, (down, along), (2, 3)))
    return total


def _bits(x: Tensor) -> Tensor:
    return torch.log2(1 + x.abs()).mean()  # 1 added: finite at zero


class Adaptive(BitPlanes):
    """loss = distortion + alpha * codelength; all planes are there.

    The entropy model learns beside it, from latents that it does not move.
    """

    @classmethod
    def networks(cls, recipe: Recipe) -> nn.ModuleDict:
        """Those of `BitPlanes`, and "feedback"."""
        parts = super().networks(recipe)
        parts["feedback"] = Feedback()
        return parts

    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        recipe = self.recipe
        share = self.share
        original = self.training.crops(random, recipe.batch, recipe.crop, self.device, share)
        with self.autocast():
            y = self.pair["g_a"](original)
        bits = self.whole_bpp(y.detach())
        feedback = self.pair["feedback"]
        assert isinstance(feedback, Feedback)
        feedback.follow(parallel.mean(bits), recipe.bpp)
        with self.autocast():
            finest = torch.zeros(1, device=y.device)
            place = torch.ones(len(y), device=y.device)
            reconstruction = self.pair["g_s"](truncated(y, finest), place)
        distortion = self.distortion(reconstruction, original).mean()
        loss: Tensor = distortion + feedback.alpha * codelength(y) + bits
        return loss

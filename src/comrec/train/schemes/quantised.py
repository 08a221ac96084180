"""A trained RecCNN brought to 8 bits, and fine-tuned to give what it gave in float."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from comrec.train import quantised
from comrec.train.schemes.filter import Filter

_CALIBRATING = 4  # batches
_FLOOR = 1e-6  # mean squared error in 0..1, below which a crop does not count for more


class Quantised(Filter):
    """RecCNN in 8 bits, that starts from a float one and learns to give the same pictures."""

    families = ("comrec",)

    def __post_init__(self) -> None:
        rec = self.pair["rec"].to(self.device)
        self.teacher = copy.deepcopy(rec).eval()
        quantised.quantise(rec, self._calibrate)

    def _calibrate(self) -> None:
        for index in range(_CALIBRATING):
            _, coded, condition = self.draw(self.training, np.random.default_rng([index, 8]))
            self._reconstruct(coded, condition)

    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        """By how much quantisation increases the squared error, as a share of it."""
        original, coded, condition = self.draw(self.training, random, self.share)
        with torch.no_grad():
            wanted = self.family.reconstruct(self.teacher, coded, condition)
            error = (wanted - original).square().mean((1, 2, 3)) + _FLOOR
        change = (self._reconstruct(coded, condition) - wanted).square().mean((1, 2, 3))
        return (change / error).mean()

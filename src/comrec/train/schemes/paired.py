"""The perceptual variant of `rippel2017`: against a discriminator that sees pairs."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from comrec.train import losses
from comrec.train.perceptual import PairDiscriminator
from comrec.train.recipe import Recipe
from comrec.train.schemes.bitplanes import BitPlanes


class Judge(nn.Module):
    """The discriminator, and how often it is right: a running mean, which decides who learns.

    Rippel and Bourdev 2017, section 4.2: below `LOW` the discriminator learns, and nothing is
    learned from it; above `HIGH` it rests; between, it and the codec take turns.
    """

    LOW, HIGH = 0.8, 0.95
    MOMENTUM = 0.8

    def __init__(self) -> None:
        super().__init__()
        self.network = PairDiscriminator()
        self.accuracy: Tensor
        self.register_buffer("accuracy", torch.tensor(0.5))

    def learns(self, step: int) -> bool:
        """Whether the discriminator learns in a step; otherwise the codec learns from it."""
        accuracy = float(self.accuracy)
        return accuracy < self.LOW or (accuracy < self.HIGH and step % 2 == 0)

    def loss(
        self, original: Tensor, reconstruction: Tensor, swapped: Tensor, learns: bool
    ) -> Tensor:
        """(N,) cross-entropies: the discriminator's, or how surely it is right.

        Args:
            swapped: (N,) whether the reconstruction comes first.
            learns: no gradient goes into the pictures; otherwise none into the discriminator.
        """
        swap = swapped.view(-1, 1, 1, 1)
        shown = reconstruction.detach() if learns else reconstruction
        first = torch.where(swap, shown, original)
        second = torch.where(swap, original, shown)
        parameters: dict[str, Tensor] = {
            name: value if learns else value.detach()
            for name, value in self.network.named_parameters()
        }
        verdict: Tensor = functional_call(self.network, parameters, (first, second))
        right = (verdict > 0) != swapped
        self.accuracy.lerp_(right.float().mean(), 1 - self.MOMENTUM)
        target = (~swapped).float() if learns else torch.full_like(verdict, 0.5)
        return F.binary_cross_entropy_with_logits(verdict, target, reduction="none")


class Paired(BitPlanes):
    """distortion + `CONFUSION` * how far the discriminator is from not knowing."""

    CONFUSION = 0.01

    @classmethod
    def networks(cls, recipe: Recipe) -> nn.ModuleDict:
        """Those of `BitPlanes`, and a "discriminator"."""
        parts = super().networks(recipe)
        parts["discriminator"] = Judge()
        return parts

    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        self._swapped = torch.from_numpy(random.random(self.recipe.batch) < 0.5).to(self.device)
        self._learns = self.judge.learns(step)
        return super().step_loss(random, step)

    @property
    def judge(self) -> Judge:
        judge = self.pair["discriminator"]
        assert isinstance(judge, Judge)
        return judge

    def distortion(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        """(N,) 1 - MS-SSIM."""
        return losses.distortion("ms-ssim")(reconstruction, original)

    def loss(self, original: Tensor, reconstruction: Tensor, bits: Tensor, place: Tensor) -> Tensor:
        whole = super().loss(original, reconstruction, bits, place)
        if not torch.is_grad_enabled():
            return whole
        with self.autocast():
            judged = self.judge.loss(original, reconstruction, self._swapped, self._learns)
        return whole + (1.0 if self._learns else self.CONFUSION) * judged.mean()

"""The perceptual variant of `rippel2017`: against a discriminator that sees pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from comrec.errors import OptionError
from comrec.inference import store
from comrec.inference.store import Network
from comrec.learned.rippel2017 import Networks
from comrec.train import export, losses, parallel, storage
from comrec.train.perceptual import PairDiscriminator
from comrec.train.recipe import Recipe
from comrec.train.schemes.bitplanes import WARM_UP, BitPlanes


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
        self.accuracy.lerp_(parallel.mean(right.float().mean()), 1 - self.MOMENTUM)
        target = (~swapped).float() if learns else torch.full_like(verdict, 0.5)
        return F.binary_cross_entropy_with_logits(verdict, target, reduction="none")


class Paired(BitPlanes):
    """Trains g_s alone: bits and latents stay those of the networks of the package it starts from.

    sqrt(lambda) * (1 - MS-SSIM) + `FEATURES` * feature distance + `COLOURS` * mean absolute error
    of means over 8x8 pixels + `CONFUSION` * how far the discriminator is from not knowing.
    """

    # The paper has neither of these two. At .1 to .25 bits per pixel the first weighs about three
    # times as much as MS-SSIM; the other keeps blacks black.
    FEATURES = 0.6
    COLOURS = 2.0
    CONFUSION = 0.2

    @classmethod
    def networks(cls, recipe: Recipe) -> nn.ModuleDict:
        """Those of `BitPlanes`, and a "discriminator"."""
        parts = super().networks(recipe)
        parts["discriminator"] = Judge()
        return parts

    def __post_init__(self) -> None:
        super().__post_init__()
        for role in ("g_a", "planes"):
            self.pair[role].requires_grad_(False)
        recipe = self.recipe
        if recipe.start:
            named = [n for n in store.networks() if n.name == f"{recipe.start}-planes"]
            self.start = Networks.named(recipe.family, named[-1].id)
            self._check()

    def _check(self) -> None:
        """
        Raises:
            OptionError: a run that it goes on from has another g_a.
        """
        ours = self.pair["g_a"].state_dict()
        theirs = storage.weights_of(self.start.g_a.load())
        if any(not torch.equal(ours[name].cpu(), value) for name, value in theirs.items()):
            raise OptionError(f"{self.recipe.name}: --from wants a run on {self.recipe.start}")

    def coded(self, y: Tensor, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Bits do not change: they count as none."""
        return y.new_zeros(len(y), self.planes.count, 1, 1, 1), self.planes.early(y, planes)

    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        swapped = random.random(self.recipe.batch)[self.share] < 0.5
        self._swapped = torch.from_numpy(swapped).to(self.device)
        self._learns = self.judge.learns(step)
        return super().step_loss(random, max(step, WARM_UP))  # the entropy model is there

    @property
    def judge(self) -> Judge:
        judge = self.pair["discriminator"]
        assert isinstance(judge, Judge)
        return judge

    def distortion(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        """(N,) 1 - MS-SSIM."""
        return losses.distortion("ms-ssim")(reconstruction, original)

    def loss(self, original: Tensor, reconstruction: Tensor, bits: Tensor, place: Tensor) -> Tensor:
        with self.autocast():
            distance: Tensor = self.features(reconstruction, original).mean()
        colours = (F.avg_pool2d(reconstruction - original, 8)).abs().mean()
        whole = super().loss(original, reconstruction, bits, place)
        whole = whole + self.FEATURES * distance + self.COLOURS * colours
        if not torch.is_grad_enabled():
            return whole
        with self.autocast():
            judged = self.judge.loss(original, reconstruction, self._swapped, self._learns)
        return whole + (1.0 if self._learns else self.CONFUSION) * judged.mean()

    def export(self, folder: Path, training: dict[str, Any]) -> list[Network]:
        return export.write_paired(folder, self.recipe, self.pair["g_s"], training, self.start)

    def validate(self) -> dict[str, float]:
        scores = {k: v for k, v in super().validate().items() if not k.startswith("bpp")}
        return {**scores, "accuracy": float(self.judge.accuracy)}

"""What all ways to train have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from comrec.inference.store import Network
from comrec.train import export, losses, networks, parallel, precision
from comrec.train.data import ALL, PhotoStore, Track
from comrec.train.families import FAMILIES, Family
from comrec.train.perceptual import Features
from comrec.train.recipe import Recipe

VALIDATION_SEED = 7


@dataclass(eq=False)
class Scheme(ABC):
    """Draws batches and gives their loss; scores the networks on fixed crops; exports them.

    Attributes:
        pair: the networks, by role.
        training, validation: stores to draw from.
        families: names of the families whose networks it trains.
    """

    families: ClassVar[tuple[str, ...]]

    recipe: Recipe
    pair: nn.ModuleDict
    training: PhotoStore
    validation: PhotoStore
    device: str

    def __post_init__(self) -> None:  # noqa: B027  (a hook)
        """Prepares the networks; by default they are ready."""

    @classmethod
    @abstractmethod
    def networks(cls, recipe: Recipe) -> nn.ModuleDict:
        """What it trains, by role, freshly initialised."""

    @classmethod
    def begin_from(cls, pair: nn.ModuleDict, found: dict[str, dict[str, Tensor]]) -> None:
        """Load parameters into networks of a pair, by role."""
        for role, parameters in found.items():
            if role in pair:
                known = pair[role].state_dict()
                fitting = networks.resized(parameters, pair[role])
                kept = {key: value for key, value in fitting.items() if key in known}
                # BatchNorm's step counters are not exported.
                pair[role].load_state_dict(kept, strict=False)

    @classmethod  # noqa: B027  (a hook)
    def code_beforehand(cls, recipe: Recipe, store: PhotoStore, track: Track) -> None:
        """Add what real codecs make of the pictures of a store; by default nothing is wanted."""

    @classmethod
    def together(cls, recipe: Recipe) -> int:
        """So many crops of a batch that follow each other must be in one process."""
        return 1

    @property
    def share(self) -> slice:
        """Which crops of a training batch are this process's."""
        return parallel.share(self.recipe.batch)

    @abstractmethod
    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        """The loss of one batch; of several processes, of this one's share of it.

        All random numbers are drawn for the whole batch. What depends on several crops otherwise
        than by the mean of their losses follows from the whole batch, too.
        """

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """PSNR in dB (RGB, or luma), mean over fixed validation crops, and what it is against."""

    @abstractmethod
    def export(self, folder: Path, training: dict[str, Any]) -> list[Network]:
        """Write the networks into a folder with a manifest, unless they cannot code a picture.

        Args:
            training: facts about the run, for the manifest.
        """

    def autocast(self) -> torch.autocast:
        return precision.autocast(self.device)


class Learned(Scheme):
    """Trains networks throughout, by rate and distortion."""

    @cached_property
    def features(self) -> Features:
        """For perceptual losses; loaded when it is first used."""
        return Features().to(self.device)

    def loss(
        self, original: Tensor, reconstruction: Tensor, bits: Tensor, quality: Tensor
    ) -> Tensor:
        """The mean of (bits per pixel + lambda * distortion) / sqrt(lambda), lambda by quality.

        The root keeps the high qualities' gradients from drowning the low ones'. Bits and quality
        are (N,).
        """
        lmbda = losses.price(quality, self.recipe.lambdas)
        bpp = bits / (original.shape[2] * original.shape[3])
        distortion = self.distortion(reconstruction, original)
        return ((bpp + lmbda * distortion) / lmbda.sqrt()).mean()

    def distortion(self, reconstruction: Tensor, original: Tensor) -> Tensor:
        """(N,) in the unit that the recipe's lambdas are for."""
        return losses.distortion(self.recipe.codec)(reconstruction, original)


class Sandwich(Scheme):
    """Trains networks around a standard codec."""

    @classmethod
    def networks(cls, recipe: Recipe) -> nn.ModuleDict:
        """RecCNN and ComCNN, as "rec" and "com"."""
        family = FAMILIES[recipe.family]
        rec, com = family.rec(recipe.scale, recipe.size), family.com(recipe.scale)
        return nn.ModuleDict({"rec": rec, "com": com})

    @property
    def family(self) -> Family:
        return FAMILIES[self.recipe.family]

    def draw(
        self, store: PhotoStore, random: np.random.Generator, share: slice = ALL
    ) -> list[Tensor]:
        """A batch, as `PhotoStore.sample` gives it."""
        recipe = self.recipe
        batch = store.sample(random, recipe.batch, recipe.crop, recipe.scale, share)
        return [part.to(self.device) for part in batch]

    def export(self, folder: Path, training: dict[str, Any]) -> list[Network]:
        recipe = self.recipe
        return [
            export.write(
                folder,
                self.family.network_name(recipe.name, role, recipe.scale),
                module,
                self.family,
                recipe.codec,
                role,
                recipe.scale,
                recipe.channels,
                training,
            )
            for role, module in self.pair.items()
        ]


def psnr(prediction: Tensor, target: Tensor) -> float:
    """In dB, of (N, C, H, W) in 0..1: the mean over the batch."""
    squares = (prediction.float().clamp(0, 1) - target).square().flatten(1).mean(1)
    return float((-10 * torch.log10(squares + 1e-6)).mean())

"""The context model: a stand-in to train with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from comrec.entropy.contexts import BORDER, KINDS, MEAN_STEPS, ONE, PASSES
from comrec.learned.hyperprior import Z_LIMIT
from comrec.train.data import PhotoStore

GROUPS = (1 / 32, 1 / 16, 3 / 32, 3 / 16, 5 / 16)
"""Shares of the channels in each group; the last has the rest."""


@dataclass(frozen=True)
class Latents:
    """Of a picture, and what they are coded with.

    Attributes:
        y: (M, h, w), as they come or rounded.
        index, mean: (M, h, w), see `entropy.contexts.ContextModel.encode`.
        z: (C, h / 4, w / 4) hyper-latents.
    """

    y: NDArray[np.float32]
    index: NDArray[np.int64]
    mean: NDArray[np.int64]
    z: NDArray[np.int64]


class Surrogate(nn.Module):
    """A differentiable context model: predicts each latent, and its scale index, from its context.

    The context is what `entropy.contexts` uses: neighbours that are coded before, earlier groups of
    channels at its place, and the index.

    Attributes:
        order: (M,) channels as they are coded.
        lean: (KINDS, M), as `ContextModel.coefficients`, not ordered.
    """

    HIDDEN = 16

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.order: Tensor
        self.register_buffer("order", torch.arange(channels))
        self.lean = nn.Parameter(torch.zeros(KINDS, channels))
        self.inner = nn.Linear(3 + KINDS, self.HIDDEN)
        self.outer = nn.Linear(self.HIDDEN, 1)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, distance: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """What is left to code, and under which index.

        Args:
            distance: latents' from the hyper-decoder's means, with noise or rounded, and
            index: (N, M, h, w).
        """
        kinds = [mask.expand_as(distance[:, :1]) for mask in _kinds(distance)]
        predicted = torch.zeros_like(distance)
        for mask, lean, around in zip(kinds, self.lean, _sums(distance), strict=True):
            predicted = predicted + mask * lean.view(-1, 1, 1) * around / 4
        left = distance - predicted
        near = torch.zeros_like(left)
        for mask, around in zip(kinds, _sums(left.abs()), strict=True):
            near = near + mask * around
        before = _before(left.abs()[:, self.order])[:, self.order.argsort()]
        seen = [torch.log1p(near), torch.log1p(before), index / 16, *kinds]
        features = torch.stack([part.expand_as(index) for part in seen], -1)
        moved: Tensor = self.outer(F.relu(self.inner(features)))
        return left, index + moved[..., 0]


def _kinds(like: Tensor) -> list[Tensor]:
    """(h, w) masks of the latents whose known neighbours are of each kind."""
    masks = torch.zeros(KINDS, *like.shape[2:], device=like.device)
    for one in PASSES:
        if one.kind is not None:
            masks[one.kind, one.top :: one.stride, one.left :: one.stride] = 1
    return list(masks)


def _sums(values: Tensor) -> list[Tensor]:
    """Over the four neighbours of each kind; right where these are known."""
    height, width = values.shape[2:]
    around = F.pad(values, (BORDER,) * 4)
    neighbours = {one.kind: one.neighbours for one in PASSES}
    sums = []
    for kind in range(KINDS):
        total = torch.zeros_like(values)
        for down, along in neighbours[kind]:
            y, x = BORDER + down, BORDER + along
            total = total + around[..., y : y + height, x : x + width]
        sums.append(total)
    return sums


def _before(missed: Tensor) -> Tensor:
    """Sums over all earlier groups at the same place; channels in coding order."""
    groups = torch.split(missed.clamp_max(8), list(groups_of(missed.shape[1])), 1)
    total = torch.zeros_like(missed[:, :1])
    sums = []
    for group in groups:
        sums.append(total.expand_as(group))
        total = total + group.sum(1, keepdim=True)
    return torch.cat(sums, 1)


def prepare(pair: nn.ModuleDict, photos: PhotoStore) -> None:
    """Give the stand-in the order of channels, by mean magnitude, and what neighbours tell now."""
    surrogate = pair["contexts"]
    assert isinstance(surrogate, Surrogate)
    found = list(crops(pair, photos, "cpu", 32))
    energy = np.mean([np.abs(each.y).mean((1, 2)) for each in found], 0)
    lean = coefficients(found, len(energy)) / ONE
    with torch.no_grad():
        surrogate.order.copy_(torch.from_numpy(np.argsort(-energy, kind="stable")))
        surrogate.lean.copy_(torch.from_numpy(lean.T))


def groups_of(channels: int) -> tuple[int, ...]:
    """Number of channels of each group, by `GROUPS`."""
    sizes = [max(1, round(share * channels)) for share in GROUPS]
    return (*sizes, channels - sum(sizes))


def crops(pair: nn.ModuleDict, photos: PhotoStore, device: str, count: int) -> Iterator[Latents]:
    """The latents of random crops, each at a random quality."""
    random = np.random.default_rng(2018)
    side = min(256, min(min(shape) for shape in photos.shapes))
    for _ in range(count):
        original = photos.crops(random, 1, side, device)
        quality = torch.tensor([random.random()], dtype=torch.float32, device=device)
        with torch.no_grad():
            y = pair["g_a"](original, quality)
            z = pair["h_a"](y).round().clamp(-Z_LIMIT, Z_LIMIT)
            index, mean = (part[0, :, : y.shape[2], : y.shape[3]] for part in pair["h_s"](z))
        whole = (part.cpu().numpy().astype(np.int64) for part in (index, mean, z[0]))
        yield Latents(y[0].float().cpu().numpy(), *whole)


def coefficients(found: Iterable[Latents], channels: int) -> NDArray[np.int16]:
    """By least squares, for each channel and kind of neighbours."""
    both = np.zeros((KINDS, channels))
    own = np.full((KINDS, channels), 1e-9)
    for each in found:
        away = torch.from_numpy(each.y - each.mean.astype(np.float32) / MEAN_STEPS)[None]
        pairs = zip(_kinds(away), _sums(away), strict=True)
        for kind, (mask, around) in enumerate(pairs):
            both[kind] += (mask * away * around / 4).sum((0, 2, 3)).numpy()
            own[kind] += (mask * (around / 4).square()).sum((0, 2, 3)).numpy()
    lean = np.rint(np.clip(both / own, -2, 2) * ONE)
    return np.asarray(lean.T, np.int16)

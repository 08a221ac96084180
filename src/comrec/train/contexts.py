"""The context model: a stand-in to train with, and the tables, counted when training is done."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from comrec.entropy.contexts import CONTEXTS, MEAN_STEPS, ContextModel, Integers, walk
from comrec.entropy.tables import TOTAL, Table
from comrec.learned.liu2018 import Z_LIMIT
from comrec.progress import progress
from comrec.train.data import PhotoStore

GROUPS = (1 / 32, 1 / 16, 3 / 32, 3 / 16, 5 / 16)
"""Shares of the channels in each group; the last has the rest."""

_CROPS = 400  # of 256x256 pixels, each at a random quality
_TABLES = 128
_REACH = 96  # distances beyond are escapes
_ROUNDS = 12

Counts = NDArray[np.float64]


class Surrogate(nn.Module):
    """What its context tells of a latent: how far its index should be moved.

    It sees what `entropy.contexts` does: the magnitudes of the neighbours that are coded before,
    those of earlier groups of channels at its place, and the index.

    Attributes:
        order: (M,) channels as they are coded.
    """

    HIDDEN = 16

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.order: Tensor
        self.register_buffer("order", torch.arange(channels))
        self.inner = nn.Linear(5, self.HIDDEN)
        self.outer = nn.Linear(self.HIDDEN, 1)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, y: Tensor, index: Tensor) -> Tensor:
        """Latents as decoded and their indices, (N, M, h, w) each, to differences of indices."""
        away = y.abs()
        near, corners, sides = _near(away)
        before = _before(away[:, self.order])[:, self.order.argsort()]
        seen = [torch.log1p(near), corners, sides, torch.log1p(before), index / 16]
        features = torch.stack([part.expand_as(index) for part in seen], -1)
        moved: Tensor = self.outer(F.relu(self.inner(features)))
        return moved[..., 0]


def _near(away: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of what is known of the neighbours, by phase; and whether corners, or sides, are."""
    height, width = away.shape[2:]
    around = F.pad(away, (1, 1, 1, 1))

    def shifted(down: int, along: int) -> Tensor:
        return around[..., 1 + down : 1 + down + height, 1 + along : 1 + along + width]

    odd_row = (torch.arange(height, device=away.device) % 2 == 1).view(-1, 1)
    odd_column = (torch.arange(width, device=away.device) % 2 == 1).view(1, -1)
    corners = (odd_row & odd_column).float()
    sides = (odd_row ^ odd_column).float()
    by_corners = shifted(-1, -1) + shifted(-1, 1) + shifted(1, -1) + shifted(1, 1)
    by_sides = shifted(-1, 0) + shifted(1, 0) + shifted(0, -1) + shifted(0, 1)
    return corners * by_corners + sides * by_sides, corners, sides


def _before(away: Tensor) -> Tensor:
    """Sums over all earlier groups at the same place; channels in coding order."""
    groups = torch.split(away.clamp_max(8), list(_groups(away.shape[1])), 1)
    total = torch.zeros_like(away[:, :1])
    sums = []
    for group in groups:
        sums.append(total.expand_as(group))
        total = total + group.sum(1, keepdim=True)
    return torch.cat(sums, 1)


def strongest_first(pair: nn.ModuleDict, photos: PhotoStore) -> Tensor:
    """(M,) channels by their mean magnitude at quality 50."""
    with torch.no_grad():
        original = photos.crops(np.random.default_rng(2017), 16, min(256, _side(photos)), "cpu")
        y = pair["g_a"](original, torch.full((16,), 0.5))
    return torch.argsort(y.abs().mean((0, 2, 3)), descending=True, stable=True)


def fit(pair: nn.ModuleDict, photos: PhotoStore, device: str) -> ContextModel:
    """Count how latents are distributed in each context, and make tables of like contexts."""
    surrogate = pair["contexts"]
    assert isinstance(surrogate, Surrogate)
    order = surrogate.order.cpu().numpy()
    groups = _groups(len(order))
    counts = np.zeros((len(groups) * CONTEXTS, 2 * _REACH + 2))
    random = np.random.default_rng(2018)
    for _ in progress(range(_CROPS), _CROPS, "contexts"):
        original = photos.crops(random, 1, min(256, _side(photos)), device)
        quality = torch.tensor([random.random()], dtype=torch.float32, device=device)
        parts = (part.cpu().numpy() for part in _latents(pair, original, quality))
        _count(counts, groups, *(part.astype(np.int32)[order] for part in parts))
    table_of, tables = _clustered(counts)
    return ContextModel(order, groups, table_of.reshape(len(groups), CONTEXTS), tables)


def _side(photos: PhotoStore) -> int:
    """The shortest side of all."""
    return min(min(shape) for shape in photos.shapes)


def _groups(channels: int) -> tuple[int, ...]:
    sizes = [max(1, round(share * channels)) for share in GROUPS]
    return (*sizes, channels - sum(sizes))


def _latents(
    pair: nn.ModuleDict, original: Tensor, quality: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Distances, indices and means of one picture, (M, h, w) of integers each."""
    with torch.no_grad():
        y = pair["g_a"](original, quality)
        z = pair["h_a"](y).round().clamp(-Z_LIMIT, Z_LIMIT)
        index, mean = (part[0, :, : y.shape[2], : y.shape[3]] for part in pair["h_s"](z))
        return (y[0] - mean / MEAN_STEPS).round(), index, mean


def _count(
    counts: Counts,
    groups: tuple[int, ...],
    distances: Integers,
    index: Integers,
    mean: Integers,
) -> None:
    """Add one picture's latents, by context and distance; the last column is of escapes."""

    def visit(
        group: int, channels: slice, rows: slice, columns: slice, contexts: Integers
    ) -> Integers:
        found = distances[channels, rows, columns]
        column = np.where(np.abs(found) <= _REACH, found + _REACH, 2 * _REACH + 1)
        np.add.at(counts, (group * CONTEXTS + contexts.ravel(), column.ravel()), 1)
        return found

    walk(groups, index, mean, visit)


def _clustered(counts: Counts) -> tuple[NDArray[np.uint8], tuple[Table, ...]]:
    """A table for each context such that all is coded in few bits (k-means in code length)."""
    seen = counts.sum(1) > 0
    spread = (counts[:, :-1] * np.abs(np.arange(-_REACH, _REACH + 1))).sum(1) / np.maximum(
        counts.sum(1), 1
    )
    # To begin with, contexts of about the same spread share a table.
    ranks = np.zeros(len(counts), np.int64)
    edges = np.quantile(spread[seen], np.linspace(0, 1, _TABLES + 1)[1:-1])
    ranks[seen] = np.searchsorted(edges, spread[seen])
    used = counts[seen]
    labels = ranks[seen]
    for _ in range(_ROUNDS):
        pooled = np.zeros((_TABLES, counts.shape[1]))
        np.add.at(pooled, labels, used)
        pooled = pooled[pooled.sum(1) > 0]
        lengths = -np.log2(_smoothed(pooled))
        labels = (used @ lengths.T).argmin(1)
    pooled = np.zeros((len(lengths), counts.shape[1]))
    np.add.at(pooled, labels, used)
    kept = np.flatnonzero(pooled.sum(1) > 0)
    place = np.zeros(len(pooled), np.int64)
    place[kept] = np.arange(len(kept))
    table_of = np.zeros(len(counts), np.int64)
    table_of[seen] = place[labels]
    _fill(table_of, seen)
    return table_of.astype(np.uint8), tuple(_table(row) for row in _smoothed(pooled[kept]))


def _smoothed(pooled: Counts) -> Counts:
    """Probabilities; what never came may still come."""
    away = np.append(np.abs(np.arange(-_REACH, _REACH + 1)), _REACH)
    rare = pooled + 0.5 * np.exp(-away / 4.0) + 1e-3
    return np.asarray(rare / rare.sum(1, keepdims=True))


def _fill(table_of: NDArray[np.int64], seen: NDArray[np.bool_]) -> None:
    """Contexts that never came take the table of the one before that did: a neighbouring index."""
    last = np.maximum.accumulate(np.where(seen, np.arange(len(seen)), 0))
    first = int(np.argmax(seen))
    table_of[:] = table_of[np.maximum(last, first)]


def _table(probabilities: Counts) -> Table:
    """Values that are as likely as the least frequency; the rest are escapes."""
    values = probabilities[:-1]
    likely = np.flatnonzero(values * TOTAL >= 0.5)
    low, high = (likely[0], likely[-1]) if likely.size else (_REACH, _REACH)
    return Table.of_pmf(values[low : high + 1], int(low) - _REACH)

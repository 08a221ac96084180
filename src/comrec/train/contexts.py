"""The context model of trained networks: counted on the pictures that they were trained on."""

from __future__ import annotations

import numpy as np
import torch
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


def fit(pair: nn.ModuleDict, photos: PhotoStore, device: str) -> ContextModel:
    """Count how latents are distributed in each context, and make tables of like contexts."""
    random = np.random.default_rng(2018)
    pieces = []
    for _ in progress(range(_CROPS), _CROPS, "contexts"):
        original = photos.crops(random, 1, min(256, _side(photos)), device)
        quality = torch.tensor([random.random()], dtype=torch.float32, device=device)
        pieces.append(
            [part.cpu().numpy().astype(np.int64) for part in _latents(pair, original, quality)]
        )
    energy = sum(np.abs(distances).mean((1, 2)) for distances, _, _ in pieces)
    order = np.argsort(-np.asarray(energy), kind="stable")
    groups = _groups(len(order))
    counts = np.zeros((len(groups) * CONTEXTS, 2 * _REACH + 2))
    for distances, index, mean in pieces:
        _count(counts, groups, distances[order], index[order], mean[order])
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

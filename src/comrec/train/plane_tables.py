"""The tables of bit-planes, counted when training is done."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from comrec.entropy.planes import (
    CONTEXTS,
    INDICES,
    Integers,
    Part,
    PlaneModel,
    Predict,
    Wanted,
)
from comrec.entropy.tables import Table
from comrec.progress import progress
from comrec.train.clusters import Counts, clustered, smoothed
from comrec.train.contexts import groups_of

_REACH = 40  # symbols of the first plane beyond are escapes
_TABLES = {"first": 24, "significance": 40, "refinement": 24}
_FLAG_TABLES = 12

Latents = NDArray[np.float32]


class _Counting:
    """Counts symbols by context.

    Attributes:
        counts: (planes, CONTEXTS, 2 _REACH + 2), of symbols -_REACH.._REACH, and of escapes.
        flags: (planes, M, 2) how often a channel stays without anything significant, or not.
        significant: (planes, index bins, 2) the same of latents.
    """

    def __init__(self, y: Latents, planes: int) -> None:
        self._wanted = Wanted(y, planes)
        self.counts = np.zeros((planes, CONTEXTS, 2 * _REACH + 2))
        self.flags = np.zeros((planes, len(y), 2))
        self.significant = np.zeros((planes, INDICES // 2, 2))

    def active(self, plane: int, channels: Integers) -> NDArray[np.bool_]:
        found = self._wanted.active(plane, channels)
        np.add.at(self.flags[plane], (channels, found.astype(int)), 1)
        return found

    def symbols(self, part: Part) -> tuple[Integers, None]:
        symbols = self._wanted.symbols(part)
        near = np.abs(symbols) <= _REACH
        column = np.where(near, symbols + _REACH, 2 * _REACH + 1)
        np.add.at(self.counts[part.plane], (part.contexts, column), 1)
        fresh = ~part.refined
        became = (part.flip * symbols + part.base != 0)[fresh]
        np.add.at(self.significant[part.plane], (part.bins[fresh], became.astype(int)), 1)
        return symbols, None


def fit(
    crops: Sequence[Latents], order: NDArray[np.int64], predict: Predict, planes: int
) -> PlaneModel:
    """Count how latents are distributed in each context, and make tables of like contexts.

    Args:
        crops: latents (M, h, w) each.
        order: of the channels, the strongest first.
        planes: their number.
    """
    groups = groups_of(len(order))
    one = Table.from_counts([1], 0)
    model = PlaneModel(
        order,
        groups,
        np.zeros((planes, INDICES // 2), np.int64),
        np.zeros((planes, len(order)), np.uint8),
        np.zeros((planes, CONTEXTS), np.uint8),
        (one,),
    )
    counted = _counted(model, crops, predict)
    fresh = counted.significant
    expected = np.rint(256 * fresh[..., 1] / np.maximum(fresh.sum(2), 1)).astype(np.int64)
    model = PlaneModel(order, groups, expected, model.flags, model.table_of, (one,))
    counted = _counted(model, crops, predict)
    return _with_tables(model, counted)


def _counted(model: PlaneModel, crops: Sequence[Latents], predict: Predict) -> _Counting:
    total: _Counting | None = None
    for y in progress(crops, len(crops), "planes"):
        one = _Counting(y, model.planes)
        model.walk(y.shape[1:], predict, one, model.parts_until(1.0))
        if total is None:
            total = one
        else:
            total.counts += one.counts
            total.flags += one.flags
            total.significant += one.significant
    assert total is not None
    return total


def _with_tables(model: PlaneModel, counted: _Counting) -> PlaneModel:
    tables: list[Table] = []
    table_of = np.zeros((model.planes, CONTEXTS), np.uint8)
    half = CONTEXTS // 2
    near = slice(_REACH - 1, _REACH + 2)
    parts = {
        "first": ((slice(0, 1), slice(None)), slice(None)),
        "significance": ((slice(1, None), slice(0, half)), near),
        "refinement": ((slice(1, None), slice(half, None)), near),
    }
    for name, (where, columns) in parts.items():
        counts = counted.counts[where][..., columns]
        shape = counts.shape[:2]
        if name != "first":  # nothing else can come
            counts = np.concatenate([counts, np.zeros((*shape, 1))], 2)
        reach = (counts.shape[2] - 2) // 2
        labels, rows = clustered(counts.reshape(-1, counts.shape[2]), _TABLES[name])
        table_of[where] = len(tables) + labels.reshape(shape)
        for row in smoothed(rows):
            values = row[:-1] if name == "first" else row[:-1] / row[:-1].sum()
            tables.append(Table.from_pmf(values, -reach))
    flags, made = _flag_tables(counted.flags, len(tables))
    return PlaneModel(model.order, model.groups, model.expected, flags, table_of, (*tables, *made))


def _flag_tables(counts: Counts, first: int) -> tuple[NDArray[np.uint8], list[Table]]:
    """Each plane's and channel's table, by the logarithm of its odds."""
    share = (counts[..., 1] + 0.4) / (counts.sum(2) + 0.8)
    odds = np.log(share / (1 - share))
    levels = np.linspace(-6, 6, _FLAG_TABLES)
    nearest = np.abs(odds[..., None] - levels).argmin(-1)
    chances = 1 / (1 + np.exp(-levels))
    tables = [Table.from_pmf(np.array([1 - p, p]), 0) for p in chances]
    return (first + nearest).astype(np.uint8), tables

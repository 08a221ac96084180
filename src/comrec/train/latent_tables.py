"""The tables of latents and hyper-latents, counted when training is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from comrec.entropy.contexts import CONTEXTS, ContextModel, Integers, Place, rounded, walk
from comrec.entropy.tables import TOTAL, Table
from comrec.learned.hyperprior import Z_LIMIT
from comrec.progress import progress
from comrec.train.clusters import Counts, clustered, smoothed
from comrec.train.contexts import Latents, coefficients, groups_of

CROPS = 400  # of 256x256 pixels, each at a random quality
_TABLES = 128
_REACH = 96  # distances beyond are escapes


class Tables(NamedTuple):
    """What codes latents.

    Attributes:
        hyper: of z, by channel.
        contexts: of y.
    """

    hyper: tuple[Table, ...]
    contexts: ContextModel


def fit(order: NDArray[np.int64], found: Callable[[int], Iterable[Latents]], crops: int) -> Tables:
    """Find how well neighbours predict; then count how latents are distributed in each context,
    and make tables of like contexts; and how hyper-latents are, in each channel.

    Args:
        order: (M,) channels as they are coded.
        found: gives the latents of so many crops, each time the same.
    """
    groups = groups_of(len(order))
    lean = coefficients(found(-(-crops // 4)), len(order))[order]
    counts = np.zeros((len(groups) * CONTEXTS, 2 * _REACH + 2))
    hyper: Counts | None = None
    for each in progress(found(crops), crops, "tables"):
        if hyper is None:
            hyper = np.zeros((len(each.z), 2 * Z_LIMIT + 2))
        channel = np.broadcast_to(np.arange(len(each.z))[:, None, None], each.z.shape)
        np.add.at(hyper, (channel, each.z + Z_LIMIT), 1)
        _count(counts, groups, lean, each.y[order], each.index[order], each.mean[order])
    assert hyper is not None
    table_of, pooled = clustered(counts, _TABLES)
    contexts = ContextModel(
        order,
        groups,
        lean,
        table_of.reshape(len(groups), CONTEXTS),
        _tables(pooled),
    )
    return Tables(_tables(hyper), contexts)


def _count(
    counts: Counts,
    groups: tuple[int, ...],
    lean: NDArray[np.int16],
    y: NDArray[np.float32],
    index: NDArray[np.int64],
    mean: NDArray[np.int64],
) -> None:
    """Add latents, channels in coding order, by context and distance; last come escapes."""

    def visit(place: Place) -> Integers:
        residuals = rounded(y, place)
        column = np.where(np.abs(residuals) <= _REACH, residuals + _REACH, 2 * _REACH + 1)
        row = place.group * CONTEXTS + place.contexts
        np.add.at(counts, (row.ravel(), column.ravel()), 1)
        return residuals

    walk(groups, lean, index, mean, visit)


def _tables(counts: Counts) -> tuple[Table, ...]:
    return tuple(_table(row) for row in smoothed(counts))


def _table(probabilities: Counts) -> Table:
    """Values that are as likely as the least frequency; the rest are escapes."""
    values = probabilities[:-1]
    reach = len(values) // 2
    likely = np.flatnonzero(values * TOTAL >= 0.5)
    low, high = (likely[0], likely[-1]) if likely.size else (reach, reach)
    return Table.from_pmf(values[low : high + 1], int(low) - reach)

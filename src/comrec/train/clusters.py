"""Contexts whose values are distributed alike, brought together to one table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]
"""(contexts, 2 R + 2): how often each of the values -R..R came, and last any other."""

_ROUNDS = 12


def clustered(counts: Counts, tables: int) -> tuple[NDArray[np.uint8], Counts]:
    """A table for each context such that all is coded in few bits (k-means in code length).

    Args:
        tables: how many at most, up to 256.
    Returns:
        the number of each context's table, and the counts of each table.
    """
    reach = (counts.shape[1] - 2) // 2
    values = np.arange(-reach, reach + 1)
    seen = counts.sum(1) > 0
    # To begin with, contexts of about the same spread share a table; of the same, by the mean.
    spread = counts[:, :-1] @ (np.abs(values) + values / 4) / np.maximum(counts.sum(1), 1)
    ranks = np.zeros(len(counts), np.int64)
    edges = np.quantile(spread[seen], np.linspace(0, 1, tables + 1)[1:-1])
    ranks[seen] = np.searchsorted(edges, spread[seen])
    used = counts[seen]
    labels = ranks[seen]
    for _ in range(_ROUNDS):
        pooled = np.zeros((tables, counts.shape[1]))
        np.add.at(pooled, labels, used)
        pooled = pooled[pooled.sum(1) > 0]
        lengths = -np.log2(smoothed(pooled))
        labels = (used @ lengths.T).argmin(1)
    pooled = np.zeros((len(lengths), counts.shape[1]))
    np.add.at(pooled, labels, used)
    kept = np.flatnonzero(pooled.sum(1) > 0)
    place = np.zeros(len(pooled), np.int64)
    place[kept] = np.arange(len(kept))
    table_of = np.zeros(len(counts), np.int64)
    table_of[seen] = place[labels]
    _fill(table_of, seen)
    return table_of.astype(np.uint8), pooled[kept]


def smoothed(pooled: Counts) -> Counts:
    """Probabilities; what never came may still come."""
    reach = (pooled.shape[1] - 2) // 2
    away = np.append(np.abs(np.arange(-reach, reach + 1)), reach)
    rare = pooled + 0.5 * np.exp(-away / 4.0) + 1e-3
    return np.asarray(rare / rare.sum(1, keepdims=True))


def _fill(table_of: NDArray[np.int64], seen: NDArray[np.bool_]) -> None:
    """Contexts that never came take the table of the one before that did: a neighbouring index."""
    last = np.maximum.accumulate(np.where(seen, np.arange(len(seen)), 0))
    first = int(np.argmax(seen))
    table_of[:] = table_of[np.maximum(last, first)]

"""What each bit of `toderici2017` says before anything is trained.

A latent is told bit by bit: whether what is left of it lies above a threshold. The bits that take
away most of the squared error for their cost come first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from comrec.entropy.bits import BITS, ITERATIONS

_NOMINAL = 0.3
"""Of a bit's cost, the share that it takes up in its iteration; the rest is its entropy."""

_TAILS = np.array([0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.22, 0.3, 0.4, 0.5])
_SHARES = np.concatenate([_TAILS, 1 - _TAILS[:-1]])  # of latents above a threshold


class Plan(NamedTuple):
    """(ITERATIONS, BITS) each.

    Attributes:
        channel: of the latents that a bit is about.
        threshold: above which what is left sets it.
        off, on: what a bit that is not set, or is, adds to what is known.
        share: how often a bit is set.
        size: root mean square of what is left before it, by iteration and channel:
            (ITERATIONS, M).
    """

    channel: NDArray[np.int64]
    threshold: NDArray[np.float32]
    off: NDArray[np.float32]
    on: NDArray[np.float32]
    share: NDArray[np.float32]
    size: NDArray[np.float32]


class _Split(NamedTuple):
    worth: float
    threshold: float
    off: float
    on: float
    share: float


def plan(y: NDArray[np.float32]) -> Plan:
    """The bits for latents (M, n) like these, greedily."""
    left = y.astype(np.float64)
    splits = [_best(row) for row in left]
    shape = ITERATIONS, BITS
    threshold, off, on, share = np.zeros((4, *shape), np.float32)
    size = np.zeros((ITERATIONS, len(y)), np.float32)
    found = Plan(np.zeros(shape, np.int64), threshold, off, on, share, size)
    for iteration in range(ITERATIONS):
        found.size[iteration] = np.sqrt((left**2).mean(1))
        free = np.ones(len(y), np.bool_)  # bits of an iteration do not know of each other
        for bit in range(BITS):
            worths = [split.worth for split in splits]
            channel = int(np.argmax(np.where(free, worths, -1)))
            free[channel] = False
            split = splits[channel]
            at = iteration, bit
            found.channel[at], found.threshold[at] = channel, split.threshold
            found.off[at], found.on[at], found.share[at] = split.off, split.on, split.share
            left[channel] -= np.where(left[channel] >= split.threshold, split.on, split.off)
            splits[channel] = _best(left[channel])
    return found


def _best(row: NDArray[np.float64]) -> _Split:
    """The threshold that is worth most, and the means of what lies below and above it."""
    values = np.sort(row)
    sums = np.cumsum(values)
    below = np.clip((len(values) * (1 - _SHARES)).astype(np.int64), 1, len(values) - 1)
    above = 1 - below / len(values)
    off = sums[below - 1] / below
    on = (sums[-1] - sums[below - 1]) / (len(values) - below)
    entropy = -(above * np.log2(above) + (1 - above) * np.log2(1 - above))
    worth = above * (1 - above) * (on - off) ** 2 / (_NOMINAL + (1 - _NOMINAL) * entropy)
    best = int(worth.argmax())
    found = worth[best], values[below[best]], off[best], on[best], above[best]
    return _Split(*map(float, found))

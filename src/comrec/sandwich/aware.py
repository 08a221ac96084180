"""JPEG coefficients chosen for what RecCNN makes of them.

Jiang et al.'s equation 6, with the real codec in it, solved for one picture instead of learned for
all: the coefficients c descend on

    J = squared error after RecCNN + lambda * bits

where squared errors are weighted by the picture's importance, if it has one.

Each round codes, decodes and applies RecCNN, as comrec will; moves the targets by what is missing
in the coefficients T of the result,

    c + m / kappa,    m = T(original) - T(shown), and a share of the m of the round before

and quantises them by the trellis. This takes the derivative of RecCNN for the identity. With the
true one, by reverse mode through the network, a round costs several times as much and gains less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import repeat

import numpy as np

from comrec.jpegtuning.encoder import Band, Encoder, Float, Levels
from comrec.jpegtuning.tuned import TunedEncoder
from comrec.picture import Pixels

_FIRST = 0.8
"""Kappa of the first round."""
_LEAST, _SLOPE, _MOST = 0.63, 1.5, 0.95
"""Kappa of the others: the least, and how it increases with the logarithm of the file's growth.
RecCNN passes on .65 to .85 of a change of coefficients. Where files grow much, it hides grain and
texture that cost more than they are worth."""
_LAST = 0.08
"""Kappa is so much larger in the last round, after which nothing takes back what is too much."""
_MOMENTUM = np.float32(0.12)
"""Share of what was missing a round before."""
_PRICE = 0.62
"""Of bits in J, relative to the trellis's lambda: RecCNN hides a part of every error, so that a
bit buys less after it. On photographs finer tables buy errors at .5 to .9."""


class AwareEncoder:
    """The encoder of one picture at scale 1.

    Args:
        encoder: gives the coefficients to start from.
        shown: the pixels that comrec shows of a file.
        rounds: each takes as long as quantising, writing and decoding.
    """

    def __init__(
        self, encoder: TunedEncoder, shown: Callable[[bytes], Pixels], rounds: int
    ) -> None:
        self._encoder = encoder
        self._shown = shown
        self._rounds = rounds

    def __call__(self, quality: float) -> bytes:
        """The file of least J of all rounds."""
        encoder = self._encoder.at(quality)
        levels = encoder.quantise(encoder.coefficients, quality)
        best, least = b"", np.inf
        sizes: list[int] = []
        before: Iterable[Band] | None = None
        for left in range(self._rounds, -1, -1):
            data = encoder.write(levels, quality)
            missing = encoder.held(partial(_missing, encoder, self._shown(data)))
            price = _PRICE * encoder.lmbda(quality)
            cost = _error(encoder, missing) + price * 8 * len(data)
            if cost < least:
                best, least = data, cost
            if left:
                sizes.append(len(data))
                kappa = _kappa(sizes) + _LAST * (left == 1)
                steps = encoder.steps(quality)
                targets = partial(_targets, levels, steps, missing, before, kappa)
                levels = encoder.quantise(encoder.held(targets), quality)
                before = missing
                del targets
            del missing  # large, as targets are
        return best


def _missing(encoder: Encoder, shown: Pixels) -> Iterator[Band]:
    """Coefficients of the picture, less those of what comrec shows."""
    both = zip(encoder.coefficients, encoder.transformed(shown), strict=True)
    for (rows, ours), (_, theirs) in both:
        yield rows, [a - b for a, b in zip(ours, theirs, strict=True)]


def _kappa(sizes: list[int]) -> float:
    """Of a round, by the bytes of the files before it."""
    if len(sizes) == 1:
        return _FIRST
    return min(max(_LEAST, _LEAST + _SLOPE * math.log(sizes[-1] / sizes[0])), _MOST)


def _targets(
    levels: Levels,
    steps: list[Float],
    missing: Iterable[Band],
    before: Iterable[Band] | None,
    kappa: float,
) -> Iterator[Band]:
    """The coefficients that the next round quantises.

    Args:
        levels, steps: of the file.
        before: what was missing a round before; None in the first.
    """
    length = np.float32(1 / kappa)
    earlier = repeat(None) if before is None else before
    for (rows, parts), old in zip(missing, earlier, strict=False):
        targets = []
        for i, part in enumerate(parts):
            target: Float = levels[i][rows[i]] * steps[i]
            target += (part if old is None else part + _MOMENTUM * old[1][i]) * length
            targets.append(target)
        yield rows, targets


def _error(encoder: Encoder, missing: Iterable[Band]) -> float:
    """Squared error in grey levels of luma, and in what weighs as much, where masking is 1 (which
    importance is a part of)."""
    squares = [np.empty(shape, np.float32) for shape in encoder.shapes]
    for rows, parts in missing:
        for i, part in enumerate(parts):
            squares[i][rows[i]] = np.square(part).sum(axis=2)
    total = 0.0
    for square, masking, weight in zip(squares, encoder.masking, encoder.weights, strict=False):
        total += weight * float((square / masking).sum(dtype=np.float64))
    return total

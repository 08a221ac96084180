"""JPEG coefficients chosen for what RecCNN makes of them.

Jiang et al.'s equation 6, with the real codec in it, solved for one picture instead of learned for
all: the coefficients c descend on

    J = squared error after RecCNN + lambda * bits

where squared errors are weighted by the picture's importance, if it has one.

Each round codes, decodes and applies RecCNN, as comrec will; moves the targets by what is missing
in the coefficients T of the result,

    c + (T(original) - T(shown)) / kappa

and quantises them by the trellis. This takes the derivative of RecCNN for the identity. With the
true one, by reverse mode through the network, a round costs several times as much and gains less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np

from comrec.jpegtuning.encoder import Band, Encoder, Float, Levels
from comrec.jpegtuning.tuned import TunedEncoder
from comrec.picture import Pixels

_CURVATURE = np.float32(0.85)
"""Kappa. On validation photographs 0.8 to 0.9 is best, 1.5 much worse: steps that are too short
are undone by rounding."""
_MOMENTUM = np.float32(0.1)
"""Share of the last step that is repeated (heavy ball)."""


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

    def estimate(self, quality: float) -> float:
        """See `comrec.ratecontrol.Estimating`."""
        return self._encoder.estimate(quality)

    def __call__(self, quality: float) -> bytes:
        """The file of least J of all rounds."""
        encoder = self._encoder.at(quality)
        levels = encoder.quantise(encoder.coefficients, quality)
        best, least = b"", np.inf
        before: Levels | None = None
        for left in range(self._rounds, -1, -1):
            data = encoder.write(levels, quality)
            missing = encoder.held(partial(_missing, encoder, self._shown(data)))
            cost = _error(encoder, missing) + encoder.lmbda(quality) * 8 * len(data)
            if cost < least:
                best, least = data, cost
            if left:
                targets = partial(_targets, missing, levels, before, encoder.steps(quality))
                before, levels = levels, encoder.quantise(encoder.held(targets), quality)
                del targets
            del missing  # large, as targets are
        return best


def _missing(encoder: Encoder, shown: Pixels) -> Iterator[Band]:
    """Coefficients of the picture, less those of what comrec shows."""
    both = zip(encoder.coefficients, encoder.transformed(shown), strict=True)
    for (rows, ours), (_, theirs) in both:
        yield rows, [a - b for a, b in zip(ours, theirs, strict=True)]


def _targets(
    missing: Iterable[Band], levels: Levels, before: Levels | None, steps: list[Float]
) -> Iterator[Band]:
    """The coefficients that the next round quantises.

    Args:
        levels: of the file.
        before: of the round before.
    """
    for rows, parts in missing:
        targets = []
        for i, (part, step) in enumerate(zip(parts, steps, strict=True)):
            value = levels[i][rows[i]] * step
            target = value + part / _CURVATURE
            if before is not None:
                target += _MOMENTUM * (value - before[i][rows[i]] * step)
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

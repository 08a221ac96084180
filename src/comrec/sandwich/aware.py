"""JPEG coefficients chosen for what RecCNN makes of them.

Jiang et al.'s equation 6, with the real codec in it, solved for one picture instead of learned for
all: the coefficients c descend on

    J = squared error after RecCNN + lambda * bits

Each round codes, decodes and applies RecCNN, as comrec will; moves the targets by what is missing
in the coefficients T of the result,

    c + (T(original) - T(shown)) / kappa

and quantises them by the trellis. This takes the derivative of RecCNN for the identity. With the
true one, by reverse mode through the network, a round costs several times as much and gains less.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from comrec.jpegtuning.encoder import Coefficients, Encoder, Float, Levels
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
            missing, squares = self._missing(encoder, data)
            cost = _weighted(encoder, squares) + encoder.lmbda(quality) * 8 * len(data)
            if cost < least:
                best, least = data, cost
            if left:
                _aim(missing, levels, before, encoder.steps(quality))
                before = levels
                levels = encoder.quantise(missing, quality)
        return best

    def _missing(self, encoder: Encoder, data: bytes) -> tuple[Coefficients, list[Float]]:
        """Coefficients of the picture, less those of what comrec shows of a file; and the sums of
        their squares, of each block."""
        missing = [np.empty_like(ours) for ours in encoder.coefficients]
        squares = [np.empty(ours.shape[:2], np.float32) for ours in missing]
        for where, shown in encoder.bands(self._shown(data)):
            for i, (rows, theirs) in enumerate(zip(where, shown, strict=True)):
                part = np.subtract(encoder.coefficients[i][rows], theirs, out=missing[i][rows])
                squares[i][rows] = np.square(part).sum(axis=2)
        return missing, squares


def _aim(missing: Coefficients, levels: Levels, before: Levels | None, steps: list[Float]) -> None:
    """Make the targets of the next round of what is missing, in place."""
    for i, step in enumerate(steps):
        for row, target in enumerate(missing[i]):
            value = levels[i][row] * step
            target /= _CURVATURE
            target += value
            if before is not None:
                target += _MOMENTUM * (value - before[i][row] * step)


def _weighted(encoder: Encoder, squares: list[Float]) -> float:
    """Squared error in grey levels of luma, and in what weighs as much, where masking is 1."""
    total = 0.0
    for part, masking, weight in zip(squares, encoder.masking, encoder.weights, strict=False):
        total += weight * float((part / masking).sum(dtype=np.float64))
    return total

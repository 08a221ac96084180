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
from numpy.typing import NDArray

from comrec.jpegtuning.encoder import Coefficients, Encoder
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
        targets = encoder.coefficients
        best, least = b"", np.inf
        before: Coefficients | None = None
        for left in range(self._rounds, -1, -1):
            levels = encoder.quantise(targets, quality)
            data = encoder.write(levels, quality)
            missing = self._missing(encoder, data)
            cost = _squares(encoder, missing) + encoder.lmbda(quality) * 8 * len(data)
            if cost < least:
                best, least = data, cost
            if left:
                values = encoder.dequantised(levels, quality)
                targets = [
                    value + part / _CURVATURE for value, part in zip(values, missing, strict=True)
                ]
                if before is not None:
                    for target, value, old in zip(targets, values, before, strict=True):
                        target += _MOMENTUM * (value - old)
                before = values
        return best

    def _missing(self, encoder: Encoder, data: bytes) -> Coefficients:
        """Coefficients of the picture, less those of what comrec shows of a file."""
        shown = encoder.transformed(self._shown(data))
        return [ours - theirs for ours, theirs in zip(encoder.coefficients, shown, strict=True)]


def _squares(encoder: Encoder, missing: Coefficients) -> float:
    """Squared error in grey levels of luma, and in what weighs as much, where masking is 1."""
    total = 0.0
    for part, masking, weight in zip(missing, encoder.masking, encoder.weights, strict=False):
        squares: NDArray[np.float32] = np.square(part).sum(axis=2)
        total += weight * float((squares / masking).sum(dtype=np.float64))
    return total

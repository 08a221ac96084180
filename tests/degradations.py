"""What other processes do to pictures in tests; without PyTorch, so that they start at once."""

from __future__ import annotations

import numpy as np

from comrec.picture import Pixels
from comrec.train.degradation import Degraded


def untouched(pixels: Pixels, fraction: float) -> Degraded:
    return pixels, [fraction, 0.0]


def halved(pixels: Pixels, fraction: float) -> Degraded:
    height, width, channels = pixels.shape
    grouped = pixels.reshape(height // 2, 2, width // 2, 2, channels).astype(float)
    return np.rint(grouped.mean((1, 3))).astype(np.uint8), [fraction, 0.0]

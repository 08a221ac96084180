"""Quantisation tables by quality, and how fine a table is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from comrec.blocks import ZIGZAG

Float = NDArray[np.float32]

COARSEST = 100.0
"""The luma DC step that counts as no fineness. Coarser steps do not improve 4:2:0."""
_REFERENCE = 0.1
"""The slope that `fineness` compares with: that of the files that RecCNN was trained on."""


def shape(slope: float) -> Float:
    """Steps by frequency, relative to the DC step: (64,), zigzag order, 1 + slope * (u + v)."""
    u, v = np.mgrid[0:8, 0:8]
    zigzag: Float = (1.0 + slope * (u + v)).reshape(64)[ZIGZAG].astype(np.float32)
    return zigzag


def table(step: float, slope: float) -> Float:
    """The table of a DC step: (64,) whole numbers in 1..255, zigzag order."""
    steps: Float = np.clip(np.round(shape(slope) * step), 1, 255).astype(np.float32)
    return steps


def fineness(luma: NDArray[np.number]) -> float:
    """How fine a luma table is, of any JPEG encoder. It is an input of the networks.

    The steps are compared with a table's shape at the 21 lowest frequencies, which have most
    non-zero coefficients.

    Args:
        luma: (64,) luma steps, zigzag order.
    Returns:
        0 (steps of `COARSEST` and more) to 1 (steps of 1), linear in the logarithm of the steps.
    """
    ratio = np.log(np.maximum(luma[:21], 1) / shape(_REFERENCE)[:21]).mean()
    return float(np.clip(1 - ratio / np.log(COARSEST), 0, 1))

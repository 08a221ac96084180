"""Quantisation tables optimised for squared error, by quality."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from comrec.jpegtuning.blocks import ZIGZAG

Float = NDArray[np.float32]

SLOPE = 0.1
"""Increase of steps with frequency: 1 + SLOPE * (u + v). Tuned on validation photographs."""
CHROMA = 0.6
"""Chroma steps relative to luma steps. A 4:2:0 chroma sample covers four pixels."""
COARSEST = 100.0
"""The luma DC step at quality 0. Coarser steps do not improve 4:2:0."""


def _shape() -> Float:
    u, v = np.mgrid[0:8, 0:8]
    shape: Float = (1.0 + SLOPE * (u + v)).reshape(64)[ZIGZAG].astype(np.float32)
    return shape


def luma_step(quality: float) -> float:
    """The luma DC step at a quality in 0..100.

    From 10 up, steps equal those of libjpeg's tables on average; below, they are geometrically
    interpolated to `COARSEST` at 0.
    """
    if quality < 10:
        return float(COARSEST ** (1 - quality / 10) * luma_step(10) ** (quality / 10))
    scale = 50 / quality if quality < 50 else 2 - quality / 50
    return max(1.0, 13.2 * scale)


def step_tables(quality: float) -> tuple[Float, Float]:
    """Luma and chroma tables at a quality in 0..100: (64,) integers in 1..255, zigzag order."""
    step = luma_step(quality)
    luma, chroma = (np.clip(np.round(_shape() * s), 1, 255) for s in (step, step * CHROMA))
    return luma.astype(np.float32), chroma.astype(np.float32)


def fineness(table: NDArray[np.number]) -> float:
    """How fine a luma table is, of any JPEG encoder. It is an input of the networks.

    The steps are compared with the shape of our tables at the 21 lowest frequencies, which have
    most non-zero coefficients.

    Args:
        table: (64,) luma steps, zigzag order.
    Returns:
        0 (steps of `COARSEST` and more) to 1 (steps of 1), linear in the logarithm of the steps.
    """
    ratio = np.log(np.maximum(table[:21], 1) / _shape()[:21]).mean()
    return float(np.clip(1 - ratio / np.log(COARSEST), 0, 1))

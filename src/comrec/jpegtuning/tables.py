"""Quantisation tables for the least squared error, and the quality they stand for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from comrec.jpegtuning.blocks import ZIGZAG

Float = NDArray[np.float32]

SLOPE = 0.1
"""How steps rise with frequency: 1 + SLOPE * (u + v). Chosen on validation photographs."""
CHROMA = 0.6
"""Chroma steps relative to luma's. A 4:2:0 chroma sample stands for four pixels."""
COARSEST = 100.0
"""The luma DC step at quality 0. 4:2:0 gains nothing from coarser ones."""


def _shape() -> Float:
    u, v = np.mgrid[0:8, 0:8]
    shape: Float = (1.0 + SLOPE * (u + v)).reshape(64)[ZIGZAG].astype(np.float32)
    return shape


def luma_step(quality: float) -> float:
    """The luma DC step at a quality in 0..100.

    From 10 up, steps are as fine on average as those of libjpeg's tables at that quality; below,
    they rise evenly in the logarithm to `COARSEST`.
    """
    if quality < 10:
        return float(COARSEST ** (1 - quality / 10) * luma_step(10) ** (quality / 10))
    scale = 50 / quality if quality < 50 else 2 - quality / 50
    return max(1.0, 13.2 * scale)


def step_tables(quality: float) -> tuple[Float, Float]:
    """Luma and chroma tables, zigzag order, each step a whole number in 1..255."""
    step = luma_step(quality)
    luma, chroma = (np.clip(np.round(_shape() * s), 1, 255) for s in (step, step * CHROMA))
    return luma.astype(np.float32), chroma.astype(np.float32)


def fineness(table: NDArray[np.number]) -> float:
    """How fine a luma table is, ours or a foreign one: what the networks are conditioned on.

    Compared with our table's shape at the 21 lowest frequencies, where most non-zero
    coefficients lie.

    Args:
        table: (64,) luma steps, zigzag order.
    Returns:
        0 (steps of `COARSEST` and more) to 1 (steps of one), even in the logarithm.
    """
    ratio = np.log(np.maximum(table[:21], 1) / _shape()[:21]).mean()
    return float(np.clip(1 - ratio / np.log(COARSEST), 0, 1))

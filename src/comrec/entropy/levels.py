"""Levels: what is known of latents, as integer networks take it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TOP = 127
"""Levels are 0..TOP."""

_LEVELS = np.minimum(np.rint(8 * np.log2(1 + np.arange(1 << 16))), TOP).astype(np.uint8)


def sided(
    values: NDArray[np.integer[Any]],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Levels of positive and of negative values: 8 log2(1 + |value|), rounded, and 0 where a value
    has the other sign."""
    levels = _LEVELS[np.minimum(np.abs(values), len(_LEVELS) - 1)]
    return levels * (values > 0), levels * (values < 0)

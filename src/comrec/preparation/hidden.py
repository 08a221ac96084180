"""The samples that alpha hides: replaced, before a lossy codec, by ones that cost few bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from comrec.picture import Picture, Pixels


def cleaned(picture: Picture) -> Picture:
    """The picture with samples where alpha is 0 made a smooth continuation of the visible ones.

    Others are unchanged. Push-pull (S. J. Gortler, R. Grzeszczuk, R. Szeliski, M. F. Cohen, "The
    Lumigraph", SIGGRAPH 1996): visible samples are averaged over 2x2 squares, level by level;
    what is missing at a level is interpolated from the next coarser one. Linear in the pixels.

    Returns:
        the same picture, where no alpha is 0; black, where all is.
    """
    alpha = picture.alpha
    if alpha is None or alpha.min() > 0:
        return picture
    return picture.with_pixels(_filled(picture.pixels, alpha))


def _filled(pixels: Pixels, weights: Pixels) -> Pixels:
    """``pixels`` with those of weight 0 interpolated from the others; black where there are none.

    Args:
        pixels: (H, W) or (H, W, 3).
        weights: (H, W), of the other pixels.
    """
    missing = weights == 0
    if not missing.any():
        return pixels
    height, width = weights.shape
    if max(height, width) == 1:
        return np.zeros_like(pixels)
    coarse = Image.fromarray(_filled(*_halved(pixels, weights)))
    doubled = coarse.resize((2 * coarse.width, 2 * coarse.height), Image.Resampling.BILINEAR)
    filled = np.asarray(doubled)[:height, :width].copy()
    np.copyto(filled, pixels, where=_for_channels(~missing, pixels))
    return filled


def _halved(pixels: Pixels, weights: Pixels) -> tuple[Pixels, Pixels]:
    """Weighted means over 2x2 squares, sides rounded up; and the sums of weights, at most 255."""
    rows, columns = (-(-side // 2) for side in weights.shape)
    total = np.zeros((rows, columns), np.uint32)
    sums = np.zeros((rows, columns, *pixels.shape[2:]), np.uint32)
    for top, left in np.ndindex(2, 2):
        weight = weights[top::2, left::2].astype(np.uint32)
        there = np.s_[: weight.shape[0], : weight.shape[1]]
        total[there] += weight
        sums[there] += pixels[top::2, left::2] * _for_channels(weight, pixels)
    divisor = _for_channels(np.maximum(total, 1), pixels)
    means = (sums + divisor // 2) // divisor
    return means.astype(np.uint8), np.minimum(total, 255).astype(np.uint8)


def _for_channels(plane: NDArray[Any], pixels: Pixels) -> NDArray[Any]:
    """A (H, W) plane that broadcasts to the pixels, gray or RGB."""
    return plane if pixels.ndim == 2 else plane[..., None]

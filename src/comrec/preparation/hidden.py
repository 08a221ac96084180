"""The samples that alpha hides: replaced, before a lossy codec, by ones that cost few bits."""

from __future__ import annotations

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
    there = ~missing
    filled[there] = pixels[there]
    return filled


def _halved(pixels: Pixels, weights: Pixels) -> tuple[Pixels, Pixels]:
    """Weighted means over 2x2 squares, sides rounded up; and the sums of weights, at most 255."""
    total = _sums(weights)
    divisor = np.maximum(total, 1)
    planes = [pixels] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)  # apart, for speed
    means = [np.rint(_sums(plane, weights) / divisor).astype(np.uint8) for plane in planes]
    halved = means[0] if pixels.ndim == 2 else np.stack(means, axis=2)
    return halved, np.minimum(total, 255).astype(np.uint8)


def _sums(plane: Pixels, weights: Pixels | None = None) -> NDArray[np.float32]:
    """Sums over 2x2 squares of an (H, W) plane, sides rounded up."""
    rows, columns = (-(-side // 2) for side in plane.shape)
    sums = np.zeros((rows, columns), np.float32)
    for square in (np.s_[top::2, left::2] for top, left in np.ndindex(2, 2)):
        part = plane[square].astype(np.float32)
        if weights is not None:
            part *= weights[square]
        sums[: part.shape[0], : part.shape[1]] += part
    return sums

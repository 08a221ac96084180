"""How like the original a decoded picture looks, with alpha: what it hides does not count.

Without alpha these are the metrics of `comrec.metrics` and `comrec.ssimulacra2`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from comrec import metrics
from comrec import ssimulacra2 as perceptual
from comrec.errors import OptionError
from comrec.picture import Picture, Pixels

_BACKGROUNDS = (0, 255)


def psnr(decoded: Picture, original: Picture) -> float:
    """PSNR of RGB in dB, squared errors weighted by the alpha a of the original (0..1).

    The mean squared error is (sum of a * error² over all samples + 3 * sum of the squared errors of
    alpha, as levels of 255) / (3 * sum of a). An error of alpha by n levels changes each channel
    by up to n over some background.

    Returns:
        infinity where nothing differs that can be seen, such as where nothing can be seen.
    Raises:
        OptionError: the sizes differ.
    """
    if original.alpha is None:
        return metrics.psnr(decoded.rgb, original.rgb)
    if (decoded.width, decoded.height) != (original.width, original.height):
        raise OptionError(
            f"both pictures must have one size; these are {decoded.width}x{decoded.height} and "
            f"{original.width}x{original.height}"
        )
    squares = 0.0
    rows = zip(decoded.rgb, original.rgb, _alpha(decoded), original.alpha, strict=True)
    for ours, theirs, our_alpha, alpha in rows:  # row by row, to avoid copies of large pictures
        colours = np.square(np.subtract(ours, theirs, dtype=np.float32)).sum(axis=1)
        squares += float((colours * alpha).sum(dtype=np.float64)) / 255
        difference = np.subtract(our_alpha, alpha, dtype=np.float32)
        squares += 3 * float(np.square(difference).sum(dtype=np.float64))
    if squares == 0:
        return math.inf
    seen = max(float(original.alpha.sum(dtype=np.float64)), 1.0) / 255
    return max(0.0, 10 * math.log10(255**2 * 3 * seen / squares))


def weighted_psnr(decoded: Picture, original: Picture, weights: NDArray[np.float32]) -> float:
    """PSNR of RGB in dB, squared errors weighted; by the alpha of the original, too.

    Args:
        weights: (H, W), 0 or more: such as of the parts of a picture that matter.
    Returns:
        infinity where nothing differs that has a weight.
    Raises:
        OptionError: the sizes differ.
    """
    if not decoded.pixels.shape[:2] == original.pixels.shape[:2] == weights.shape:
        raise OptionError(
            f"pictures and weights must have one size; these are {decoded.pixels.shape[:2]}, "
            f"{original.pixels.shape[:2]} and {weights.shape}"
        )
    squares = whole = 0.0
    alpha = _alpha(original)
    rows = zip(decoded.rgb, original.rgb, alpha, weights, strict=True)
    for ours, theirs, opacity, of_row in rows:
        weighing = of_row * opacity
        errors = np.square(np.subtract(ours, theirs, dtype=np.float32)).sum(axis=1)
        squares += float((errors * weighing).sum(dtype=np.float64))
        whole += 3 * float(weighing.sum(dtype=np.float64))
    if squares == 0:
        return math.inf
    return 10 * math.log10(255**2 * whole / squares)


def ssim(decoded: Picture, original: Picture) -> float:
    """SSIM of BT.601 luma rounded to 8 bits, see `_seen`; -1..1, 1 where nothing can be seen.

    Raises:
        OptionError: the sizes differ, or the pictures are too small.
    """
    return _seen(_luma_ssim, decoded, original)


def ms_ssim(decoded: Picture, original: Picture) -> float:
    """MS-SSIM of RGB, see `_seen`; 0..1, 1 where nothing can be seen.

    Raises:
        OptionError: the sizes differ, or the pictures are too small.
    """
    return _seen(metrics.ms_ssim, decoded, original)


def ssimulacra2(decoded: Picture, original: Picture) -> float:
    """SSIMULACRA2, see `_seen`; at most 100, which it is where nothing can be seen.

    Raises:
        OptionError: the sizes differ, or the pictures are too small.
    """
    return _seen(perceptual.score, decoded, original)


def _seen(
    metric: Callable[[Pixels, Pixels, Pixels | None], float], decoded: Picture, original: Picture
) -> float:
    """A metric weighted by the original's alpha: the mean of those over black and over white."""
    if original.alpha is None:
        return metric(decoded.rgb, original.rgb, None)
    values = [
        metric(_over(background, decoded), _over(background, original), original.alpha)
        for background in _BACKGROUNDS
    ]
    return sum(values) / len(values)


def _luma_ssim(a: Pixels, b: Pixels, weights: Pixels | None) -> float:
    ours, theirs = (np.rint(metrics.luma(rgb)).astype(np.uint8) for rgb in (a, b))
    return metrics.ssim(ours, theirs, weights)


def _over(background: int, picture: Picture) -> Pixels:
    """(H, W, 3), the picture over a gray level."""
    alpha: NDArray[np.uint16] = _alpha(picture).astype(np.uint16)[..., None]
    mixed = (picture.rgb * alpha + background * (255 - alpha) + np.uint16(127)) // 255
    return mixed.astype(np.uint8)


def _alpha(picture: Picture) -> Pixels:
    if picture.alpha is not None:
        return picture.alpha
    return np.full((picture.height, picture.width), 255, np.uint8)

"""Full-reference quality metrics: PSNR, SSIM, MS-SSIM. Samples are in 0..255."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from comrec.errors import OptionError

Pixels = NDArray[np.uint8]
Samples = NDArray[np.uint8] | NDArray[np.float32]
Float = NDArray[np.float64]

_PEAK = 255.0
_SIGMA = 1.5
_RADIUS = 5
_C1 = (0.01 * _PEAK) ** 2
_C2 = (0.03 * _PEAK) ** 2
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SSIM_SIDE = 2 * _RADIUS + 1
MS_SSIM_SIDE = 2 * _RADIUS * 2 ** (len(_SCALE_WEIGHTS) - 1) + 1
"""Shortest sides, in pixels, of the pictures that SSIM and MS-SSIM are defined for."""


def psnr(a: Samples, b: Samples) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(255² / mean squared error over all samples).

    Args:
        a, b: equal shapes, (H, W) or (H, W, 3); uint8, or float32 such as from `luma`.
    Returns:
        dB, at least 0; infinity for identical pictures.
    Raises:
        OptionError: the shapes differ.
    """
    _check_shapes(a, b)
    squares = 0.0
    for row_a, row_b in zip(a, b, strict=True):  # row by row, to avoid copies of large pictures
        difference = np.subtract(row_a, row_b, dtype=np.float32)
        squares += float(np.square(difference).sum(dtype=np.float64))
    if squares == 0:
        return math.inf
    return 10 * math.log10(_PEAK**2 * a.size / squares)


def luma(rgb: Pixels) -> NDArray[np.float32]:
    """BT.601 luma, full range, unrounded: 0.299 R + 0.587 G + 0.114 B.

    Args:
        rgb: (H, W, 3) uint8.
    Returns:
        (H, W) float32, 0..255.
    Raises:
        OptionError: not (H, W, 3).
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise OptionError(f"luma needs an RGB picture, (H, W, 3); this array is {rgb.shape}")
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return rgb.astype(np.float32) @ weights


def ssim(a: Pixels, b: Pixels, weights: Pixels | None = None) -> float:
    """Structural similarity: 11x11 Gaussian window of sigma 1.5, valid positions only.

    Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image Quality Assessment: From Error
    Visibility to Structural Similarity", IEEE TIP 13(4), 2004.

    Args:
        a, b: equal shapes, (H, W) gray uint8, sides of at least 11.
        weights: (H, W) uint8, such as alpha: the local similarities are weighted by their mean in
            the same window. By default all are equal.
    Returns:
        -1..1; 1 for identical pictures, and where all weights are 0.
    Raises:
        OptionError: the shapes differ, the pictures are not gray, or too small.
    """
    _check_shapes(a, b)
    if a.ndim != 2:
        raise OptionError(f"ssim needs gray pictures, (H, W); these arrays are {a.shape}")
    _check_sides(a, SSIM_SIDE, "ssim")
    maps = _similarity(a.astype(np.float64), b.astype(np.float64))
    return _mean(maps[0], None if weights is None else weights.astype(np.float64))


def ms_ssim(a: Pixels, b: Pixels, weights: Pixels | None = None) -> float:
    """Multi-scale structural similarity: 5 scales, 11-tap Gaussian, mean over channels.

    Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multi-Scale Structural Similarity for Image Quality
    Assessment", Asilomar 2003. Negative terms are set to 0, and odd sides are padded with a line of
    zeros before downsampling, both as in the widely used package pytorch-msssim.

    Args:
        a, b: equal shapes, (H, W) or (H, W, 3) uint8, sides of at least 161.
        weights: see `ssim`; at coarser scales averaged over 2x2 squares.
    Returns:
        0..1; 1 for identical pictures, and where all weights are 0.
    Raises:
        OptionError: the shapes differ, or the pictures are too small.
    """
    _check_shapes(a, b)
    _check_sides(a, MS_SSIM_SIDE, "ms_ssim")
    channels_a = np.atleast_3d(a).astype(np.float64)
    channels_b = np.atleast_3d(b).astype(np.float64)
    plane = None if weights is None else weights.astype(np.float64)
    values = [
        _multi_scale(channels_a[..., channel], channels_b[..., channel], plane)
        for channel in range(channels_a.shape[2])
    ]
    return sum(values) / len(values)


def _multi_scale(a: Float, b: Float, weights: Float | None) -> float:
    product = 1.0
    for scale, exponent in enumerate(_SCALE_WEIGHTS):
        if scale:
            a, b = _halve(a), _halve(b)
            weights = None if weights is None else _halve(weights)
        whole, contrast = _similarity(a, b)
        last = scale == len(_SCALE_WEIGHTS) - 1
        product *= max(_mean(whole if last else contrast, weights), 0.0) ** exponent
    return product


def _mean(values: Float, weights: Float | None) -> float:
    """The mean of a map of `_blur`'s shape, weighted by the `_blur` of the weights."""
    if weights is None:
        return float(values.mean())
    shares = _blur(weights)
    total = float(shares.sum())
    return float((values * shares).sum()) / total if total > 0 else 1.0


def _similarity(a: Float, b: Float) -> tuple[Float, Float]:
    """SSIM, and its contrast-structure term alone, by position; shapes as of `_blur`."""
    mean_a, mean_b = _blur(a), _blur(b)
    means = mean_a * mean_b
    powers = mean_a**2 + mean_b**2
    covariance = _blur(a * b) - means
    variances = _blur(a**2 + b**2) - powers
    contrast = (2 * covariance + _C2) / (variances + _C2)
    whole = contrast * (2 * means + _C1) / (powers + _C1)
    return whole, contrast


def _blur(plane: Float) -> Float:
    """Gaussian filter, valid positions only: (H, W) to (H - 10, W - 10)."""
    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    window = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    window /= window.sum()
    for _ in range(2):
        # All rows in one sequence; positions where the window crosses rows are cut off.
        rows = np.correlate(plane.ravel(), window, "same").reshape(plane.shape)
        plane = rows[:, _RADIUS:-_RADIUS].T
    return plane


def _halve(plane: Float) -> Float:
    """Means of 2x2 squares; odd sides are padded with zeros at the start."""
    height, width = plane.shape
    even = np.pad(plane, ((height % 2, 0), (width % 2, 0)))
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def _check_shapes(a: Samples, b: Samples) -> None:
    if a.shape != b.shape:
        raise OptionError(f"both pictures must have one shape; these are {a.shape} and {b.shape}")


def _check_sides(a: Pixels, shortest: int, metric: str) -> None:
    if min(a.shape[:2]) < shortest:
        raise OptionError(
            f"{metric} needs sides of at least {shortest} pixels; "
            f"this picture is {a.shape[1]}x{a.shape[0]}"
        )

"""YCbCr planes, 8x8 blocks, and orthonormal DCT coefficients of JPEG."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

# JFIF (ITU-R BT.601, full range): rows give Y, Cb, Cr from R, G, B.
RGB_TO_YCC = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.168735892, -0.331264108, 0.5],
        [0.5, -0.418687589, -0.081312411],
    ],
    dtype=np.float32,
)

YCC_TO_RGB = np.linalg.inv(RGB_TO_YCC.astype(np.float64)).astype(np.float32)


def _dct_matrix() -> Float:
    k, n = np.mgrid[0:8, 0:8]
    matrix = np.cos((2 * n + 1) * k * np.pi / 16) * np.where(k == 0, np.sqrt(1 / 8), 0.5)
    single: Float = matrix.astype(np.float32)
    return single


DCT = _dct_matrix()

ZIGZAG = np.array(
    sorted(
        range(64),
        key=lambda i: (i // 8 + i % 8, (i // 8) if (i // 8 + i % 8) % 2 else (i % 8)),
    )
)
"""Raster index of each zigzag position."""


def rgb_to_ycc(rgb: NDArray[np.uint8]) -> Float:
    """(H, W, 3) uint8 to (H, W, 3) float32: Y in 0..255, Cb and Cr centred on 128."""
    ycc: Float = rgb.astype(np.float32) @ RGB_TO_YCC.T
    ycc[..., 1:] += 128.0
    return ycc


def ycc_to_rgb(ycc: NDArray[np.number]) -> NDArray[np.uint8]:
    """(H, W, 3) Y, Cb, Cr, chroma centred on 128, to (H, W, 3) RGB, rounded and clipped."""
    centred = ycc.astype(np.float32) - np.array([0, 128, 128], np.float32)
    rgb: NDArray[np.uint8] = np.clip(np.rint(centred @ YCC_TO_RGB.T), 0, 255).astype(np.uint8)
    return rgb


def pad_to(plane: Float, multiple: int) -> Float:
    """Repeat the last row and column until both sides are multiples of ``multiple``."""
    height, width = plane.shape
    return np.pad(plane, ((0, -height % multiple), (0, -width % multiple)), mode="edge")


def halve(plane: Float) -> Float:
    """Mean of each 2x2 square: the chroma siting of JFIF 4:2:0. Sides must be even."""
    height, width = plane.shape
    squares: Float = plane.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
    return squares


def means(plane: Float, side: int) -> Float:
    """Mean of each square of ``side``; the plane's sides must be its multiples."""
    rows, columns = (length // side for length in plane.shape)
    squares: Float = plane.reshape(rows, side, columns, side).mean(axis=(1, 3))
    return squares


def to_coefficients(plane: Float) -> Float:
    """(8m, 8n) samples in 0..255 to (m, n, 64) orthonormal DCT coefficients, zigzag order."""
    rows, columns = plane.shape[0] // 8, plane.shape[1] // 8
    blocks = (plane - 128.0).reshape(rows, 8, columns, 8).transpose(0, 2, 1, 3)
    coefficients = DCT @ blocks @ DCT.T
    return np.ascontiguousarray(coefficients.reshape(rows, columns, 64)[..., ZIGZAG])

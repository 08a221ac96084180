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


def to_coefficients(plane: Float) -> Float:
    """(8m, 8n) samples in 0..255 to (m, n, 64) orthonormal DCT coefficients, zigzag order."""
    rows, columns = plane.shape[0] // 8, plane.shape[1] // 8
    blocks = (plane - 128.0).reshape(rows, 8, columns, 8).transpose(0, 2, 1, 3)
    coefficients = DCT @ blocks @ DCT.T
    return np.ascontiguousarray(coefficients.reshape(rows, columns, 64)[..., ZIGZAG])


def to_plane(coefficients: Float) -> Float:
    """The inverse of `to_coefficients`: (m, n, 64) to (8m, 8n) samples, not rounded or clipped."""
    rows, columns = coefficients.shape[:2]
    raster = np.empty_like(coefficients)
    raster[..., ZIGZAG] = coefficients
    samples = DCT.T @ raster.reshape(rows, columns, 8, 8) @ DCT
    plane = samples.transpose(0, 2, 1, 3).reshape(8 * rows, 8 * columns)
    centred: Float = np.ascontiguousarray(plane)
    return centred + np.float32(128)


def adjoint_of_plane(gradient: Float) -> Float:
    """The adjoint of `to_plane`, which is orthonormal: (8m, 8n) to (m, n, 64)."""
    return to_coefficients(gradient + np.float32(128))


def double(plane: Float, height: int, width: int) -> Float:
    """Chroma of 4:2:0 at full size, as libjpeg's "fancy upsampling" has it, not rounded.

    Each output sample is 3/4 of the nearest and 1/4 of the next sample, in both directions; the
    samples at the edges are repeated.

    Args:
        plane: at least (ceil(height/2), ceil(width/2)); what is beyond is not used.
    """
    rows, columns = -(-height // 2), -(-width // 2)
    doubled = _double_rows(_double_rows(plane[:rows, :columns]).T).T
    return doubled[:height, :width]


def adjoint_of_double(gradient: Float, rows: int, columns: int) -> Float:
    """The adjoint of `double`: (H, W) to (rows, columns), zero beyond the samples it uses."""
    height, width = gradient.shape
    even = np.pad(gradient, ((0, height % 2), (0, width % 2)))
    halved = _halve_rows(_halve_rows(even).T).T
    whole: Float = np.zeros((rows, columns), np.float32)
    whole[: halved.shape[0], : halved.shape[1]] = halved
    return whole


def _double_rows(plane: Float) -> Float:
    before = np.concatenate([plane[:1], plane[:-1]])
    after = np.concatenate([plane[1:], plane[-1:]])
    doubled = np.empty((2 * len(plane), plane.shape[1]), np.float32)
    doubled[0::2] = 0.75 * plane + 0.25 * before
    doubled[1::2] = 0.75 * plane + 0.25 * after
    return doubled


def _halve_rows(plane: Float) -> Float:
    even, odd = plane[0::2], plane[1::2]
    halved: Float = 0.75 * (even + odd)
    halved[:-1] += 0.25 * even[1:]
    halved[1:] += 0.25 * odd[:-1]
    halved[0] += 0.25 * even[0]
    halved[-1] += 0.25 * odd[-1]
    return halved

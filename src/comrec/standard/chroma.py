"""Chroma subsampling: the option that codecs share, and what its value ``auto`` decides.

Halving chroma costs an error that no quality repairs, and saves bits. It pays while that error is
small beside that of quantisation: always in photographs at low quality, never in screenshots at
high quality. Both errors are measured on a sample of the picture.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from comrec.blocks import DCT, RGB_TO_YCC
from comrec.options import option
from comrec.picture import Picture

Subsampling = Literal["auto", "4:2:0", "4:4:4"]
Sampling = Literal["4:2:0", "4:4:4"]
Asked = TypeVar("Asked", bound=str)
Float = NDArray[np.float32]

TOLERATED = 0.3
"""Error of subsampling, relative to that of quantisation, from which 4:4:4 is better at equal
bytes. Fitted on validation photographs and drawn pictures, for all codecs that ask here."""

_TILE = 16
_TILES = 1024
"""At most so many tiles are looked at, all over the picture."""

# Errors b of Cb and r of Cr are errors of -0.3441 b - 0.7141 r in G, 1.772 b in B, 1.402 r in R.
_BB, _RR, _BR = (0.3441**2 + 1.772**2) / 3, (0.7141**2 + 1.402**2) / 3, 2 * 0.3441 * 0.7141 / 3


def _halving() -> Float:
    """(16, 16): to means of pairs, and back by linear interpolation between these, as libjpeg's."""
    means = np.kron(np.eye(_TILE // 2), [0.5, 0.5])
    before, after = np.vstack([means[:1], means[:-1]]), np.vstack([means[1:], means[-1:]])
    pairs = np.stack([0.75 * means + 0.25 * before, 0.75 * means + 0.25 * after], axis=1)
    matrix: Float = pairs.reshape(_TILE, _TILE).astype(np.float32)
    return matrix


_HALVING = _halving()


def subsampling_option(default: str = "auto", *more: str) -> Any:
    """The option of codecs that can subsample chroma.

    Args:
        more: values beside "auto", "4:2:0" and "4:4:4".
    """
    help = "chroma subsampling; auto decides by picture and quality"
    return option(default, help, ("auto", "4:2:0", "4:4:4", *more))


class Sample:
    """A sample of a picture, that its errors are measured on."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture

    def chosen(self, asked: Asked, step: float) -> Asked | Sampling:
        """The subsampling that was asked for; for "auto", by `subsampling`.

        Args:
            step: see `quantisation_error`. To let bytes grow with quality, it must fall with it.
        """
        if asked != "auto":
            return asked
        if self._picture.is_gray:
            return "4:2:0"
        return self.subsampling(self.quantisation_error(step))

    def subsampling(self, quantisation_error: float) -> Sampling:
        """The better subsampling, in RGB PSNR at equal bytes.

        Args:
            quantisation_error: mean squared error in RGB that the codec will make at 4:4:4.
        """
        full = self.subsampling_error > TOLERATED * quantisation_error
        return "4:4:4" if full else "4:2:0"

    @cached_property
    def subsampling_error(self) -> float:
        """Mean squared error in RGB of chroma halved and doubled again, without quantisation."""
        if self._picture.is_gray:
            return 0.0
        planes = (self._tiles @ weights for weights in RGB_TO_YCC[1:])
        b, r = (_both_ways(plane, _HALVING) - plane for plane in planes)
        return float(_BB * np.square(b).mean() + _RR * np.square(r).mean() + _BR * (b * r).mean())

    def quantisation_error(self, step: float) -> float:
        """Mean squared error of luma, and so about of RGB, quantised as 8x8 DCT coefficients.

        Args:
            step: of a uniform quantiser, in an orthonormal DCT of samples in 0..255. Coefficients
                below half of it become 0: flat areas have no error, however coarse the step.
        """
        squares = self._squares
        return float(np.where(squares < step**2 / 4, squares, step**2 / 12).mean())

    @cached_property
    def _squares(self) -> Float:
        """Of the coefficients of luma."""
        tiles = self._tiles
        luma = tiles @ RGB_TO_YCC[0] if tiles.ndim == 4 else tiles
        blocks = luma.reshape(len(luma), 2, 8, 2, 8).swapaxes(2, 3).reshape(-1, 8, 8)
        squares: Float = np.square(_both_ways(blocks, DCT))
        return squares

    @cached_property
    def _tiles(self) -> Float:
        return _tiles(self._picture.pixels)


def _both_ways(blocks: Float, matrix: Float) -> Float:
    """(n, side, side) blocks, their columns and rows multiplied by a matrix."""
    for _ in range(2):  # as one large product each; NumPy is slow with many small ones
        product = blocks.reshape(-1, blocks.shape[2]) @ matrix.T
        blocks = product.reshape(blocks.shape).swapaxes(1, 2)
    return blocks


def _tiles(pixels: NDArray[np.uint8]) -> Float:
    """A sample of a picture: (tiles, 16, 16), or (tiles, 16, 16, 3) of RGB, float32."""
    height, width = pixels.shape[:2]
    short = [(0, max(0, _TILE - side)) for side in (height, width)]
    if any(missing for _, missing in short):
        pixels = np.pad(pixels, [*short, *[(0, 0)] * (pixels.ndim - 2)], mode="edge")
    rows, columns = (side // _TILE for side in pixels.shape[:2])
    whole = pixels[: rows * _TILE, : columns * _TILE]
    grid = whole.reshape(rows, _TILE, columns, _TILE, *pixels.shape[2:]).swapaxes(1, 2)
    count = rows * columns
    if count > _TILES:
        # Multiples of the golden ratio: even, but with no period that lines of text could have too.
        at = (np.arange(_TILES) * (math.sqrt(1.25) - 0.5) % 1 * count).astype(int)
    else:
        at = np.arange(count)
    sample: Float = grid[at // columns, at % columns].astype(np.float32)
    return sample

"""The steps of the optimising JPEG encoder, on one picture, which is transformed once."""

from __future__ import annotations

import mozjpeg_lossless_optimization
import numpy as np
from numpy.typing import NDArray

from comrec.codec import check_quality
from comrec.formats import resolution, segments
from comrec.jpegtuning import blocks, tables
from comrec.jpegtuning.bitstream import Component, write_jpeg
from comrec.jpegtuning.trellis import dead_zone, estimated_bits, quantise
from comrec.picture import Picture

Float = NDArray[np.float32]
Levels = list[NDArray[np.int16]]
"""Of each component: (rows, columns, 64) quantised coefficients in zigzag order."""
Coefficients = list[Float]
"""Of each component: (rows, columns, 64) orthonormal DCT coefficients in zigzag order."""

# Squared error in RGB per squared error in a sample of Y, Cb, Cr, relative to Y: the column
# norms of YCbCr to RGB, times the four pixels of a 4:2:0 chroma sample.
WEIGHTS = (1.0, 4 * 1.086, 4 * 0.825)

_SAMPLED = 5
"""Every so many blocks are looked at for an estimate of the bytes."""
_HEADERS = 600
"""Bytes of tables and markers, roughly."""


class Encoder:
    """The encoder of one picture.

    Args:
        lmbda: lambda of the trellis, in squared luma steps per bit; 0 for a dead zone in its place.
    """

    def __init__(self, picture: Picture, lmbda: float) -> None:
        self.picture = picture
        self._lmbda = lmbda
        self._metadata = segments.metadata_segments(picture.metadata)
        if picture.is_gray:
            planes = [blocks.pad_to(picture.pixels.astype(np.float32), 8)]
        else:
            ycc = blocks.rgb_to_ycc(picture.pixels)
            luma, *chroma = (blocks.pad_to(ycc[..., channel], 16) for channel in range(3))
            planes = [luma, *map(blocks.halve, chroma)]
        self.coefficients: Coefficients = [blocks.to_coefficients(plane) for plane in planes]

    def __call__(self, quality: float) -> bytes:
        return self.write(self.quantise(self.coefficients, quality), quality)

    def lmbda(self, quality: float) -> float:
        """Lambda in squared grey levels of luma per bit."""
        return self._lmbda * tables.luma_step(quality) ** 2

    def quantise(self, coefficients: Coefficients, quality: float) -> Levels:
        """Levels near the coefficients, by the trellis or the dead zone."""
        steps = tables.step_tables(check_quality(quality))
        lmbda = self.lmbda(quality)
        return [
            _levels(values, steps[min(i, 1)], lmbda / WEIGHTS[i])
            for i, values in enumerate(coefficients)
        ]

    def write(self, levels: Levels, quality: float) -> bytes:
        """The file of the levels that belong to a quality."""
        steps = tables.step_tables(quality)
        sampling = (1,) if self.picture.is_gray else (2, 1, 1)
        components = [
            Component(values, min(i, 1), by)
            for i, (values, by) in enumerate(zip(levels, sampling, strict=True))
        ]
        used = list(steps[: len({component.table for component in components})])
        plain = write_jpeg(self.picture.width, self.picture.height, components, used)
        data = mozjpeg_lossless_optimization.optimize(plain)
        return segments.insert(resolution.in_jfif(data, self.picture.metadata), self._metadata)

    def dequantised(self, levels: Levels, quality: float) -> Coefficients:
        """The coefficients that a decoder sees."""
        steps = tables.step_tables(quality)
        return [values * steps[min(i, 1)] for i, values in enumerate(levels)]

    def estimate(self, quality: float) -> float:
        """Bytes, from every fifth block without the trellis; within a quarter of the file's."""
        steps = tables.step_tables(quality)
        bits = 0.0
        for i, coefficients in enumerate(self.coefficients):
            sample = coefficients.reshape(-1, 64)[::_SAMPLED]
            bits += _SAMPLED * estimated_bits(dead_zone(sample, steps[min(i, 1)], 0.25))
        return bits / 8 + sum(len(body) + 4 for _, body in self._metadata) + _HEADERS


def _levels(coefficients: Float, steps: Float, lmbda: float) -> NDArray[np.int16]:
    if not lmbda:
        return dead_zone(coefficients, steps)
    return quantise(coefficients.reshape(-1, 64), steps, lmbda).reshape(coefficients.shape)

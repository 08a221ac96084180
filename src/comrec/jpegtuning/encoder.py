"""The steps of the optimising JPEG encoder, on one picture, which is transformed once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import mozjpeg_lossless_optimization
import numpy as np
from numpy.typing import NDArray

from comrec import blocks
from comrec.codec import check_quality
from comrec.formats import resolution, segments
from comrec.jpegtuning.bitstream import Component, write_jpeg
from comrec.jpegtuning.trellis import dead_zone, estimated_bits, quantise
from comrec.jpegtuning.tunings import Tuning
from comrec.picture import Picture
from comrec.standard.chroma import Sampling

Float = NDArray[np.float32]
Levels = list[NDArray[np.int16]]
"""Of each component: (rows, columns, 64) quantised coefficients in zigzag order."""
Coefficients = list[Float]
"""Of each component: (rows, columns, 64) orthonormal DCT coefficients in zigzag order."""

_WEIGHTS: dict[Sampling, tuple[float, ...]] = {
    "4:2:0": (1.0, 4 * 1.086, 4 * 0.825),
    "4:4:4": (1.0, 1.086, 0.825),
}
"""Squared error in RGB per squared error in a sample of Y, Cb, Cr, relative to Y: the column norms
of YCbCr to RGB, times the four pixels of a 4:2:0 chroma sample."""

_BAND = 128
"""Rows of pixels that are transformed at a time, a multiple of 16: so that memory is bounded."""
_SAMPLED = 5
"""Every so many blocks are looked at for an estimate of the bytes."""
_HEADERS = 600
"""Bytes of tables and markers, roughly."""
_FLAT = 64.0
"""AC energy per coefficient, in squared grey levels, below which blocks mask nothing more."""


@dataclass(frozen=True)
class Encoder:
    """The encoder of one picture with one subsampling.

    Attributes:
        tuning: tables, lambda and masking.
        trellis: False for a dead zone in its place.
    """

    picture: Picture
    tuning: Tuning
    subsampling: Sampling
    trellis: bool

    @cached_property
    def coefficients(self) -> Coefficients:
        """Of the picture."""
        return self.transformed(self.picture.pixels)

    def transformed(self, pixels: NDArray[np.uint8]) -> Coefficients:
        """The coefficients of any pixels of the picture's size, (H, W) or (H, W, 3)."""
        rows, columns = (-(-side // self._unit) for side in pixels.shape[:2])
        sides = self._unit // 8, *[1] * (0 if self.picture.is_gray else 2)
        whole = [np.empty((rows * side, columns * side, 64), np.float32) for side in sides]
        for where, parts in self.bands(pixels):
            for values, band, part in zip(whole, where, parts, strict=True):
                values[band] = part
        return whole

    def bands(self, pixels: NDArray[np.uint8]) -> Iterator[tuple[list[slice], Coefficients]]:
        """The same, a band of rows of blocks at a time: which rows of each component, and these."""
        for top in range(0, len(pixels), _BAND):
            parts = self._transformed(pixels[top : top + _BAND])
            starts = [top // 8, *[top // self._unit] * (len(parts) - 1)]
            yield (
                [
                    slice(start, start + len(part))
                    for start, part in zip(starts, parts, strict=True)
                ],
                parts,
            )

    def _transformed(self, pixels: NDArray[np.uint8]) -> Coefficients:
        if self.picture.is_gray:
            planes = [blocks.pad_to(pixels.astype(np.float32), 8)]
        else:
            ycc = blocks.rgb_to_ycc(pixels)
            planes = [blocks.pad_to(ycc[..., i], self._unit) for i in range(3)]
            if self._unit == 16:
                planes[1:] = map(blocks.halve, planes[1:])
        return [blocks.to_coefficients(plane) for plane in planes]

    @property
    def _unit(self) -> int:
        """Sides of an MCU, pixels."""
        return 16 if self.subsampling == "4:2:0" and not self.picture.is_gray else 8

    @cached_property
    def masking(self) -> list[Float]:
        """How much error each block hides: (rows, columns) of each component; the geometric mean
        of luma's is 1."""
        energy = np.stack([np.square(row[:, 1:]).mean(axis=1) for row in self.coefficients[0]])
        luma = (energy + np.float32(_FLAT)) ** np.float32(self.tuning.masking)
        luma /= np.exp(np.log(luma).mean())
        chroma = blocks.halve(luma) if self._unit == 16 else luma
        return [luma, *[chroma] * (len(self.coefficients) - 1)]

    @property
    def weights(self) -> tuple[float, ...]:
        return _WEIGHTS[self.subsampling]

    def __call__(self, quality: float) -> bytes:
        return self.write(self.quantise(self.coefficients, quality), quality)

    def lmbda(self, quality: float) -> float:
        """Lambda in squared grey levels of luma per bit, where masking is 1."""
        return self.tuning.lmbda * self.tuning.luma_step(quality) ** 2

    def quantise(self, coefficients: Coefficients, quality: float) -> Levels:
        """Levels near the coefficients, by the trellis or the dead zone."""
        steps = self.steps(check_quality(quality))
        levels = []
        for values, by, masking, weight in zip(
            coefficients, steps, self.masking, self.weights, strict=False
        ):
            flat = values.reshape(-1, 64)
            if self.trellis:
                lmbda = masking * (np.float32(self.lmbda(quality)) / np.float32(weight))
                found = quantise(flat, by, lmbda.reshape(-1))
            else:
                found = dead_zone(flat, by)
            levels.append(found.reshape(values.shape))
        return levels

    def write(self, levels: Levels, quality: float) -> bytes:
        """The file of the levels that belong to a quality."""
        across = self._unit // 8
        components = [
            Component(values, min(i, 1), across if i == 0 else 1) for i, values in enumerate(levels)
        ]
        used = self.steps(quality)[:2]
        plain = write_jpeg(self.picture.width, self.picture.height, components, used)
        data = mozjpeg_lossless_optimization.optimize(plain)
        metadata = self.picture.metadata
        return segments.insert(resolution.in_jfif(data, metadata), self._segments)

    def estimate(self, quality: float) -> float:
        """Bytes, from every fifth block without the trellis; within a quarter of the file's."""
        bits = 0.0
        for values, steps in zip(self.coefficients, self.steps(quality), strict=True):
            sample = values.reshape(-1, 64)[::_SAMPLED]
            bits += _SAMPLED * estimated_bits(dead_zone(sample, steps, 0.25))
        return bits / 8 + sum(len(body) + 4 for _, body in self._segments) + _HEADERS

    def steps(self, quality: float) -> list[Float]:
        """The table of each component."""
        luma, chroma = self.tuning.tables(quality, self.subsampling)
        return [luma, chroma, chroma][: len(self.coefficients)]

    @cached_property
    def _segments(self) -> list[tuple[int, bytes]]:
        return segments.metadata_segments(self.picture.metadata)

"""A JPEG encoder optimised for squared error in RGB."""

from __future__ import annotations

from dataclasses import dataclass

import mozjpeg_lossless_optimization
import numpy as np
from numpy.typing import NDArray

from comrec.codec import Codec, Encode, check_quality, effort_option
from comrec.formats import resolution, segments
from comrec.jpegtuning import blocks, tables
from comrec.jpegtuning.bitstream import Component, write_jpeg
from comrec.jpegtuning.trellis import dead_zone, estimated_bits, quantise
from comrec.options import option
from comrec.picture import Picture
from comrec.preparation.header import Header
from comrec.standard.jpeg import Jpeg

Float = NDArray[np.float32]

LAMBDA = 0.17
"""Lambda of the trellis, in squared luma steps per bit. Tuned on validation photographs."""

# Squared error in RGB per squared error in a sample of Y, Cb, Cr, relative to Y: the column
# norms of YCbCr to RGB, times the four pixels of a 4:2:0 chroma sample.
_WEIGHTS = (1.0, 4 * 1.086, 4 * 0.825)


_SAMPLED = 5
"""Every so many blocks are looked at for an estimate of the bytes."""
_HEADERS = 600
"""Bytes of tables and markers, roughly."""


@dataclass(frozen=True)
class TunedJpeg(Codec):
    """JPEG 4:2:0, optimised for PSNR; any JPEG decoder reads the files.

    Flatter quantisation tables than those of Annex K, finer chroma (`tables`), rate-distortion
    optimised quantisation (`trellis`), and progressive scans optimised by mozjpeg.
    `tables.luma_step` gives the luma step of a quality.

    Attributes:
        effort: 1..10; below 4 a dead zone replaces the trellis.
        lmbda: lambda of the trellis in squared luma steps per bit.
    """

    id = "jpeg-tuned"
    summary = "plain JPEG, tables and coefficients optimised for PSNR"
    extension = ".jpg"
    aliases = (".jpeg",)
    container = "jpeg"
    packages = ("Pillow", "mozjpeg-lossless-optimization")
    quality_step = 0.1
    bench_qualities = (3, 7, 13, 22, 36, 52, 70, 86)
    mark_overhead = Jpeg.mark_overhead

    effort: int = effort_option("below 4 a dead zone replaces the trellis")
    lmbda: float = option(LAMBDA, "lambda of the trellis, in squared luma steps per bit")

    def encode(self, picture: Picture, quality: float) -> bytes:
        return self.encoder(picture)(quality)

    def encoder(self, picture: Picture) -> Encode:
        self.check(picture)
        return _Encoder(picture, self.lmbda if self.effort >= 4 else 0.0)

    def check(self, picture: Picture) -> None:
        super().check(picture)
        Jpeg().check(picture)

    def decode(self, data: bytes, *, partial: bool = False) -> Picture:
        return Jpeg().decode(data, partial=partial)

    def header(self, data: bytes) -> Header:
        return Jpeg().header(data)

    def with_mark(self, data: bytes, mark: bytes) -> bytes:
        return Jpeg().with_mark(data, mark)

    def mark_in(self, data: bytes) -> bytes | None:
        return Jpeg().mark_in(data)


class _Encoder:
    """The encoder of one picture, which is transformed once.

    Args:
        lmbda: see `TunedJpeg`; 0 for a dead zone in place of the trellis.
    """

    def __init__(self, picture: Picture, lmbda: float) -> None:
        self._picture = picture
        self._lmbda = lmbda
        self._metadata = segments.metadata_segments(picture.metadata)
        if picture.is_gray:
            planes = [blocks.pad_to(picture.pixels.astype(np.float32), 8)]
        else:
            ycc = blocks.rgb_to_ycc(picture.pixels)
            luma, *chroma = (blocks.pad_to(ycc[..., channel], 16) for channel in range(3))
            planes = [luma, *map(blocks.halve, chroma)]
        self._coefficients = [blocks.to_coefficients(plane) for plane in planes]

    def __call__(self, quality: float) -> bytes:
        check_quality(quality)
        steps = tables.step_tables(quality)
        lmbda = self._lmbda * tables.luma_step(quality) ** 2
        sampling = (1,) if self._picture.is_gray else (2, 1, 1)
        components = [
            Component(_levels(coefficients, steps[min(i, 1)], lmbda / _WEIGHTS[i]), min(i, 1), by)
            for i, (coefficients, by) in enumerate(zip(self._coefficients, sampling, strict=True))
        ]
        used = list(steps[: len({component.table for component in components})])
        plain = write_jpeg(self._picture.width, self._picture.height, components, used)
        data = mozjpeg_lossless_optimization.optimize(plain)
        return segments.insert(resolution.in_jfif(data, self._picture.metadata), self._metadata)

    def estimate(self, quality: float) -> float:
        """Bytes, from every fifth block without the trellis; within a quarter of the file's."""
        steps = tables.step_tables(quality)
        bits = 0.0
        for i, coefficients in enumerate(self._coefficients):
            sample = coefficients.reshape(-1, 64)[::_SAMPLED]
            bits += _SAMPLED * estimated_bits(dead_zone(sample, steps[min(i, 1)], 0.25))
        return bits / 8 + sum(len(body) + 4 for _, body in self._metadata) + _HEADERS


def _levels(coefficients: Float, steps: Float, lmbda: float) -> NDArray[np.int16]:
    if not lmbda:
        return dead_zone(coefficients, steps)
    return quantise(coefficients.reshape(-1, 64), steps, lmbda).reshape(coefficients.shape)

"""The steps of the optimising JPEG encoder, on one picture, which is transformed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import mozjpeg_lossless_optimization
import numpy as np
from numpy.typing import NDArray

from comrec import blocks
from comrec.codec import check_quality
from comrec.formats import resolution, segments
from comrec.jpegtuning.bitstream import Component, write_jpeg
from comrec.jpegtuning.trellis import dead_zone, estimated_bits, quantise, symbol_bits
from comrec.jpegtuning.tunings import Quantiser
from comrec.picture import Picture
from comrec.standard.chroma import Sampling

Float = NDArray[np.float32]
Levels = list[NDArray[np.int16]]
"""Of each component: (rows, columns, 64) quantised coefficients in zigzag order."""
Coefficients = list[Float]
"""Of each component: (rows, columns, 64) orthonormal DCT coefficients in zigzag order."""
Band = tuple[list[slice], Coefficients]
"""Some rows of blocks: which of each component, and their coefficients."""

_WEIGHTS: dict[Sampling, tuple[float, ...]] = {
    "4:2:0": (1.0, 4 * 1.086, 4 * 0.825),
    "4:4:4": (1.0, 1.086, 0.825),
}
"""Squared error in RGB per squared error in a sample of Y, Cb, Cr, relative to Y: the column norms
of YCbCr to RGB, times the four pixels of a 4:2:0 chroma sample."""

_BAND = 1 << 19
"""Pixels that are transformed at a time, roughly."""
_HELD = 1 << 23
"""Pixels of a picture whose coefficients are held. Those of larger ones are made each time that
they are needed, so that memory is bounded: a tenth of an encode's time."""
_SAMPLED = 5
"""Every so many blocks are looked at for an estimate of the bytes."""
_HEADERS = 600
"""Bytes of tables and markers, roughly."""
_DEAD = 0.34
"""By how much more than 1 level is worth its bits, twice the coefficient must be, in steps, where
all blocks weigh the same."""
_LEAST = 1e-4
"""The least weight of a block: nothing is coded at any price."""
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
    tuning: Quantiser
    subsampling: Sampling
    trellis: bool

    @cached_property
    def coefficients(self) -> Iterable[Band]:
        """Of the picture."""
        return self.held(partial(_bands, self.picture.pixels, self._unit))

    def held(self, bands: Callable[[], Iterator[Band]]) -> Iterable[Band]:
        """Bands that can be gone through several times: held in memory, or made each time."""
        large = self.picture.width * self.picture.height > _HELD
        return _Again(bands) if large else list(bands())

    def transformed(self, pixels: NDArray[np.uint8]) -> Iterator[Band]:
        """The coefficients of any pixels of the picture's size, (H, W) or (H, W, 3)."""
        return _bands(pixels, self._unit)

    @cached_property
    def shapes(self) -> list[tuple[int, int]]:
        """Rows and columns of blocks of each component."""
        sides = self.picture.height, self.picture.width
        rows, columns = (-(-side // self._unit) for side in sides)
        across = self._unit // 8
        chroma = [] if self.picture.is_gray else [(rows, columns)] * 2
        return [(rows * across, columns * across), *chroma]

    @property
    def _unit(self) -> int:
        """Sides of an MCU, pixels."""
        return 16 if self.subsampling == "4:2:0" and not self.picture.is_gray else 8

    @cached_property
    def masking(self) -> list[Float]:
        """How much error each block may have: (rows, columns) of each component. Texture hides it,
        with a geometric mean of 1 in luma; where the picture is less important, it weighs less."""
        energy = np.empty(self.shapes[0], np.float32)
        for rows, parts in self.coefficients:
            energy[rows[0]] = np.square(parts[0][..., 1:]).mean(axis=2)
        luma = (energy + np.float32(_FLAT)) ** np.float32(self.tuning.masking)
        luma /= np.exp(np.log(luma).mean())
        chroma = blocks.halve(luma) if self._unit == 16 else luma
        masking = [luma, *[chroma] * (len(self.shapes) - 1)]
        if self.importance is None:
            return masking
        return [each / weight for each, weight in zip(masking, self.importance, strict=True)]

    @cached_property
    def importance(self) -> list[Float] | None:
        """Mean weight of the errors of each block, above 0: (rows, columns) of each component."""
        plane = self.picture.importance
        if plane is None:
            return None
        luma = blocks.means(blocks.pad_to(plane, self._unit), 8)
        luma = np.maximum(luma, np.float32(_LEAST), dtype=np.float32)
        chroma = blocks.halve(luma) if self._unit == 16 else luma
        return [luma, *[chroma] * (len(self.shapes) - 1)]

    def _zero_below(self, component: int) -> Float | None:
        """Of each block, (N,): the dead zone in steps, by importance."""
        if self.importance is None:
            return None
        weights = self.importance[component].reshape(-1)
        zones: Float = np.float32(0.5) + np.float32(_DEAD / 2) / weights
        return zones

    @property
    def weights(self) -> tuple[float, ...]:
        return (1.0,) * 3 if self.tuning.relative else _WEIGHTS[self.subsampling]

    def __call__(self, quality: float) -> bytes:
        return self.write(self.quantise(self.coefficients, quality), quality)

    def lmbda(self, quality: float) -> float:
        """Lambda in squared grey levels of luma per bit, or in squared steps where the tuning says
        so; where masking is 1."""
        return self.tuning.lmbda * self.tuning.luma_step(quality) ** 2

    def quantise(self, coefficients: Iterable[Band], quality: float) -> Levels:
        """Levels near the coefficients, by the trellis or the dead zone."""
        steps = self.steps(check_quality(quality))
        levels = [np.empty((*shape, 64), np.int16) for shape in self.shapes]
        for rows, parts in coefficients:
            for i, part in enumerate(parts):
                zones = self._zero_below(i)
                if zones is not None:
                    zones = zones.reshape(self.shapes[i])[rows[i]].reshape(-1)
                found = dead_zone(part.reshape(-1, 64), steps[i], zero_below=zones)
                levels[i][rows[i]] = found.reshape(part.shape)
        if not self.trellis:
            return levels
        bits = [symbol_bits(of_one.reshape(-1, 64)) for of_one in levels]
        lmbda = np.float32(self.lmbda(quality))
        for rows, parts in coefficients:
            for i, part in enumerate(parts):
                hidden = self.masking[i][rows[i]] * (lmbda / np.float32(self.weights[i]))
                flat = part.reshape(-1, 64)
                unit = steps[i]
                if self.tuning.relative:
                    flat, unit = flat / unit, np.ones_like(unit)
                found = quantise(flat, unit, hidden.reshape(-1), *bits[i])
                levels[i][rows[i]] = found.reshape(part.shape)
        return levels

    def write(self, levels: Levels, quality: float) -> bytes:
        """The file of the levels that belong to a quality."""
        across = self._unit // 8
        tables: list[Float] = []
        used = []  # of each component: equal ones are stored once
        for table in self.steps(quality):
            same = [at for at, other in enumerate(tables) if np.array_equal(table, other)]
            used.append(same[0] if same else len(tables))
            tables += [] if same else [table]
        components = [
            Component(values, min(i, 1), across if i == 0 else 1, used[i])
            for i, values in enumerate(levels)
        ]
        plain = write_jpeg(self.picture.width, self.picture.height, components, tables)
        data = mozjpeg_lossless_optimization.optimize(plain)
        metadata = self.picture.metadata
        return segments.insert(resolution.in_jfif(data, metadata), self._segments)

    def estimate(self, quality: float) -> float:
        """Bytes, from every fifth block without the trellis; within a quarter of the file's."""
        bits = 0.0
        for i, (sample, steps) in enumerate(zip(self._sample, self.steps(quality), strict=True)):
            zones = self._zero_below(i)
            zones = None if zones is None else zones[::_SAMPLED]
            bits += _SAMPLED * estimated_bits(dead_zone(sample, steps, 0.25, zones))
        return bits / 8 + sum(len(body) + 4 for _, body in self._segments) + _HEADERS

    @cached_property
    def _sample(self) -> list[Float]:
        """Every fifth block of each component: (N, 64)."""
        found: list[list[Float]] = [[] for _ in self.shapes]
        for rows, parts in self.coefficients:
            for i, part in enumerate(parts):
                first = -rows[i].start * part.shape[1] % _SAMPLED
                found[i].append(part.reshape(-1, 64)[first::_SAMPLED])
        return [np.concatenate(parts) for parts in found]

    def steps(self, quality: float) -> list[Float]:
        """The table of each component."""
        luma, *chroma = self.tuning.tables(quality, self.subsampling)
        return [luma, chroma[0], chroma[-1]][: len(self.shapes)]

    @cached_property
    def _segments(self) -> list[tuple[int, bytes]]:
        return segments.metadata_segments(self.picture.metadata)


def _bands(pixels: NDArray[np.uint8], unit: int) -> Iterator[Band]:
    """The coefficients of pixels, (H, W) or (H, W, 3), whose MCUs have sides of ``unit``."""
    height = max(16, _BAND // pixels.shape[1] // 16 * 16)
    for top in range(0, len(pixels), height):
        parts = _transformed(pixels[top : top + height], unit)
        starts = [top // 8, *[top // unit] * (len(parts) - 1)]
        rows = [slice(at, at + len(part)) for at, part in zip(starts, parts, strict=True)]
        yield rows, parts


def _transformed(pixels: NDArray[np.uint8], unit: int) -> Coefficients:
    if pixels.ndim == 2:
        planes = [blocks.pad_to(pixels.astype(np.float32), unit)]
    else:
        ycc = blocks.rgb_to_ycc(pixels)
        planes = [blocks.pad_to(ycc[..., i], unit) for i in range(3)]
        if unit == 16:
            planes[1:] = map(blocks.halve, planes[1:])
    return [blocks.to_coefficients(plane) for plane in planes]


@dataclass(frozen=True)
class _Again:
    """Bands that are made anew each time that they are gone through."""

    make: Callable[[], Iterator[Band]]

    def __iter__(self) -> Iterator[Band]:
        return self.make()

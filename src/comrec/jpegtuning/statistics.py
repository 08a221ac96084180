"""Quantisation tables from the DCT statistics of a data set, by the map of DeepN-JPEG.

Liu et al., DAC 2018: the larger the standard deviation of a coefficient, the more a network is
taken to make of it, and the finer its step; a function of three pieces. Also what other designs
share: the coefficients, and the scale at which tables cost what Annex K's do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from comrec import blocks
from comrec.blocks import ZIGZAG
from comrec.errors import OptionError
from comrec.picture import Picture

Float = NDArray[np.float64]

_LOW, _MIDDLE = 6, 28
"""The paper's bands: the 6 coefficients of largest deviation, then those up to the 28th."""
_PER_PICTURE = 256
"""So many blocks of each component are looked at, spread over the picture."""

# ITU-T T.81, Annex K: raster order.
_ANNEX_K_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_ANNEX_K_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99, *[99] * 32,
)  # fmt: skip


def annex_k() -> Float:
    """(3, 64): the tables of quality 50 of Y, Cb and Cr, zigzag order."""
    return np.array([_ANNEX_K_LUMA, _ANNEX_K_CHROMA, _ANNEX_K_CHROMA], np.float64)[:, ZIGZAG]


@dataclass(frozen=True)
class Constants:
    """The map from a deviation d to a step.

        a - k1 d  up to t1;   b - k2 d  up to t2;   c - k3 d  beyond;   at least least.

    Attributes:
        t1, t2: deviations, in grey levels of an orthonormal DCT.
        a, b, c, least: steps.
        k1, k2, k3: steps per grey level.
    """

    a: float = 255.0
    b: float = 80.0
    c: float = 240.0
    k1: float = 9.75
    k2: float = 1.0
    k3: float = 3.0
    t1: float = 20.0
    t2: float = 60.0
    least: float = 5.0

    def steps(self, deviations: Float) -> Float:
        """Steps of deviations, any shape; at least `least`, and 1."""
        high = self.a - self.k1 * deviations
        middle = self.b - self.k2 * deviations
        low = self.c - self.k3 * deviations
        pieces = np.where(deviations <= self.t1, high, np.where(deviations <= self.t2, middle, low))
        found: Float = np.maximum(pieces, max(1.0, self.least))
        return found


PUBLISHED = Constants()
"""The paper's, for ImageNet. At t2 they jump from 20 to 60: of two coefficients around it the one
of larger deviation gets the coarser step."""


def coefficients(pictures: Iterable[Picture], subsampling: str = "4:2:0") -> list[Float]:
    """A sample of the pictures' orthonormal DCT coefficients.

    Returns:
        (N, 64) of Y, Cb and Cr, zigzag order, in grey levels. Gray pictures have Y only.
    Raises:
        OptionError: there are no pictures, or only gray ones.
    """
    found: list[list[Float]] = [[], [], []]
    for picture in pictures:
        for parts, plane in zip(found, _planes(picture, subsampling == "4:2:0"), strict=False):
            flat = blocks.to_coefficients(plane).reshape(-1, 64)
            parts.append(flat[:: max(1, len(flat) // _PER_PICTURE)].astype(np.float64))
    if not all(found):
        raise OptionError("tables can be designed for colour pictures only; there are none")
    return [np.concatenate(parts) for parts in found]


def _planes(picture: Picture, half: bool) -> list[blocks.Float]:
    multiple = 16 if half else 8
    if picture.is_gray:
        return [blocks.pad_to(picture.pixels.astype(np.float32), multiple)]
    ycc = blocks.rgb_to_ycc(picture.pixels)
    planes = [blocks.pad_to(ycc[..., i], multiple) for i in range(3)]
    return [planes[0], *map(blocks.halve, planes[1:])] if half else planes


def deviations(sample: list[Float]) -> Float:
    """(3, 64): the standard deviation of each coefficient of Y, Cb and Cr."""
    return np.stack([part.std(axis=0) for part in sample])


def fitted(deviations: Float, steps: Float) -> Constants:
    """The continuous and falling map that is nearest to given steps.

    The pieces meet at the limits of the paper's bands, taken from luma: between the 6th and 7th,
    and the 28th and 29th largest deviation. Heights there, at 0 and at the end are those of least
    squared error in the logarithm of the step, by coordinate descent.

    Args:
        deviations, steps: (3, 64).
    """
    ranked = np.sort(deviations[0])[::-1]
    t2, t1 = (float(ranked[at - 1 : at + 1].mean()) for at in (_LOW, _MIDDLE))
    end = max(float(ranked[0]), t2 + 1)
    knots = np.array([0.0, t1, t2, end])
    wanted = np.log(steps)
    heights = np.quantile(steps, [0.9, 0.5, 0.1, 0.02])

    def error(tried: Float) -> float:
        return float(np.square(np.log(np.interp(deviations, knots, tried)) - wanted).mean())

    least = error(heights)
    factor = 1.5
    while factor > 1.005:
        before = least
        for at in range(4):
            for by in (factor, 1 / factor):
                tried = heights.copy()
                tried[at] *= by
                if (np.diff(tried) <= 0).all() and (found := error(tried)) < least:
                    heights, least = tried, found
        if least == before:
            factor **= 0.5
    top, first, second, last = (float(height) for height in heights)
    k1, k2, k3 = (top - first) / t1, (first - second) / (t2 - t1), (second - last) / (end - t2)
    return Constants(top, first + k2 * t1, second + k3 * t2, k1, k2, k3, t1, t2, last)


def entropy(sample: list[Float], steps: Float) -> float:
    """Bits per block of luma that the levels cost, each coefficient coded by itself.

    Args:
        sample: as of `coefficients`, at 4:2:0.
        steps: (3, 64).
    """
    bits = 0.0
    for part, table, share in zip(sample, steps, (1.0, 0.25, 0.25), strict=True):
        levels = np.rint(part / table).astype(np.int64)
        for column in levels.T:
            counts = np.unique(column, return_counts=True)[1] / len(column)
            bits += share * float(-(counts * np.log2(counts)).sum())
    return bits


def as_costly_as_annex_k(sample: list[Float], steps: Float) -> Float:
    """The steps times the factor at which their entropy is that of Annex K's at quality 50."""
    wanted = entropy(sample, annex_k())
    low, high = 1e-3, 1e3
    for _ in range(30):
        middle = (low * high) ** 0.5
        if entropy(sample, steps * middle) > wanted:
            low = middle
        else:
            high = middle
    found: Float = steps * (low * high) ** 0.5
    return found

"""JPEG that spends its bits where the picture matters.

After Prakash, Moran, Garber, DiLillo and Storer, "Semantic Perceptual Image Compression using Deep
Convolution Networks" (DCC 2017).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from comrec import roi
from comrec.codec import Encode, check_quality
from comrec.jpegtuning.tuned import TunedEncoder, TunedJpeg
from comrec.options import option
from comrec.picture import Picture, Pixels
from comrec.ratecontrol import OperatingPoint
from comrec.standard.jpeg import Jpeg

Method = Literal["lambda", "composite"]

_TOLERANCE = 0.01
"""Files of a size are compared with others of that size: they come this near below it."""
_LEVELS = range(20, 101, 10)
"""Qualities that a composite is made of, by tenths of the picture from the least important."""


@dataclass(frozen=True)
class MsroiJpeg(TunedJpeg):
    """`TunedJpeg`, by default with the importance map that the network gives (`comrec.roi`).

    Attributes:
        method: "lambda": the trellis weighs the errors of each block by its importance.
            "composite": as published; each tenth of the picture is taken from a JPEG file of a
            quality by its importance, and the whole is coded once more, so that quality is that of
            `Jpeg`. It is here to be compared with.
    """

    id = "msroi-jpeg"
    summary = "plain JPEG, more bits where the picture matters"

    method: Method = option("lambda", "how importance steers the bits", get_args(Method))

    @property
    def quality_step(self) -> float | None:  # type: ignore[override]
        return 0.1 if self.method == "lambda" else 1.0

    @property
    def packages(self) -> tuple[str, ...]:  # type: ignore[override]
        return (*super().packages, "onnxruntime")

    @property
    def networks(self) -> tuple[str, ...]:
        return (roi.network.network().sha256,)

    def encoder(self, picture: Picture) -> Encode:  # type: ignore[override]
        self.check(picture)
        if picture.importance is None:
            picture = roi.marked(picture, roi.AUTO)
        if self.method == "lambda":
            return TunedEncoder(self, picture)
        return _Composite(Jpeg(effort=self.effort, subsampling=self.subsampling), picture)

    def encode_within(
        self, picture: Picture, budget: int, tolerance: float = _TOLERANCE
    ) -> OperatingPoint:
        return super().encode_within(picture, budget, min(tolerance, _TOLERANCE))


@dataclass(frozen=True)
class _Composite:
    """The published encoder of one picture."""

    coder: Jpeg
    picture: Picture

    @cached_property
    def composite(self) -> Picture:
        """The picture, put together of decoded files."""
        plain = replace(self.picture, importance=None)
        assert self.picture.importance is not None
        tenths = np.clip(np.ceil(10 * _rank(self.picture.importance)), 1, len(_LEVELS))
        pixels: Pixels = np.empty_like(plain.pixels)
        for number, quality in enumerate(_LEVELS, 1):
            chosen = tenths == number
            if chosen.any():
                decoded = self.coder.decode(self.coder.encode(plain.bare, quality))
                pixels[chosen] = decoded.pixels[chosen]
        return plain.with_pixels(pixels)

    def __call__(self, quality: float) -> bytes:
        return self.coder.encode(self.composite, check_quality(quality))


def _rank(plane: NDArray[np.float32]) -> NDArray[np.float64]:
    """Which share of the places is less important than each, or as important and halved."""
    _, places, counts = np.unique(plane, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / plane.size
    found: NDArray[np.float64] = ranks[places].reshape(plane.shape)
    return found

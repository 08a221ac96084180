"""A JPEG encoder optimised for squared error in RGB."""

from __future__ import annotations

from dataclasses import dataclass

from comrec.codec import Codec, Encode, effort_option
from comrec.jpegtuning.encoder import Encoder
from comrec.options import option
from comrec.picture import Picture
from comrec.preparation.header import Header
from comrec.standard.jpeg import Jpeg

LAMBDA = 0.17
"""Lambda of the trellis, in squared luma steps per bit. Tuned on validation photographs."""


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
        return Encoder(picture, self.lmbda if self.effort >= 4 else 0.0)

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

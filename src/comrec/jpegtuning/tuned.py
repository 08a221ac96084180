"""A better encoder of plain JPEG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from comrec.codec import Codec, effort_option
from comrec.jpegtuning.encoder import Encoder
from comrec.jpegtuning.tunings import TUNINGS, Tune, Tuning
from comrec.options import option
from comrec.picture import Picture
from comrec.preparation.header import Header
from comrec.standard.jpeg import Jpeg, Subsampling, subsampling_option


@dataclass(frozen=True)
class TunedJpeg(Codec):
    """JPEG, optimised for PSNR or for eyes; any JPEG decoder reads the files.

    Flatter quantisation tables than those of Annex K and finer chroma (`tunings`), rate-distortion
    optimised quantisation (`trellis`), and progressive scans optimised by mozjpeg.

    Attributes:
        effort: 1..10; below 4 a dead zone replaces the trellis.
        tune: "psnr", or "perceptual": coarser where frequencies are high and where texture hides
            errors. Those of "network" are of what RecCNN will make of the file.
        subsampling: chroma subsampling, "4:2:0" or "4:4:4".
    """

    id = "jpeg-tuned"
    summary = "plain JPEG, tables and coefficients optimised"
    extension = ".jpg"
    aliases = (".jpeg",)
    container = "jpeg"
    packages = ("Pillow", "mozjpeg-lossless-optimization")
    quality_step = 0.1
    bench_qualities = (3, 7, 13, 22, 36, 52, 70, 86)
    mark_overhead = Jpeg.mark_overhead

    effort: int = effort_option("below 4 a dead zone replaces the trellis")
    tune: Tune = option("psnr", "what the coefficients are optimised for", get_args(Tune))
    subsampling: Subsampling = subsampling_option()

    @property
    def tuning(self) -> Tuning:
        return TUNINGS[self.tune]

    def encode(self, picture: Picture, quality: float) -> bytes:
        return self.encoder(picture)(quality)

    def encoder(self, picture: Picture) -> TunedEncoder:
        self.check(picture)
        return TunedEncoder(self, picture)

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


class TunedEncoder:
    """The encoder of one picture."""

    def __init__(self, coder: TunedJpeg, picture: Picture) -> None:
        self._coder = coder
        self._picture = picture
        self._encoders: dict[Subsampling, Encoder] = {}

    def at(self, quality: float) -> Encoder:
        """With the subsampling of a quality."""
        coder = self._coder
        chosen = coder.subsampling
        if chosen not in self._encoders:
            self._encoders[chosen] = Encoder(
                self._picture, coder.tuning, chosen, trellis=coder.effort >= 4
            )
        return self._encoders[chosen]

    def __call__(self, quality: float) -> bytes:
        return self.at(quality)(quality)

    def estimate(self, quality: float) -> float:
        """See `comrec.ratecontrol.Estimating`."""
        return self.at(quality).estimate(quality)

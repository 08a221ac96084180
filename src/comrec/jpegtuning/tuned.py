"""A better encoder of plain JPEG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, get_args

from comrec.codec import check_quality, effort_option
from comrec.jpegtuning.encoder import Encoder
from comrec.jpegtuning.tunings import TUNINGS, Quantiser, Tune, Tuning
from comrec.options import option
from comrec.picture import Picture
from comrec.standard import chroma
from comrec.standard.chroma import Sampling, Subsampling, subsampling_option
from comrec.standard.jpeg import LOWEST, JpegEncoder, chroma_step


@dataclass(frozen=True)
class TunedJpeg(JpegEncoder):
    """JPEG, optimised for PSNR or for eyes; any JPEG decoder reads the files.

    Flatter quantisation tables than those of Annex K and finer chroma (`tunings`), rate-distortion
    optimised quantisation (`trellis`), and progressive scans optimised by mozjpeg. Where a
    picture has an importance map, the trellis weighs the errors of each block by it.

    Attributes:
        effort: 1..10; below 4 a dead zone replaces the trellis.
        tune: "psnr", or "perceptual": coarser where frequencies are high and where texture hides
            errors. Those of "network" are of what RecCNN will make of the file.
        subsampling: chroma subsampling, "4:2:0", "4:4:4", or "auto": the better one (`chroma`).
    """

    id = "jpeg-tuned"
    summary = "plain JPEG, tables and coefficients optimised"
    packages = ("Pillow", "mozjpeg-lossless-optimization")
    quality_step = 0.1
    uses_importance = True
    bench_qualities = (2, 8, 15, 25, 40, 60, 78, 90)

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


class Tuned(Protocol):
    """A codec that `TunedEncoder` encodes for."""

    @property
    def tuning(self) -> Quantiser: ...

    @property
    def effort(self) -> int: ...

    @property
    def subsampling(self) -> Subsampling: ...


class TunedEncoder:
    """The encoder of one picture."""

    def __init__(self, coder: Tuned, picture: Picture) -> None:
        self._coder = coder
        self._picture = picture
        self._sample = chroma.Sample(picture)
        self._encoders: dict[Sampling, Encoder] = {}

    def at(self, quality: float) -> Encoder:
        """With the subsampling of a quality."""
        coder, picture = self._coder, self._picture
        luma, *_ = coder.tuning.tables(quality, "4:2:0")
        step = chroma_step(float(luma[:LOWEST].mean()))
        full = self._sample.chosen(coder.subsampling, step) == "4:4:4"
        sampling: Sampling = "4:4:4" if full else "4:2:0"
        if sampling not in self._encoders:
            trellis = coder.effort >= 4
            self._encoders[sampling] = Encoder(picture, coder.tuning, sampling, trellis)
        return self._encoders[sampling]

    def __call__(self, quality: float) -> bytes:
        quality = check_quality(quality)
        return self.at(quality)(quality)

    def estimate(self, quality: float) -> float:
        """See `comrec.ratecontrol.Estimating`."""
        return self.at(quality).estimate(quality)

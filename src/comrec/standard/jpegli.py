"""JPEG by jpegli, the encoder of libjxl's authors, through ajpegli: extra ``jpegli``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from comrec.codec import check_quality, effort_option
from comrec.errors import MissingExtraError
from comrec.formats import resolution, segments
from comrec.picture import Picture
from comrec.standard import chroma
from comrec.standard.chroma import Subsampling, subsampling_option
from comrec.standard.jpeg import JpegEncoder

if TYPE_CHECKING:
    from types import ModuleType

_APP0 = 0xE0
_JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"
"""The body of JFIF's segment (ITU-T T.871, 10.1): version 1.1, square pixels, no thumbnail."""

_BASELINE, _PROGRESSIVE = (0,), (0, 1, 2)
"""The levels of jpegli that are tried: one scan; some; with successive approximation. The last is
smallest for most files, the second at the coarsest qualities, the first for small pictures."""


@dataclass(frozen=True)
class Jpegli(JpegEncoder):
    """JPEG by jpegli: adaptive quantisation for the eye; any JPEG decoder reads the files.

    Attributes:
        effort: 1..10; below 3 baseline, otherwise the smaller of baseline and progressive.
        subsampling: chroma subsampling, "4:2:0", "4:4:4", or "auto": the better one (`chroma`).
    Raises:
        OptionError: an option is out of range.
    """

    id = "jpegli"
    summary = "plain JPEG, optimised for the eye by jpegli"
    extra = "jpegli"
    modules = ("ajpegli",)
    packages = ("Pillow", "ajpegli")
    quality_step = 0.1
    bench_qualities = (0, 10, 20, 46, 68, 79, 88, 94)

    effort: int = effort_option("below 3 baseline, otherwise the smaller of it and progressive")
    subsampling: Subsampling = subsampling_option()

    def encode(self, picture: Picture, quality: float) -> bytes:
        quality = check_quality(quality)
        self.check(picture)  # a side too long for JPEG would end the process in ajpegli
        metadata = segments.metadata_segments(picture.metadata)
        library = _library()
        step = 16 * distance(quality) ** 0.8  # fitted, see `chroma.TOLERATED`
        sampling = chroma.Sample(picture).chosen(self.subsampling, step).replace(":", "")
        files = [
            library.encode(
                picture.pixels,
                distance=distance(quality),
                progressive=level,
                subsampling=sampling,
            )
            for level in (_BASELINE if self.effort < 3 else _PROGRESSIVE)
        ]
        # jpegli writes no JFIF segment: colour would be the reader's guess.
        data = segments.insert(min(files, key=len), [(_APP0, _JFIF)])
        return segments.insert(resolution.in_jfif(data, picture.metadata), metadata)


def distance(quality: float) -> float:
    """The Butteraugli distance of a quality in 0..100, as jpegli maps whole qualities.

    Linear from 0.1 just below 100 to 6.4 at 30, then rising quadratically to 25 at 0; 0.01 at 100.
    """
    if quality >= 100:
        return 0.01
    if quality >= 30:
        return 0.1 + 0.09 * (100 - quality)
    return 25 - 1.15 * quality + 53 / 3000 * quality**2


def _library() -> ModuleType:
    try:
        import ajpegli
    except ImportError:
        raise MissingExtraError("jpegli", "jpegli") from None
    return ajpegli

"""JPEG (ITU-T T.81): optimised Huffman tables, progressive scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from comrec import pillow_io
from comrec.codec import Codec, check_quality
from comrec.errors import OptionError
from comrec.formats import mark as marks
from comrec.formats import resolution, segments
from comrec.formats.detection import Signature
from comrec.picture import Picture
from comrec.preparation.header import Header
from comrec.standard import chroma
from comrec.standard.chroma import Subsampling, subsampling_option
from comrec.standard.pillow import PillowCodec

_APP9 = 0xE9
LOWEST = 10
"""So many of the lowest frequencies say how coarse a table is."""
_ANNEX_K = 13.2
"""Mean of their steps in the luma table of Annex K, as quality 50 has it."""
_RASTER = [8 * row + column for row in range(4) for column in range(4 - row)]
"""Their places."""


@dataclass(frozen=True)
class Jpeg(PillowCodec):
    """JPEG by libjpeg-turbo.

    Attributes:
        effort: 1..10; below 3 baseline, otherwise the smaller of baseline and progressive. Huffman
            tables are always optimised.
        subsampling: chroma subsampling, "4:2:0", "4:4:4", or "auto": the better one (`chroma`).
        tables: one or two quantisation tables (luma, chroma) of 64 steps in raster order, 1..255,
            instead of the Annex K tables scaled by quality; quality then has no effect.
    Raises:
        OptionError: an option is out of range.
    """

    id = "jpeg"
    summary = "JPEG, optimised, baseline or progressive"
    extension = ".jpg"
    aliases = (".jpeg",)
    signatures = (Signature(b"\xff\xd8\xff"),)
    mark_overhead = 4
    pillow_format = "JPEG"
    carries_alpha = False
    max_side = 65500  # limit of libjpeg; that of the format is 65535

    subsampling: Subsampling = subsampling_option()
    tables: Sequence[Sequence[int]] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tables is not None and (
            len(self.tables) not in (1, 2)
            or any(len(t) != 64 or min(t) < 1 or max(t) > 255 for t in self.tables)
        ):
            raise OptionError("tables must be one or two lists of 64 steps in 1..255")
        if self.tables is not None:  # hashable
            object.__setattr__(self, "tables", tuple(map(tuple, self.tables)))

    @property
    def quality_step(self) -> float | None:
        return 1.0 if self.tables is None else None

    @property
    def bench_qualities(self) -> tuple[float, ...]:
        return (2, 6, 11, 20, 35, 58, 78, 90)

    def encode(self, picture: Picture, quality: float) -> bytes:
        quality = check_quality(quality)
        self.check(picture)
        extra = segments.metadata_segments(picture.metadata)
        options = self.save_options(picture, quality)
        # The tables of ten scans outweigh what they save where coefficients are few.
        kinds = (False, True) if self.effort >= 3 else (False,)
        files = [self.saved(picture.bare, {**options, "progressive": kind}) for kind in kinds]
        data = resolution.in_jfif(min(files, key=len), picture.metadata)
        return segments.insert(data, extra)

    def save_options(self, picture: Picture, quality: float) -> dict[str, Any]:
        options: dict[str, Any] = {"optimize": True}
        if not picture.is_gray:
            step = chroma_step(self._luma_step(quality))
            options["subsampling"] = chroma.Sample(picture).chosen(self.subsampling, step)
        if self.tables is None:
            options["quality"] = max(1, round(quality))
        else:  # without a quality, which would scale them
            options["qtables"] = [list(table) for table in self.tables]
        return options

    def saved(self, picture: Picture, options: dict[str, Any]) -> bytes:
        with pillow_io.room(_MOST_BYTES * picture.width * picture.height):
            return super().saved(picture, options)

    def _luma_step(self, quality: float) -> float:
        """Mean of the ten lowest frequencies."""
        if self.tables is not None:
            return sum(self.tables[0][i] for i in _RASTER) / LOWEST
        quality = max(1, round(quality))  # libjpeg scales the tables
        return max(1.0, _ANNEX_K * (50 / quality if quality < 50 else 2 - quality / 50))

    def with_mark(self, data: bytes, mark: bytes) -> bytes:
        return segments.insert(data, [(_APP9, mark)])

    def mark_in(self, data: bytes) -> bytes | None:
        for marker, body in segments.segments(data):
            if marker == _APP9 and body.startswith(marks.MAGIC):
                return body
        return None


_MOST_BYTES = 4
"""Of a file, a pixel: noise takes up to 3.3. Where Huffman tables are optimised, libjpeg needs room
for the whole file, and Pillow alone gives it 1 or 2 a pixel."""


def chroma_step(luma: float) -> float:
    """The step that `chroma` is told of the mean luma step of the `LOWEST`: fitted there."""
    return 3.5 * luma


class JpegEncoder(Codec):
    """Base class of other encoders of JPEG files; `Jpeg` decodes them."""

    extension = Jpeg.extension
    aliases = Jpeg.aliases
    container = Jpeg.id
    mark_overhead = Jpeg.mark_overhead

    def check(self, picture: Picture) -> None:
        super().check(picture)
        Jpeg().check(replace(picture, importance=None))

    def decode(self, data: bytes, *, partial: bool = False) -> Picture:
        return Jpeg().decode(data, partial=partial)

    def header(self, data: bytes) -> Header:
        return Jpeg().header(data)

    def with_mark(self, data: bytes, mark: bytes) -> bytes:
        return Jpeg().with_mark(data, mark)

    def mark_in(self, data: bytes) -> bytes | None:
        return Jpeg().mark_in(data)

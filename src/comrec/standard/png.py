"""PNG: lossless."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL.PngImagePlugin import MAX_TEXT_CHUNK, PngInfo

from comrec.errors import UnsupportedPictureError
from comrec.formats import png, resolution
from comrec.formats.detection import Signature
from comrec.picture import Picture
from comrec.standard.pillow import PillowCodec

_LONGEST_ICC = MAX_TEXT_CHUNK
"""Pillow refuses files with a longer ICC profile."""

_MARK = b"cmRC"  # ancillary, private


@dataclass(frozen=True)
class Png(PillowCodec):
    """PNG, lossless: quality has no effect. Effort 1..10 is zlib level effort + 2, at most 9."""

    id = "png"
    summary = "PNG, lossless"
    extension = ".png"
    signatures = (Signature(b"\x89PNG\r\n\x1a\n"),)
    quality_step = None
    bench_qualities = (100,)
    mark_overhead = 12
    pillow_format = "PNG"
    max_side = 2**31 - 1

    def check(self, picture: Picture) -> None:
        super().check(picture)
        size = len(picture.metadata.icc or b"")
        if size > _LONGEST_ICC:
            raise UnsupportedPictureError(
                f"png can store ICC of at most {_LONGEST_ICC:,} bytes, not {size:,}: "
                "--metadata exif,xmp leaves it out"
            )

    def save_options(self, picture: Picture, quality: float) -> dict[str, Any]:
        options: dict[str, Any] = {"compress_level": min(9, self.effort + 2)}
        if (found := resolution.of(picture.metadata)) is not None:
            options["dpi"] = found
        if picture.metadata.xmp is not None:  # Pillow reads XMP from PNG, but does not write it
            options["pnginfo"] = PngInfo()
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", picture.metadata.xmp)
        return options

    def with_mark(self, data: bytes, mark: bytes) -> bytes:
        return png.append(data, _MARK, mark)

    def mark_in(self, data: bytes) -> bytes | None:
        return png.find(data, _MARK)

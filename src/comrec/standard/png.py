"""PNG: lossless."""

from __future__ import annotations

import math
from typing import Any

from PIL.PngImagePlugin import MAX_TEXT_CHUNK, PngInfo

from comrec.errors import UnsupportedPictureError
from comrec.picture import Picture
from comrec.standard.pillow import PillowCodec

_LONGEST_ICC = MAX_TEXT_CHUNK
"""Pillow opens no file that has a longer one."""


class Png(PillowCodec):
    """PNG. Lossless: quality changes nothing. Effort 7 and above is zlib level 9."""

    id = "png"
    summary = "PNG, lossless"
    extension = ".png"
    step = math.inf
    pillow_format = "PNG"
    lossless = True
    max_side = 2**31 - 1

    def check(self, picture: Picture) -> None:
        super().check(picture)
        size = len(picture.metadata.icc or b"")
        if size > _LONGEST_ICC:
            raise UnsupportedPictureError(
                f"png carries ICC of at most {_LONGEST_ICC:,} bytes, not {size:,}: "
                "--metadata exif,xmp leaves it out"
            )

    def options(self, picture: Picture, quality: float) -> dict[str, Any]:
        options: dict[str, Any] = {"compress_level": min(9, self.effort + 2)}
        if picture.metadata.xmp is not None:  # Pillow reads XMP from PNG, but writes none
            options["pnginfo"] = PngInfo()
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", picture.metadata.xmp)
        return options

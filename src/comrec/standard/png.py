"""PNG: lossless."""

from __future__ import annotations

from typing import Any

from PIL.PngImagePlugin import PngInfo

from comrec.picture import Picture
from comrec.standard.pillow import PillowCodec


class Png(PillowCodec):
    """PNG. Lossless: quality changes nothing. Effort 7 and above is zlib level 9."""

    id = "png"
    summary = "PNG, lossless"
    extension = ".png"
    pillow_format = "PNG"
    lossless = True
    max_side = 2**31 - 1

    def options(self, picture: Picture, quality: float) -> dict[str, Any]:
        options: dict[str, Any] = {"compress_level": min(9, self.effort + 2)}
        if picture.metadata.xmp is not None:  # Pillow reads XMP from PNG, but writes none
            options["pnginfo"] = PngInfo()
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", picture.metadata.xmp)
        return options

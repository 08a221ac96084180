"""JPEG (ITU-T T.81): optimised Huffman tables, progressive scans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from comrec.errors import OptionError
from comrec.formats import segments
from comrec.picture import Picture
from comrec.standard.pillow import PillowCodec

Subsampling = Literal["4:2:0", "4:4:4"]


class Jpeg(PillowCodec):
    """JPEG by libjpeg-turbo.

    Args:
        effort: below 3 the scans are baseline, otherwise progressive; Huffman tables are
            always optimised.
        subsampling: of chroma.
        tables: one or two quantisation tables of 64 steps in raster order (luma, chroma)
            in place of the quality's scaled Annex K tables; quality is then ignored.
    """

    id = "jpeg"
    summary = "JPEG, optimised and progressive"
    extension = ".jpg"
    pillow_format = "JPEG"
    carries_alpha = False
    max_side = 65500  # libjpeg's limit; the format's is 65535

    def __init__(
        self,
        effort: int = 7,
        subsampling: Subsampling = "4:2:0",
        tables: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__(effort)
        if subsampling not in ("4:2:0", "4:4:4"):
            raise OptionError(f"subsampling must be 4:2:0 or 4:4:4, not {subsampling}")
        if tables is not None and (
            len(tables) not in (1, 2)
            or any(len(t) != 64 or min(t) < 1 or max(t) > 255 for t in tables)
        ):
            raise OptionError("tables must be one or two lists of 64 steps in 1..255")
        self.subsampling = subsampling
        self.tables = tables
        if tables is not None:
            self.step = math.inf

    def encode(self, picture: Picture, quality: float) -> bytes:
        extra = segments.metadata_segments(picture.metadata)
        return segments.insert(super().encode(picture.bare, quality), extra)

    def options(self, picture: Picture, quality: float) -> dict[str, Any]:
        options: dict[str, Any] = {
            "quality": max(1, round(quality)),
            "optimize": True,
            "progressive": self.effort >= 3,
        }
        if not picture.is_gray:
            options["subsampling"] = self.subsampling
        if self.tables is not None:
            options["qtables"] = [list(table) for table in self.tables]
        return options

"""AVIF (AV1 key frame)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from comrec.formats import boxes
from comrec.formats.detection import Brand
from comrec.formats.mark import UUID
from comrec.picture import Picture
from comrec.standard import chroma
from comrec.standard.chroma import Subsampling, subsampling_option
from comrec.standard.pillow import PillowCodec


@dataclass(frozen=True)
class Avif(PillowCodec):
    """AVIF by libaom, 4:0:0 for gray, libavif's own tuning.

    Effort 1..10 maps to speed 13 - effort, at most 10: effort 7 is speed 6.

    Attributes:
        subsampling: chroma subsampling, "4:2:0", "4:4:4", or "auto": the better one (`chroma`).
    """

    id = "avif"
    summary = "AVIF"
    extension = ".avif"
    signatures = (Brand(b"avif"), Brand(b"avis"))
    quality_step = 100 / 63  # 63 quantiser steps; libavif maps integer qualities to them
    bench_qualities = (8, 18, 28, 39, 50, 62, 74, 88)
    mark_overhead = 24
    pillow_format = "AVIF"
    max_side = 32768  # libavif's limit for reading

    subsampling: Subsampling = subsampling_option()

    def save_options(self, picture: Picture, quality: float) -> dict[str, Any]:
        gray = picture.is_gray and picture.alpha is None
        sample = chroma.Sample(picture)
        step = 9 * math.exp(0.035 * (50 - quality))  # fitted, see `chroma.TOLERATED`
        return {
            "quality": round(quality),
            "speed": min(10, 13 - self.effort),
            "subsampling": "4:0:0" if gray else sample.chosen(self.subsampling, step),
        }

    def with_mark(self, data: bytes, mark: bytes) -> bytes:
        # At the end, because the offsets of the item location box count from the start of the file.
        return data + boxes.pack_uuid(UUID, mark)

    def mark_in(self, data: bytes) -> bytes | None:
        return boxes.find_uuid(data, UUID)

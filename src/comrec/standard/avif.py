"""AVIF (AV1 key frame)."""

from __future__ import annotations

from typing import Any

from comrec.picture import Picture
from comrec.standard.pillow import PillowCodec


class Avif(PillowCodec):
    """AVIF by libaom, 4:2:0 (4:0:0 for gray), libavif's own tuning.

    Effort 7 is speed 6; effort 10 speed 3.
    """

    id = "avif"
    summary = "AVIF, 4:2:0"
    extension = ".avif"
    step = 100 / 63  # quantisers; libavif maps whole qualities to them
    pillow_format = "AVIF"
    max_side = 32768  # libavif reads no larger ones

    def options(self, picture: Picture, quality: float) -> dict[str, Any]:
        gray = picture.is_gray and picture.alpha is None
        return {
            "quality": round(quality),
            "speed": min(10, 13 - self.effort),
            "subsampling": "4:0:0" if gray else "4:2:0",
        }

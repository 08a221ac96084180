"""WebP, lossy (VP8 key frame, 4:2:0)."""

from __future__ import annotations

from typing import Any

from comrec.picture import Picture
from comrec.standard.pillow import PillowCodec


class Webp(PillowCodec):
    """WebP by libwebp. Effort 7 and above is method 6."""

    id = "webp"
    summary = "WebP, lossy"
    extension = ".webp"
    step = 0.1
    pillow_format = "WEBP"
    max_side = 16383

    def options(self, picture: Picture, quality: float) -> dict[str, Any]:
        return {"quality": quality, "method": min(6, self.effort - 1)}

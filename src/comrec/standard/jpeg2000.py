"""JPEG 2000 (ITU-T T.800): irreversible 9/7 wavelet, multiple component transform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from comrec.formats import boxes, jp2
from comrec.formats.detection import Signature
from comrec.formats.mark import UUID
from comrec.picture import Picture
from comrec.standard.pillow import PillowCodec

_ONE_TILE = 1 << 27
"""Pixels up to which a picture is one tile; OpenJPEG has an array of 2 GB at most for one."""
_TILE = 8192


@dataclass(frozen=True)
class Jpeg2000(PillowCodec):
    """JPEG 2000 by OpenJPEG in a JP2 file.

    Quality sets a target PSNR of 20 + 0.3 * quality dB, per component as measured by OpenJPEG.
    Effort has no effect. Pictures of more than 134 megapixels are stored in tiles.
    """

    id = "jpeg2000"
    summary = "JPEG 2000, 9/7 wavelet"
    extension = ".jp2"
    signatures = (Signature(b"jP  \r\n\x87\n", 4),)
    quality_step = 0.1
    bench_qualities = (15, 21, 27, 34, 41, 49, 58, 68)
    mark_overhead = 24
    pillow_format = "JPEG2000"
    max_side = 2**31 - 1

    def encode(self, picture: Picture, quality: float) -> bytes:
        return jp2.embed(super().encode(picture.bare, quality), picture.metadata)

    def save_options(self, picture: Picture, quality: float) -> dict[str, Any]:
        options: dict[str, Any] = {
            "quality_mode": "dB",
            "quality_layers": [20 + 0.3 * quality],
            "irreversible": True,
            "num_resolutions": min(6, min(picture.width, picture.height).bit_length()),
        }
        if not picture.is_gray:
            options["mct"] = 1
        if picture.width * picture.height > _ONE_TILE:
            options["tile_size"] = (_TILE, _TILE)
        return options

    def with_mark(self, data: bytes, mark: bytes) -> bytes:
        return boxes.insert_uuid(data, UUID, mark, before=(b"jp2c",))

    def mark_in(self, data: bytes) -> bytes | None:
        return boxes.find_uuid(data, UUID)

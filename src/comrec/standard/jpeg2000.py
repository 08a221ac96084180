"""JPEG 2000 (ITU-T T.800): irreversible 9/7 wavelet, multiple component transform."""

from __future__ import annotations

from typing import Any

from comrec.formats import jp2
from comrec.picture import Picture
from comrec.standard.pillow import PillowCodec


class Jpeg2000(PillowCodec):
    """JPEG 2000 by OpenJPEG in a JP2 file.

    Quality asks for a PSNR, so that equal qualities look alike on different pictures:
    20 + 0.3 * quality dB, per component as OpenJPEG measures it. OpenJPEG has no effort scale.
    """

    id = "jpeg2000"
    summary = "JPEG 2000, 9/7 wavelet"
    extension = ".jp2"
    step = 0.1
    pillow_format = "JPEG2000"
    max_side = 2**31 - 1

    def encode(self, picture: Picture, quality: float) -> bytes:
        return jp2.embed(super().encode(picture.bare, quality), picture.metadata)

    def options(self, picture: Picture, quality: float) -> dict[str, Any]:
        options: dict[str, Any] = {
            "quality_mode": "dB",
            "quality_layers": [20 + 0.3 * quality],
            "irreversible": True,
            "num_resolutions": min(6, min(picture.width, picture.height).bit_length()),
        }
        if not picture.is_gray:
            options["mct"] = 1
        return options

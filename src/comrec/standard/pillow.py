"""What the codecs that Pillow provides have in common."""

from __future__ import annotations

import io
from typing import Any

from comrec import picture as pictures
from comrec import preparation
from comrec.codec import Codec, check_effort, check_quality
from comrec.errors import UnsupportedPictureError
from comrec.picture import DECODER_ERRORS, Picture
from comrec.preparation import Kind


class PillowCodec(Codec):
    """A codec that Pillow reads and writes; a subclass maps quality and effort to its options.

    Args:
        effort: 1 (fast) to 10 (small).
    """

    pillow_format: str
    carries_alpha: bool = True
    max_side: int

    def __init__(self, effort: int = 7) -> None:
        self.effort = check_effort(effort)

    def options(self, picture: Picture, quality: float) -> dict[str, Any]:
        """Pillow's save options."""
        raise NotImplementedError

    def check(self, picture: Picture) -> None:
        """Refuse what the format cannot carry.

        Raises:
            UnsupportedPictureError.
        """
        if picture.alpha is not None and not self.carries_alpha:
            raise UnsupportedPictureError(
                f"{self.id} carries no transparency: --background white lays the picture over "
                "white; or use webp, avif, jpeg2000 or png"
            )
        if max(picture.width, picture.height) > self.max_side:
            raise UnsupportedPictureError(
                f"{self.id} carries sides of at most {self.max_side} pixels; "
                f"this picture is {picture.width}x{picture.height}"
            )

    def encode(self, picture: Picture, quality: float) -> bytes:
        check_quality(quality)
        self.check(picture)
        image = picture.to_pil()
        metadata = {
            key: image.info[key] for key in ("exif", "icc_profile", "xmp") if key in image.info
        }
        image.info.clear()
        buffer = io.BytesIO()
        options = metadata | self.options(picture, quality)
        try:
            image.save(buffer, self.pillow_format, **options)
        except DECODER_ERRORS as error:  # such as damaged EXIF, where AVIF needs the orientation
            raise UnsupportedPictureError(
                f"{self.id} cannot carry this picture or its metadata ({error}): "
                "--metadata none leaves that out"
            ) from None
        return buffer.getvalue()

    def decode(self, data: bytes) -> Picture:
        pictures.expect(data, self.id)
        return preparation.view(data)

    def size(self, data: bytes) -> tuple[int, int]:
        pictures.expect(data, self.id)
        with pictures.decoding(data, "input"):
            return pictures.pillow_open(data).size

    def kind(self, data: bytes) -> Kind:
        pictures.expect(data, self.id)
        return preparation.kind_of(data)

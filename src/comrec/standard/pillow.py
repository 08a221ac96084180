"""Base class of the codecs that Pillow provides."""

from __future__ import annotations

import io
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from comrec.codec import Codec, check_quality, effort_option
from comrec.errors import UnsupportedPictureError
from comrec.formats import detection
from comrec.picture import Picture
from comrec.pillow_io import DECODER_ERRORS
from comrec.preparation import sources
from comrec.preparation.header import Header


@dataclass(frozen=True)
class PillowCodec(Codec):
    """A codec that Pillow reads and writes; a subclass maps quality and effort to its options.

    Attributes:
        pillow_format: Pillow's name of the format.
        carries_alpha: whether the format can store alpha.
        max_side: longest side, pixels, of the format or its library.
        effort: 1 (fast) to 10 (small).
    """

    pillow_format: ClassVar[str]
    carries_alpha: ClassVar[bool] = True
    max_side: ClassVar[int]

    effort: int = effort_option()

    @property
    def packages(self) -> tuple[str, ...]:
        return ("Pillow",)

    @abstractmethod
    def save_options(self, picture: Picture, quality: float) -> dict[str, Any]:
        """Options of Pillow's `Image.save` at a quality in 0..100."""

    def check(self, picture: Picture) -> None:
        super().check(picture)
        if picture.alpha is not None and not self.carries_alpha:
            raise UnsupportedPictureError(
                f"{self.id} cannot store transparency: --background white composites the picture "
                "over white; or use webp, avif, jpeg2000 or png"
            )
        if max(picture.width, picture.height) > self.max_side:
            raise UnsupportedPictureError(
                f"{self.id} can store sides of at most {self.max_side} pixels; "
                f"this picture is {picture.width}x{picture.height}"
            )

    def encode(self, picture: Picture, quality: float) -> bytes:
        quality = check_quality(quality)
        self.check(picture)
        return self.saved(picture, self.save_options(picture, quality))

    def saved(self, picture: Picture, options: dict[str, Any]) -> bytes:
        """The file that Pillow makes of a picture with its metadata.

        Raises:
            UnsupportedPictureError: Pillow cannot make it.
        """
        image = picture.to_pil()
        metadata = {
            key: image.info[key] for key in ("exif", "icc_profile", "xmp") if key in image.info
        }
        image.info.clear()
        buffer = io.BytesIO()
        try:
            image.save(buffer, self.pillow_format, **metadata | options)
        except DECODER_ERRORS as error:  # such as damaged EXIF, where AVIF needs the orientation
            raise UnsupportedPictureError(
                f"{self.id} cannot store this picture or its metadata ({error}): "
                "--metadata none leaves that out"
            ) from None
        return buffer.getvalue()

    def decode(self, data: bytes, *, partial: bool = False) -> Picture:
        detection.expect(data, self.container)
        return sources.view(data, partial=partial)

    def header(self, data: bytes) -> Header:
        detection.expect(data, self.container)
        return sources.header_of(data)

"""The framework of Jiang et al. 2017 around a standard codec, as published.

F. Jiang, W. Tao, S. Liu, J. Ren, X. Guo, D. Zhao, "An End-to-End Compression Framework Based
on Convolutional Neural Networks", IEEE TCSVT 28(10), 2018 (arXiv 1708.00838).

    luma ──► ComCNN (half size) ──► codec ──► bicubic x2 ──► 20-layer RecCNN ──► luma
    chroma ──► bicubic half ───────► codec ──► bicubic x2 ─────────────────────► chroma
"""

from __future__ import annotations

from typing import Any, ClassVar

from comrec import codec
from comrec.codec import Codec, check_quality
from comrec.errors import UnsupportedPictureError
from comrec.inference import store
from comrec.picture import Picture
from comrec.ratecontrol import Fit, Trials, met
from comrec.wrapped import files
from comrec.wrapped.rebuild import apply


class Jiang2017(Codec):
    """ComCNN, a standard codec at the given quality, RecCNN. Compact pictures have half the sides.

    Quality is the standard codec's, for the compact picture. Around codecs without networks of
    their own, those trained around JPEG serve.

    Args:
        effort: the standard codec's.
    """

    base: ClassVar[str]
    base_options: ClassVar[dict[str, Any]] = {}

    def __init__(self, effort: int = 7) -> None:
        self.payload = codec.get(self.base, effort=effort, **self.base_options)
        self.extension = self.payload.extension
        self.extra = self.payload.extra
        self.step = self.payload.step

    def encode(self, picture: Picture, quality: float) -> bytes:
        check_quality(quality)
        return self._file(picture, self._compact(picture), quality)

    def encode_within(self, picture: Picture, budget: int) -> Fit:
        small = self._compact(picture)  # the same at every quality: ComCNN runs once
        trials = Trials(
            lambda quality: self._file(picture, small, quality),
            self.step,
            small.width * small.height,
        )
        return met(trials, budget, self.id)

    def _compact(self, picture: Picture) -> Picture:
        if picture.alpha is not None:
            raise UnsupportedPictureError(
                f"{self.id} carries no transparency: --background white lays the picture over "
                "white; or use comrec-webp, comrec-avif or png"
            )
        return compact(self.base, picture)

    def _file(self, picture: Picture, small: Picture, quality: float) -> bytes:
        payload = self.payload.encode(small, quality)
        rec = store.serving("jiang2017", self.base, "rec", 2)
        return files.write(self.base, payload, picture, quality, rec)

    def decode(self, data: bytes) -> Picture:
        return files.decode(data)


def compact(base: str, picture: Picture) -> Picture:
    """The picture that is coded: through ComCNN, half of each side, rounded up."""
    com = store.serving("jiang2017", base, "com", 2)
    return picture.with_pixels(apply(com, picture.pixels, condition=0))


def around(base_codec: str, **base_options: Any) -> type[Jiang2017]:
    """The class of ``jiang2017-<base_codec>``."""
    return type(
        f"Jiang2017{base_codec.capitalize()}",
        (Jiang2017,),
        {
            "id": f"jiang2017-{base_codec}",
            "summary": f"ComCNN, half-size {base_codec}, RecCNN, as published in 2017",
            "base": base_codec,
            "base_options": base_options,
        },
    )

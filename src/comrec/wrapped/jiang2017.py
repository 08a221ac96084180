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
from comrec.errors import UnsupportedPictureError, WeightsError
from comrec.inference import store
from comrec.inference.store import Network
from comrec.picture import Picture
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
        self.standard = codec.get(self.base, effort=effort, **self.base_options)
        self.extension = self.standard.extension

    def _network(self, role: str) -> Network:
        for trained_around in (self.base, "jpeg"):
            network = store.find("jiang2017", trained_around, role, 2)
            if network is not None:
                return network
        raise WeightsError(f"{self.id}: this version ships no networks for it")

    def encode(self, picture: Picture, quality: float) -> bytes:
        check_quality(quality)
        if picture.alpha is not None:
            raise UnsupportedPictureError(
                f"{self.id} carries no transparency; use comrec-webp, comrec-avif or png"
            )
        small = apply(self._network("com"), picture.pixels, condition=0)
        payload = self.standard.encode(picture.with_pixels(small), quality)
        return files.write(self.base, payload, picture, quality, self._network("rec"))

    def decode(self, data: bytes) -> Picture:
        return files.decode(data)


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

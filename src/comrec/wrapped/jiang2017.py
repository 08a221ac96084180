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
from comrec.ratecontrol import Fit, Trials, too_small
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
        fit = trials.largest_within(budget)
        if fit is None:
            raise too_small(budget, self.id, trials.smallest)
        return fit

    def _compact(self, picture: Picture) -> Picture:
        if picture.alpha is not None:
            raise UnsupportedPictureError(
                f"{self.id} carries no transparency: --background white lays the picture over "
                "white; or use comrec-webp, comrec-avif or png"
            )
        return compact(self.base, picture)

    def _file(self, picture: Picture, small: Picture, quality: float) -> bytes:
        payload = self.payload.encode(small, quality)
        return files.write(self.base, payload, picture, quality, network(self.base, "rec"))

    def decode(self, data: bytes) -> Picture:
        return files.decode(data)


def network(base: str, role: str) -> Network:
    """The network of a codec, or JPEG's where it has none of its own.

    Raises:
        WeightsError: neither is in the package.
    """
    for trained_around in (base, "jpeg"):
        found = store.find("jiang2017", trained_around, role, 2)
        if found is not None:
            return found
    raise WeightsError(f"jiang2017-{base}: this version ships no networks for it")


def compact(base: str, picture: Picture) -> Picture:
    """The picture that is coded: through ComCNN, half of each side, rounded up."""
    return picture.with_pixels(apply(network(base, "com"), picture.pixels, condition=0))


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

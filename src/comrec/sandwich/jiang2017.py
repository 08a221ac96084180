"""The framework of Jiang et al. 2017 around a standard codec, as published.

F. Jiang, W. Tao, S. Liu, J. Ren, X. Guo, D. Zhao, "An End-to-End Compression Framework Based
on Convolutional Neural Networks", IEEE TCSVT 28(10), 2018 (arXiv 1708.00838).

    luma ──► ComCNN (half size) ──► codec ──► bicubic x2 ──► 20-layer RecCNN ──► luma
    chroma ──► bicubic half ───────► codec ──► bicubic x2 ─────────────────────► chroma
"""

from __future__ import annotations

from dataclasses import dataclass

from comrec.codec import Encode, check_quality
from comrec.errors import UnsupportedPictureError
from comrec.inference import store
from comrec.picture import Picture
from comrec.ratecontrol import QualitySearch
from comrec.sandwich import marked
from comrec.sandwich.base import Sandwich
from comrec.sandwich.conditions import Condition
from comrec.sandwich.reconstruct import apply

# The compact picture's chroma is at half of each side already; halving it again costs more
# than it saves from quality 40 up.
_PAYLOADS = {"jpeg": "jpeg:subsampling=4:4:4", "bpg": "bpg:subsampling=4:4:4"}

# Compact pictures hold a quarter of the samples: the qualities that suit the plain codec give
# too few bits per pixel.
_BENCH_QUALITIES: dict[str, tuple[float, ...]] = {
    "jpeg": (7, 14, 24, 38, 55, 72, 86, 95),
    "jpeg2000": (13, 20, 27, 35, 45, 57, 70, 88),
    "webp": (2, 8, 20, 45, 70, 82, 90, 97),
    "avif": (30, 42, 54, 63, 71, 79, 87, 95),
    "bpg": (22, 30, 38, 46, 54, 62, 71, 82),
    "heic": (18, 26, 34, 42, 50, 59, 70, 84),
    "jpegxl": (0, 20, 45, 60, 72, 82, 91, 97),
}


@dataclass(frozen=True)
class Jiang2017(Sandwich):
    """ComCNN, a standard codec at the given quality, RecCNN. Compact pictures have half the sides.

    Quality is the standard codec's, for the compact picture. Around codecs without networks of
    their own, those trained around JPEG serve.
    """

    family = "jiang2017"
    payloads = _PAYLOADS

    @property
    def summary(self) -> str:
        return f"ComCNN, half-size {self.base}, RecCNN, as published in 2017"

    @property
    def bench_qualities(self) -> tuple[float, ...]:
        return _BENCH_QUALITIES.get(self.base, self.plain.bench_qualities)

    def encoder(self, picture: Picture) -> Encode:
        self.check(picture)
        rec = store.serving(self.family, self.base, "rec", up=2)
        encode_compact = self.payload.encoder(compact(self.base, picture))

        def encode(quality: float) -> bytes:
            quality = check_quality(quality)
            payload = encode_compact(quality)
            return marked.write(self.plain, payload, picture, quality, rec)

        return encode

    def search(self, picture: Picture) -> QualitySearch:
        pixels = picture.width * picture.height // 4  # of the compact picture
        return QualitySearch(self.encoder(picture), self.quality_step, max(1, pixels))

    def check(self, picture: Picture) -> None:
        super().check(picture)
        if picture.alpha is not None:
            raise UnsupportedPictureError(
                f"{self.id} carries no transparency: --background white lays the picture over "
                "white; or use comrec-webp, comrec-avif or png"
            )


def compact(base: str, picture: Picture) -> Picture:
    """The picture that is coded: through ComCNN, half of each side, rounded up."""
    com = store.com_of(store.serving("jiang2017", base, "rec", up=2), base)
    return picture.halved(apply(com, picture.pixels, Condition(0)))

"""Our networks around a standard codec: the default of this package.

    scale 1     picture ──► [pre-filter] ──► codec ──► RecCNN, same size
    scale 1/2   picture ──► ComCNN, half size ──► codec ──► RecCNN, twice the size
    plain       picture ──► codec

The encoder tries them, decodes each, and keeps the best at equal bytes. So a file is never
worse than the plain codec's file of its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from comrec import codec, ratecontrol
from comrec.codec import Codec, check_quality
from comrec.errors import OptionError, UnsupportedPictureError, WeightsError
from comrec.inference import store, tiles
from comrec.inference.store import Network
from comrec.measure.metrics import psnr
from comrec.picture import Picture
from comrec.wrapped import conditions, containers, files
from comrec.wrapped.mark import SIZE as MARK_SIZE

Pixels = NDArray[np.uint8]
Scale = Literal["auto", "1", "1/2"]

CLEAR_WIN = 0.3
"""dB by which scale 1/2 must win before ``auto`` takes it: other viewers show it half as large."""
HALF_BELOW = 40
"""Quality from which ``auto`` does not try scale 1/2: it has lost by then on every photograph."""

HALF_FINER = 25
"""By how much finer than at scale 1 the compact picture is coded in the same bytes, roughly."""


@dataclass(frozen=True)
class Candidate:
    """A file and what decoding it gives."""

    data: bytes
    psnr: float


class Comrec(Codec):
    """A standard codec between our networks, one pair for all qualities of a scale.

    Quality is the standard codec's at scale 1. At equal quality the file is about as large as
    the codec's own, and better.

    Args:
        effort: the standard codec's.
        scale: "1", "1/2", or "auto": 1/2 only where it wins by more than `CLEAR_WIN` dB.
    """

    base: ClassVar[str]
    payload_codec: ClassVar[str]

    def __init__(self, effort: int = 7, scale: Scale = "auto") -> None:
        if scale not in ("auto", "1", "1/2"):
            raise OptionError(f"scale must be auto, 1 or 1/2, not {scale}")
        self.scale = scale
        self.plain = codec.get(self.base, effort=effort)
        self.payload = codec.get(self.payload_codec, effort=effort)
        self.extension = self.plain.extension

    def encode(self, picture: Picture, quality: float) -> bytes:
        check_quality(quality)
        if self.scale == "1/2":
            if picture.alpha is not None:
                raise UnsupportedPictureError(
                    f"{self.id} carries transparency at scale 1 only; use --scale 1"
                )
            chosen = self._half(picture, quality)
            budget = len(chosen.data)
        else:
            chosen = self._full(picture, quality)
            budget = len(chosen.data)
            if self.scale == "auto" and picture.alpha is None and quality < HALF_BELOW:
                half = self._half_within(picture, budget, quality)
                if half is not None and half.psnr > chosen.psnr + CLEAR_WIN:
                    chosen = half
        plain = self._plain_within(picture, budget, quality)
        if plain is not None and plain.psnr >= chosen.psnr:
            chosen = plain
        return chosen.data

    def decode(self, data: bytes) -> Picture:
        return files.decode(data)

    def _network(self, role: str, scale: int) -> Network:
        """The codec's own network, or JPEG's: a ComCNN suits codecs without a proxy too."""
        for trained_around in (self.base, "jpeg"):
            network = store.find("comrec", trained_around, role, scale)
            if network is not None:
                return network
        raise WeightsError(f"{self.id}: this version ships no {role} network of scale 1/{scale}")

    def _candidate(self, data: bytes, picture: Picture) -> Candidate:
        return Candidate(data, psnr(files.decode(data).rgb, picture.rgb))

    def _full(self, picture: Picture, quality: float) -> Candidate:
        """Scale 1, or the payload as it is where the network does not help."""
        pre_filter = store.find("comrec", self.base, "com", 1)
        compact = picture
        if pre_filter is not None:
            condition = conditions.before(self.base, quality)
            compact = picture.with_pixels(_shrink(pre_filter, picture.pixels, condition))
        payload = self.payload.encode(compact, quality)
        unmarked = self._candidate(payload, picture)
        rec = self._network("rec", 1)
        marked = self._candidate(files.write(self.base, payload, picture, quality, rec), picture)
        return marked if marked.psnr > unmarked.psnr else unmarked

    def _half(self, picture: Picture, quality: float) -> Candidate:
        compact = picture.with_pixels(self._compact(picture, quality))
        payload = self.payload.encode(compact, quality)
        rec = self._network("rec", 2)
        return self._candidate(files.write(self.base, payload, picture, quality, rec), picture)

    def _half_within(self, picture: Picture, budget: int, quality: float) -> Candidate | None:
        """Scale 1/2 at the highest quality that fits."""
        guess = min(100.0, quality + HALF_FINER)
        compact = picture.with_pixels(self._compact(picture, guess))
        room = budget - MARK_SIZE - containers.OVERHEAD[self.base]
        fit = ratecontrol.largest_within(self.payload, compact, room) if room > 0 else None
        if fit is None:
            return None
        rec = self._network("rec", 2)
        return self._candidate(files.write(self.base, fit.data, picture, fit.quality, rec), picture)

    def _compact(self, picture: Picture, quality: float) -> Pixels:
        condition = conditions.before(self.base, quality)
        return _shrink(self._network("com", 2), picture.pixels, condition)

    def _plain_within(self, picture: Picture, budget: int, quality: float) -> Candidate | None:
        fit = ratecontrol.largest_within(self.plain, picture, budget, start=round(quality))
        return None if fit is None else self._candidate(fit.data, picture)


def _shrink(network: Network, pixels: Pixels, condition: float) -> Pixels:
    """ComCNN or pre-filter on gray or RGB."""
    if pixels.ndim == 2:
        coloured = tiles.run(network, np.repeat(pixels[..., None], 3, axis=2), condition)
        return np.ascontiguousarray(coloured[..., 1])
    return tiles.run(network, pixels, condition)


def around(base_codec: str, payload_codec: str | None = None) -> type[Comrec]:
    """The class of ``comrec-<base_codec>``."""
    return type(
        f"Comrec{base_codec.capitalize()}",
        (Comrec,),
        {
            "id": f"comrec-{base_codec}",
            "summary": f"{base_codec} between our networks: same file, better picture",
            "base": base_codec,
            "payload_codec": payload_codec or base_codec,
        },
    )

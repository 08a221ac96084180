"""Our networks around a standard codec: the default of this package.

    scale 1     picture ──► [pre-filter] ──► codec ──► RecCNN, same size
    scale 1/2   picture ──► ComCNN, half size ──► codec ──► RecCNN, twice the size
    plain       picture ──► codec

The encoder tries them, decodes each, and keeps the best at equal bytes. So a file is never
worse than the plain codec's file of its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from comrec import codec, ratecontrol
from comrec.codec import Codec, check_quality
from comrec.errors import OptionError, UnsupportedPictureError, WeightsError
from comrec.inference import store
from comrec.inference.store import Network
from comrec.measure.metrics import psnr
from comrec.picture import Picture
from comrec.wrapped import conditions, containers, files
from comrec.wrapped.mark import SIZE as MARK_SIZE
from comrec.wrapped.rebuild import apply

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
    payload_options: ClassVar[dict[str, Any]]

    def __init__(self, effort: int = 7, scale: Scale = "auto") -> None:
        if scale not in ("auto", "1", "1/2"):
            raise OptionError(f"scale must be auto, 1 or 1/2, not {scale}")
        self.scale = scale
        self.plain = codec.get(self.base, effort=effort)
        self.payload = codec.get(self.payload_codec, effort=effort, **self.payload_options)
        self.extension = self.plain.extension

    def encode(self, picture: Picture, quality: float) -> bytes:
        check_quality(quality)
        if self.scale == "1/2":
            if picture.alpha is not None:
                raise UnsupportedPictureError(
                    f"{self.id} carries transparency at scale 1 only; use --scale 1"
                )
            chosen = self._half(picture, quality)
        else:
            chosen = self._full(picture, quality)
        budget = len(chosen.data)
        plain = self._plain_within(picture, budget, quality)
        if plain is not None and plain.psnr >= chosen.psnr:
            chosen = plain
        if self.scale == "auto" and picture.alpha is None and quality < HALF_BELOW:
            half = self._half_within(picture, budget, quality)
            if half is not None and half.psnr > chosen.psnr + CLEAR_WIN:
                chosen = half
        return chosen.data

    def decode(self, data: bytes) -> Picture:
        return files.decode(data)

    def _candidate(self, data: bytes, picture: Picture) -> Candidate:
        return Candidate(data, psnr(files.decode(data).rgb, picture.rgb))

    def _marked(self, payload: bytes, picture: Picture, quality: float, scale: int) -> Candidate:
        rec = network(self.base, "rec", scale)
        return self._candidate(files.write(self.base, payload, picture, quality, rec), picture)

    def _full(self, picture: Picture, quality: float) -> Candidate:
        """Scale 1, or the payload as it is where the network does not help."""
        payload = self.payload.encode(filtered(self.base, picture, quality), quality)
        unmarked = self._candidate(payload, picture)
        marked = self._marked(payload, picture, quality, scale=1)
        return marked if marked.psnr > unmarked.psnr else unmarked

    def _half(self, picture: Picture, quality: float) -> Candidate:
        payload = self.payload.encode(halved(self.base, picture, quality), quality)
        return self._marked(payload, picture, quality, scale=2)

    def _half_within(self, picture: Picture, budget: int, quality: float) -> Candidate | None:
        """Scale 1/2 at the highest quality that fits."""
        small = halved(self.base, picture, min(100.0, quality + HALF_FINER))
        room = budget - MARK_SIZE - containers.OVERHEAD[self.base]
        fit = ratecontrol.largest_within(self.payload, small, room) if room > 0 else None
        return None if fit is None else self._marked(fit.data, picture, fit.quality, scale=2)

    def _plain_within(self, picture: Picture, budget: int, quality: float) -> Candidate | None:
        fit = ratecontrol.largest_within(self.plain, picture, budget, start=round(quality))
        return None if fit is None else self._candidate(fit.data, picture)


def network(base: str, role: str, scale: int) -> Network:
    """The network of a codec, or JPEG's where it has none of its own.

    Raises:
        WeightsError: neither is in the package.
    """
    for trained_around in (base, "jpeg"):
        found = store.find("comrec", trained_around, role, scale)
        if found is not None:
            return found
    raise WeightsError(f"this version ships no {role} network of scale 1/{scale} for {base}")


def filtered(base: str, picture: Picture, quality: float) -> Picture:
    """The picture that is coded at scale 1: through the pre-filter, where the codec has one."""
    pre_filter = store.find("comrec", base, "com", 1)
    if pre_filter is None:
        return picture
    condition = conditions.before(base, quality)
    return picture.with_pixels(apply(pre_filter, picture.pixels, condition))


def halved(base: str, picture: Picture, quality: float) -> Picture:
    """The picture that is coded at scale 1/2: through ComCNN."""
    condition = conditions.before(base, quality)
    return picture.with_pixels(apply(network(base, "com", 2), picture.pixels, condition))


def around(
    base_codec: str, payload_codec: str | None = None, **payload_options: Any
) -> type[Comrec]:
    """The class of ``comrec-<base_codec>``."""
    return type(
        f"Comrec{base_codec.capitalize()}",
        (Comrec,),
        {
            "id": f"comrec-{base_codec}",
            "summary": f"{base_codec} between our networks: same file, better picture",
            "base": base_codec,
            "payload_codec": payload_codec or base_codec,
            "payload_options": payload_options,
        },
    )

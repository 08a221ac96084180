"""Our networks around a standard codec: the default of this package.

    scale 1     picture ──► [pre-filter] ──► codec ──► RecCNN, same size
    scale 1/2   picture ──► ComCNN, half size ──► codec ──► RecCNN, twice the size
    plain       picture ──► codec

The encoder tries them, decodes each, and keeps the best at equal bytes. So a file is never
worse than the plain codec's file of its size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from comrec import codec
from comrec.codec import Codec, check_quality
from comrec.errors import OptionError, UnsupportedPictureError
from comrec.inference import store
from comrec.inference.store import Network
from comrec.metrics import psnr
from comrec.picture import Picture
from comrec.ratecontrol import Fit, Trials, too_small
from comrec.wrapped import conditions, containers, files
from comrec.wrapped.mark import SIZE as MARK_SIZE
from comrec.wrapped.rebuild import apply

Scale = Literal["auto", "1", "1/2"]

CLEAR_WIN = 0.3
"""dB by which scale 1/2 must win before ``auto`` takes it: other viewers show it half as large."""
HALF_BELOW = {"bpg": 16, "heic": 16}
"""Quality from which ``auto`` does not try scale 1/2, 40 where nothing stands here: it has lost by
then on every photograph."""

HALF_FINER = 25
"""By how much finer than at scale 1 the compact picture is coded in the same bytes, roughly."""


@dataclass(frozen=True)
class Candidate:
    """A file and what decoding it gives.

    Attributes:
        data: the file.
        quality: of the standard file in it, 0..100.
        psnr: RGB, dB.
    """

    data: bytes
    quality: float
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
        self.extra = self.plain.extra
        self.step = self.payload.step

    def encode(self, picture: Picture, quality: float) -> bytes:
        check_quality(quality)
        contest = _Contest(self, picture)
        first = contest.half(quality) if self.scale == "1/2" else contest.full(quality)
        return contest.winner(len(first.data), quality, first).data

    def encode_within(self, picture: Picture, budget: int) -> Fit:
        contest = _Contest(self, picture)
        fit = contest.payloads.largest_within(budget - contest.cost)
        quality = 0.0 if fit is None else fit.quality
        first = None
        if self.scale == "1/2":
            first = contest.half_within(budget, quality)
        elif fit is not None:
            first = contest.full(quality)
        winner = contest.winner(budget, quality, first)
        return Fit(winner.data, winner.quality, contest.encodes)

    def decode(self, data: bytes) -> Picture:
        return files.decode(data)


class _Contest:
    """The candidates for one picture's file. No standard file is made twice.

    Attributes:
        payloads: standard files of scale 1, to be marked.
        cost: bytes of the mark, at most.
    """

    def __init__(self, coder: Comrec, picture: Picture) -> None:
        base = coder.base
        self.coder = coder
        self.picture = picture
        self.cost = MARK_SIZE + containers.OVERHEAD[base]
        self._made: list[Trials] = []
        self.payloads = self._plain = self._trials(
            coder.payload, lambda quality: filtered(base, picture, quality)
        )
        same = coder.payload_codec == base and not coder.payload_options
        if not same or pre_filter(base) is not None:
            self._plain = self._trials(coder.plain, lambda _: picture)
        self._compact: Trials | None = None

    def _trials(self, coder: Codec, source: Callable[[float], Picture]) -> Trials:
        pixels = self.picture.width * self.picture.height
        made = Trials(lambda quality: coder.encode(source(quality), quality), coder.step, pixels)
        self._made.append(made)
        return made

    @property
    def encodes(self) -> int:
        """How many standard files were made."""
        return sum(trials.encodes for trials in self._made)

    def full(self, quality: float) -> Candidate:
        """Scale 1 at a quality."""
        return self._marked(self.payloads.at(quality), scale=1)

    def half(self, quality: float) -> Candidate:
        """Scale 1/2 at a quality."""
        return self._marked(self._compact_for(quality).at(quality), scale=2)

    def half_within(self, budget: int, quality: float) -> Candidate | None:
        """Scale 1/2 within the budget that scale 1 fills at a quality."""
        finer = min(100.0, quality + HALF_FINER)
        fit = self._compact_for(finer).largest_within(budget - self.cost, finer)
        return None if fit is None else self._marked(fit, scale=2)

    def winner(self, budget: int, quality: float, first: Candidate | None) -> Candidate:
        """The best candidate within a budget.

        Args:
            quality: with which scale 1 fills the budget.
            first: a candidate that is ready.
        Raises:
            TargetError: not even the smallest is within the budget.
        """
        chosen = first
        unmarked = [self._plain]
        if self.payloads is not self._plain and self.coder.scale != "1/2":
            unmarked.append(self.payloads)
        for trials in unmarked:
            fit = trials.largest_within(budget, quality, thorough=trials is self._plain)
            if fit is not None:
                candidate = self._candidate(fit.data, fit.quality)
                if chosen is None or candidate.psnr >= chosen.psnr:
                    chosen = candidate
        opaque = self.picture.alpha is None
        if self.coder.scale == "auto" and opaque and quality < HALF_BELOW.get(self.coder.base, 40):
            half = self.half_within(budget, quality)
            if half is not None and (chosen is None or half.psnr > chosen.psnr + CLEAR_WIN):
                chosen = half
        if chosen is None:
            sizes = [trials.smallest for trials in unmarked]
            if self._compact is not None:
                sizes.append(self._compact.smallest + self.cost)
            raise too_small(budget, self.coder.id, min(sizes))
        return chosen

    def _compact_for(self, quality: float) -> Trials:
        """Standard files of the compact picture, made by a ComCNN that was told the quality."""
        if self.picture.alpha is not None:
            raise UnsupportedPictureError(
                f"{self.coder.id} carries transparency at scale 1 only: use --scale 1, or lay the "
                "picture over a colour by --background white"
            )
        compact = halved(self.coder.base, self.picture, quality)
        self._compact = self._trials(self.coder.payload, lambda _: compact)
        return self._compact

    def _marked(self, payload: Fit, scale: int) -> Candidate:
        rec = store.serving("comrec", self.coder.base, "rec", scale)
        data = files.write(self.coder.base, payload.data, self.picture, payload.quality, rec)
        return self._candidate(data, payload.quality)

    def _candidate(self, data: bytes, quality: float) -> Candidate:
        return Candidate(data, quality, psnr(files.decode(data).rgb, self.picture.rgb))


def pre_filter(base: str) -> Network | None:
    """The network before the codec at scale 1; none is shipped so far."""
    return store.find("comrec", base, "com", 1)


def filtered(base: str, picture: Picture, quality: float) -> Picture:
    """The picture that is coded at scale 1: through the pre-filter, where the codec has one."""
    found = pre_filter(base)
    if found is None:
        return picture
    condition = conditions.before(base, quality)
    return picture.with_pixels(apply(found, picture.pixels, condition))


def halved(base: str, picture: Picture, quality: float) -> Picture:
    """The picture that is coded at scale 1/2: through ComCNN."""
    com = store.serving("comrec", base, "com", 2)
    condition = conditions.before(base, quality)
    return picture.with_pixels(apply(com, picture.pixels, condition))


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

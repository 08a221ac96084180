"""Our networks around a standard codec: the default of this package.

    scale 1     picture ──► [pre-filter] ──► codec ──► RecCNN, same size
    scale 1/2   picture ──► ComCNN, half size ──► codec ──► RecCNN, twice the size
    plain       picture ──► codec

The encoder tries them, decodes each, and keeps the best at equal bytes (`contest`). So a file is
never worse than the plain codec's file of its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import get_args

from comrec import codec
from comrec.codec import Codec, Encode, check_quality, effort_option
from comrec.inference import store
from comrec.inference.store import Size
from comrec.options import option
from comrec.picture import Picture
from comrec.ratecontrol import TOLERANCE, OperatingPoint
from comrec.sandwich.base import Sandwich
from comrec.sandwich.contest import Candidate, Contest, Scale, Sources
from comrec.sandwich.precompensation import Precompensating
from comrec.standard.chroma import Subsampling, subsampling_option

_PAYLOADS = {
    # Finer samples and chroma at full size: 8 % fewer bytes at the same RGB PSNR.
    "bpg": "bpg:bit_depth=10",
}

ROUNDS = {6: 1, 7: 2, 8: 3, 9: 4, 10: 8}
"""By effort (`Comrec.rounds`); none below."""


@dataclass(frozen=True)
class Comrec(Sandwich):
    """A standard codec between our networks, one pair for all qualities of a scale.

    Quality is the standard codec's at scale 1. At equal quality the file is a little larger than
    the codec's own, and better.

    Attributes:
        effort: the standard codec's; from 6 up also how often what RecCNN does not restore is added
            to what is coded (`precompensation`).
        scale: "1", "1/2", or "auto": 1/2 only where it wins by more than `contest.CLEAR_WIN` dB.
    """

    family = "comrec"
    payloads = _PAYLOADS

    effort: int = effort_option("the standard codec's; from 6 up RecCNN is in the encoder's loop")
    scale: Scale = option(
        "auto", "store the picture at full or half size; other viewers show it so", get_args(Scale)
    )

    @property
    def network(self) -> Size:
        """The size of the network at scale 1."""
        return store.DEFAULT

    @property
    def rounds(self) -> int:
        """How often a file of scale 1 is improved for RecCNN."""
        return ROUNDS.get(self.effort, 0)

    @property
    def summary(self) -> str:
        return f"{self.base} between our networks: same file, better picture"

    @property
    def bench_qualities(self) -> tuple[float, ...]:
        return self.payload.bench_qualities

    def encoder(self, picture: Picture) -> Encode:
        self.check(picture)
        return _Encoder(self, self.sources(picture))

    def encode_within(
        self, picture: Picture, budget: int, tolerance: float = TOLERANCE
    ) -> OperatingPoint:
        self.check(picture)
        sources = self.sources(picture)
        winner = Contest(sources, self.scale, self.id).within(budget, tolerance)
        return OperatingPoint(winner.data, winner.quality, sources.encodes)

    def improved(self, encode: Encode, sources: Sources) -> Encode:
        """The encoder of scale 1, given the payload's and the picture's sources."""
        return Precompensating(sources, self.rounds) if self.rounds else encode

    @property
    def compact_payload(self) -> Codec:
        """`payload` at scale 1/2."""
        return self.payload

    def sources(self, picture: Picture) -> Sources:
        """The standard files of a picture."""
        payloads = self.payload, self.compact_payload
        return Sources(self.base, self.plain, *payloads, self.network, picture, self.improved)


@dataclass(frozen=True)
class ComrecSubsampled(Comrec):
    """`Comrec` around a codec that can subsample chroma.

    Attributes:
        subsampling: "4:2:0" or "4:4:4"; or "auto": with a network as the files are that it is
            trained on, without one the codec's default.
    """

    subsampling: Subsampling = subsampling_option()

    @cached_property
    def plain(self) -> Codec:
        given = {} if self.subsampling == "auto" else {"subsampling": self.subsampling}
        return codec.parse(self.base, {"effort": self.effort}, **given)

    @property
    def sampling(self) -> str:
        if self.subsampling != "auto":
            return self.subsampling
        return "4:4:4" if self.base == "bpg" else "4:2:0"


class _Encoder:
    """The encoder of one picture."""

    def __init__(self, coder: Comrec, sources: Sources) -> None:
        self._coder = coder
        self._sources = sources
        self._last: Candidate | None = None

    def __call__(self, quality: float) -> bytes:
        contest = Contest(self._sources, self._coder.scale, self._coder.id)
        self._last = contest.at(check_quality(quality))
        return self._last.data

    def decoded(self, data: bytes) -> Picture:
        """See `comrec.ratecontrol.Decoding`."""
        if self._last is not None and self._last.data == data:
            return self._last.picture
        return self._coder.decode(data)

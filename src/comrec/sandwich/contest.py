"""Which file of a picture a sandwich codec writes: the best of several candidates.

Each standard file is made once and decoded once, whatever is asked of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from PIL import Image

from comrec import fidelity, metrics
from comrec.codec import Codec, Encode
from comrec.errors import UnsupportedPictureError
from comrec.formats.mark import SIZE as MARK_SIZE
from comrec.inference import store
from comrec.inference.store import Network, Size
from comrec.picture import Picture
from comrec.ratecontrol import (
    LOG_BYTES,
    TOLERANCE,
    Estimating,
    OperatingPoint,
    QualitySearch,
    too_small,
)
from comrec.sandwich import conditions, marked
from comrec.sandwich.reconstruct import apply, reconstruct

Scale = Literal["auto", "1", "1/2"]

CLEAR_WIN = 0.3
"""dB by which scale 1/2 must win before ``auto`` takes it: other viewers show it half as large."""

HALF_BELOW = {"bpg": 16, "heic": 16}
"""Quality from which ``auto`` does not try scale 1/2, 40 where nothing stands here: it has lost by
then on every photograph."""

_IMPROVED = {"jpeg": 1.12}
"""Bytes of an improved file relative to the one that is not, roughly; 1.05 where nothing stands
here."""

_IMPROVED_FILES = 4
"""At most so many are made for a given size: their sizes need not be monotone."""

HALF_FINER = 25
"""By how much finer than at scale 1 the compact picture is coded in the same bytes, roughly."""


_KEPT = 1 << 26
"""Bytes of decoded pictures that are kept: that of the payload may be asked for with and without
its mark. As many of reconstructed ones, one at least: rounds of coefficients end with the best."""


@dataclass(frozen=True)
class Candidate:
    """A file and what decoding it gives.

    Attributes:
        data: the file.
        quality: of the standard file in it, 0..100.
        picture: what decoding it gives, without metadata.
        psnr: of what alpha shows of it, RGB, dB (see `comrec.fidelity`), weighted by the importance
            of the original, where it has one.
    """

    data: bytes
    quality: float
    picture: Picture
    psnr: float


class Sources:
    """The standard files of one picture, each made once, and decoded once unless it is large.

    Args:
        base: the standard codec's id.
        plain: the standard codec alone.
        payload: the standard codec with the options that it has between the networks.
        compact_payload: the same at scale 1/2.
        size: of the network at scale 1.
        picture: the picture.
        improved: makes the encoder of scale 1 from the payload's and these sources, which have all
            but `full` by then; its files are a little larger.
    """

    def __init__(
        self,
        base: str,
        plain: Codec,
        payload: Codec,
        compact_payload: Codec,
        size: Size,
        picture: Picture,
        improved: Callable[[Encode, Sources], Encode],
    ) -> None:
        self.base = base
        self.plain = plain
        self.payload = payload
        self._compact_payload = compact_payload
        self._size = size
        self.picture = picture
        self._made: list[dict[float, bytes]] = []
        self._decoded: dict[bytes, Picture] = {}
        self._shown: dict[tuple[bytes, str], Picture] = {}
        self._filtered = pre_filter(base) is not None
        encode = self._full_encoder()
        self.rough = self._once(encode)
        if plain == payload and not self._filtered:
            self.unmarked = self.rough
        else:
            self.unmarked = self._once(plain.encoder(replace(picture, importance=None)))
        self._compact: dict[float, Encode] = {}
        full = encode if self._filtered else improved(encode, self)
        self.full = self.rough if full is encode else self._once(full, self._rough_size)

    @property
    def encodes(self) -> int:
        """How many standard files were made."""
        return sum(map(len, self._made))

    @property
    def pixels(self) -> int:
        return self.picture.width * self.picture.height

    @cached_property
    def halved_psnr(self) -> float:
        """Of the picture after bicubic halving and doubling alone, RGB, dB."""
        image = Image.fromarray(self.picture.rgb)
        half = -(-image.width // 2), -(-image.height // 2)
        doubled = image.resize(half, Image.Resampling.BICUBIC).resize(
            image.size, Image.Resampling.BICUBIC
        )
        return metrics.psnr(np.asarray(doubled), self.picture.rgb)

    def _full_encoder(self) -> Encode:
        """Of scale 1: through the pre-filter, where the codec has one."""
        if not self._filtered:
            return self.payload.encoder(self.picture)
        return lambda quality: self.payload.encode(
            filtered(self.payload, self.picture, quality), quality
        )

    def compact(self, quality: float) -> Encode:
        """Of the compact picture, made by a ComCNN that was told the quality."""
        if quality not in self._compact:
            picture = halved(self._compact_payload, self.picture, quality)
            self._compact[quality] = self._once(self._compact_payload.encoder(picture))
        return self._compact[quality]

    def _once(self, encode: Encode, estimate: Callable[[float], float] | None = None) -> Once:
        files: dict[float, bytes] = {}
        self._made.append(files)
        if isinstance(encode, Estimating):
            estimate = encode.estimate
        return Once(encode, files) if estimate is None else _Estimated(encode, files, estimate)

    def _rough_size(self, quality: float) -> float:
        """Bytes of a file without rounds, between those made."""
        if not self.rough.files:
            self.rough(quality)
        qualities, files = zip(*sorted(self.rough.files.items()), strict=True)
        sizes = np.log([len(data) for data in files])
        beyond = quality - min(max(quality, qualities[0]), qualities[-1])
        return math.exp(np.interp(quality, qualities, sizes) + LOG_BYTES * beyond)

    def decoded(self, data: bytes) -> Picture:
        """The picture, without metadata, of a standard file that was made here."""
        if data in self._decoded:
            return self._decoded[data]
        picture = self.plain.decode(data).bare
        if self._make_room(self._decoded, least=0):
            self._decoded[data] = picture
        return picture

    def rec(self, scale: int) -> Network:
        """The RecCNN of a scale."""
        size = self._size if scale == 1 else store.DEFAULT
        return store.serving("comrec", self.base, "rec", up=scale, size=size)

    def shown(self, data: bytes, quality: float, rec: Network | None = None) -> Picture:
        """What a RecCNN makes of a standard file of a quality that was made here.

        Args:
            rec: by default that of scale 1.
        """
        rec = rec or self.rec(1)
        key = data, rec.id
        if key not in self._shown:
            self._make_room(self._shown, least=1)
            condition = conditions.from_file(self.base, data, quality)
            size = self.picture.width, self.picture.height
            decoded = self.decoded(data)
            pixels = reconstruct(rec, decoded.pixels, condition, size)
            self._shown[key] = decoded.with_pixels(pixels)
        return self._shown[key]

    def _make_room(self, kept: dict[Any, Picture], least: int) -> bool:
        """Drop the oldest pictures until one more may be kept; whether any may."""
        most = max(least, _KEPT // self.picture.pixels.nbytes)
        while kept and len(kept) >= most:
            del kept[next(iter(kept))]
        return most > 0


class Once:
    """An encoder that makes each file once.

    Attributes:
        files: those made so far, by quality.
    """

    def __init__(self, encode: Encode, files: dict[float, bytes]) -> None:
        self._encode = encode
        self.files = files

    def __call__(self, quality: float) -> bytes:
        if quality not in self.files:
            self.files[quality] = self._encode(quality)
        return self.files[quality]


class _Estimated(Once):
    """The same with estimates of sizes (`comrec.ratecontrol.Estimating`)."""

    def __init__(
        self, encode: Encode, files: dict[float, bytes], estimate: Callable[[float], float]
    ) -> None:
        super().__init__(encode, files)
        self.estimate = estimate


class Contest:
    """The candidates for one file of a picture.

    Args:
        scale: see `comrec.sandwich.ours.Comrec`.
        codec_id: what errors call the codec.
    """

    def __init__(self, sources: Sources, scale: Scale, codec_id: str) -> None:
        self._sources = sources
        self._scale = scale
        self._codec_id = codec_id
        overhead = sources.plain.mark_overhead
        assert overhead is not None
        self._mark_size = MARK_SIZE + overhead  # at most
        self._full = self._search(sources.full, sources.payload)
        self._rough = self._full
        if sources.rough is not sources.full:
            self._rough = self._search(sources.rough, sources.payload)
        self._plain = self._rough
        if sources.unmarked is not sources.rough:
            self._plain = self._search(sources.unmarked, sources.plain)
        self._compact: QualitySearch | None = None

    def at(self, quality: float) -> Candidate:
        """The best candidate that is no larger than that of a quality with the network.

        Where it is coarser than the plain codec at that quality: the plain codec's file, unless
        parts of the picture may be coarser.
        """
        if self._scale == "1/2":
            first = self._marked(self._compact_for(quality).at(quality), scale=2)
            return self._winner(len(first.data), quality, first)
        first = self._marked(self._full.at(quality), scale=1)
        winner = self._winner(len(first.data), quality, first)
        if self._sources.picture.importance is not None:  # what matters little may be coarser
            return winner
        plain = self._unmarked(self._plain.at(quality))
        return plain if plain.psnr > winner.psnr else winner

    def within(self, budget: int, tolerance: float = TOLERANCE) -> Candidate:
        """The best candidate of at most so many bytes.

        Raises:
            TargetError: not even the smallest is within the budget.
        """
        payload = budget - self._mark_size
        point = self._rough.largest_within(payload, tolerance=tolerance)
        quality = 0.0 if point is None else point.quality
        if self._scale == "1/2":
            return self._winner(budget, quality, self._half_within(budget, quality))
        first = None if point is None else self._marked(point, scale=1)
        if point is not None and self._rough is not self._full:
            # Each improved file takes several runs of the network: few are made.
            growth = _IMPROVED.get(self._sources.base, 1.05)
            start = self._rough.expected(round(payload / growth))
            improved = self._full.largest_within(
                payload, start, tolerance=tolerance, tries=_IMPROVED_FILES
            )
            if improved is not None:  # it can be smaller by a whole step of quality
                first = better(self._marked(improved, scale=1), first)
        return self._winner(budget, quality, first)

    def _search(self, encode: Encode, coder: Codec) -> QualitySearch:
        return QualitySearch(encode, coder.quality_step, self._sources.pixels)

    def _half_within(self, budget: int, quality: float) -> Candidate | None:
        """Scale 1/2 within the budget that scale 1 fills at a quality."""
        finer = min(100.0, quality + HALF_FINER)
        point = self._compact_for(finer).largest_within(budget - self._mark_size, finer)
        return None if point is None else self._marked(point, scale=2)

    def _winner(self, budget: int, quality: float, first: Candidate | None) -> Candidate:
        """The best candidate within a budget.

        Args:
            quality: with which scale 1 fills the budget.
            first: a candidate that is ready.
        Raises:
            TargetError: not even the smallest is within the budget.
        """
        chosen = first
        unmarked = self._plain.contenders(budget, quality)
        if self._rough is not self._plain and self._scale != "1/2":
            point = self._rough.largest_within(budget, quality)
            unmarked += [] if point is None else [point]
        for point in unmarked:
            chosen = better(self._unmarked(point), chosen)
        if self._worth_halving(quality, chosen):
            half = self._half_within(budget, quality)
            if half is not None and (chosen is None or half.psnr > chosen.psnr + CLEAR_WIN):
                chosen = half
        if chosen is None:
            searches = [self._plain] if self._scale == "1/2" else [self._plain, self._rough]
            sizes = [search.smallest for search in searches]
            if self._compact is not None:
                sizes.append(self._compact.smallest + self._mark_size)
            raise too_small(budget, self._codec_id, min(sizes))
        return chosen

    def _worth_halving(self, quality: float, chosen: Candidate | None) -> bool:
        """Whether ``auto`` tries scale 1/2.

        It never won on validation photographs where scale 1 beat halving and doubling alone.
        """
        sources = self._sources
        if self._scale != "auto" or sources.picture.alpha is not None:
            return False
        if quality >= HALF_BELOW.get(sources.base, 40):
            return False
        return chosen is None or chosen.psnr <= sources.halved_psnr

    def _compact_for(self, quality: float) -> QualitySearch:
        """A search among the files of the compact picture that suits a quality."""
        if self._sources.picture.alpha is not None:
            raise UnsupportedPictureError(
                f"{self._codec_id} carries transparency at scale 1 only: use --scale 1, or lay the "
                "picture over a colour by --background white"
            )
        self._compact = self._search(self._sources.compact(quality), self._sources.payload)
        return self._compact

    def _unmarked(self, point: OperatingPoint) -> Candidate:
        return self._candidate(point.data, point.quality, self._sources.decoded(point.data))

    def _marked(self, payload: OperatingPoint, scale: int) -> Candidate:
        sources = self._sources
        picture = sources.picture
        rec = sources.rec(scale)
        data = marked.write(sources.plain, payload.data, picture, payload.quality, rec)
        shown = sources.shown(payload.data, payload.quality, rec)
        return self._candidate(data, payload.quality, shown)

    def _candidate(self, data: bytes, quality: float, picture: Picture) -> Candidate:
        return candidate(data, quality, picture, self._sources.picture)


def candidate(data: bytes, quality: float, picture: Picture, original: Picture) -> Candidate:
    """A file and what decoding it gives, compared with the original."""
    if original.importance is None:
        psnr = fidelity.psnr(picture, original)
    else:
        psnr = fidelity.weighted_psnr(picture, original, original.importance)
    return Candidate(data, quality, picture, psnr)


def better(new: Candidate, old: Candidate | None) -> Candidate:
    """The one of higher PSNR; the new one of equal ones."""
    return new if old is None or new.psnr >= old.psnr else old


def pre_filter(base: str) -> Network | None:
    """The network before the codec at scale 1; none is shipped so far."""
    return store.find("comrec", base, "com")


def filtered(payload: Codec, picture: Picture, quality: float) -> Picture:
    """The picture that is coded at scale 1: through the pre-filter, where the codec has one."""
    found = pre_filter(payload.container)
    if found is None:
        return picture
    condition = conditions.before(payload, quality)
    return picture.with_pixels(apply(found, picture.pixels, condition))


def halved(payload: Codec, picture: Picture, quality: float) -> Picture:
    """The picture that is coded at scale 1/2: through ComCNN."""
    base = payload.container
    com = store.com_of(store.serving("comrec", base, "rec", up=2), base)
    condition = conditions.before(payload, quality)
    return picture.halved(apply(com, picture.pixels, condition))

"""What our networks are told about the codec."""

from __future__ import annotations

from typing import NamedTuple

from comrec import codec
from comrec.codec import Codec
from comrec.errors import TargetError
from comrec.formats import coding, segments
from comrec.jpegtuning import tables
from comrec.jpegtuning.tuned import TunedJpeg
from comrec.picture import Picture


class Condition(NamedTuple):
    """Inputs of a network beside the picture; each takes those that it was trained with.

    Attributes:
        quality: how finely the codec quantised, 0..100.
        full_chroma: whether chroma is coded at full size (4:4:4).
    """

    quality: float
    full_chroma: bool = False


def before(payload: Codec, quality: float) -> Condition:
    """The condition of a compact picture that is about to be coded at a quality."""
    if isinstance(payload, TunedJpeg):
        luma, _ = payload.tuning.tables(quality, "4:2:0")
        return Condition(100 * tables.fineness(luma))
    return Condition(quality)


def from_file(base: str, data: bytes, quality: float) -> Condition:
    """The condition of a marked file: JPEG says it in its headers, others in the mark."""
    if base == "jpeg":
        fineness = tables.fineness(segments.luma_table(data))
        return Condition(100 * fineness, coding.of(base, data).sampling == "4:4:4")
    return Condition(quality)


def estimate(base: str, data: bytes, decoded: Picture) -> Condition:
    """The condition of a third-party file.

    For JPEG read from the tables. Otherwise the quality at which coding the decoded picture
    again gives a file as large: coding twice changes little.
    """
    if base == "jpeg":
        return from_file(base, data, 0)
    try:
        budget = len(data) - decoded.metadata.size
        return Condition(codec.get(base).encode_within(decoded.bare, budget).quality)
    except TargetError:
        return Condition(0.0)

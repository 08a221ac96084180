"""What our networks are told about the codec: how coarsely it quantised, 0..100."""

from __future__ import annotations

from comrec import codec
from comrec.errors import TargetError
from comrec.formats import segments
from comrec.jpegtuning import tables
from comrec.picture import Picture


def before(base: str, quality: float) -> float:
    """The condition that `from_file` will give for a file about to be written at a quality."""
    if base == "jpeg":
        return 100 * tables.fineness(tables.step_tables(quality)[0])
    return quality


def from_file(base: str, data: bytes, quality: float) -> float:
    """The condition of a marked file: JPEG says it in its tables, others in the mark."""
    if base == "jpeg":
        return 100 * tables.fineness(segments.luma_table(data))
    return quality


def estimate(base: str, data: bytes, decoded: Picture) -> float:
    """The condition of a third-party file.

    For JPEG read from the tables. Otherwise the quality at which coding the decoded picture
    again gives a file as large: coding twice changes little.
    """
    if base == "jpeg":
        return from_file(base, data, 0)
    try:
        budget = len(data) - decoded.metadata.size
        coder = codec.parse(base, {"subsampling": "4:2:0"})
        return coder.encode_within(decoded.bare, budget).quality
    except TargetError:
        return 0.0

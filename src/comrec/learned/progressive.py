"""What progressive codecs have in common: every prefix of a file is a file of lower quality."""

from __future__ import annotations

import struct
from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar, NamedTuple

from comrec.codec import Codec
from comrec.errors import DamagedFileError
from comrec.formats import cmr
from comrec.learned import files
from comrec.picture import Picture
from comrec.preparation.header import Header
from comrec.ratecontrol import TOLERANCE, OperatingPoint, too_small

_LENGTH = struct.Struct(">I")
_BYTE = 16384  # pixels: the stream of a picture has a byte for so many, at least
_FIRST, _GROWTH = 512, 1.4  # bytes of the first payload, and of each relative to the one before


class Stream(NamedTuple):
    """The coded pixels of a progressive codec's file, or the first of them.

    Attributes:
        data: the bytes that are there.
        cut: whether more were written.
    """

    data: bytes
    cut: bool


class ProgressiveCodec(Codec):
    """A codec of .cmr files whose payloads together are one stream, the more important bytes first.

    Any number of its first bytes decodes, above a minimum. Quality chooses how long a stream is
    written, and 100 writes all.
    """

    extension = cmr.EXTENSION
    container = cmr.FORMAT

    prelude: ClassVar[int] = 0
    """Bytes that its streams begin with, beyond `least_bytes`."""

    def header(self, data: bytes) -> Header:
        return files.header(data)

    def encode_within(
        self, picture: Picture, budget: int, tolerance: float = TOLERANCE
    ) -> OperatingPoint:
        """Encodes once, and cuts."""
        return self.cut_within(self.encode(picture, 100), budget)

    def cut_within(self, whole: bytes, budget: int) -> OperatingPoint:
        """As much of a file as fits.

        Raises:
            TargetError: too little to be decoded.
        """
        data = cmr.cut(whole, budget)
        if data is None or not self.enough(data):
            raise too_small(budget, self.id, self._smallest(whole))
        return OperatingPoint(data, self.quality_of(data), 1)

    @abstractmethod
    def quality_of(self, data: bytes) -> float:
        """The quality of a file that may have been cut."""

    def enough(self, data: bytes) -> bool:
        """Whether a file that was cut has enough bytes to be decoded."""
        try:
            sufficient(cmr.parse(data), self.prelude)
        except DamagedFileError:
            return False
        return True

    def _smallest(self, whole: bytes) -> int:
        """Bytes of the shortest file that decodes."""
        low, high = 0, len(whole)
        while low < high:
            middle = (low + high) // 2
            data = cmr.cut(whole, middle)
            low, high = (
                (low, middle) if data is not None and self.enough(data) else (middle + 1, high)
            )
        return low


def payloads(stream: bytes) -> list[bytes]:
    """A stream as the payloads of a file.

    Its length comes first, so that a decoder knows whether it was cut. Payloads grow, so that of a
    file that is cut short little is lost, and few bytes are spent on their checksums.
    """
    whole = _LENGTH.pack(len(stream)) + stream
    found, at, size = [], 0, float(_FIRST)
    while at < len(whole):
        end = at + int(size)
        if len(whole) - end < size / 2:
            end = len(whole)
        found.append(whole[at:end])
        at, size = end, size * _GROWTH
    return found


def stream(file: cmr.Container) -> Stream:
    """The stream in the payloads of a file, of which the last may be missing or broken.

    Raises:
        DamagedFileError: not even its length is there, or it is longer than that.
    """
    whole = b"".join(file.payloads)
    if len(whole) < _LENGTH.size:
        raise DamagedFileError("input: cut short: nothing of the picture is left")
    (length,) = _LENGTH.unpack_from(whole)
    data = whole[_LENGTH.size :]
    if len(data) > length and file.broken:  # the length of its chunk was damaged, and it was whole
        return stream(replace(file, payloads=file.payloads[:-1], broken=False))
    if len(data) > length:
        raise DamagedFileError(
            f"input: damaged: {len(data):,} bytes of coded pixels, not {length:,}"
        )
    return Stream(data, len(data) < length)


def least_bytes(width: int, height: int) -> int:
    """Of a picture's stream: so that the cost of a file follows its bytes, not what its header
    says."""
    return -(-width * height // _BYTE)


def sufficient(file: cmr.Container, more: int = 0) -> Stream:
    """The stream of a file, which is long enough for its picture.

    Args:
        more: bytes that it has beyond `least_bytes`, at least.
    Raises:
        DamagedFileError: as `stream`, or it is too short.
    """
    found = stream(file)
    if len(found.data) < least_bytes(file.header.width, file.header.height) + more:
        raise DamagedFileError(
            f"input: cut short: {len(found.data):,} bytes of coded pixels cannot hold a picture of "
            "the size in its header"
        )
    return found


def share(data: bytes, size: int) -> float | None:
    """How much of its encoder's stream a file has, 0..1; None if not even its length is there.

    Args:
        data: the file, or as much of its start as tells where its payloads lie.
        size: bytes of the whole file.
    Raises:
        InputError: as `cmr.header`.
    """
    bodies = cmr.bodies(data)
    start = b"".join(data[body.start : body.stop] for body in bodies)[: _LENGTH.size]
    if len(start) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(start)
    held = sum(len(range(body.start, min(body.stop, size))) for body in bodies) - _LENGTH.size
    return min(held / length, 1.0) if length else 1.0

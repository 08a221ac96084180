"""Sizes that a file states twice: in its boxes, and in the coded picture.

A decoder takes one of the two: it makes room for a size that is not there, or silently scales or
crops. `check` compares them where both can be read without decoding; where libraries compare them
themselves (WebP), nothing is done here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from comrec.errors import DamagedFileError, TooLargeError
from comrec.formats import boxes
from comrec.picture import MAX_PIXELS

Size = tuple[int, int]
"""Width, height."""

_PADDING = 64
"""Encoders of HEVC that cannot crop pad by less than this, a coding tree unit."""

_SEQUENCE_HEADER, _DELIMITER = 1, 2  # OBU types of AV1
_SPS = 33  # NAL unit type of HEVC
_FIRST_BYTES = 64  # of a sequence header


def check(format_id: str, data: bytes) -> None:
    """Refuse a file whose boxes and coded picture are of different sizes.

    Args:
        format_id: as `detection.format_of` names it; others than avif, heic and jpeg2000 pass.
    Raises:
        DamagedFileError: the sizes differ, or a box length is invalid.
        TooLargeError: the coded picture has more than `MAX_PIXELS`.
    """
    for stated, coded, padding in _sizes(format_id, data):
        for width, height in (stated, coded):
            if width * height > MAX_PIXELS:
                raise TooLargeError(
                    f"input: declares {width}x{height}, more than {MAX_PIXELS:,} pixels; "
                    "refused before decoding"
                )
        if not all(0 <= big - small <= padding for small, big in zip(stated, coded, strict=True)):
            raise DamagedFileError(
                f"input: damaged: its header says {stated[0]}x{stated[1]}, but the coded picture "
                f"is {coded[0]}x{coded[1]}"
            )


def _sizes(format_id: str, data: bytes) -> Iterator[tuple[Size, Size, int]]:
    """Each size that is stated, that of the coded picture, and how much larger this may be."""
    try:
        if format_id == "jpeg2000":
            yield from _of_jp2(data)
        elif format_id in ("avif", "heic"):
            for item in _items(data):
                if item.size is not None and item.hevc is not None:
                    yield item.size, _of_hevc(item.hevc), _PADDING - 1
                elif item.size is not None and item.av1 and not item.layered:
                    yield item.size, _of_av1(data[item.at : item.at + _FIRST_BYTES]), 0
    except (struct.error, IndexError, _UnreadableError):
        return  # the decoder tells what is wrong


class _UnreadableError(Exception):
    """What this module does not understand."""


def _of_jp2(data: bytes) -> Iterator[tuple[Size, Size, int]]:
    header, codestream = boxes.find(data, b"jp2h", b"ihdr"), boxes.find(data, b"jp2c")
    if header is None or codestream is None or codestream[2:4] != b"\xff\x51":
        return
    height, width = struct.unpack_from(">II", header)
    right, bottom, left, top = struct.unpack_from(">IIII", codestream, 8)
    yield (width, height), (right - left, bottom - top), 0


@dataclass
class _Item:
    """An item of an AVIF or HEIC file.

    Attributes:
        at: offset of its data.
        size: of the property ``ispe``.
        hevc: the body of the property ``hvcC``.
        av1: whether it has the property ``av1C``.
        layered: whether only some layers of it are meant.
    """

    at: int = 0
    size: Size | None = None
    hevc: bytes | None = None
    av1: bool = False
    layered: bool = False


@dataclass
class _Reader:
    """Reads big-endian numbers."""

    data: bytes
    at: int = 0
    version: int = field(init=False)
    flags: int = field(init=False)

    def __post_init__(self) -> None:
        self.version, self.flags = self.take(1), self.take(3)

    def take(self, width: int) -> int:
        end = self.at + width
        if end > len(self.data):
            raise _UnreadableError
        value = int.from_bytes(self.data[self.at : end], "big")
        self.at = end
        return value


def _items(data: bytes) -> list[_Item]:
    """The items that have properties (ISO/IEC 14496-12, 8.11)."""
    meta = boxes.find(data, b"meta")
    properties = meta and boxes.find(meta, b"iprp", b"ipco")
    associations = meta and boxes.find(meta, b"iprp", b"ipma")
    locations = meta and boxes.find(meta, b"iloc")
    if not properties or not associations or not locations:
        return []
    items: dict[int, _Item] = {}
    listed = [(kind, body) for _, kind, body in boxes.walk(properties)]
    reader = _Reader(associations)
    wide, far = (4 if reader.version else 2), (2 if reader.flags & 1 else 1)
    for _ in range(reader.take(4)):
        item = items.setdefault(reader.take(wide), _Item())
        for _ in range(reader.take(1)):
            number = reader.take(far) & (1 << 8 * far - 1) - 1  # without the flag "essential"
            if 0 < number <= len(listed):
                _take_property(item, *listed[number - 1])
    _locate(items, locations)
    return list(items.values())


def _take_property(item: _Item, kind: bytes, body: bytes) -> None:
    if kind == b"ispe":
        width, height = struct.unpack_from(">II", body, 4)
        item.size = width, height
    elif kind == b"hvcC":
        item.hevc = body
    elif kind == b"av1C":
        item.av1 = True
    elif kind in (b"lsel", b"a1op"):
        item.layered = True


def _locate(items: dict[int, _Item], locations: bytes) -> None:
    """Set where the data of items begins, from the box ``iloc``."""
    reader = _Reader(locations)
    offset, length, base, index = (half for _ in range(2) for half in divmod(reader.take(1), 16))
    wide = 4 if reader.version == 2 else 2
    for _ in range(reader.take(wide)):
        item = items.get(reader.take(wide), _Item())
        if reader.version:
            item.layered |= reader.take(2) & 15 != 0  # its data is not at an offset of the file
        reader.take(2)
        start = reader.take(base)
        for part in range(reader.take(2)):
            if reader.version:
                reader.take(index)
            at = start + reader.take(offset)
            reader.take(length)
            if part == 0:
                item.at = at


class _Bits:
    """Reads unsigned integers, most significant bit first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise _UnreadableError
        return self._value >> self._left & ((1 << count) - 1)

    def golomb(self) -> int:
        """An Exp-Golomb code of order 0."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)


def _of_hevc(configuration: bytes) -> Size:
    """The size of pictures, by the SPS in a decoder configuration record (H.265, 7.3.2.2)."""
    at = 23
    for _ in range(configuration[22]):
        kind, (count,) = configuration[at] & 63, struct.unpack_from(">H", configuration, at + 1)
        at += 3
        for _ in range(count):
            (length,) = struct.unpack_from(">H", configuration, at)
            if kind == _SPS:
                return _of_sps(configuration[at + 4 : at + 2 + length])
            at += 2 + length
    raise _UnreadableError


def _of_sps(body: bytes) -> Size:
    bits = _Bits(body[:256].replace(b"\0\0\3", b"\0\0"))
    bits.take(4)
    layers = bits.take(3)
    bits.take(1 + 96)  # nesting; profile, tier and level
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    bits.take(2 * (8 - layers) if layers else 0)
    for profile, level in present:
        bits.take(88 * profile + 8 * level)
    bits.golomb()
    chroma = bits.golomb()
    if chroma == 3:
        bits.take(1)
    width, height = bits.golomb(), bits.golomb()
    if bits.take(1):  # conformance window, in chroma samples
        left, right, top, bottom = (bits.golomb() for _ in range(4))
        width -= (left + right) * (2 if chroma in (1, 2) else 1)
        height -= (top + bottom) * (2 if chroma == 1 else 1)
    if width <= 0 or height <= 0:
        raise _UnreadableError
    return width, height


def _of_av1(data: bytes) -> Size:
    """The size of frames, by the sequence header that the data begins with (AV1, 5.5.1)."""
    at = 0
    while data[at] >> 3 & 15 == _DELIMITER:
        at += 2
    head = data[at]
    if head >> 3 & 15 != _SEQUENCE_HEADER or not head & 2:  # without a length
        raise _UnreadableError
    at += 3 if head & 4 else 2  # the length has one byte: sequence headers are short
    bits = _Bits(data[at:])
    bits.take(3 + 1)  # profile, still picture
    if not bits.take(1):  # not a reduced header
        raise _UnreadableError
    bits.take(5)  # level
    widths = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(widths[0]) + 1, bits.take(widths[1]) + 1

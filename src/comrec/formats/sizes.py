"""Sizes that a file states twice: in its boxes, and in the coded picture.

A decoder takes one of the two: it makes room for a size that is not there, or silently scales or
crops. `check` compares them where both can be read without decoding; where libraries compare them
themselves (WebP), nothing is done here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from comrec.errors import DamagedFileError, TooLargeError
from comrec.formats import boxes, items
from comrec.formats.bits import BitReader, TruncatedError
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
    except (struct.error, IndexError, TruncatedError, _UnreadableError):
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


def _items(data: bytes) -> list[_Item]:
    """The items that have properties."""
    found: dict[int, _Item] = {}
    for number, properties in items.associations(data):
        item = found.setdefault(number, _Item())
        for kind, body in properties:
            _take_property(item, kind, body)
    placed: set[int] = set()
    for part in items.parts(data):
        item = found.get(part.item, _Item())
        item.layered |= not part.in_file
        if part.item not in placed:
            placed.add(part.item)
            item.at = part.at
    return list(found.values())


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
    bits = BitReader(body[:256].replace(b"\0\0\3", b"\0\0"), "HEVC header")
    bits.bits(4)
    layers = bits.bits(3)
    bits.bits(1 + 96)  # nesting; profile, tier and level
    present = [(bits.bits(1), bits.bits(1)) for _ in range(layers)]
    bits.bits(2 * (8 - layers) if layers else 0)
    for profile, level in present:
        bits.bits(88 * profile + 8 * level)
    bits.golomb()
    chroma = bits.golomb()
    if chroma == 3:
        bits.bits(1)
    width, height = bits.golomb(), bits.golomb()
    if bits.bits(1):  # conformance window, in chroma samples
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
    bits = BitReader(data[at:], "AV1 header")
    bits.bits(3 + 1)  # profile, still picture
    if not bits.bits(1):  # not a reduced header
        raise _UnreadableError
    bits.bits(5)  # level
    widths = bits.bits(4) + 1, bits.bits(4) + 1
    return bits.bits(widths[0]) + 1, bits.bits(widths[1]) + 1

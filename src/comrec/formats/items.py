"""Items of AVIF and HEIC files, their properties and places (ISO/IEC 14496-12, section 8.11)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from comrec.errors import DamagedFileError
from comrec.formats import boxes, limits

Property = tuple[bytes, bytes]
"""Type and body."""


def properties(data: bytes) -> list[Property]:
    """The properties that items share.

    Raises:
        DamagedFileError: a box length is invalid.
    """
    listed = boxes.find(data, b"meta", b"iprp", b"ipco") or b""
    return [(kind, body) for _, kind, body in boxes.walk(listed)]


def associations(data: bytes) -> Iterator[tuple[int, list[Property]]]:
    """Each entry of the first box ``ipma``: an item, and its properties in their order.

    Raises:
        DamagedFileError, struct.error, IndexError: the boxes are damaged.
    """
    body = boxes.find(data, b"meta", b"iprp", b"ipma")
    if not body:
        return
    shared = properties(data)
    item, size = struct.Struct(">I" if body[0] else ">H"), (2 if body[3] & 1 else 1)
    index = struct.Struct(">H" if size == 2 else ">B")
    (count,) = struct.unpack_from(">I", body, 4)
    at = 8
    for _ in range(count):
        (found,) = item.unpack_from(body, at)
        at += item.size
        end = at + 1 + size * body[at]
        numbers = (index.unpack_from(body, each)[0] for each in range(at + 1, end, size))
        # From 1, without the bit that says "essential".
        indices = [(number & (1 << 8 * size - 1) - 1) - 1 for number in numbers]
        yield found, [shared[each] for each in indices if 0 <= each < len(shared)]
        at = end


def of_primary(data: bytes) -> list[Property]:
    """The properties of the primary item.

    Raises:
        DamagedFileError, struct.error, IndexError: the boxes are damaged.
    """
    primary = boxes.find(data, b"meta", b"pitm")
    if primary is None:
        return []
    (wanted,) = struct.unpack_from(">I" if primary[0] else ">H", primary, 4)
    return next((listed for item, listed in associations(data) if item == wanted), [])


class Part(NamedTuple):
    """A part of an item's data, by the box ``iloc``.

    Attributes:
        item: its number.
        in_file: whether the offset is one of the file.
        at: offset.
        length: in bytes; 0 for all that follows.
    """

    item: int
    in_file: bool
    at: int
    length: int


def parts(data: bytes) -> Iterator[Part]:
    """The parts of all items; of a box that is cut short, those that are there.

    Raises:
        DamagedFileError: a box length is invalid; or an item has several parts that nothing tells
            apart, of which a few bytes can declare 65,535.
    """
    body = boxes.find(data, b"meta", b"iloc") or b""
    if len(body) < 6:
        return
    version = body[0]
    offset, length, base, index = body[4] >> 4, body[4] & 15, body[5] >> 4, body[5] & 15
    index = index if version else 0
    at = 6

    def take(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(body[at - size : at], "big")

    wide = 4 if version == 2 else 2
    for _ in range(take(wide)):
        if at >= len(body):
            return
        item = take(wide)
        in_file = not version or take(2) & 15 == 0
        take(2)
        start, count = take(base), take(2)
        if count > 1 and offset == length == index == 0:
            raise DamagedFileError(f"input: damaged: {count} parts of an item have no places")
        for _ in range(count):
            if at >= len(body):
                return
            take(index)
            yield Part(item, in_file, start + take(offset), take(length))


def check_size(data: bytes) -> None:
    """Refuse a file whose items together exceed its size by more than `limits.METADATA`.

    Items may share their bytes: a file of 1 MB can declare gigabytes, and libheif copies each.

    Raises:
        DamagedFileError: they do; or as `parts`.
    """
    left = len(data) + limits.METADATA
    for part in parts(data):
        left -= part.length or len(data)
        if left < 0:
            raise DamagedFileError(
                f"input: its items declare over {limits.METADATA:,} bytes more than the file holds"
            )

"""The clean aperture of AVIF files: the part of the picture that is shown.

Property ``clap`` of the primary item (ISO/IEC 14496-12, sections 8.11 and 12.1.4; ISO/IEC 23008-12,
section 6.5.9). It applies before rotation and mirroring. libheif applies it, Pillow does not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction

from comrec.formats import boxes


def window(data: bytes, width: int, height: int) -> tuple[int, int, int, int] | None:
    """(left, top, width, height) of what is shown of ``width`` x ``height`` pixels.

    None for the whole, which is also shown where the aperture is invalid: not inside the picture,
    or not of whole pixels.

    Raises:
        DamagedFileError, struct.error, IndexError: the boxes are damaged.
    """
    meta = boxes.find(data, b"meta")
    primary = _primary(meta or b"")
    if meta is None or primary is None:
        return None
    properties = [
        (kind, body) for _, kind, body in boxes.walk(boxes.find(meta, b"iprp", b"ipco") or b"")
    ]
    associations = boxes.find(meta, b"iprp", b"ipma") or b""
    for index in _associated(associations, primary):
        if 0 < index <= len(properties) and properties[index - 1][0] == b"clap":
            return _inside(properties[index - 1][1], width, height)
    return None


def _primary(meta: bytes) -> int | None:
    body = boxes.find(meta, b"pitm")
    if body is None:
        return None
    item: int = struct.unpack_from(">I" if body[0] else ">H", body, 4)[0]
    return item


def _associated(associations: bytes, item: int) -> Iterator[int]:
    """Indices, from 1, of the properties of an item, by the body of an ``ipma`` box."""
    if not associations:
        return
    identity = struct.Struct(">I" if associations[0] else ">H")
    wide = associations[3] & 1
    (count,) = struct.unpack_from(">I", associations, 4)
    at = 8
    for _ in range(count):
        (found,) = identity.unpack_from(associations, at)
        number = associations[at + identity.size]
        at += identity.size + 1
        size = 2 if wide else 1
        if found == item:
            for each in range(at, at + size * number, size):
                if wide:
                    yield int.from_bytes(associations[each : each + 2], "big") & 0x7FFF
                else:
                    yield associations[each] & 0x7F
            return
        at += size * number


def _inside(clap: bytes, width: int, height: int) -> tuple[int, int, int, int] | None:
    # The offsets, of the centre, are signed.
    numbers = struct.unpack_from(">IIIIiIiI", clap)
    if 0 in numbers[1::2]:
        return None
    wide, high, right, down = (
        Fraction(above, below) for above, below in zip(numbers[::2], numbers[1::2], strict=True)
    )
    left, top = right + (width - wide) / 2, down + (height - high) / 2
    if any(value.denominator != 1 for value in (wide, high, left, top)):
        return None
    if not (wide > 0 and high > 0 and 0 <= left <= width - wide and 0 <= top <= height - high):
        return None
    return int(left), int(top), int(wide), int(high)

"""The clean aperture of AVIF files: the part of the picture that is shown.

Property ``clap`` of the primary item (ISO/IEC 14496-12, sections 8.11 and 12.1.4; ISO/IEC 23008-12,
section 6.5.9). It applies before rotation and mirroring. libheif applies it, Pillow does not.
"""

from __future__ import annotations

import struct
from fractions import Fraction

from comrec.formats import items


def window(data: bytes, width: int, height: int) -> tuple[int, int, int, int] | None:
    """(left, top, width, height) of what is shown of ``width`` x ``height`` pixels.

    None for the whole, which is also shown where the aperture is invalid: not inside the picture,
    or not of whole pixels.

    Raises:
        DamagedFileError, struct.error, IndexError: the boxes are damaged.
    """
    clap = next((body for kind, body in items.of_primary(data) if kind == b"clap"), None)
    return None if clap is None else _inside(clap, width, height)


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

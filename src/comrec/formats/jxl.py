"""What the header of a JPEG XL codestream says and pyjpegxl does not (ISO/IEC 18181-1, annex D)."""

from __future__ import annotations

from comrec.errors import DamagedFileError
from comrec.formats import boxes

CODESTREAM = b"\xff\x0a"
"""What a file begins with that has no boxes."""

_SIDES = (9, 13, 18, 30)
_PREVIEW_SIDES = (6, 8, 10, 12)
_PREVIEW_EIGHTHS = (0, 0, 5, 9)
"""How many bits a number takes, by the selector of two bits before it."""


def is_animated(data: bytes) -> bool:
    """Whether a file, bare or in boxes, holds an animation.

    Raises:
        DamagedFileError: it ends within the header.
    """
    bits = _Bits(_codestream(data)[2:])
    _skip_size(bits)
    if bits.take(1) or not bits.take(1):  # all as by default, or no extra fields
        return False
    bits.take(3)  # orientation
    if bits.take(1):  # intrinsic size
        _skip_size(bits)
    if bits.take(1):
        _skip_preview(bits)
    return bool(bits.take(1))


def _codestream(data: bytes) -> bytes:
    if data.startswith(CODESTREAM):
        return data
    for _, kind, body in boxes.walk(data):
        if kind in (b"jxlc", b"jxlp"):
            return body[4:] if kind == b"jxlp" else body  # after the number of the part
    raise DamagedFileError("input: a JPEG XL file without a codestream")


class _Bits:
    """Numbers of so many bits, least significant first."""

    def __init__(self, data: bytes) -> None:
        head = data[:64]  # more than all that is read here
        self._left = 8 * len(head)
        self._value = int.from_bytes(head, "little")

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise DamagedFileError("input: the JPEG XL header is cut short")
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken

    def skip_number(self, widths: tuple[int, ...]) -> None:
        self.take(widths[self.take(2)])


def _skip_size(bits: _Bits) -> None:
    in_eighths = bits.take(1)

    def skip_side() -> None:
        if in_eighths:
            bits.take(5)
        else:
            bits.skip_number(_SIDES)

    skip_side()
    if not bits.take(3):  # no ratio: the width is told too
        skip_side()


def _skip_preview(bits: _Bits) -> None:
    widths = _PREVIEW_EIGHTHS if bits.take(1) else _PREVIEW_SIDES
    bits.skip_number(widths)
    if not bits.take(3):
        bits.skip_number(widths)

"""JPEG XL files: boxes around a codestream, and header fields that pyjpegxl does not report.

ISO/IEC 18181-1, annex D; ISO/IEC 18181-2.
"""

from __future__ import annotations

from comrec.errors import DamagedFileError
from comrec.formats import boxes

CODESTREAM = b"\xff\x0a"
"""First bytes of a bare codestream."""

BOXES = boxes.pack(b"JXL ", b"\r\n\x87\n")
"""First bytes of a file in boxes."""

_SIDES = (9, 13, 18, 30)
_PREVIEW_SIDES = (6, 8, 10, 12)
_PREVIEW_EIGHTHS = (0, 0, 5, 9)
"""Number of bits of a field, by the two-bit selector before it."""

_HEAD = BOXES + boxes.pack(b"ftyp", b"jxl \0\0\0\0jxl ")


def in_boxes(data: bytes) -> bytes:
    """The file in boxes, to which others can be added; a bare codestream is wrapped."""
    return _HEAD + boxes.pack(b"jxlc", data) if data.startswith(CODESTREAM) else data


def without_tail(data: bytes) -> bytes:
    """The file in boxes without bytes after its codestream that are no whole boxes."""
    at, is_complete = 0, False
    for start, kind, body in boxes.walk(data):
        length = int.from_bytes(data[start : start + 4], "big")
        if start + length > len(data):
            break
        at = start + boxes.head_size(data, start) + len(body)
        is_complete |= kind == b"jxlc" or (kind == b"jxlp" and body[:1] >= b"\x80")
    return data[:at] if is_complete else data


def codestream(data: bytes) -> bytes:
    """The whole codestream of a file, bare or in boxes.

    Raises:
        DamagedFileError: there is none.
    """
    if data.startswith(CODESTREAM):
        return data
    found = b""
    for _, kind, body in boxes.walk(data):
        if kind == b"jxlc":
            return body
        if kind == b"jxlp":
            found += body[4:]  # after the part number
    if not found:
        raise DamagedFileError("input: a JPEG XL file without a codestream")
    return found


def with_codestream(data: bytes, stream: bytes) -> bytes:
    """A file, bare or in boxes, with another codestream, and its other boxes as they are."""
    if data.startswith(CODESTREAM):
        return stream
    kept = b""
    for at, kind, body in boxes.walk(data):
        if kind not in (b"jxlc", b"jxlp"):
            kept += data[at : at + boxes.head_size(data, at) + len(body)]
    return kept + boxes.pack(b"jxlc", stream)


def with_reconstruction(stream: bytes, reconstruction: bytes) -> bytes:
    """The file of a codestream made from a JPEG file, with the box that tells how that was laid
    out (ISO/IEC 18181-2, ``jbrd``)."""
    return _HEAD + boxes.pack(b"jbrd", reconstruction) + boxes.pack(b"jxlc", stream)


def is_animated(data: bytes) -> bool:
    """Whether a file, bare or in boxes, holds an animation.

    Raises:
        DamagedFileError: the header is truncated.
    """
    bits = _Bits(codestream(data)[2:])
    _skip_size(bits)
    if bits.take(1) or not bits.take(1):  # all fields default, or no extra fields
        return False
    bits.take(3)  # orientation
    if bits.take(1):  # intrinsic size
        _skip_size(bits)
    if bits.take(1):
        _skip_preview(bits)
    return bool(bits.take(1))


class _Bits:
    """Reads unsigned integers, least significant bit first."""

    def __init__(self, data: bytes) -> None:
        head = data[:64]  # more than this module reads
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
    if not bits.take(3):  # no aspect ratio: the width is coded too
        skip_side()


def _skip_preview(bits: _Bits) -> None:
    widths = _PREVIEW_EIGHTHS if bits.take(1) else _PREVIEW_SIDES
    bits.skip_number(widths)
    if not bits.take(3):
        bits.skip_number(widths)

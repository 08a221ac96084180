"""JPEG marker segments: metadata, application data, quantisation tables."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from comrec.errors import DamagedFileError, UnsupportedPictureError
from comrec.formats import extended_xmp
from comrec.formats.completion import Completion
from comrec.picture import EXIF_HEAD, Metadata

XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\x00"
ICC_HEAD = b"ICC_PROFILE\x00"
_ROOM = 65533

_IN_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_EOI = b"\xff\xd9"
_SOS = 0xDA
_SOI_EOI = (0xD8, 0xD9)
_BARE = (0x01, *range(0xD0, 0xD8))  # markers without a length: TEM, RST

_BITS = bytes(range(1, 200, 3))
_OTHER_BYTES = _BITS + b"".join(bytes((0xFF, marker)) + _BITS for marker in range(0xD0, 0xD8))
"""Entropy-coded data, also after each of the restart markers."""


def insert(data: bytes, segments: list[tuple[int, bytes]]) -> bytes:
    """Insert (marker, body) segments after SOI and the APP0 of JFIF."""
    at = 2
    if data[2:4] == b"\xff\xe0":
        at = 4 + struct.unpack(">H", data[4:6])[0]
    packed = b"".join(
        struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments
    )
    return data[:at] + packed + data[at:]


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The (marker, body) segments up to the header of the first scan.

    As in libjpeg, bytes between segments that belong to none are passed over.

    Raises:
        DamagedFileError: the header is damaged or truncated.
    """
    return ((marker, body) for marker, body, _, _ in _walk(data))


def junk(data: bytes) -> int:
    """The number of bytes before the first scan that belong to no segment.

    Raises:
        DamagedFileError: the header is damaged or truncated.
    """
    return sum(skipped for _, _, skipped, _ in _walk(data)) if data else 0


def _walk(data: bytes) -> Iterator[tuple[int, bytes, int, int]]:
    """(Marker, body, bytes passed over before it, end) of each segment up to the first scan."""
    at = 2
    while True:
        found = _MARKER.search(data, at)
        if found is None or found.end() + 2 > len(data) or data[found.end() - 1] in _SOI_EOI:
            raise DamagedFileError("input: damaged JPEG header")
        skipped = len(data[at : found.start()].strip(b"\xff"))
        marker, at = data[found.end() - 1], found.end()
        if marker in _BARE:
            continue
        (length,) = struct.unpack_from(">H", data, at)
        if length < 2:
            raise DamagedFileError("input: damaged JPEG header")
        yield marker, data[at + 2 : at + length], skipped, at + length
        at += length
        if marker == _SOS:
            return


def completion(data: bytes) -> Completion | None:
    """A file without EOI completed; None if it has EOI, or no scan.

    The decoder's work is not done here: if the file holds all of its last scan, bytes after it
    change nothing.

    Raises:
        DamagedFileError: the header is damaged or truncated.
    """
    *_, (_, _, _, at) = _walk(data)
    covered = _Coverage(data)
    while found := _IN_SCAN.search(data, at):
        marker, at = data[found.end() - 1], found.end()
        if marker == 0xD9:
            return None
        if at + 2 > len(data):
            break
        (length,) = struct.unpack_from(">H", data, at)
        if marker == _SOS:
            covered.add(data[at + 2 : at + length])
        at += max(2, length)
    cut = data[: found.start()] if found else data
    cut = cut.removesuffix(b"\xff")
    return Completion(
        cut + _EOI,
        "the file is cut short: scans that refine the picture are missing",
        check=cut + _OTHER_BYTES + _EOI,
        whole_note="the end marker is missing" if covered.is_complete else None,
        in_rows=not covered.progressive and covered.is_complete,
    )


class _Coverage:
    """Which coefficients of which components the scans of a file have down to the last bit."""

    def __init__(self, data: bytes) -> None:
        self.progressive = False
        self._exact: dict[int, set[int]] = {}
        for marker, body in segments(data):
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                self.progressive = marker in (0xC2, 0xC6, 0xCA, 0xCE)
                self._exact = {number: set() for number in body[6::3]}
            elif marker == _SOS:
                self.add(body)

    def add(self, scan: bytes) -> None:
        """Take a scan's header into account."""
        numbers = scan[1 : 1 + 2 * scan[0] : 2] if scan else b""
        last = scan[1 + 2 * len(numbers) :]
        if len(last) == 3 and last[2] & 15 == 0:
            for number in numbers:
                self._exact.get(number, set()).update(range(last[0], last[1] + 1))

    @property
    def is_complete(self) -> bool:
        return all(len(exact) >= 64 for exact in self._exact.values())


def luma_table(data: bytes) -> NDArray[np.uint16]:
    """The quantisation table of the first component, (64,) in zigzag order.

    Raises:
        DamagedFileError: the file has none, or it is damaged.
    """
    tables: dict[int, NDArray[np.uint16]] = {}
    wanted = 0
    for marker, body in segments(data):
        if marker == 0xDB:
            at = 0
            while at < len(body):
                wide, number = body[at] >> 4, body[at] & 15
                size = 128 if wide else 64
                raw = body[at + 1 : at + 1 + size]
                if len(raw) < size:
                    raise DamagedFileError("input: damaged JPEG quantisation table")
                tables[number] = np.frombuffer(raw, ">u2" if wide else np.uint8).astype(np.uint16)
                at += 1 + size
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(body) > 8:
            wanted = body[8]
    if wanted not in tables:
        raise DamagedFileError("input: JPEG file without a luma quantisation table")
    return tables[wanted]


def metadata_segments(metadata: Metadata) -> list[tuple[int, bytes]]:
    """EXIF, XMP and ICC as APP1 and APP2 segments; XMP above about 64 kB as extended XMP.

    Raises:
        UnsupportedPictureError: EXIF above about 64 kB, XMP too that is not well-formed; ICC above
            about 16 MB.
    """
    out = []
    if metadata.exif is not None:
        out.append((0xE1, EXIF_HEAD + _fitting("EXIF", metadata.exif, _ROOM - len(EXIF_HEAD))))
    if metadata.xmp is not None:
        room = _ROOM - len(XMP_HEAD)
        xmp, extended = extended_xmp.split(metadata.xmp, room)
        out.append((0xE1, XMP_HEAD + _fitting("XMP", xmp, room)))
        out += [(0xE1, body) for body in extended]
    if metadata.icc is not None:
        part = _ROOM - len(ICC_HEAD) - 2
        icc = _fitting("ICC", metadata.icc, 255 * part)
        parts = [icc[i : i + part] for i in range(0, len(icc), part)]
        out += [
            (0xE2, ICC_HEAD + bytes([number, len(parts)]) + body)
            for number, body in enumerate(parts, start=1)
        ]
    return out


def _fitting(name: str, body: bytes, room: int) -> bytes:
    if len(body) > room:
        others = ",".join(kind for kind in ("exif", "icc", "xmp") if kind != name.lower())
        raise UnsupportedPictureError(
            f"JPEG can store {name} of at most {room:,} bytes, not {len(body):,}: "
            f"--metadata {others} leaves it out"
        )
    return body

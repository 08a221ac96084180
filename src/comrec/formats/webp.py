"""Chunks of WebP files (RFC 9649, section 2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from comrec.formats import completion
from comrec.formats.completion import Completion

_PICTURE = (b"VP8 ", b"VP8L", b"ALPH", b"ANMF")
_METADATA = {b"EXIF": "EXIF", b"XMP ": "XMP"}

_LARGEST = 1 << 26
"""Bytes of a lossy picture up to which files that are cut short are completed."""


def find(data: bytes, kind: bytes) -> bytes | None:
    """The body of the first chunk of a type; None if absent."""
    return next((body for found, body in _chunks(data) if found == kind), None)


def append(data: bytes, kind: bytes, body: bytes) -> bytes:
    """The file with a chunk of a private type added at its end.

    Unknown chunks are allowed in extended files only; other files are converted to that form.
    """
    chunks = list(_chunks(data))
    if chunks[0][0] != b"VP8X":
        chunks.insert(0, (b"VP8X", _extended(*chunks[0])))
    chunks.append((kind, body))
    return _file(chunks)


def replaced(data: bytes, kind: bytes, body: bytes) -> bytes:
    """The file with another body in its chunks of a type."""
    return _file([(found, body if found == kind else old) for found, old in _chunks(data)])


def mended(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The file with the size that its chunks have in its header, and notes if it had another.

    Bytes after the picture that are no whole chunk are left out. Unchanged if the picture is cut
    short.
    """
    chunks: list[tuple[bytes, bytes]] = []
    ends = [12]
    notes: list[str] = []
    for kind, body in _chunks(data):
        end = ends[-1] + 8 + _length(data, ends[-1])
        if end > len(data):
            if kind in _PICTURE:
                return data, ()
            if kind in _METADATA:
                notes.append(f"the file is cut short: {_METADATA[kind]} is missing")
            break
        chunks.append((kind, body))
        ends.append(end + end % 2)
    first = next((i for i, (kind, _) in enumerate(chunks, 1) if kind in _PICTURE), None)
    declared = 8 + int.from_bytes(data[4:8], "little")
    if first is None or (declared in ends[first:] and declared <= len(data)):
        return data, ()
    return _file(chunks), tuple(notes or ["the size in its header is wrong"])


def completed(data: bytes) -> Completion | None:
    """A file that is cut short within its lossy picture, completed by zeros.

    libwebp takes zeros for coefficients that are cheap to code; it refuses other bytes, and
    lossless pictures that are cut short.
    """
    chunks: list[tuple[bytes, bytes]] = []
    at = 12
    for kind, body in _chunks(data):
        size = _length(data, at)
        at += 8 + size + size % 2
        if kind == b"VP8X":
            body = _without_rest(body)
        if len(body) < size:
            if kind != b"VP8 " or size > _LARGEST:
                return None
            whole = _file([*chunks, (kind, body.ljust(size, b"\0"))])
            return Completion(whole, completion.of_bytes(len(body), size))
        chunks.append((kind, body))
    return None


def _length(data: bytes, at: int) -> int:
    """The length in the header of the chunk at an offset."""
    return int.from_bytes(data[at + 4 : at + 8], "little")


def _without_rest(extended: bytes) -> bytes:
    """The body of VP8X without the flags of EXIF and XMP, which follow the picture."""
    return bytes([extended[0] & ~0x0C]) + extended[1:] if extended else extended


def _file(chunks: list[tuple[bytes, bytes]]) -> bytes:
    packed = b"WEBP" + b"".join(_packed(*chunk) for chunk in chunks)
    return b"RIFF" + struct.pack("<I", len(packed)) + packed


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        (length,) = struct.unpack("<I", data[at + 4 : at + 8])
        yield data[at : at + 4], data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _extended(kind: bytes, body: bytes) -> bytes:
    """The body of the VP8X chunk for a file with a single image chunk."""
    if kind == b"VP8 ":
        width, height = (v & 0x3FFF for v in struct.unpack("<HH", body[6:10]))
        flags = 0
    else:  # VP8L, lossless
        (bits,) = struct.unpack("<I", body[1:5])
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        flags = 0x10 if bits >> 28 & 1 else 0
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return bytes([flags, 0, 0, 0]) + canvas


def _packed(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)

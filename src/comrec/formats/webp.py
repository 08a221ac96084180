"""Chunks of WebP files (RFC 9649, section 2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator


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

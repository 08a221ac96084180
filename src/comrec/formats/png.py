"""Chunks of PNG files (ISO/IEC 15948)."""

from __future__ import annotations

import struct
import zlib


def find(data: bytes, kind: bytes) -> bytes | None:
    """The body of the first chunk of a type; None if absent."""
    at = 8
    while at + 8 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        if data[at + 4 : at + 8] == kind:
            return data[at + 8 : at + 8 + length]
        at += 12 + length
    return None


def append(data: bytes, kind: bytes, body: bytes) -> bytes:
    """The file with a chunk added before IEND."""
    end = data.rindex(b"IEND") - 4
    checksum = struct.pack(">I", zlib.crc32(kind + body))
    return data[:end] + struct.pack(">I", len(body)) + kind + body + checksum + data[end:]

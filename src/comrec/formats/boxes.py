"""Boxes of the ISO base media file format (ISO/IEC 14496-12, section 4.2).

JP2, AVIF, HEIC and JPEG XL files are made of them: a length, a type of four letters, a body.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from comrec.errors import DamagedFileError


def walk(data: bytes, *, complete: bool = False) -> Iterator[tuple[int, bytes, bytes]]:
    """Offset, type and body of each box, one after the other; boxes inside are not entered.

    Args:
        complete: refuse a box that runs past the end of the data; otherwise its body is short.
    Raises:
        DamagedFileError: a length is impossible.
    """
    at = 0
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        head = 8
        if length == 1 and at + 16 <= len(data):
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        elif length == 0:  # to the end
            length = len(data) - at
        if length < head or (complete and length > len(data) - at):
            raise DamagedFileError("input: damaged box structure")
        yield at, data[at + 4 : at + 8], data[at + head : at + length]
        at += length


def find(data: bytes, *path: bytes) -> bytes | None:
    """The body of the first box of the last type, inside the first of the type before, and so on.

    Raises:
        DamagedFileError: a length is impossible.
    """
    for kind in path:
        found = next((body for _, name, body in walk(data) if name == kind), None)
        if found is None:
            return None
        data = found[4:] if kind == b"meta" else found  # after its version and flags
    return data


def pack(kind: bytes, body: bytes) -> bytes:
    """A box."""
    return struct.pack(">I", 8 + len(body)) + kind + body


def pack_uuid(identity: bytes, body: bytes) -> bytes:
    """A box of a stranger's type, told by 16 bytes."""
    return pack(b"uuid", identity + body)


def find_uuid(data: bytes, identity: bytes) -> bytes | None:
    """The body of the first top-level box of a stranger's type.

    Raises:
        DamagedFileError: a length is impossible.
    """
    bodies = (body for _, kind, body in walk(data) if kind == b"uuid")
    return next((body[16:] for body in bodies if body[:16] == identity), None)

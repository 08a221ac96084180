"""Boxes of the ISO base media file format (ISO/IEC 14496-12, section 4.2).

JP2, AVIF, HEIC and JPEG XL files consist of them: length, four-character type, body.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from comrec.errors import DamagedFileError


def walk(data: bytes, *, complete: bool = False) -> Iterator[tuple[int, bytes, bytes]]:
    """(Offset, type, body) of each top-level box.

    Args:
        complete: refuse what is no box after the others, and a box that extends beyond the data;
            otherwise the walk ends there, or the body is truncated.
    Raises:
        DamagedFileError: a box length is invalid.
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
        is_box = length >= head and (not complete or length <= len(data) - at)
        if not is_box and (complete or at == 0):
            raise DamagedFileError("input: damaged box structure")
        if not is_box:
            return
        yield at, data[at + 4 : at + 8], data[at + head : at + length]
        at += length


def end(data: bytes) -> int:
    """Where the last top-level box ends, at most the end of the data; after it is no box."""
    at = 0
    for start, _, body in walk(data):
        at = start + head_size(data, start) + len(body)
    return at


def head_size(data: bytes, at: int) -> int:
    """Bytes of length and type of the box at an offset: 8, or 16 if the length has 64 bits."""
    return 16 if data[at : at + 4] == b"\0\0\0\1" else 8


def find(data: bytes, *path: bytes) -> bytes | None:
    """The body of the box at a path of types, each the first of its type; None if absent.

    Raises:
        DamagedFileError: the first box at a level has an invalid length.
    """
    for kind in path:
        found = next((body for _, name, body in walk(data) if name == kind), None)
        if found is None:
            return None
        data = found[4:] if kind == b"meta" else found  # skip version and flags
    return data


def pack(kind: bytes, body: bytes) -> bytes:
    """A box of a type and a body."""
    return struct.pack(">I", 8 + len(body)) + kind + body


def pack_uuid(identity: bytes, body: bytes) -> bytes:
    """A ``uuid`` box: a private type given by 16 bytes."""
    return pack(b"uuid", identity + body)


def insert_uuid(data: bytes, identity: bytes, body: bytes, before: tuple[bytes, ...]) -> bytes:
    """The file with a ``uuid`` box inserted before the first box of the types ``before``.

    Not after it: the box of a codestream may extend to the end of the file.
    """
    at = next((at for at, kind, _ in walk(data) if kind in before), len(data))
    return data[:at] + pack_uuid(identity, body) + data[at:]


def find_uuid(data: bytes, identity: bytes) -> bytes | None:
    """The body of the first top-level ``uuid`` box with this identity; None if absent.

    Raises:
        DamagedFileError: the length of the first box is invalid.
    """
    bodies = (body for _, kind, body in walk(data) if kind == b"uuid")
    return next((body[16:] for body in bodies if body[:16] == identity), None)

"""What of a large file its header and mark need: coded pixels are passed over, not read."""

from __future__ import annotations

import struct
from typing import BinaryIO

from comrec.errors import DamagedFileError
from comrec.formats import cmr, detection, limits

_WHOLE = 16 << 20
"""Bytes of files that are read whole."""
_FIRST = 1 << 16
"""Bytes from the start that tell the format, and of coded data that is kept."""


def of(stream: BinaryIO, size: int) -> bytes:
    """The file without most of its coded data. PNG, JPEG and .cmr only: others are read whole, as
    are .cmr files of several payloads.

    Args:
        stream: at its start; it can seek.
        size: its length, bytes.
    Raises:
        OSError: it cannot be read.
        InputError: its metadata is larger than `limits.METADATA`, or a .cmr file's header damaged.
    """
    if size <= _WHOLE:
        return stream.read()
    first = stream.read(_FIRST)
    found = detection.find(first)
    if found == "png":
        return _png(stream, size)
    if found == "jpeg":
        return _jpeg(stream)
    if found is None or (found == cmr.FORMAT and _has_all_ends(first)):
        return first  # nothing else of it is looked at
    return first + stream.read()


def _has_all_ends(first: bytes) -> bool:
    """Whether the first bytes of a .cmr file tell where its payloads end."""
    return len(cmr.ends(first)) == cmr.header(first).payloads


def _png(stream: BinaryIO, size: int) -> bytes:
    """All chunks, those of samples without body."""
    stream.seek(0)
    kept, room, at = [stream.read(8)], limits.METADATA, 8
    while at + 8 <= size:
        stream.seek(at)
        head = stream.read(8)
        if len(head) < 8:  # it was cut meanwhile
            break
        length, kind = struct.unpack(">I4s", head)
        at += 12 + length
        if kind in (b"IDAT", b"fdAT"):
            if kept[-1][4:8] != kind:
                kept.append(struct.pack(">I4sI", 0, kind, 0))
            continue
        room -= 12 + length
        if room < 0:
            raise _too_much()
        kept.append(struct.pack(">I4s", length, kind) + stream.read(length + 4))
        if kind == b"IEND":
            break
    return b"".join(kept)


def _jpeg(stream: BinaryIO) -> bytes:
    """To the first scan and a little further; up to the limit where junk hides the segments."""
    at = 2
    while at < limits.METADATA:
        stream.seek(at)
        head = stream.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] == 0xDA:
            break
        at += 1 if head[1] == 0xFF else 2 + int.from_bytes(head[2:], "big")
    else:
        raise _too_much()
    stream.seek(0)
    whole = head[:2] == b"\xff\xda"
    return stream.read(at + _FIRST if whole else limits.METADATA)


def _too_much() -> DamagedFileError:
    return DamagedFileError(f"input: metadata of more than {limits.METADATA:,} bytes")

"""Where each kind of standard file lets strangers put data: the mark goes in, and comes out.

JPEG an APP9 segment; PNG a private ancillary chunk ``cmRC``; WebP a chunk ``CMRC`` of an
extended file; JPEG 2000 and AVIF a ``uuid`` box. No reader of the format minds.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator

from comrec.errors import DamagedFileError
from comrec.jpegtuning import segments
from comrec.wrapped.mark import MAGIC, SIZE

_APP9 = 0xE9
_UUID = bytes.fromhex("636f6d7265632d6d61726b2d76310000")  # "comrec-mark-v1"


OVERHEAD = {"jpeg": 4, "png": 12, "webp": 26, "jpeg2000": 24, "avif": 24}
"""Bytes that a mark costs beyond its own, at most."""


def embed(container: str, data: bytes, mark: bytes) -> bytes:
    """The file with a mark. ``container`` is a standard codec's id."""
    return _EMBED[container](data, mark)


def extract(container: str, data: bytes) -> bytes | None:
    """The mark's bytes, or None if the file has none.

    Raises:
        DamagedFileError: the container's structure is broken.
    """
    try:
        return _EXTRACT[container](data)
    except (struct.error, IndexError):
        raise DamagedFileError(f"input: damaged {container} structure") from None


def _embed_jpeg(data: bytes, mark: bytes) -> bytes:
    return segments.insert(data, [(_APP9, mark)])


def _extract_jpeg(data: bytes) -> bytes | None:
    for marker, body in segments.segments(data):
        if marker == _APP9 and body.startswith(MAGIC):
            return body
    return None


def _embed_png(data: bytes, mark: bytes) -> bytes:
    end = data.rindex(b"IEND") - 4
    chunk = b"cmRC" + mark
    return (
        data[:end]
        + struct.pack(">I", len(mark))
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + data[end:]
    )


def _extract_png(data: bytes) -> bytes | None:
    at = 8
    while at + 8 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind = data[at + 4 : at + 8]
        if kind == b"cmRC":
            return data[at + 8 : at + 8 + length]
        at += 12 + length
    return None


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        (length,) = struct.unpack("<I", data[at + 4 : at + 8])
        yield data[at : at + 4], data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _webp_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _embed_webp(data: bytes, mark: bytes) -> bytes:
    chunks = list(_webp_chunks(data))
    kind, body = chunks[0]
    if kind != b"VP8X":  # unknown chunks are allowed in extended files only
        if kind == b"VP8 ":
            width, height = (v & 0x3FFF for v in struct.unpack("<HH", body[6:10]))
            flags = 0
        else:  # VP8L, lossless
            (bits,) = struct.unpack("<I", body[1:5])
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
            flags = 0x10 if bits >> 28 & 1 else 0
        canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
        chunks.insert(0, (b"VP8X", bytes([flags, 0, 0, 0]) + canvas))
    chunks.append((b"CMRC", mark))
    packed = b"WEBP" + b"".join(_webp_chunk(*chunk) for chunk in chunks)
    return b"RIFF" + struct.pack("<I", len(packed)) + packed


def _extract_webp(data: bytes) -> bytes | None:
    return next((body for kind, body in _webp_chunks(data) if kind == b"CMRC"), None)


def _boxes(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Offset, type and body of each top-level box of an ISO base media file."""
    at = 0
    while at + 8 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        head = 8
        if length == 1:
            (length,) = struct.unpack(">Q", data[at + 8 : at + 16])
            head = 16
        elif length == 0:
            length = len(data) - at
        if length < head:
            raise DamagedFileError("input: damaged box structure")
        yield at, data[at + 4 : at + 8], data[at + head : at + length]
        at += length


def _uuid_box(mark: bytes) -> bytes:
    return struct.pack(">I", 24 + len(mark)) + b"uuid" + _UUID + mark


def _embed_avif(data: bytes, mark: bytes) -> bytes:
    # At the end: offsets in the item location box count from the start of the file.
    return data + _uuid_box(mark)


def _embed_jpeg2000(data: bytes, mark: bytes) -> bytes:
    # Before the codestream, whose box may run to the end of the file.
    at = next((at for at, kind, _ in _boxes(data) if kind == b"jp2c"), len(data))
    return data[:at] + _uuid_box(mark) + data[at:]


def _extract_uuid(data: bytes) -> bytes | None:
    for _, kind, body in _boxes(data):
        if kind == b"uuid" and body[:16] == _UUID:
            return body[16 : 16 + SIZE]
    return None


_EMBED: dict[str, Callable[[bytes, bytes], bytes]] = {
    "jpeg": _embed_jpeg,
    "png": _embed_png,
    "webp": _embed_webp,
    "jpeg2000": _embed_jpeg2000,
    "avif": _embed_avif,
}
_EXTRACT: dict[str, Callable[[bytes], bytes | None]] = {
    "jpeg": _extract_jpeg,
    "png": _extract_png,
    "webp": _extract_webp,
    "jpeg2000": _extract_uuid,
    "avif": _extract_uuid,
}

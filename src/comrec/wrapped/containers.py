"""Where each kind of standard file lets strangers put data: the mark goes in, and comes out.

JPEG an APP9 segment; PNG a private ancillary chunk ``cmRC``; WebP a chunk ``CMRC`` of an
extended file; JPEG 2000, AVIF, HEIC and JPEG XL a ``uuid`` box; BPG an extension. No reader of
the format minds. A bare JPEG XL codestream is put into a container first.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator

from comrec.errors import DamagedFileError
from comrec.formats import boxes, jxl, segments
from comrec.standard.bpg import container as bpg
from comrec.wrapped.mark import MAGIC, SIZE

_APP9 = 0xE9
_UUID = bytes.fromhex("636f6d7265632d6d61726b2d76310000")  # "comrec-mark-v1"
_TAG = 0x636D5243  # "cmRC": BPG's own extension tags count up from 1, readers skip unknown ones

_JXL_HEAD = boxes.pack(b"JXL ", b"\r\n\x87\n") + boxes.pack(b"ftyp", b"jxl \0\0\0\0jxl ")


OVERHEAD = {
    "jpeg": 4,
    "png": 12,
    "webp": 26,
    "jpeg2000": 24,
    "avif": 24,
    "bpg": 7,
    "jpegxl": 64,
    "heic": 24,
}
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


def _embed_at_end(data: bytes, mark: bytes) -> bytes:
    # For AVIF and HEIC: offsets in the item location box count from the start of the file.
    return data + boxes.pack_uuid(_UUID, mark)


def _embed_before(data: bytes, mark: bytes, codestream: tuple[bytes, ...]) -> bytes:
    # Not behind it: its box may run to the end of the file.
    at = next((at for at, kind, _ in boxes.walk(data) if kind in codestream), len(data))
    return data[:at] + boxes.pack_uuid(_UUID, mark) + data[at:]


def _embed_jpeg2000(data: bytes, mark: bytes) -> bytes:
    return _embed_before(data, mark, (b"jp2c",))


def _extract_uuid(data: bytes) -> bytes | None:
    body = boxes.find_uuid(data, _UUID)
    return None if body is None else body[:SIZE]


def _embed_jpegxl(data: bytes, mark: bytes) -> bytes:
    if data.startswith(jxl.CODESTREAM):  # bare, without room for anything else
        data = _JXL_HEAD + boxes.pack(b"jxlc", data)
    return _embed_before(data, mark, (b"jxlc", b"jxlp"))


def _extract_jpegxl(data: bytes) -> bytes | None:
    return None if data.startswith(jxl.CODESTREAM) else _extract_uuid(data)


def _embed_bpg(data: bytes, mark: bytes) -> bytes:
    return bpg.with_extension(data, _TAG, mark)


def _extract_bpg(data: bytes) -> bytes | None:
    return bpg.extension(data, _TAG)


_EMBED: dict[str, Callable[[bytes, bytes], bytes]] = {
    "jpeg": _embed_jpeg,
    "png": _embed_png,
    "webp": _embed_webp,
    "jpeg2000": _embed_jpeg2000,
    "avif": _embed_at_end,
    "bpg": _embed_bpg,
    "jpegxl": _embed_jpegxl,
    "heic": _embed_at_end,
}
_EXTRACT: dict[str, Callable[[bytes], bytes | None]] = {
    "jpeg": _extract_jpeg,
    "png": _extract_png,
    "webp": _extract_webp,
    "jpeg2000": _extract_uuid,
    "avif": _extract_uuid,
    "bpg": _extract_bpg,
    "jpegxl": _extract_jpegxl,
    "heic": _extract_uuid,
}

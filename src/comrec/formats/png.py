"""Chunks of PNG files (ISO/IEC 15948)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from PIL.PngImagePlugin import MAX_TEXT_CHUNK

from comrec.formats import completion, limits
from comrec.formats.completion import Completion
from comrec.picture import MAX_PIXELS

_HEAD = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2))  # fmt: skip
"""First column, first row, and steps of the passes of interlaced files."""

_XMP = b"XML:com.adobe.xmp\0"
_STEP = 1 << 16
_LARGEST = 1 << 29
"""Bytes of samples, expanded, up to which files that are cut short are completed."""


def find(data: bytes, kind: bytes) -> bytes | None:
    """The body of the first chunk of a type; None if absent."""
    return next((body for found, body, _ in _chunks(data) if found == kind), None)


def append(data: bytes, kind: bytes, body: bytes) -> bytes:
    """The file with a chunk added before IEND."""
    end = data.rindex(b"IEND") - 4
    return data[:end] + _packed(kind, body) + data[end:]


def mended(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The file without ancillary chunks that Pillow refuses, and notes on what is missing.

    Other decoders pass over them too, if their checksum is wrong. Pillow expands text up to a
    limit per chunk and one in all; XMP of more than the first is stored without compression.
    """
    kept, notes = [_HEAD], []
    left, changed = limits.METADATA, False
    for kind, body, checksum in _chunks(data):
        name = "XMP" if body.startswith(_XMP) and kind == b"iTXt" else _printable(kind)
        if kind[:1].islower() and checksum != _checksum(kind, body):
            notes.append(f"{name} is left out: its checksum is wrong")
            continue
        compressed = _compressed_text(kind, body)
        if compressed is not None:
            limit = min(left, limits.METADATA if name == "XMP" else MAX_TEXT_CHUNK)
            text = _expanded(compressed, limit)
            if text is None:
                notes.append(f"{name} is left out: it expands to more than {limit:,} bytes")
                continue
            left -= len(text)
            if len(text) > MAX_TEXT_CHUNK:
                kept.append(_packed(kind, _XMP + bytes(4) + text))
                changed = True
                continue
        kept.append(_packed(kind, body, checksum))
    return (b"".join(kept) if notes or changed else data), tuple(dict.fromkeys(notes))


def completed(data: bytes) -> Completion | None:
    """A file that is cut short, completed by samples of 0; None if it is damaged otherwise."""
    chunks = list(_chunks(data))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        return None
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    if colour not in _CHANNELS or not 0 < width * height <= MAX_PIXELS:
        return None
    row = 1 + -(-width * bits * _CHANNELS[colour] // 8)
    size = height * row if not interlaced else _interlaced(width, height, bits * _CHANNELS[colour])
    if size > _LARGEST:
        return None
    samples = b"".join(body for kind, body, _ in chunks if kind == b"IDAT")
    try:
        there, again = _recompressed(samples, size)
    except zlib.error:
        return None
    if there == 0:
        return None
    before = []
    for kind, body, checksum in chunks:
        if kind == b"IDAT":
            break
        before.append(_packed(kind, body, checksum))
    whole = b"".join([_HEAD, *before, _packed(b"IDAT", again), _packed(b"IEND", b"")])
    if there == size:
        return Completion(whole, "the end of the file is missing", whole=True)
    if interlaced:
        return Completion(whole, completion.of_bytes(there, size))
    return Completion(whole, completion.of_rows(there // row, height))


def _interlaced(width: int, height: int, bits: int) -> int:
    size = 0
    for left, top, across, down in _ADAM7:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            size += rows * (1 + -(-columns * bits // 8))
    return size


def _recompressed(samples: bytes, size: int) -> tuple[int, bytes]:
    """How many of ``size`` bytes compressed samples expand to; and all of them compressed again.

    Raises:
        zlib.error: they are damaged.
    """
    expand, compress = zlib.decompressobj(), zlib.compressobj(1)
    there, again = 0, []
    for at in range(0, len(samples), _STEP // 16):
        part = samples[at : at + _STEP // 16]
        while part and not expand.eof:  # to the end, for its checksum
            rows = expand.decompress(part, _STEP)[: size - there]
            there += len(rows)
            again.append(compress.compress(rows))
            part = expand.unconsumed_tail
    for at in range(there, size, _STEP):  # filter 0, samples 0
        again.append(compress.compress(bytes(min(_STEP, size - at))))
    return there, b"".join([*again, compress.flush()])


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(Type, body, checksum) of each chunk up to IEND; the last may be cut short."""
    at = 8
    while at + 8 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, end = data[at + 4 : at + 8], at + 8 + length
        yield kind, data[at + 8 : end], data[end : end + 4]
        if kind == b"IEND":
            return
        at = end + 4


def _checksum(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _packed(kind: bytes, body: bytes, checksum: bytes | None = None) -> bytes:
    if checksum is None:
        checksum = _checksum(kind, body)
    return struct.pack(">I", len(body)) + kind + body + checksum


def _printable(kind: bytes) -> str:
    names = {b"iCCP": "ICC", b"eXIf": "EXIF"}
    return names.get(kind, f"the chunk {kind.decode('latin-1').encode('unicode_escape').decode()}")


def _compressed_text(kind: bytes, body: bytes) -> bytes | None:
    """The compressed part of a chunk of text; None of others."""
    _, _, rest = body.partition(b"\0")
    if kind == b"zTXt":
        return rest[1:]
    if kind == b"iTXt" and rest[:1] == b"\1":
        return rest[2:].split(b"\0", 2)[-1]
    return None


def _expanded(compressed: bytes, limit: int) -> bytes | None:
    """None if it is more than the limit; empty if it is damaged, as in Pillow."""
    decoder = zlib.decompressobj()
    try:
        text = decoder.decompress(compressed, limit + 1)
    except zlib.error:
        return b""
    return text if len(text) <= limit else None

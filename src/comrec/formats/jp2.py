"""Metadata and bit depth of JP2 files (ITU-T T.800, annex I).

EXIF and XMP are in ``uuid`` boxes, as in other software; ICC replaces the enumerated colour
space. Pillow neither writes nor reads them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from comrec.formats import boxes, completion, resolution
from comrec.formats.completion import Completion
from comrec.picture import Metadata

_EXIF = b"JpgTiffExif->JP2"
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_CODESTREAM = b"\xff\x4f\xff\x51"
_SOT, _EOC = b"\xff\x90", b"\xff\xd9"

_LARGEST = 1 << 26
"""Missing bytes up to which files that are cut short are completed."""

# Restricted ICC. It is defined for matrix profiles, but "any ICC" is for JPX files only, and
# decoders that read the profile accept any.
_ICC_METHOD = b"\x02\x00\x00"


def embed(data: bytes, metadata: Metadata) -> bytes:
    """Add metadata to a JP2 file that has none."""
    out = b""
    for _, kind, body in boxes.walk(data):
        if kind != b"jp2h":
            out += boxes.pack(kind, body)
            continue
        header = body if metadata.icc is None else _with_icc(body, metadata.icc)
        out += boxes.pack(kind, header + resolution.jp2_box(metadata))
        if metadata.exif is not None:
            out += boxes.pack_uuid(_EXIF, metadata.exif)
        if metadata.xmp is not None:
            out += boxes.pack_uuid(_XMP, metadata.xmp)
    return out


def _with_icc(header: bytes, icc: bytes) -> bytes:
    return b"".join(
        boxes.pack(kind, _ICC_METHOD + icc if kind == b"colr" else body)
        for _, kind, body in boxes.walk(header)
    )


def metadata_of(data: bytes) -> Metadata:
    """EXIF, ICC, XMP and resolution of a JP2 file; empty for a bare codestream.

    Raises:
        DamagedFileError: the box structure is damaged.
    """
    if data.startswith(_CODESTREAM):
        return Metadata()
    header = boxes.find(data, b"jp2h") or b""
    colour = boxes.find(header, b"colr")
    icc = colour[3:] if colour is not None and colour[:1] in (b"\2", b"\3") else None
    exif, xmp = boxes.find_uuid(data, _EXIF), boxes.find_uuid(data, _XMP)
    return Metadata(exif, icc, xmp, resolution.in_jp2(header))


def bits_of(data: bytes) -> int:
    """Bits per sample of the deepest component.

    Raises:
        DamagedFileError, struct.error, IndexError: the header is damaged.
    """
    if data.startswith(_CODESTREAM):
        (count,) = struct.unpack_from(">H", data, 40)
        depths = data[42 : 42 + 3 * count : 3]
    else:
        header = boxes.find(data, b"jp2h", b"ihdr") or b""
        depths = header[10:11]
        if depths == b"\xff":  # they differ
            depths = boxes.find(data, b"jp2h", b"bpcc") or b""
    return max((depth & 0x7F) + 1 for depth in depths)


def completed(data: bytes) -> Iterator[Completion]:
    """Completions of a file that is cut short within its tiles (annexes A.4 and B.10), best first.

    Decoders take the bytes FF FF for the end of a code-block, and 0 for an empty packet. How many
    of the missing bytes are the rest of a packet is unknown.
    """
    start = _codestream_at(data)
    if start is None:
        return
    head, stream = data[:start], data[start:]
    if start:  # its box ends with the file
        head = head[: head.rindex(b"jp2c") - 4] + bytes(4) + b"jp2c"
    found = _end_of_tiles(stream)
    if found is None or stream[found : found + 2] == _EOC:
        return
    missing = found - len(stream)
    if missing <= 0:
        yield Completion(head + stream[:found] + _EOC, "the end marker is missing", whole=True)
    elif missing <= _LARGEST:
        note = completion.of_bytes(len(stream), found)
        for byte in (b"\xff", b"\0"):
            yield Completion(head + stream + byte * missing + _EOC, note)


def _codestream_at(data: bytes) -> int | None:
    if data.startswith(_CODESTREAM):
        return 0
    for at, kind, _ in boxes.walk(data):
        if kind == b"jp2c":
            start = at + boxes.head_size(data, at)
            return start if data.startswith(_CODESTREAM, start) else None
    return None


def _end_of_tiles(stream: bytes) -> int | None:
    """Where the last tile-part that there is ends, or should; None if there is none."""
    at = 2
    while stream[at : at + 2] not in (_SOT, b""):
        if at + 4 > len(stream):
            return None
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    if at + 12 > len(stream):
        return None
    while stream.startswith(_SOT, at) and at + 12 <= len(stream):
        length = int.from_bytes(stream[at + 6 : at + 10], "big")
        if length < 12:  # 0: to the end
            return len(stream)
        at += length
    return at

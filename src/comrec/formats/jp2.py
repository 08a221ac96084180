"""Metadata and bit depth of JP2 files (ITU-T T.800, annex I).

EXIF and XMP are in ``uuid`` boxes, as in other software; ICC replaces the enumerated colour
space. Pillow neither writes nor reads them.
"""

from __future__ import annotations

import struct

from comrec.formats import boxes, resolution
from comrec.picture import Metadata

_EXIF = b"JpgTiffExif->JP2"
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_CODESTREAM = b"\xff\x4f\xff\x51"

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
    icc = colour[3:] if colour is not None and colour[0] in (2, 3) else None
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

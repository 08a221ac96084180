"""JPEG marker segments: metadata, application data, quantisation tables."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from comrec.errors import DamagedFileError, UnsupportedPictureError
from comrec.picture import EXIF_HEAD, Metadata

XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\x00"
ICC_HEAD = b"ICC_PROFILE\x00"
_ROOM = 65533


def insert(data: bytes, segments: list[tuple[int, bytes]]) -> bytes:
    """Insert (marker, body) segments after SOI and the APP0 of JFIF."""
    at = 2
    if data[2:4] == b"\xff\xe0":
        at = 4 + struct.unpack(">H", data[4:6])[0]
    packed = b"".join(
        struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments
    )
    return data[:at] + packed + data[at:]


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The (marker, body) segments before the first scan.

    Raises:
        DamagedFileError: the header is damaged or truncated.
    """
    at = 2
    while True:
        if data[at : at + 1] != b"\xff" or at + 4 > len(data):
            raise DamagedFileError("input: damaged JPEG header")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == 0xDA:
            return
        length = struct.unpack(">H", data[at + 2 : at + 4])[0]
        yield marker, data[at + 4 : at + 2 + length]
        at += 2 + length


def luma_table(data: bytes) -> NDArray[np.uint16]:
    """The quantisation table of the first component, (64,) in zigzag order.

    Raises:
        DamagedFileError: the file has none, or it is damaged.
    """
    tables: dict[int, NDArray[np.uint16]] = {}
    wanted = 0
    for marker, body in segments(data):
        if marker == 0xDB:
            at = 0
            while at < len(body):
                wide, number = body[at] >> 4, body[at] & 15
                size = 128 if wide else 64
                raw = body[at + 1 : at + 1 + size]
                if len(raw) < size:
                    raise DamagedFileError("input: damaged JPEG quantisation table")
                tables[number] = np.frombuffer(raw, ">u2" if wide else np.uint8).astype(np.uint16)
                at += 1 + size
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(body) > 8:
            wanted = body[8]
    if wanted not in tables:
        raise DamagedFileError("input: JPEG file without a luma quantisation table")
    return tables[wanted]


def metadata_segments(metadata: Metadata) -> list[tuple[int, bytes]]:
    """EXIF, XMP and ICC as APP1 and APP2 segments.

    Raises:
        UnsupportedPictureError: EXIF or XMP above about 64 kB, ICC above about 16 MB.
    """
    out = []
    if metadata.exif is not None:
        out.append((0xE1, EXIF_HEAD + _fitting("EXIF", metadata.exif, _ROOM - len(EXIF_HEAD))))
    if metadata.xmp is not None:
        out.append((0xE1, XMP_HEAD + _fitting("XMP", metadata.xmp, _ROOM - len(XMP_HEAD))))
    if metadata.icc is not None:
        part = _ROOM - len(ICC_HEAD) - 2
        icc = _fitting("ICC", metadata.icc, 255 * part)
        parts = [icc[i : i + part] for i in range(0, len(icc), part)]
        out += [
            (0xE2, ICC_HEAD + bytes([number, len(parts)]) + body)
            for number, body in enumerate(parts, start=1)
        ]
    return out


def _fitting(name: str, body: bytes, room: int) -> bytes:
    if len(body) > room:
        others = ",".join(kind for kind in ("exif", "icc", "xmp") if kind != name.lower())
        raise UnsupportedPictureError(
            f"JPEG can store {name} of at most {room:,} bytes, not {len(body):,}: "
            f"--metadata {others} leaves it out"
        )
    return body

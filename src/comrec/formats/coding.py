"""What headers say about how finely a picture is coded: losslessly, and with which chroma."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from comrec.formats import items, segments, webp

_BY_FACTORS: dict[tuple[float, float], str] = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0"}
_BY_FORMAT = ("4:0:0", "4:2:0", "4:2:2", "4:4:4")  # chroma_format_idc of HEVC
_BPG = (*_BY_FORMAT, "4:2:0", "4:2:2")  # the last two with chroma sited as in video
_SIZ_COD = b"\xff\x4f\xff\x51", b"\xff\x52"


@dataclass(frozen=True)
class Coding:
    """
    Attributes:
        lossless: whether the header says that decoding gives the original exactly, or would if no
            data were left out (the reversible transform of JPEG 2000).
        sampling: "4:0:0" (gray), "4:2:0", "4:2:2", "4:4:4", or another in words; None if the
            header does not say it.
    """

    lossless: bool = False
    sampling: str | None = None


def of(format: str, data: bytes) -> Coding:
    """What the header of a file says; nothing for formats whose headers say neither.

    Raises:
        DamagedFileError: the structure of the file is damaged.
    """
    read = _READERS.get(format)
    return Coding() if read is None else read(data)


def _jpeg(data: bytes) -> Coding:
    """ITU-T T.81, B.2.2; ITU-T T.872, 6.5.3 for the APP14 segment of Adobe."""
    frame, transform, jfif = b"", None, False
    lossless = False
    for marker, body in segments.segments(data):
        if marker == 0xE0:
            jfif = jfif or body.startswith(b"JFIF\0")
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) > 11:
            transform = body[11]
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame, lossless = body, marker in (0xC3, 0xC7, 0xCB, 0xCF)
    numbers, factors = frame[6::3], frame[7::3]
    if len(numbers) == 1:
        return Coding(lossless, "4:0:0")
    if len(numbers) == 4:
        return Coding(lossless, "CMYK")
    if len(numbers) != 3 or len(factors) != 3:
        return Coding(lossless)
    if not jfif and (transform == 0 or (transform is None and numbers == b"RGB")):
        return Coding(lossless, "RGB")
    across, down = ({factor >> 4 for factor in factors}, {factor & 15 for factor in factors})
    if 0 in across | down or factors[1] != factors[2]:
        return Coding(lossless, "unusual")
    ratio = (factors[0] >> 4) / (factors[1] >> 4), (factors[0] & 15) / (factors[1] & 15)
    return Coding(lossless, _BY_FACTORS.get(ratio, "unusual"))


def _webp(data: bytes) -> Coding:
    """RFC 9649, section 2.5 and 2.6."""
    return Coding(webp.find(data, b"VP8L") is not None, "4:2:0")


def _avif(data: bytes) -> Coding:
    """AV1 Codec ISO Media File Format Binding, section 2.3.3."""
    return _finest(data, b"av1C", 2, _av1_sampling)


def _av1_sampling(body: bytes) -> int:
    monochrome, horizontal, vertical = (body[2] >> shift & 1 for shift in (4, 3, 2))
    return 0 if monochrome else 3 - horizontal - vertical


def _heic(data: bytes) -> Coding:
    """ISO/IEC 14496-15, section 8.3.3.1.2."""
    return _finest(data, b"hvcC", 16, lambda body: body[16] & 3)


def _finest(data: bytes, kind: bytes, last: int, sampling: Callable[[bytes], int]) -> Coding:
    """The sampling of the item with most chroma: alpha is gray.

    Args:
        kind, last: the type of the box of its configuration, and the last byte needed of it.
        sampling: gives the index into `_BY_FORMAT`.
    """
    shared = items.properties(data)
    found = [body for name, body in shared if name == kind and len(body) > last]
    return Coding(sampling=_BY_FORMAT[max(map(sampling, found))] if found else None)


def _jpeg2000(data: bytes) -> Coding:
    """ITU-T T.800, A.6.1: the transform of the main header's COD segment."""
    at = data.find(_SIZ_COD[0]) + 2
    while at >= 2 and at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0x90:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at : at + 2] == _SIZ_COD[1]:
            return Coding(lossless=data[at + 13 : at + 14] == b"\1")
        at += 2 + max(2, length)
    return Coding()


def _bpg(data: bytes) -> Coding:
    """BPG specification, section 3.1: the upper three bits of the fifth byte."""
    return Coding(sampling=dict(enumerate(_BPG)).get(data[4] >> 5) if len(data) > 4 else None)


_READERS: dict[str, Callable[[bytes], Coding]] = {
    "jpeg": _jpeg,
    "webp": _webp,
    "avif": _avif,
    "heic": _heic,
    "jpeg2000": _jpeg2000,
    "bpg": _bpg,
}

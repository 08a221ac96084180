"""Kinds of JPEG, TIFF and PSD that the libraries here do not read, though the file is whole."""

from __future__ import annotations

import re
import struct

from comrec.errors import DamagedFileError
from comrec.formats import psd, segments, tiff
from comrec.formats.tiff import Directory

_CONVERT = "convert it with other software"

_PROCESSES = {
    **dict.fromkeys((0xC3, 0xC7, 0xCB, 0xCF), "a lossless JPEG"),
    **dict.fromkeys((0xC5, 0xC6, 0xCD, 0xCE), "a hierarchical JPEG"),
    **dict.fromkeys((0xC9, 0xCA), "an arithmetic-coded JPEG"),
    0xF7: "a JPEG-LS",
}
"""Coding processes by the marker of the frame header (ITU-T T.81, table B.1; T.87)."""
_FRAMES = (0xC0, 0xC1, 0xC2, *_PROCESSES)

_READ = (
    1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32809, 32946, 34676, 34677, 34925, 50000,
)  # fmt: skip
"""Compressions of TIFF that libtiff in Pillow reads."""
_COMPRESSIONS = {
    9: "JBIG", 10: "JBIG", 33003: "JPEG 2000", 33005: "JPEG 2000", 34661: "JBIG",
    34712: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG", 34933: "PNG", 34934: "JPEG XR",
    50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
"""Names of some others."""

_PHOTOMETRIC = {
    0: "gray", 1: "gray", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "CIELab",
    9: "ICCLab", 10: "ITULab", 32803: "colour filter array (raw)", 32844: "LogL", 32845: "LogLuv",
    34892: "linear raw",
}  # fmt: skip
_SAMPLE_FORMATS = {1: "unsigned integer", 2: "signed integer", 3: "floating-point", 5: "complex",
                   6: "complex"}  # fmt: skip

_SAID = re.compile(
    r"unsupported|not (yet )?supported|unimplemented|cannot find loader", re.IGNORECASE
)


def reason(data: bytes, said: str | None = None) -> str | None:
    """Why a file that could not be read is of an unsupported kind; None if it is damaged.

    Args:
        said: the message of the library that failed; None if none recognised the file.
    Returns:
        What it is and what to do, as the part of an error message after the file's name.
    """
    try:
        if data.startswith(b"\xff\xd8"):
            kind = _jpeg(data)
        elif tiff.is_tiff(data):
            kind = _tiff(tiff.directory(data), identified=said is not None)
        elif data.startswith(psd.MAGIC):
            kind = _psd(data)
        else:
            kind = None
    except (DamagedFileError, struct.error, IndexError):
        kind = None
    if kind is None and said is not None and _SAID.search(said):
        return f"of an unsupported kind ({said}); {_CONVERT}"
    return None if kind is None else f"{kind}, a kind that comrec does not read; {_CONVERT}"


def _jpeg(data: bytes) -> str | None:
    for marker, body in segments.segments(data):
        if marker not in _FRAMES:
            continue
        bits, components = body[0], body[5]
        if marker in _PROCESSES:
            return f"{_PROCESSES[marker]} file"
        if bits != 8:
            return f"a JPEG file of {bits} bits per sample"
        if components not in (1, 3, 4):
            return f"a JPEG file of {components} components"
        return None
    return None


def _tiff(page: Directory, identified: bool) -> str | None:
    """What a TIFF page is.

    Args:
        identified: whether its kind was recognised, and only decoding failed.
    """
    data = page.data
    if data.startswith(b"MM\0+"):
        return "a big-endian BigTIFF file"
    compression = page.integer(tiff.COMPRESSION, 1)
    if compression not in _READ:
        method = _COMPRESSIONS.get(compression, f"method {compression}")
        return f"a TIFF file compressed by {method}"
    places = page.integers(tiff.STRIP_OFFSETS) or page.integers(tiff.TILE_OFFSETS)
    sides = page.integers(tiff.WIDTH) and page.integers(tiff.HEIGHT)
    if identified or not sides or not places or max(places) >= len(data):
        return None
    photometric = page.integer(tiff.PHOTOMETRIC, 0)
    bits = page.integers(tiff.BITS, (1,))
    sizes = "/".join(str(size) for size in sorted(set(bits)))
    number = page.integer(tiff.SAMPLE_FORMAT, 1)
    extra = len(page.integers(tiff.EXTRA_SAMPLES))
    return (
        f"a TIFF file of {sizes}-bit {_SAMPLE_FORMATS.get(number, 'undefined')} "
        f"{_PHOTOMETRIC.get(photometric, f'samples of colour space {photometric}')}"
        + (f" with {extra} extra sample{'s' * (extra > 1)}" if extra else "")
    )


def _psd(data: bytes) -> str | None:
    _, bits, mode = psd.header(data)
    if mode in psd.MODES and bits == (1 if mode == 0 else 8):
        return None
    return f"a PSD file of {bits}-bit {psd.MODES.get(mode, f'colour mode {mode}')}"

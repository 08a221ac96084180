"""Resolution of pictures, in pixels per inch: in EXIF, in JFIF (ITU-T T.871) and in JP2 files."""

from __future__ import annotations

import math
import struct
from typing import Any

from comrec.errors import DamagedFileError
from comrec.formats import boxes, tiff
from comrec.picture import EXIF_HEAD, Metadata

Resolution = tuple[float, float]

_INCH = 0.0254
_HIGHEST = 1e5
_UNKNOWN = (72.0, 72.0)
"""Exif 2.3 has cameras write this where the resolution is unknown."""

_JFIF = b"JFIF\x00"
_STEP = 0.02
"""Twice the rounding of whole pixels per metre, in which PNG and JP2 store it."""


def valid(found: Any) -> Resolution | None:
    """(Horizontal, vertical) as floats; None if these are not two plausible numbers."""
    try:
        across, down = (float(value) for value in found)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    both = (across, down)
    return both if all(math.isfinite(v) and _INCH <= v <= _HIGHEST for v in both) else None


def of(metadata: Metadata) -> Resolution | None:
    """The resolution, or else that in EXIF, unless it only says that it is unknown."""
    return metadata.resolution or _in_exif(metadata.exif)


def _in_exif(exif: bytes | None) -> Resolution | None:
    try:
        tags = tiff.directory((exif or b"").removeprefix(EXIF_HEAD))
    except DamagedFileError:
        return None
    factor = {2: 1.0, 3: 2.54}.get(tags.integer(tiff.RESOLUTION_UNIT, 2))
    across, down = tags.rational(tiff.X_RESOLUTION), tags.rational(tiff.Y_RESOLUTION)
    if factor is None or across is None or down is None:
        return None
    found = valid((factor * across, factor * down))
    return None if found == _UNKNOWN else found


def in_jfif(data: bytes, metadata: Metadata) -> bytes:
    """A JPEG file, with the resolution in its JFIF segment, if there is one."""
    found = of(metadata)
    if found is None or data[2:4] != b"\xff\xe0" or data[6:11] != _JFIF:
        return data
    per_inch = [round(value) for value in found]
    per_cm = [round(value / 2.54) for value in found]
    unit, density = 1, per_inch
    if _error(found, per_inch, 1) > _STEP > _error(found, per_cm, 2.54):
        unit, density = 2, per_cm
    if not all(1 <= value < 1 << 16 for value in density):
        return data
    return data[:13] + struct.pack(">BHH", unit, *density) + data[18:]


def _error(wanted: Resolution, density: list[int], factor: float) -> float:
    return max(abs(value - factor * whole) for value, whole in zip(wanted, density, strict=True))


def jp2_box(metadata: Metadata) -> bytes:
    """The ``res `` box with the capture resolution; empty without a resolution (T.800, I.5.3.7)."""
    found = of(metadata)
    if found is None:
        return b""
    numbers, exponents = [], []
    for value in reversed(found):  # vertical first
        per_metre, exponent = value / _INCH, 0
        while per_metre >= 1 << 16:
            per_metre, exponent = per_metre / 10, exponent + 1
        numbers += [max(1, round(per_metre)), 1]
        exponents.append(exponent)
    body = struct.pack(">HHHHbb", *numbers, *exponents)
    return boxes.pack(b"res ", boxes.pack(b"resc", body))


def in_jp2(header: bytes) -> Resolution | None:
    """The resolution in the body of a ``jp2h`` box."""
    body = boxes.find(header, b"res ", b"resc") or boxes.find(header, b"res ", b"resd")
    if body is None or len(body) < 10:
        return None
    *numbers, down, across = struct.unpack_from(">HHHHbb", body)
    if not (numbers[1] and numbers[3]):
        return None
    vertical = numbers[0] / numbers[1] * 10.0**down * _INCH
    return valid((numbers[2] / numbers[3] * 10.0**across * _INCH, vertical))

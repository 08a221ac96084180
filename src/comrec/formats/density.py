"""Pictures too large for small files: of one colour, nearly, or made to exhaust memory.

Formats code a picture of one colour in a few hundred bytes, whatever its size, and decoding takes
memory and time in proportion to its size.
"""

from __future__ import annotations

from comrec.errors import TooLargeError

SMALL = 1_000_000
"""Bytes from which a file may hold any picture within `comrec.picture.MAX_PIXELS`."""

_SAMPLES = 200_000_000
_SLOW = {"webp": 150_000_000, "jpeg2000": 150_000_000, "jpegxl": 150_000_000}
"""Samples of a picture in a smaller file, by format. Decoding, and writing as PNG, then take at
most 1 GB and, on one core, 10 s; networks not counted. The decoders that take most are here."""


def check(format_id: str, width: int, height: int, channels: int, size: int) -> None:
    """Refuse a small file of a large picture.

    Args:
        format_id: as `detection.format_of` names it.
        channels: samples per pixel, with alpha.
        size: of the file, bytes.
    Raises:
        TooLargeError: it is.
    """
    most = _SLOW.get(format_id, _SAMPLES)
    if size < SMALL and width * height * channels > most:
        raise TooLargeError(
            f"input: declares {width}x{height} with {channels} samples per pixel, more than "
            f"{most:,} samples, in only {size:,} bytes; if you trust it, --allow-large decodes it"
        )

"""Pictures that are larger than the bytes of their file make likely: one colour, or an attack.

Formats code a picture of one colour in a few hundred bytes, whatever its size, and decoding takes
memory and time in proportion to its size. Photographs at the lowest qualities have 10 to 80 pixels
per byte; scans and drawings that are mostly white can have many more.
"""

from __future__ import annotations

from comrec.errors import TooLargeError

PER_BYTE = 180
"""Pixels per byte that are always decoded: a file of 1 MB may have `comrec.picture.MAX_PIXELS`."""

SAMPLES = 150_000_000
"""Samples that are always decoded: 50 megapixels in colour, 150 in gray. For these the decoder that
takes most, of JPEG 2000, needs 1 GB."""


def check(width: int, height: int, channels: int, size: int) -> None:
    """Refuse a picture that has more than `SAMPLES`, and more than `PER_BYTE` pixels per byte.

    Args:
        channels: samples per pixel, with alpha.
        size: of the file, bytes.
    Raises:
        TooLargeError: it has.
    """
    pixels = width * height
    if pixels * channels > SAMPLES and pixels > PER_BYTE * size:
        raise TooLargeError(
            f"input: declares {width}x{height} in {size:,} bytes, over {PER_BYTE} pixels per byte, "
            "as pictures of one colour do, and files made to exhaust memory: --allow-large "
            "decodes it"
        )

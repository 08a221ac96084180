"""An estimate of the memory that encoding a picture takes, and how many processes fit."""

from __future__ import annotations

import io
import os
import statistics
import warnings
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from comrec.codec import Codec
from comrec.formats import cmr
from comrec.inference import session

PLAIN = 100_000_000, 80
"""Bytes of a process, and bytes more per pixel, of codecs without networks. Measured: 60 to 90 MB;
9 (jpeg), 11 (webp), 24 (heic), 30 (avif, bpg), 40 (jpeg2000), 72 (jpegxl)."""
NETWORKS = 200_000_000, 150
"""Of codecs with networks. Measured: 160 to 220 MB; 90 to 140."""
LEARNED = 200_000_000, 500
"""Of codecs that write .cmr files; less at low efforts. Measured: 100 to 450."""
_UNKNOWN = 20
"""Pixels per byte of files whose header is not read here."""


def estimate(source: Path | bytes, coder: Codec, *, untrusted: bool = False) -> int:
    """Bytes that a process takes to encode a picture: some, and some for each pixel.

    Args:
        source: its file. Pixels are those of the header, where Pillow reads it; otherwise 20 for
            each byte of the file.
        untrusted: whether no header is read.
    """
    return of_pixels(pixels(source, untrusted=untrusted), coder)


def of_size(size: int, coder: Codec) -> int:
    """`estimate` of a file of which the size alone is known, in bytes."""
    return of_pixels(_UNKNOWN * size, coder)


def of_pixels(pixels: int, coder: Codec) -> int:
    """`estimate` of a picture of so many pixels."""
    if coder.container == cmr.FORMAT:
        base, each = LEARNED
    else:
        base, each = NETWORKS if coder.networks else PLAIN
    return base + pixels * each


def pixels(source: Path | bytes, *, untrusted: bool = False) -> int:
    """Pixels of a picture by its header, or by the size of its file: see `estimate`."""
    if untrusted:
        return _by_size(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
                return image.width * image.height
    except Exception:  # not of Pillow's formats, or damaged: whoever encodes it says so
        return _by_size(source)


def _by_size(source: Path | bytes) -> int:
    try:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
    except OSError:
        size = 0
    return _UNKNOWN * size


def available() -> int | None:
    """Three quarters of the machine's memory, in bytes; None where that is not known."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 3 // 4
    except (AttributeError, OSError, ValueError):
        return None


def processes(files: int, costs: Sequence[int], most: int | None) -> int:
    """How many processes keep the cores busy within the memory; each gets its share of the cores.

    Args:
        files: number of files.
        costs: estimates of some of them.
        most: bytes.
    """
    fit = files
    if most is not None and costs:
        fit = min(fit, int(most // statistics.median(costs)))
    return max(1, min(session.threads(), fit))

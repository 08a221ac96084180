"""Items of HEIF files (ISO/IEC 14496-12, section 8.11.3), as to their size.

Items may share their bytes: a file of 1 MB can declare gigabytes, and libheif copies each.
"""

from __future__ import annotations

from collections.abc import Iterator

from comrec.errors import DamagedFileError
from comrec.formats import boxes, limits


def check_size(data: bytes) -> None:
    """Refuse a file whose items together exceed its size by more than `limits.METADATA`.

    Raises:
        DamagedFileError: they do.
    """
    left = len(data) + limits.METADATA
    for size in _sizes(boxes.find(data, b"meta", b"iloc") or b"", len(data)):
        left -= size
        if left < 0:
            raise DamagedFileError(
                f"input: its items declare over {limits.METADATA:,} bytes more than the file holds"
            )


def _sizes(body: bytes, whole: int) -> Iterator[int]:
    """The sizes of all parts of all items; of one that says 0, ``whole``."""
    if len(body) < 6:
        return
    version = body[0]
    offset, length, base, index = body[4] >> 4, body[4] & 15, body[5] >> 4, body[5] & 15
    wide = 4 if version == 2 else 2
    at = 6
    count = int.from_bytes(body[at : at + wide], "big")
    at += wide
    skipped = wide + (2 if version else 0) + 2 + base
    part = (index if version else 0) + offset
    for _ in range(count):
        at += skipped
        parts = int.from_bytes(body[at : at + 2], "big")
        at += 2
        for _ in range(parts):
            if at >= len(body):
                return
            at += part + length
            yield int.from_bytes(body[at - length : at], "big") or whole

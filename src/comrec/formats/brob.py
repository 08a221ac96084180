"""Brotli-compressed boxes (``brob``) of JPEG XL files (ISO/IEC 18181-2) within a limit.

libjxl expands them without one. How much a stream expands to is in its first bytes if it is a
single meta-block, as those of libjxl's encoder are, of at most 16 MB.
"""

from __future__ import annotations

from itertools import pairwise

from comrec.formats import boxes, limits

_NAMES = {b"Exif": "EXIF", b"xml ": "XMP"}


def limited(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """A file in boxes with those compressed boxes alone that may be expanded, and notes on others.

    Those are the first of EXIF and of XMP, if together they expand to at most `limits.METADATA`.
    """
    found = list(boxes.walk(data))
    places = pairwise([*(at for at, _, _ in found), len(data)])
    kept, notes = [], []
    seen: set[bytes] = set()
    left = limits.METADATA
    for (_, kind, body), (at, end) in zip(found, places, strict=True):
        if kind != b"brob":
            kept.append(data[at:end])
        elif body[:4] in _NAMES and body[:4] not in seen:
            seen.add(body[:4])
            size = expanded_size(body[4:])
            if size is None or size > left:
                notes.append(
                    f"{_NAMES[body[:4]]} is left out: it is compressed by Brotli, and may expand "
                    f"to more than {limits.METADATA:,} bytes"
                )
            else:
                left -= size
                kept.append(data[at:end])
    return b"".join(kept), tuple(notes)


def expanded_size(stream: bytes) -> int | None:
    """Bytes that a Brotli stream (RFC 7932, section 9) expands to; None if it does not say."""
    bits = int.from_bytes(stream[:8], "little")

    def take(count: int) -> int:
        nonlocal bits
        taken = bits & ((1 << count) - 1)
        bits >>= count
        return taken

    # The size of the window, of 1, 4 or 7 bits.
    if take(1) and take(3) == 0 and take(3) == 1:
        return None  # a large window, which is no standard
    if not take(1):  # it is not the last meta-block
        return None
    if take(1):  # empty
        return 0
    nibbles = take(2)
    return None if nibbles == 3 else take(16 + 4 * nibbles) + 1

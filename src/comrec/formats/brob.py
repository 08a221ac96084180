"""Brotli-compressed boxes (``brob``) of JPEG XL files (ISO/IEC 18181-2), expanded within a limit.

libjxl expands them without one. The package ``brotli`` is part of the extra ``jpegxl``; without
it they are left out.
"""

from __future__ import annotations

from comrec.formats import boxes, limits

_NAMES = {b"Exif": "EXIF", b"xml ": "XMP"}
_STEP = 1 << 16
"""Bytes expanded at a time."""


def split(data: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """A file in boxes without its ``brob`` boxes; and the first of EXIF and of XMP, by type.

    Raises:
        DamagedFileError: a box length is invalid.
    """
    found = list(boxes.walk(data))
    ends = [*(at for at, _, _ in found[1:]), len(data)]
    kept = []
    compressed: dict[bytes, bytes] = {}
    for (at, kind, body), end in zip(found, ends, strict=True):
        if kind != b"brob":
            kept.append(data[at:end])
        elif body[:4] in _NAMES:
            compressed.setdefault(body[:4], body[4:])
    return b"".join(kept), compressed


def expand(compressed: dict[bytes, bytes]) -> tuple[dict[bytes, bytes], tuple[str, ...]]:
    """The expanded boxes by type, and notes on those that are left out."""
    expanded: dict[bytes, bytes] = {}
    notes = []
    left = limits.METADATA
    for kind, body in compressed.items():
        try:
            expanded[kind] = _expanded(body, left)
            left -= len(expanded[kind])
        except _LeftOutError as reason:
            notes.append(f"{_NAMES[kind]} is left out: {reason}")
    return expanded, tuple(notes)


class _LeftOutError(Exception):
    pass


def _expanded(body: bytes, limit: int) -> bytes:
    try:
        import brotli
    except ImportError:
        raise _LeftOutError(
            "it is compressed by Brotli, which needs an extra: pip install 'comrec[jpegxl]'"
        ) from None
    decoder = brotli.Decompressor()
    parts: list[bytes] = []
    size = 0
    try:
        part = decoder.process(body, output_buffer_limit=_STEP)
        while part:
            size += len(part)
            if size > limit:
                raise _LeftOutError(f"it expands to more than {limit:,} bytes")
            parts.append(part)
            part = decoder.process(b"", output_buffer_limit=_STEP)
    except brotli.error:
        raise _LeftOutError("its Brotli data is damaged") from None
    if not decoder.is_finished():
        raise _LeftOutError("its Brotli data is cut short")
    return b"".join(parts)

"""Files that decoders take though they are not quite well-formed, or are cut short."""

from __future__ import annotations

from collections.abc import Iterator

from comrec.errors import DamagedFileError
from comrec.formats import boxes, jp2, png, segments, webp
from comrec.formats.completion import Completion

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_JPEG2000 = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")


def mended(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """A file as Pillow takes it, and notes on what was wrong; unchanged if nothing is."""
    if data.startswith(_JPEG):
        return data, _notes_on_jpeg(data)
    if data.startswith(_PNG):
        return png.mended(data)
    if _is_webp(data):
        return webp.mended(data)
    if data.startswith(_JPEG2000[0]):  # OpenJPEG refuses bytes after the last box
        return data[: boxes.end(data)], ()
    return data, ()


def completions(data: bytes) -> Iterator[Completion]:
    """A file that cannot be decoded, completed in one or more ways, best first; often in none."""
    found = None
    if data.startswith(_JPEG):
        try:
            found = segments.completion(data)
        except DamagedFileError:  # there is no scan
            return
    elif data.startswith(_PNG):
        found = png.completed(data)
    elif _is_webp(data):
        found = webp.completed(data)
    elif data.startswith(_JPEG2000):
        yield from jp2.completed(data)
    if found is not None:
        yield found


def _is_webp(data: bytes) -> bool:
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP"


def _notes_on_jpeg(data: bytes) -> tuple[str, ...]:
    try:
        skipped = segments.junk(data)
    except DamagedFileError:  # Pillow says what is wrong
        return ()
    if not skipped:
        return ()
    return (f"{skipped:,} bytes between segments belong to none and are passed over",)

"""Pictures of files that are cut short: what is there, and what is missing."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from comrec.errors import DamagedFileError
from comrec.formats import completion, lenient
from comrec.formats.completion import Completion
from comrec.picture import Picture


def rescued(data: bytes, decode: Callable[[bytes], Picture]) -> tuple[Picture, bool] | None:
    """The picture of a file that cannot be decoded as it is, with a note; and whether it is whole.

    None if nothing of it can be decoded.

    Args:
        decode: of a completed file; raises DamagedFileError where it cannot.
    """
    for candidate in lenient.completions(data):
        try:
            # One after the other, so that only one picture is in memory.
            check = None if candidate.check is None else _checksums(decode(candidate.check))
            picture = decode(candidate.data)
        except DamagedFileError:
            continue
        if check is None:
            return picture.noting(candidate.note), candidate.whole
        return _compared(picture, check, candidate)
    return None


def _compared(picture: Picture, check: list[int], candidate: Completion) -> tuple[Picture, bool]:
    rows = zip(_checksums(picture), check, strict=True)
    there = next((row for row, (one, other) in enumerate(rows) if one != other), None)
    if there is None:
        whole = candidate.whole_note is not None
        return picture.noting(candidate.whole_note or candidate.note), whole
    if candidate.in_rows:
        return picture.noting(completion.of_rows(there, picture.height)), False
    return picture.noting(candidate.note), False


def _checksums(picture: Picture) -> list[int]:
    """Of each row."""
    return [zlib.crc32(row) for row in picture.pixels]

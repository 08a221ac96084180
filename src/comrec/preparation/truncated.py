"""Pictures of files that are cut short: what is there, and what is missing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

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
            picture = decode(candidate.data)
            check = None if candidate.check is None else decode(candidate.check)
        except DamagedFileError:
            continue
        if check is None:
            return picture.noting(candidate.note), candidate.whole
        return _compared(picture, check, candidate)
    return None


def _compared(picture: Picture, check: Picture, candidate: Completion) -> tuple[Picture, bool]:
    differs = (picture.pixels != check.pixels).reshape(picture.height, -1).any(axis=1)
    if not differs.any():
        whole = candidate.whole_note is not None
        return picture.noting(candidate.whole_note or candidate.note), whole
    note = candidate.note
    if candidate.in_rows:
        note = completion.of_rows(int(np.argmax(differs)), picture.height)
    return picture.noting(note), False

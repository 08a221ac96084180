"""Files that are cut short, completed so that decoders read what is there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Completion:
    """A file in place of one that is cut short.

    Attributes:
        data: the completed file.
        note: what is missing.
        whole: whether all of the picture is there.
        check: the file completed by other bytes, or None: what decodes to the same from both is
            there.
        whole_note: the note if all is; None if something is missing even then.
        in_rows: whether the rows that differ are those that are missing.
    """

    data: bytes
    note: str
    whole: bool = False
    check: bytes | None = None
    whole_note: str | None = None
    in_rows: bool = False


def of_bytes(there: int, size: int) -> str:
    """The note on a file of whose picture ``there`` of ``size`` bytes are there."""
    return f"the file is cut short: only {there:,} of {size:,} bytes of its picture are there"


def of_rows(there: int, height: int) -> str:
    """The note on a file of whose rows only the first ``there`` are there."""
    return f"the file is cut short: only the first {there:,} of {height:,} rows are there"

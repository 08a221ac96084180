"""Standard output and standard error: all that commands print goes through here, escaped."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TextIO

from comrec.errors import ComrecError
from comrec.text import as_json, printable


class StdoutError(Exception):
    """Standard output takes no more.

    Attributes:
        reason: what to report; None where the reader of a pipe has left, which is no failure.
    """

    def __init__(self, reason: str | None) -> None:
        super().__init__(reason)
        self.reason = reason


def show(*lines: str) -> None:
    """Print lines on standard output, each escaped (`printable`).

    Raises:
        StdoutError: what is printed later is dropped.
    """
    write("".join(f"{printable(line)}\n" for line in lines))


def write(text: str) -> None:
    """Write our own text on standard output, as it is.

    Raises:
        StdoutError: as `show`.
    """
    try:
        if sys.stdout is None:
            raise StdoutError("standard output is closed")
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        drop(sys.stdout)
        broken = isinstance(error, BrokenPipeError)
        raise StdoutError(None if broken else f"standard output: {error.strerror}") from None


def tell(line: str) -> None:
    """Print a line on standard error, escaped; nothing happens where that cannot be written."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"{printable(line)}\n")
        sys.stderr.flush()
    except OSError:
        drop(sys.stderr)


def report(facts: dict[str, Any], aside: bool = False) -> None:
    """Print one JSON object on standard output, or on standard error.

    Args:
        aside: on standard error, since standard output has the file.
    Raises:
        StdoutError.
    """
    (tell if aside else show)(as_json(facts))


def drop(stream: TextIO) -> None:
    """Let what a stream still buffers, and all that follows, go nowhere.

    Otherwise Python reports the failure once more as it ends.
    """
    with suppress(OSError, ValueError):  # ValueError: a stream of a test, without descriptor
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: bool = True) -> str:
    """A text table, its cells escaped.

    The first column is aligned left, the others right if ``right``, else left.
    """
    lines = [[printable(cell) for cell in line] for line in (head, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]

    def format_line(line: Sequence[str]) -> str:
        cells = [line[0].ljust(widths[0])]
        pairs = zip(line[1:], widths[1:], strict=True)
        cells += [cell.rjust(width) if right else cell.ljust(width) for cell, width in pairs]
        return "  ".join(cells).rstrip()

    return "\n".join(map(format_line, lines))


def noted(name: str, notes: Sequence[str]) -> None:
    """Report on stderr what reading a file changed, left out or worked around."""
    for note in notes:
        tell(f"comrec: {name}: {note}")


def failed(error: BaseException, name: str | None = None) -> None:
    """Report a failure on stderr, in one line.

    Args:
        name: of the file, for errors that are not ours and do not name it.
    """
    if isinstance(error, ComrecError):
        tell(f"comrec: {error}")
        return
    try:
        text = str(error)
    except Exception:  # a plug-in's exception may fail at this too
        text = ""
    parts = ("comrec", name, type(error).__name__, text)
    tell(": ".join(part for part in parts if part))

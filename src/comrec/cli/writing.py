"""Writing files: all or nothing, never over an input, through links, into pipes and devices."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from comrec.batch import atomic
from comrec.batch.atomic import Times
from comrec.cli import terminal
from comrec.errors import OutputError

STREAM = "-"


class Taken:
    """Files that must not be overwritten: the inputs, and what was written so far.

    Files are compared, not names: links and the like lead to the same file.

    Args:
        inputs: paths; "-" is standard input. Those that do not exist are left out.
    """

    def __init__(self, inputs: Iterable[str] = ()) -> None:
        self._what: dict[tuple[int, int], str] = {}
        for name in inputs:
            found = status(name)
            if found is not None and stat.S_ISREG(found.st_mode):
                self._what[found.st_dev, found.st_ino] = f"the input {name}"

    def check(self, name: str, found: os.stat_result) -> None:
        """
        Raises:
            OutputError: this file is taken.
        """
        what = self._what.get((found.st_dev, found.st_ino))
        if what == f"the input {name}":
            what = "the input"
        if what is not None:
            raise OutputError(
                f"{name}: the output would overwrite {what}; choose another name or folder"
            )

    def add(self, name: str) -> None:
        """Note a file that was written."""
        found = status(name)
        if found is not None and stat.S_ISREG(found.st_mode):
            self._what[found.st_dev, found.st_ino] = f"{name}, just written"


def status(name: str) -> os.stat_result | None:
    """What a path, or "-" for standard input, leads to; None where that cannot be said."""
    try:
        if name == STREAM:
            return None if sys.stdin is None else os.fstat(sys.stdin.fileno())
        return os.stat(name)
    except (OSError, ValueError):  # ValueError: a stream without descriptor
        return None


def is_special(name: str) -> bool:
    """Whether an output is a pipe or a device, such as /dev/stdout or a FIFO, or "-"."""
    if name == STREAM or _descriptor(name) is not None:
        return True
    found = status(name)
    return found is not None and not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode))


def is_stdout(name: str) -> bool:
    """Whether an output is our standard output, "-" or /dev/stdout."""
    return name == STREAM or _descriptor(name) == 1


def times(name: str) -> Times | None:
    """The times of a file, for `write`; None of pipes and the like."""
    found = status(name)
    if found is None or not stat.S_ISREG(found.st_mode):
        return None
    return found.st_atime_ns, found.st_mtime_ns


def check(name: str, taken: Taken, overwrite: bool = True) -> None:
    """Refuse an output before the work is done; `write` checks again.

    Raises:
        OutputError: the output is an input or was just written, is a folder, or exists and must
            not be replaced.
    """
    if is_special(name):
        return
    found = status(name)
    if found is None:
        return
    if stat.S_ISDIR(found.st_mode):
        raise OutputError(f"{name}: is a folder")
    taken.check(name, found)
    if not overwrite:
        raise OutputError(f"{name}: exists (--no-overwrite)")


def write(
    name: str,
    data: bytes,
    taken: Taken | None = None,
    *,
    overwrite: bool = True,
    keep: Times | None = None,
) -> None:
    """Write a file, with its folder; "-" is standard output.

    A file that exists is replaced as a whole and keeps its permissions. A link is followed. Pipes
    and devices are written directly.

    Args:
        taken: files that are not overwritten; the new one is added.
        overwrite: whether an existing file is replaced.
        keep: times that the file gets; by default now.
    Raises:
        OutputError: see `check`; or it cannot be written.
    """
    taken = Taken() if taken is None else taken
    check(name, taken, overwrite)
    try:
        if is_special(name):
            _send(name, data)
            return
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        atomic.replace(Path(os.path.realpath(name)), data, keep)
    except OSError as error:
        label = "standard output" if name == STREAM else name
        raise OutputError(f"{label}: {error.strerror or error}") from None
    taken.add(name)


def _send(name: str, data: bytes) -> None:
    """Write into a pipe, a device or a stream of ours."""
    number = 1 if name == STREAM else _descriptor(name)
    if number not in (1, 2):
        flags = os.O_WRONLY | getattr(os, "O_NOCTTY", 0)
        # A descriptor's file is at its position, and may be for appending: not opened anew.
        opened = os.open(name, flags) if number is None else os.dup(number)
        with os.fdopen(opened, "wb") as file:
            file.write(data)
        return
    stream = sys.stdout if number == 1 else sys.stderr
    if stream is None:
        raise OSError(0, "closed")
    try:
        stream.buffer.write(data)
        stream.buffer.flush()
    except OSError:
        terminal.drop(stream)
        raise


def _descriptor(name: str) -> int | None:
    """The number in /dev/stdout, /dev/fd/3 and links to them; None of other paths."""
    path = name
    for _ in range(40):
        folder, last = os.path.split(os.path.abspath(path))
        folder = os.path.realpath(folder)
        if last.isdecimal() and re.fullmatch(rf"/dev/fd|/proc/{os.getpid()}/fd", folder):
            return int(last)
        try:
            path = os.path.join(folder, os.readlink(os.path.join(folder, last)))
        except (OSError, ValueError):
            return None
    return None

"""Files of the local file system, written all or nothing.

A file is written under a temporary name beside it, brought to the disk and renamed. The temporary
file is locked meanwhile. One that is not is what a killed process left: the next that writes to
that folder removes it.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from functools import cache
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: temporary files of killed processes stay
    fcntl = None  # type: ignore[assignment]

PART = ".comrec-{}.part"
PARTS = re.compile(r"\.comrec-[0-9a-f]{16}\.part")

Times = tuple[int, int]
"""Of the last access and the last change, nanoseconds since 1970."""


def replace(path: Path, data: bytes, keep: Times | None = None, mode: int | None = None) -> None:
    """Write a file, or replace one, as a whole.

    Args:
        path: in a folder that exists.
        keep: times that it gets; by default now.
        mode: permissions that it gets; by default those of the file that it replaces.
    Raises:
        OSError: nothing was changed.
    """
    sweep(path.parent)
    handle, part = _create(path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            with suppress(FileNotFoundError):
                os.chmod(part, stat.S_IMODE(path.stat().st_mode) if mode is None else mode)
            os.fsync(file.fileno())
            if fcntl is None:
                file.close()  # Windows renames no open file
            if keep is not None:
                os.utime(part, ns=keep)
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    sync(path.parent)


def _create(folder: Path) -> tuple[int, Path]:
    """A new locked file under a temporary name, with the permissions of new files."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        part = folder / PART.format(secrets.token_hex(8))
        try:
            handle = os.open(part, flags, 0o666)
        except FileExistsError:
            continue
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks: `sweep` leaves the file too
                fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink == 0:  # swept before it was locked
                os.close(handle)
                continue
        return handle, part


@cache
def sweep(folder: Path) -> None:
    """Remove our temporary files that no process holds; once per folder and process."""
    if fcntl is None:
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if PARTS.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _remove_if_left(entry.path)


def _remove_if_left(part: str) -> None:
    handle = os.open(part, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if os.fstat(handle).st_uid == os.geteuid():
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(part)
    finally:
        os.close(handle)


def sync(folder: Path) -> None:
    """Bring the new name to the disk too, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

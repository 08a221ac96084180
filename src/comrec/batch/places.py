"""Trees of files: folders of this machine, and fsspec URLs such as s3://bucket/photos.

Names in a tree are relative to its root, with slashes. Hidden files and folders (".git") are no
part of it, and links to folders are not followed.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from comrec.batch import atomic
from comrec.batch.atomic import Times
from comrec.errors import InputError, MissingExtraError, OutputError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]+://")
_ATOMIC_PUT = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss"}
"""Protocols of object stores: an object appears whole, or not; there is nothing to rename."""
_STAMPS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")


@dataclass(frozen=True)
class Found:
    """A file of a tree.

    Attributes:
        name: relative to the root, with slashes.
        size: bytes.
        stamp: changes where the file does: its time, or an object store's tag; "" if unknown.
    """

    name: str
    size: int
    stamp: str


class Place(ABC):
    """A tree of files."""

    @abstractmethod
    def walk(self, recursive: bool, avoid: Place | None = None) -> Iterator[Found]:
        """Its files, in no order.

        Args:
            recursive: those of folders below too.
            avoid: a tree that is left out, where it lies in this one.
        Raises:
            InputError: there is no such folder.
        """

    @abstractmethod
    def label(self, name: str) -> str:
        """The full name of a file, for people."""

    @abstractmethod
    def status(self, name: str) -> Found | None:
        """A file as it is now; None where there is none."""

    def look(self) -> Callable[[str], Found | None]:
        """`status` for many files, soon."""
        return self.status

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Raises InputError: it cannot be read."""

    @abstractmethod
    def write(
        self, name: str, data: bytes, keep: Times | None = None, mode: int | None = None
    ) -> None:
        """Write a file with its folder, or replace one, as a whole.

        Args:
            keep, mode: times and permissions that it gets, where the place has them.
        Raises:
            OutputError: it cannot be written.
        """

    @abstractmethod
    def remove(self, name: str) -> None:
        """Raises OutputError: it cannot be removed."""

    @abstractmethod
    def sweep(self, folders: set[str]) -> None:
        """Remove temporary files that killed runs left in these folders ("" is the root)."""

    @abstractmethod
    def lies_in(self, other: Place) -> bool:
        """Whether this is the other tree, or a part of it."""


def place(text: str) -> Place:
    """The tree of a path or URL.

    Raises:
        MissingExtraError: fsspec, or its package for this kind of URL, is not installed.
        InputError: there is no such kind of URL.
    """
    if not _URL.match(text):
        return LocalPlace(Path(text))
    try:
        import fsspec
    except ImportError:
        raise MissingExtraError(text.split("://")[0] + "://", "remote") from None
    try:
        system, root = fsspec.core.url_to_fs(text)
    except ImportError as error:
        raise InputError(f"{text}: {error}") from None
    except Exception as error:  # of any file system's library
        raise InputError(f"{text}: {type(error).__name__}: {error}") from None
    if "file" in _protocols(system):
        return LocalPlace(Path(root))
    return RemotePlace(system, root, text)


class LocalPlace(Place):
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def walk(self, recursive: bool, avoid: Place | None = None) -> Iterator[Found]:
        if not self.root.is_dir():
            raise InputError(f"{self.root}: is no folder")
        left_out = os.path.realpath(avoid.root) if isinstance(avoid, LocalPlace) else None
        for folder, folders, files in os.walk(self.root):
            folders[:] = [
                each
                for each in folders
                if recursive
                and not each.startswith(".")
                and os.path.realpath(os.path.join(folder, each)) != left_out
            ]
            for each in files:
                if not each.startswith("."):
                    name = Path(folder, each).relative_to(self.root).as_posix()
                    yield self.status(name) or Found(name, 0, "")

    def label(self, name: str) -> str:
        return str(self.root / name)

    def path(self, name: str) -> Path:
        return self.root / name

    def status(self, name: str) -> Found | None:
        try:
            found = os.stat(self.root / name)
        except OSError:
            return None
        return Found(name, found.st_size, str(found.st_mtime_ns))

    def times(self, name: str) -> tuple[Times, int]:
        """Times and permissions of a file."""
        found = os.stat(self.root / name)
        return (found.st_atime_ns, found.st_mtime_ns), stat.S_IMODE(found.st_mode)

    def read(self, name: str) -> bytes:
        try:
            return (self.root / name).read_bytes()
        except OSError as error:
            raise InputError(f"{self.label(name)}: {error.strerror or error}") from None

    def write(
        self, name: str, data: bytes, keep: Times | None = None, mode: int | None = None
    ) -> None:
        path = self.root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.replace(path, data, keep, mode)
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror or error}") from None

    def remove(self, name: str) -> None:
        path = self.root / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror or error}") from None
        atomic.sync(path.parent)

    def sweep(self, folders: set[str]) -> None:
        for folder in folders:
            atomic.sweep(self.root / folder)

    def lies_in(self, other: Place) -> bool:
        if not isinstance(other, LocalPlace):
            return False
        return Path(os.path.realpath(self.root)).is_relative_to(os.path.realpath(other.root))


class RemotePlace(Place):
    """What an fsspec URL leads to.

    Args:
        system: fsspec's file system.
        root: the path there.
        url: as it was given.
    """

    def __init__(self, system: Any, root: str, url: str) -> None:
        self._system = system
        self._root = root.rstrip("/")
        self._url = url.rstrip("/")

    def walk(self, recursive: bool, avoid: Place | None = None) -> Iterator[Found]:
        try:
            if not self._system.isdir(self._root):
                raise InputError(f"{self._url}: is no folder")
            depth = None if recursive else 1
            files = self._system.find(self._root, maxdepth=depth, detail=True)
        except InputError:
            raise
        except Exception as error:  # of any file system's library
            raise InputError(f"{self._url}: {type(error).__name__}: {error}") from None
        for path, facts in files.items():
            name = path[len(self._root) :].strip("/")
            if any(part.startswith(".") for part in name.split("/")):
                continue
            if avoid is not None and avoid.lies_in(self):
                assert isinstance(avoid, RemotePlace)
                if path.startswith(f"{avoid._root}/"):
                    continue
            yield _found(name, facts)

    def label(self, name: str) -> str:
        return f"{self._url}/{name}"

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def status(self, name: str) -> Found | None:
        try:
            self._system.invalidate_cache(self._path(name))  # what a listing said is of the past
            return _found(name, self._system.info(self._path(name)))
        except Exception:  # not there, or not to be seen
            return None

    def look(self) -> Callable[[str], Found | None]:
        try:  # one request for a thousand files, not one each
            files = self._system.find(self._root, detail=True)
        except Exception:  # no such folder yet
            return self.status
        found = {path[len(self._root) + 1 :]: facts for path, facts in files.items()}
        return lambda name: _found(name, found[name]) if name in found else None

    def read(self, name: str) -> bytes:
        try:
            return bytes(self._system.cat_file(self._path(name)))
        except Exception as error:
            raise InputError(f"{self.label(name)}: {type(error).__name__}: {error}") from None

    def write(
        self, name: str, data: bytes, keep: Times | None = None, mode: int | None = None
    ) -> None:
        path = self._path(name)
        try:
            if _protocols(self._system) & _ATOMIC_PUT:
                self._system.pipe_file(path, data)
                return
            folder, _, _ = path.rpartition("/")
            self._system.makedirs(folder, exist_ok=True)
            part = f"{folder}/{atomic.PART.format(secrets.token_hex(8))}"
            try:
                self._system.pipe_file(part, data)
                self._system.mv(part, path)
            except BaseException:
                with suppress(Exception):
                    self._system.rm_file(part)
                raise
        except Exception as error:
            raise OutputError(f"{self.label(name)}: {type(error).__name__}: {error}") from None

    def remove(self, name: str) -> None:
        try:
            self._system.rm_file(self._path(name))
        except FileNotFoundError:
            pass
        except Exception as error:
            raise OutputError(f"{self.label(name)}: {type(error).__name__}: {error}") from None

    def sweep(self, folders: set[str]) -> None:
        if _protocols(self._system) & _ATOMIC_PUT:
            return
        for folder in folders:
            with suppress(Exception):  # no such folder yet
                for path in self._system.ls(self._path(folder).rstrip("/"), detail=False):
                    if atomic.PARTS.fullmatch(path.rpartition("/")[2]):
                        self._system.rm_file(path)

    def lies_in(self, other: Place) -> bool:
        if not isinstance(other, RemotePlace) or self._system != other._system:
            return False
        return f"{self._root}/".startswith(f"{other._root}/")


def _protocols(system: Any) -> set[str]:
    given = system.protocol
    return {given} if isinstance(given, str) else set(given)


def _found(name: str, facts: dict[str, Any]) -> Found:
    stamp = next((facts[key] for key in _STAMPS if facts.get(key)), "")
    if isinstance(stamp, datetime):
        stamp = stamp.timestamp()  # `find` of memory:// has it so, `info` has a datetime
    return Found(name, int(facts.get("size") or 0), str(stamp))

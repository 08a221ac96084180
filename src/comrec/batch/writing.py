"""Results written so that no picture is lost."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path

from comrec.batch.atomic import Times
from comrec.batch.encoding import sha256
from comrec.batch.order import Order
from comrec.batch.places import Found, LocalPlace, Place
from comrec.batch.record import Entry, Record
from comrec.batch.work import Made
from comrec.errors import InputError, OutputError


class Writer:
    """Writes what was made of sources. May be called by any thread.

    Args:
        found: the files of the sources' tree, by name.
        names: of results, by source.
        mine: in place: names of results of earlier runs.
    """

    def __init__(
        self,
        order: Order,
        found: Mapping[str, Found],
        names: Mapping[str, str],
        mine: Collection[str],
        record: Record,
    ) -> None:
        self._order, self._found, self._record = order, found, record
        self._names, self._mine = names, mine

    def write(self, name: str, made: Made) -> str:
        """Write the result of a source, or keep that; the name of what there is then.

        Raises:
            OutputError: it cannot be written, or something would be lost.
        """
        order, found = self._order, self._found[name]
        output = name if made.kept else self._names[name]
        entry = Entry(
            name,
            made.source_size,
            found.stamp,
            made.source_sha256,
            order.settings,
            output,
            len(made.data),
            made.sha256,
            made.kept,
        )
        if order.in_place:
            self._check_in_place(found, output, made)
            if made.kept:
                self._record.done(entry)
                return output
        else:
            self._check_output(output)
        times, mode = self._kept_facts(name)
        self._record.begin(entry)
        order.target.write(output, made.data, times, mode)
        self._record.done(entry)
        if order.in_place and output != name:
            remove_source(order.source, name, output)
        return output

    def _kept_facts(self, name: str) -> tuple[Times | None, int | None]:
        """Times and permissions for the result."""
        order = self._order
        if not isinstance(order.source, LocalPlace) or not (order.preserve or order.in_place):
            return None, None
        times, mode = order.source.times(name)
        return times if order.preserve else None, mode

    def _check_in_place(self, found: Found, output: str, made: Made) -> None:
        """Refuse what would lose a picture."""
        source, label = self._order.source, self._order.source.label(found.name)
        if isinstance(source, LocalPlace) and source.path(found.name).is_symlink():
            raise OutputError(f"{label}: is a link, which --in-place does not replace")
        if source.status(found.name) != found and hashed(source, found.name) != made.source_sha256:
            raise OutputError(f"{label}: changed while it was encoded, and is left as it is")
        if (
            output in self._mine
            or source.status(output) is None
            or _are_one(source, found.name, output)
        ):
            return
        raise OutputError(f"{source.label(output)}: was made meanwhile, and is not overwritten")

    def _check_output(self, output: str) -> None:
        target = self._order.target
        if not isinstance(target, LocalPlace):
            return
        path = target.path(output)
        if path.is_dir() and not path.is_symlink():
            raise OutputError(f"{path}: is a folder")
        if path.exists() and _identity(path) in self._inputs:
            raise OutputError(f"{path}: the output would overwrite an input; remove it")

    @cached_property
    def _inputs(self) -> set[tuple[int, int]]:
        source = self._order.source
        if not isinstance(source, LocalPlace):
            return set()
        paths = map(source.path, self._found)
        return {_identity(path) for path in paths if path.exists()}


def hashed(place: Place, name: str) -> str | None:
    """SHA-256 of a file; None where it cannot be read."""
    try:
        return sha256(place.read(name))
    except InputError:
        return None


def remove_source(place: Place, name: str, output: str) -> None:
    """Remove a source whose result, in the same tree, is complete, unless both are one file.

    Raises:
        OutputError: it cannot be removed.
    """
    if not _are_one(place, name, output):
        place.remove(name)


def _are_one(place: Place, name: str, output: str) -> bool:
    """Whether they are one file: equal, or the file system takes both names for one."""
    if name == output or not isinstance(place, LocalPlace):
        return name == output
    return os.path.samefile(place.path(name), place.path(output))


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino

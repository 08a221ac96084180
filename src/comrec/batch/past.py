"""What earlier runs of a batch did, and what is left to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import PurePosixPath

from comrec.batch import plan
from comrec.batch.order import Order, Result
from comrec.batch.places import Found
from comrec.batch.record import Entry, Record
from comrec.batch.writing import hashed, remove_source


class Past:
    """The record, compared with both trees. In place it removes sources with complete results.

    Args:
        found: the files of the sources' tree, by name.
        wanted: names of those that are to be encoded, or are results already.
    Attributes:
        names: of results, by source.
        renamed: those of them that could not have the name that is their source's but for the
            extension.
        mine: in place: names of results.
        done: results that there are.
        todo: names of the sources that have none.
    Raises:
        OutputError: a source cannot be removed, or the record not be written.
        WeightsError: a network is missing.
    """

    def __init__(
        self, order: Order, found: dict[str, Found], wanted: list[str], record: Record
    ) -> None:
        self._order, self._found, self._record = order, found, record
        self._settings = order.settings
        self.done: list[Result] = []
        self.mine: set[str] = set()
        past: list[str] = []
        if order.in_place:
            self.mine = set(filter(self._is_mine, wanted))
            past = [entry.source for entry in self._entries if entry.output in self.mine]
            others = set(found) - self.mine
            self._skip(self.mine)
        else:
            others = set(wanted) if order.saving is not None else set()
        sources = [name for name in wanted if name not in self.mine]
        extension = order.recipe.coder.extension
        self.names = plan.names(list(dict.fromkeys([*sources, *past])), extension, others)
        self.renamed = {
            name: self.names[name]
            for name in sources
            if PurePosixPath(self.names[name]).stem != PurePosixPath(name).stem
        }
        order.target.sweep({self.names[name].rpartition("/")[0] for name in sources} | {""})
        look = order.target.look() if record.entries else order.target.status
        self.todo = [name for name in sources if not self._is_done(found[name], look)]

    @cached_property
    def _entries(self) -> list[Entry]:
        """Those of the same settings."""
        entries = self._record.entries.values()
        return [entry for entry in entries if entry.settings == self._settings]

    @cached_property
    def _by_output(self) -> dict[str, Entry]:
        return {entry.output: entry for entry in self._entries}

    def _is_mine(self, name: str) -> bool:
        """In place: whether a file is a result of the same settings, and not a source."""
        entry = self._by_output.get(name)
        if entry is None or entry.kept or self._found[name].size != entry.output_size:
            return False
        return hashed(self._order.target, name) == entry.output_sha256

    def _is_done(self, found: Found, look: Callable[[str], Found | None]) -> bool:
        """Whether a source was done before; in place it is then removed.

        Args:
            look: of the results' tree (`Place.look`).
        """
        order, entry = self._order, self._record.entries.get(found.name)
        if entry is None or (entry.settings, entry.size) != (self._settings, found.size):
            return False
        if entry.output != (found.name if entry.kept else self.names[found.name]):
            return False
        there = look(entry.output)
        if there is None or there.size != entry.output_size:
            return False
        removes = order.in_place and entry.output != found.name
        if (removes or not entry.written) and (
            hashed(order.target, entry.output) != entry.output_sha256
        ):
            return False
        if (removes or not found.stamp or found.stamp != entry.stamp) and (
            hashed(order.source, found.name) != entry.sha256
        ):
            return False
        if not entry.written or found.stamp != entry.stamp:
            self._record.done(replace(entry, stamp=found.stamp))
        if removes:
            remove_source(order.source, found.name, entry.output)
        self._skip([found.name])
        return True

    def _skip(self, names: Iterable[str]) -> None:
        for name in sorted(names):
            output = name if self._order.in_place else self._record.entries[name].output
            label = self._order.target.label(output)
            self.done.append(Result(self._order.source.label(name), label, "skipped"))

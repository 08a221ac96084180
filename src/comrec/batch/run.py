"""A batch: the pictures of a tree, each encoded once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Literal

from comrec.batch import cluster, memory, plan, pool, work
from comrec.batch.atomic import Times
from comrec.batch.encoding import Recipe, sha256
from comrec.batch.places import Found, LocalPlace, Place
from comrec.batch.plan import Patterns
from comrec.batch.pool import Bound, Failure
from comrec.batch.record import Entry, Record
from comrec.batch.work import Made, Task
from comrec.errors import ComrecError, InputError, OptionError, OutputError
from comrec.inference import session
from comrec.signals import held
from comrec.text import as_json

Engine = Literal["local", "ray"]
Status = Literal["encoded", "kept", "skipped", "failed"]
_THREADS = 2  # that read and write files of this machine
_REMOTE_THREADS = 32  # the same of URLs, which mostly wait
_SAMPLE = 100  # files whose headers say how many processes fit in the memory


@dataclass(frozen=True)
class Order:
    """What is wanted of a batch.

    Attributes:
        source, target: the trees; the same one where sources are replaced.
        recipe: how pictures are encoded.
        patterns: which.
        recursive: those of folders below too.
        saving: see `Task.saving`.
        preserve: results get the times and permissions of their sources.
        jobs: number of processes; None: as many as keep the cores busy.
        memory: bytes that the processes of a machine may take together, by estimate; None: see
            `memory.available`, and `Cluster.run`.
        engine: "local": processes of this machine. "ray": `cluster.py`.
        address: see `cluster.connected`.
        state: the file of the record, where it is not beside the results.
        untrusted: see `files.read`; no header is read for the estimates of memory either.
    Raises:
        OptionError: the trees do not go together, or lack what an option needs.
    """

    source: Place
    target: Place
    recipe: Recipe
    patterns: Patterns = field(default_factory=Patterns)
    recursive: bool = False
    saving: float | None = None
    preserve: bool = False
    jobs: int | None = None
    memory: int | None = None
    engine: Engine = "local"
    address: str | None = None
    state: Path | None = None
    untrusted: bool = False

    def __post_init__(self) -> None:
        if self.address is not None and self.engine != "ray":
            raise OptionError("--address needs --engine ray")
        local = isinstance(self.source, LocalPlace) and isinstance(self.target, LocalPlace)
        if self.preserve and not local:
            raise OptionError("--preserve needs folders of this machine, not URLs")
        if self.in_place:
            if not local and self.state is None:
                raise OptionError("--in-place of a URL needs --state, a file of this machine")
        elif self.source.lies_in(self.target):
            name = self.target.label("")
            raise OptionError(f"{name}: contains the sources; choose another, or --in-place")

    @property
    def in_place(self) -> bool:
        return self.source is self.target


@dataclass(frozen=True)
class Result:
    """What became of a source.

    Attributes:
        source, output: full names; the output of a failure is None.
        status: "kept": the result was not smaller enough. "skipped": it was done before.
        bytes, output_bytes: sizes; 0 of what is not known.
        seconds: of reading and encoding.
        notes: what reading changed or left out.
        error: of a failure.
    """

    source: str
    output: str | None
    status: Status
    bytes: int = 0
    output_bytes: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: str | None = None


class Batch:
    """A batch that is about to run. To be closed.

    Attributes:
        results: those that there are so far; at first, the skipped ones.
        left_out: number of files of the tree that are not wanted.
        renamed: results, by source, that could not have the name that is their source's but for
            the extension.
        total: number of files, done before or not.
    Raises:
        InputError: the tree is none, or the record is of something else.
        OutputError: the record cannot be written, or another batch is using it.
        WeightsError: a network is missing.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._settings = _settings(order)
        avoid = None if order.in_place else order.target
        self._found = {each.name: each for each in order.source.walk(order.recursive, avoid)}
        wanted = sorted(filter(order.patterns.wants, self._found))
        self.left_out = len(self._found) - len(wanted)
        self.total = len(wanted)
        self.results: list[Result] = []
        self._failed: list[Result] = []
        self._mine: set[str] = set()  # in place: results of earlier runs
        self._record = Record(order.target, order.state)
        try:
            self._plan(wanted)
        except BaseException:
            self._record.close()
            raise

    @property
    def record(self) -> str:
        """The full name of the record."""
        return self._record.label

    def close(self) -> None:
        """Save the record.

        Raises:
            OutputError: it cannot be written.
        """
        self._record.close()

    def _plan(self, wanted: list[str]) -> None:
        order = self._order
        if order.in_place:
            self._mine = mine = set(filter(self._is_mine, wanted))
            sources = [name for name in wanted if name not in mine]
            past = [
                entry.source
                for entry in self._record.entries.values()
                if entry.settings == self._settings and entry.output in mine
            ]
            others = set(self._found) - mine
            self._skip(mine)
        else:
            sources, past = wanted, []
            others = set(wanted) if order.saving is not None else set()
        extension = order.recipe.coder.extension
        self._names = plan.names(list(dict.fromkeys([*sources, *past])), extension, others)
        self.renamed = {
            name: self._names[name]
            for name in sources
            if PurePosixPath(self._names[name]).stem != PurePosixPath(name).stem
        }
        order.target.sweep({_folder(self._names[name]) for name in sources} | {""})
        look = order.target.look() if self._record.entries else order.target.status
        self._todo = [name for name in sources if not self._is_done(self._found[name], look)]

    def _is_mine(self, name: str) -> bool:
        """In place: whether a file is a result of the same settings, and not a source."""
        entry = self._results.get(name)
        if entry is None or entry.kept or self._found[name].size != entry.output_size:
            return False
        return self._hash(self._order.target, name) == entry.output_sha256

    @cached_property
    def _results(self) -> dict[str, Entry]:
        entries = self._record.entries.values()
        return {entry.output: entry for entry in entries if entry.settings == self._settings}

    def _is_done(self, found: Found, look: Callable[[str], Found | None]) -> bool:
        """Whether a source was done before; in place it is then removed.

        Args:
            look: of the results' tree (`Place.look`).
        """
        order, entry = self._order, self._record.entries.get(found.name)
        if entry is None or (entry.settings, entry.size) != (self._settings, found.size):
            return False
        if entry.output != (found.name if entry.kept else self._names[found.name]):
            return False
        there = look(entry.output)
        if there is None or there.size != entry.output_size:
            return False
        removes = order.in_place and entry.output != found.name
        if (removes or not entry.written) and (
            self._hash(order.target, entry.output) != entry.output_sha256
        ):
            return False
        if (removes or not found.stamp or found.stamp != entry.stamp) and (
            self._hash(order.source, found.name) != entry.sha256
        ):
            return False
        if not entry.written or found.stamp != entry.stamp:
            self._record.done(replace(entry, stamp=found.stamp))
        if removes:
            self._remove(found.name, entry.output)
        self._skip([found.name])
        return True

    def _skip(self, names: list[str] | set[str]) -> None:
        for name in sorted(names):
            output = name if self._order.in_place else self._record.entries[name].output
            label = self._order.target.label(output)
            self.results.append(Result(self._order.source.label(name), label, "skipped"))

    @staticmethod
    def _hash(place: Place, name: str) -> str | None:
        try:
            return sha256(place.read(name))
        except InputError:
            return None

    def run(self) -> Generator[Result]:
        """Do what is to be done; each result as it comes. Closing the generator ends it."""
        pending: deque[Future[Result]] = deque()
        places = (self._order.source, self._order.target)
        local = all(isinstance(place, LocalPlace) for place in places)
        threads = ThreadPoolExecutor(_THREADS if local else _REMOTE_THREADS)
        try:
            with ExitStack() as stack:
                jobs, answers = self._work(threads, stack)
                for task, answer in stack.enter_context(closing(answers)):
                    yield from self._new_failures()
                    if isinstance(answer, Failure):
                        yield self._noted(self._failure(task.name, answer.message))
                        continue
                    with held():
                        pending.append(threads.submit(self._finish, task.name, answer))
                    yield from self._finished(pending, 2 * jobs)
            yield from self._new_failures()
            yield from self._finished(pending, 0)
        finally:
            threads.shutdown(cancel_futures=True)

    def _work(
        self, threads: ThreadPoolExecutor, stack: ExitStack
    ) -> tuple[int, Generator[tuple[Task, Made | Failure]]]:
        """The number of processes, and what they make; until the stack is closed."""
        order = self._order

        if order.engine == "ray" and self._todo:
            cores = order.jobs or session.threads()
            found = stack.enter_context(cluster.connected(order.address, cores))
            jobs = max(1, min(order.jobs or found.cpus, len(self._todo)))
            tasks = self._read_tasks(threads, 2 * jobs)
            return jobs, found.run(work.encode, tasks, jobs, self._cost, order.memory)
        most = memory.available() if order.memory is None else order.memory
        jobs = self._jobs(most)
        if isinstance(order.source, LocalPlace):
            tasks = (self._task(name, order.source.path(name)) for name in self._todo)
        else:
            tasks = self._read_tasks(threads, 2 * jobs)
        bound = None if most is None else Bound(self._cost, most)
        return jobs, pool.run(work.encode, tasks, jobs, bound)

    def _finished(self, pending: deque[Future[Result]], most: int) -> Iterator[Result]:
        """Those at the front that are done; waits until no more than `most` are left."""
        while pending:
            with held():
                if len(pending) <= most and not pending[0].done():
                    return
                result = pending.popleft().result()
            yield self._noted(result)

    def _cost(self, task: Task) -> int:
        coder = self._order.recipe.coder
        return memory.estimate(task.source, coder, untrusted=task.untrusted)

    def _jobs(self, most: int | None) -> int:
        order = self._order
        if order.jobs is not None:
            return order.jobs
        sample = self._todo[:_SAMPLE]
        coder = order.recipe.coder
        if isinstance(order.source, LocalPlace):
            paths = map(order.source.path, sample)
            costs = [memory.estimate(path, coder, untrusted=order.untrusted) for path in paths]
        else:
            costs = [memory.of_size(self._found[name].size, coder) for name in sample]
        return memory.processes(len(self._todo), costs, most)

    def _read_tasks(self, threads: ThreadPoolExecutor, ahead: int) -> Iterator[Task]:
        """Tasks with the bytes of their files, for processes that cannot read them.

        Args:
            ahead: number of files that are read before they are asked for.
        """
        waiting = iter(self._todo)
        reading: deque[tuple[str, Future[bytes]]] = deque()
        while True:
            for name in islice(waiting, ahead - len(reading)):
                with held():
                    reading.append((name, threads.submit(self._order.source.read, name)))
            if not reading:
                return
            name, future = reading.popleft()
            try:
                with held():
                    data = future.result()
            except ComrecError as error:
                self._failed.append(self._failure(name, str(error)))
                continue
            yield self._task(name, data)

    def _task(self, name: str, source: Path | bytes) -> Task:
        order = self._order
        return Task(
            name, source, order.source.label(name), order.recipe, order.saving, order.untrusted
        )

    def _finish(self, name: str, made: Made) -> Result:
        try:
            output = self._write(name, made)
        except ComrecError as error:
            return self._failure(name, str(error))
        except Exception as error:  # of any file system: one bad file stops no other
            return self._failure(name, f"{type(error).__name__}: {error}")
        return Result(
            self._order.source.label(name),
            self._order.target.label(output),
            "kept" if made.kept else "encoded",
            made.source_size,
            len(made.data),
            made.seconds,
            made.encoded.notes,
        )

    def _write(self, name: str, made: Made) -> str:
        order, found = self._order, self._found[name]
        output = name if made.kept else self._names[name]
        entry = Entry(
            name,
            made.source_size,
            found.stamp,
            made.source_sha256,
            self._settings,
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
            self._remove(name, output)
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
        if source.status(found.name) != found and (
            self._hash(source, found.name) != made.source_sha256
        ):
            raise OutputError(f"{label}: changed while it was encoded, and is left as it is")
        if (
            output in self._mine
            or source.status(output) is None
            or self._are_one(found.name, output)
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

    def _remove(self, name: str, output: str) -> None:
        """In place: remove a source whose result is complete."""
        if not self._are_one(name, output):
            self._order.source.remove(name)

    def _are_one(self, name: str, output: str) -> bool:
        """Whether they are one file: equal, or the file system takes both names for one."""
        source = self._order.source
        if name == output or not isinstance(source, LocalPlace):
            return name == output
        return os.path.samefile(source.path(name), source.path(output))

    def _failure(self, name: str, error: str) -> Result:
        label = self._order.source.label(name)
        size = self._found[name].size
        return Result(label, None, "failed", size, error=Failure(error).naming(label))

    def _new_failures(self) -> Iterator[Result]:
        while self._failed:
            yield self._noted(self._failed.pop())

    def _noted(self, result: Result) -> Result:
        self.results.append(result)
        return result

    @property
    def todo(self) -> int:
        """Number of files that are to be done."""
        return len(self._todo)


def _settings(order: Order) -> str:
    facts = [order.recipe.settings, order.saving, order.in_place]
    return sha256(as_json(facts).encode())


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino

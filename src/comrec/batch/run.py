"""A batch: the pictures of a tree, each encoded once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from comrec.batch import cluster, memory, pool, work
from comrec.batch.order import Order, Result
from comrec.batch.past import Past
from comrec.batch.places import LocalPlace
from comrec.batch.pool import Bound, Failure
from comrec.batch.record import Record
from comrec.batch.work import Made, Task
from comrec.batch.writing import Writer
from comrec.errors import ComrecError
from comrec.inference import session
from comrec.signals import held

T = TypeVar("T")

_THREADS = 2  # that read and write files of this machine
_REMOTE_THREADS = 32  # the same of URLs, which mostly wait
_PAUSE = 0.002  # seconds between looks at what such a thread does
_SAMPLE = 100  # files whose headers say how many processes fit in the memory


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
        avoid = None if order.in_place else order.target
        self._found = {each.name: each for each in order.source.walk(order.recursive, avoid)}
        wanted = sorted(filter(order.patterns.wants, self._found))
        self.left_out = len(self._found) - len(wanted)
        self.total = len(wanted)
        self._failed: list[Result] = []
        self._record = Record(order.target, order.state)
        try:
            past = Past(order, self._found, wanted, self._record)
        except BaseException:
            self._record.close()
            raise
        self._todo, self.results, self.renamed = past.todo, past.done, past.renamed
        self._writer = Writer(order, self._found, past.names, past.mine, self._record)

    @property
    def record(self) -> str:
        """The full name of the record."""
        return self._record.label

    @property
    def todo(self) -> int:
        """Number of files that are to be done."""
        return len(self._todo)

    def close(self) -> None:
        """Save the record.

        Raises:
            OutputError: it cannot be written.
        """
        self._record.close()

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
        while len(pending) > most or (pending and _is_done(pending[0])):
            yield self._noted(_result(pending.popleft()))

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
                data = _result(future)
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
            output = self._writer.write(name, made)
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


def _is_done(future: Future[Any]) -> bool:
    with held():
        return future.done()


def _result(future: Future[T]) -> T:
    """Of a future. Signals end the wait, but come at no time when it holds a lock."""
    while not _is_done(future):
        time.sleep(_PAUSE)
    with held():
        return future.result()

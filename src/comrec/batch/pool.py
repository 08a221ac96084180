"""A process pool that survives the crash of a worker process.

Processes are spawned, not forked: an inference session does not survive a fork. Each is bound to
its share of the cores where the system supports it. The pools of the standard library are no
alternative: when one process dies they fail as a whole, and do not report its task.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, TypeVar

from comrec.errors import ComrecError

if sys.platform == "win32":
    from multiprocessing.connection import PipeConnection as Connection
else:
    from multiprocessing.connection import Connection

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Failure:
    """The result of a task that failed."""

    message: str

    def naming(self, label: str) -> str:
        """The message, which begins with the name of the task."""
        return self.message if self.message.startswith(label) else f"{label}: {self.message}"


@dataclass(frozen=True)
class Bound:
    """How much tasks that run at one time may take together.

    A task that takes more than all runs alone.

    Attributes:
        cost: of a task; called once for each.
        most: the largest sum of costs.
    """

    cost: Callable[[Any], int]
    most: int


@dataclass
class _Worker(Generic[Task]):
    process: SpawnProcess
    connection: Connection[Any, Any]
    task: Task | None = None
    cost: int = 0


def run(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    jobs: int,
    bound: Bound | None = None,
) -> Generator[tuple[Task, Result | Failure]]:
    """Each task with its result, in order of completion.

    Args:
        function: importable by name.
        tasks: taken one by one, as processes become free.
        jobs: number of processes, at least 1.
        bound: of what runs at one time; by default none.
    Returns:
        A generator; closing it terminates the processes.
    """
    waiting = _Waiting(tasks, bound)
    workers: list[_Worker[Task]] = []
    try:
        while True:
            for index in range(jobs):
                if not waiting.fits(sum(worker.cost for worker in workers)):
                    break
                if index == len(workers):
                    workers.append(_start(function, index, jobs))
                if workers[index].task is None:
                    waiting.give(workers[index])
            busy = [worker for worker in workers if worker.task is not None]
            if not busy:
                return
            ready = wait([worker.connection for worker in busy])
            for index, worker in enumerate(workers):
                if worker.connection not in ready or worker.task is None:
                    continue
                task, worker.task, worker.cost = worker.task, None, 0
                answer: Result | Failure
                try:
                    answer = worker.connection.recv()
                except (EOFError, ConnectionError):
                    worker.process.join()
                    answer = Failure(
                        f"the worker process died (exit code {worker.process.exitcode})"
                    )
                    workers[index] = _start(function, index, jobs)
                yield task, answer
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join()
            worker.connection.close()


class _Waiting(Generic[Task]):
    """The tasks that no process has yet."""

    def __init__(self, tasks: Iterable[Task], bound: Bound | None) -> None:
        self._tasks = iter(tasks)
        self._bound = bound
        self._next: tuple[Task, int] | None = None

    def fits(self, running: int) -> bool:
        """Whether there is one, and it may run beside what costs this."""
        if self._next is None:
            for task in self._tasks:
                self._next = task, 0 if self._bound is None else self._bound.cost(task)
                break
        if self._next is None:
            return False
        return self._bound is None or not running or running + self._next[1] <= self._bound.most

    def give(self, worker: _Worker[Task]) -> None:
        """Let a process that has none do the next."""
        assert self._next is not None
        (worker.task, worker.cost), self._next = self._next, None
        with suppress(BrokenPipeError):  # the process died; `wait` reports it
            worker.connection.send(worker.task)


def _start(function: Callable[[Any], Any], index: int, jobs: int) -> _Worker[Any]:
    context = multiprocessing.get_context("spawn")
    parent_end, child_end = context.Pipe()
    process = context.Process(target=_serve, args=(child_end, function, index, jobs), daemon=True)
    process.start()
    child_end.close()  # so that reading fails once the process has ended
    return _Worker(process, parent_end)


def _serve(
    connection: Connection[Any, Any], function: Callable[[Any], Any], index: int, jobs: int
) -> None:
    """Run tasks until the parent closes the connection."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches all processes; the parent handles it
    _bind_to_cores(index, jobs)
    with suppress(EOFError, ConnectionError):
        while True:
            connection.send(attempt(function, connection.recv()))


def attempt(function: Callable[[Task], Result], task: Task) -> Result | Failure:
    """The result of a task, whatever it raises."""
    try:
        return function(task)
    except ComrecError as error:
        return Failure(str(error))
    except Exception as error:  # any library: one bad picture must not stop the run
        return Failure(f"{type(error).__name__}: {error}")


def _bind_to_cores(index: int, jobs: int) -> None:
    """Bind this process to its share of the cores; libraries size their thread pools by it."""
    if sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[index % len(cores) :: jobs])

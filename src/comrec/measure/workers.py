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
from collections import deque
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


@dataclass
class _Worker(Generic[Task]):
    process: SpawnProcess
    connection: Connection[Any, Any]
    task: Task | None = None


def run(
    function: Callable[[Task], Result], tasks: Iterable[Task], jobs: int
) -> Generator[tuple[Task, Result | Failure]]:
    """Each task with its result, in order of completion.

    Args:
        function: importable by name.
        jobs: number of processes, at least 1.
    Returns:
        A generator; closing it terminates the processes.
    """
    waiting = deque(tasks)
    workers = [_start(function, index, jobs) for index in range(min(jobs, len(waiting)))]
    try:
        while waiting or any(worker.task is not None for worker in workers):
            for worker in workers:
                if worker.task is None and waiting:
                    worker.task = waiting.popleft()
                    with suppress(BrokenPipeError):  # the process died; `wait` reports it
                        worker.connection.send(worker.task)
            busy = [worker for worker in workers if worker.task is not None]
            ready = wait([worker.connection for worker in busy])
            for index, worker in enumerate(workers):
                if worker.connection not in ready or worker.task is None:
                    continue
                task, worker.task = worker.task, None
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
            task = connection.recv()
            answer: Any
            try:
                answer = function(task)
            except ComrecError as error:
                answer = Failure(str(error))
            except Exception as error:  # any library: one bad picture must not stop the run
                answer = Failure(f"{type(error).__name__}: {error}")
            connection.send(answer)


def _bind_to_cores(index: int, jobs: int) -> None:
    """Bind this process to its share of the cores; libraries size their thread pools by it."""
    if sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[index % len(cores) :: jobs])

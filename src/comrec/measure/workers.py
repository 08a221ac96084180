"""A function over many tasks in processes of their own, whatever becomes of a process.

Processes are spawned, not forked: an inference session does not survive a fork. Each keeps to
its share of the cores, where the system can bind it. Those of the pools in the standard library
all fail when one process dies, and do not say which task it had.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, TypeVar

from comrec.errors import ComrecError

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Failure:
    """What became of a task without a result."""

    message: str


@dataclass
class _Worker(Generic[Task]):
    process: SpawnProcess
    connection: Connection[Any, Any]
    task: Task | None = None


def run(
    function: Callable[[Task], Result], tasks: Iterable[Task], jobs: int
) -> Generator[tuple[Task, Result | Failure]]:
    """Each task with its result, as they come.

    Args:
        function: importable by name.
        jobs: processes, 1 and up.
    Returns:
        A generator; closing it ends the processes.
    """
    waiting = deque(tasks)
    workers = [_start(function, index, jobs) for index in range(min(jobs, len(waiting)))]
    try:
        while waiting or any(worker.task is not None for worker in workers):
            for worker in workers:
                if worker.task is None and waiting:
                    worker.task = waiting.popleft()
                    with suppress(BrokenPipeError):  # it died; `wait` tells
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
                    answer = Failure(f"its process died (code {worker.process.exitcode})")
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
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, function, index, jobs), daemon=True)
    process.start()
    theirs.close()  # so that reading from ours ends when the process does
    return _Worker(process, ours)


def _serve(
    connection: Connection[Any, Any], function: Callable[[Any], Any], index: int, jobs: int
) -> None:
    """Answer tasks until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides
    _keep_to_share(index, jobs)
    with suppress(EOFError, ConnectionError):
        while True:
            task = connection.recv()
            answer: Any
            try:
                answer = function(task)
            except ComrecError as error:
                answer = Failure(str(error))
            except Exception as error:  # of whatever library: one bad picture stops nothing
                answer = Failure(f"{type(error).__name__}: {error}")
            connection.send(answer)


def _keep_to_share(index: int, jobs: int) -> None:
    """Bind this process to its part of the cores; codecs and networks take their number."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[index % len(cores) :: jobs])

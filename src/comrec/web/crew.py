"""Processes that do tasks, one at a time each; a task is cancelled by ending its process.

A fault in a library, a decoder that does not end, or one that takes too much memory is so a failure
of one task alone.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from comrec import confined
from comrec.errors import ComrecError
from comrec.web import limits
from comrec.web.tasks import READING, Facts, Task

if sys.platform == "win32":
    from multiprocessing.connection import PipeConnection as Connection
else:
    from multiprocessing.connection import Connection

End = Literal["done", "failed", "cancelled"]
Report = Callable[[End | None, Facts], None]
_TICK = 0.1  # seconds between looks at whether a task is cancelled


class BusyError(ComrecError):
    """Too many tasks wait."""


@dataclass(eq=False)
class Work:
    """A task and where it is.

    Attributes:
        task: what to do.
        report: called, in a thread of the crew, with facts as they come, and at last with how it
            ended.
    """

    task: Task
    report: Report
    cancelled: threading.Event = field(default_factory=threading.Event)


class Crew:
    """A number of processes, each with a thread that looks after it.

    Args:
        size: number of processes.
        waiting: tasks that wait, at most.
        memory: bytes that each process may take; None for as many as there are.
        reading: seconds in which a task must have read the file of a photograph.
    """

    def __init__(
        self,
        size: int,
        waiting: int,
        memory: int | None = None,
        reading: float = limits.READING,
    ) -> None:
        self._memory, self._reading = memory, reading
        self._waiting: deque[Work] = deque()
        self._most = waiting
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(size)]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Work) -> None:
        """Let it be done after those that wait.

        Raises:
            BusyError: too many wait.
        """
        with self._changed:
            if len(self._waiting) >= self._most:
                raise BusyError(f"{self._most} jobs wait already; try again later")
            self._waiting.append(work)
            self._changed.notify()

    def cancel(self, work: Work) -> None:
        """Let it not be done, or end it; nothing happens where it has ended."""
        work.cancelled.set()
        self.cancel_waiting(work)

    def cancel_waiting(self, work: Work) -> None:
        """Let it not be done, unless it has begun."""
        with self._changed:
            if work not in self._waiting:
                return
            self._waiting.remove(work)
        work.report("cancelled", {})

    def close(self) -> None:
        """End all; waits until the processes have ended."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        process = _Process(self._memory)
        while (work := self._next()) is not None:
            process = process.or_another()
            ended = self._done_by(process, work)
            if ended is not None:
                work.report(*ended)
                process = process.or_another()  # ready before the next comes
        process.end()

    def _next(self) -> Work | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return None if self._closed else self._waiting.popleft()

    def _done_by(self, process: _Process, work: Work) -> tuple[End, Facts] | None:
        """How it ended; None where the crew is closed."""
        try:
            process.connection.send(work.task)
            latest: float | None = None
            while True:
                if latest is not None and time.monotonic() > latest:
                    process.end()
                    late = f"reading the file took more than {self._reading:g} s, its limit"
                    return "failed", {"error": late}
                if work.cancelled.is_set() or self._closed:
                    process.end()
                    return None if self._closed else ("cancelled", {})
                if not process.connection.poll(_TICK):
                    continue
                ended, facts = process.connection.recv()
                if ended is not None:
                    return ended, facts
                if "phase" in facts:
                    reads = facts["phase"] == READING
                    latest = time.monotonic() + self._reading if reads else None
                work.report(None, facts)
        except (EOFError, OSError):
            return "failed", {"error": f"the process that did this {confined.death(process.end())}"}


class _Process:
    def __init__(self, memory: int | None) -> None:
        self._memory = memory
        context = multiprocessing.get_context("spawn")
        self.connection, child = context.Pipe()
        self._process = context.Process(target=_serve, args=(child, memory), daemon=True)
        self._process.start()
        child.close()  # so that reading fails once the process has ended

    def or_another(self) -> _Process:
        """This one while it lives; else a new one."""
        if self._process.is_alive():
            return self
        self.end()
        return _Process(self._memory)

    def end(self) -> int | None:
        """End it, and return its exit code."""
        self._process.terminate()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self.connection.close()
        return self._process.exitcode


def _serve(connection: Connection[Any, Any], memory: int | None) -> None:
    """Do tasks until the parent closes the connection."""
    confined.restrict()
    if memory is not None:
        confined.limit_memory(memory, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent handles it
    log = logging.getLogger("comrec")
    log.addHandler(_Telling(connection))
    log.setLevel(logging.INFO)
    log.propagate = False
    with suppress(EOFError, ConnectionError):
        while True:
            task: Task = connection.recv()
            try:
                for facts in task.run():
                    connection.send((None, facts))
                connection.send(("done", {}))
            except ComrecError as error:
                connection.send(("failed", {"error": str(error)}))
            except ConnectionError:
                raise
            except MemoryError:
                connection.send(("failed", {"error": _too_much(memory)}))
            # Of Rust libraries, a panic is no Exception; a plug-in may even raise SystemExit.
            except BaseException as error:
                connection.send(("failed", {"error": f"{type(error).__name__}: {error}"}))


def _too_much(memory: int | None) -> str:
    if memory is None:
        return "the memory of this machine is not enough for this"
    return f"this takes more memory than a job may have ({memory / 1e6:,.0f} MB)"


class _Telling(logging.Handler):
    """Reports the steps of a search."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        super().__init__()
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        self._connection.send((None, {"step": record.getMessage()}))

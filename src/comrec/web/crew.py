"""Processes that do tasks, one at a time each; a task is cancelled by ending its process.

A fault in a library, or memory running out, is so a failure of one task alone.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from comrec.errors import ComrecError
from comrec.web.tasks import Facts, Task

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
    """

    def __init__(self, size: int, waiting: int) -> None:
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
        process = _Process()
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
            while True:
                if work.cancelled.is_set() or self._closed:
                    process.end()
                    return None if self._closed else ("cancelled", {})
                if not process.connection.poll(_TICK):
                    continue
                ended, facts = process.connection.recv()
                if ended is not None:
                    return ended, facts
                work.report(None, facts)
        except (EOFError, OSError):
            code = process.end()
            return "failed", {"error": f"the process that did this died (exit code {code})"}


class _Process:
    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, child = context.Pipe()
        self._process = context.Process(target=_serve, args=(child,), daemon=True)
        self._process.start()
        child.close()  # so that reading fails once the process has ended

    def or_another(self) -> _Process:
        """This one while it lives; else a new one."""
        if self._process.is_alive():
            return self
        self.end()
        return _Process()

    def end(self) -> int | None:
        """End it, and return its exit code."""
        self._process.terminate()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self.connection.close()
        return self._process.exitcode


def _serve(connection: Connection[Any, Any]) -> None:
    """Do tasks until the parent closes the connection."""
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
            # Of Rust libraries, a panic is no Exception; a plug-in may even raise SystemExit.
            except BaseException as error:
                connection.send(("failed", {"error": f"{type(error).__name__}: {error}"}))


class _Telling(logging.Handler):
    """Reports the steps of a search."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        super().__init__()
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        self._connection.send((None, {"step": record.getMessage()}))

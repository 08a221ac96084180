"""Signals that wait."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""What ends a process, unless it says otherwise."""


@contextmanager
def held() -> Iterator[list[int]]:
    """Ctrl-C, SIGTERM and SIGHUP wait for the end of the block, and then do what they usually do.

    For what must not be left half done. An exception out of a handler can also leave a lock of the
    standard library taken for ever, those of `concurrent.futures` among them: its conditions are
    entered by Python code.

    Yields:
        the numbers of those that came so far. Only the main thread is told of signals; in others
        nothing changes, and none come.
    """
    came: list[int] = []
    usual = {}
    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            handler = signal.getsignal(number)
            if handler not in (signal.SIG_IGN, None):  # None: it is not Python's
                usual[number] = handler
                signal.signal(number, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)

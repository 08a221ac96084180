"""A progress bar on stderr, only on a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

from comrec.signals import held

T = TypeVar("T")


def progress(
    items: Iterable[T], total: int, label: str, quiet: bool = False, initial: int = 0
) -> Iterator[T]:
    """Iterate over items with a progress bar.

    Log messages of comrec meanwhile, such as the steps of a search, are shown after the bar.

    Args:
        total: number of items, ``initial`` included.
        label: text before the bar.
        quiet: no bar.
        initial: number of items that were done before.
    """
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield from items
        return
    with held():  # it starts a thread
        bar = tqdm(items, label, total, initial=initial, file=sys.stderr)
    with bar, _logs_after(bar):
        yield from bar


class _BarHandler(logging.Handler):
    """Shows log records after a bar."""

    def __init__(self, bar: Any) -> None:
        super().__init__()
        self.bar = bar

    def emit(self, record: logging.LogRecord) -> None:
        self.bar.set_postfix_str(record.getMessage())


@contextmanager
def _logs_after(bar: Any) -> Iterator[None]:
    log, handler = logging.getLogger("comrec"), _BarHandler(bar)
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)

"""A progress bar on stderr, only on a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(
    items: Iterable[T], total: int, label: str, quiet: bool = False, initial: int = 0
) -> Iterator[T]:
    """Pass items on while a bar shows how far they are; ``initial`` were done before.

    What comrec logs meanwhile, such as the steps of a search, stands behind the bar.
    """
    hidden = quiet or not sys.stderr.isatty()
    with tqdm(items, label, total, initial=initial, disable=hidden, file=sys.stderr) as bar:
        if hidden:
            yield from bar
        else:
            with _behind(bar):
                yield from bar


class _Behind(logging.Handler):
    """Shows records behind a bar."""

    def __init__(self, bar: Any) -> None:
        super().__init__()
        self.bar = bar

    def emit(self, record: logging.LogRecord) -> None:
        self.bar.set_postfix_str(record.getMessage())


@contextmanager
def _behind(bar: Any) -> Iterator[None]:
    log, handler = logging.getLogger("comrec"), _Behind(bar)
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)

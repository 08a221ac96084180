"""A progress bar on stderr, only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(
    items: Iterable[T], total: int, label: str, quiet: bool = False, initial: int = 0
) -> Iterator[T]:
    """Pass items on while a bar shows how far they are; ``initial`` were done before."""
    hidden = quiet or not sys.stderr.isatty()
    yield from tqdm(items, label, total, initial=initial, disable=hidden, file=sys.stderr)

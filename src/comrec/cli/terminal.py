"""What the verbs show: tables, progress, failures."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

from comrec.errors import ComrecError

T = TypeVar("T")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned: the first to the left, the others to the right."""
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]

    def format_line(line: Sequence[str]) -> str:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        return "  ".join(cells).rstrip()

    return "\n".join([format_line(head), *map(format_line, rows)])


def progress(
    items: Iterable[T], total: int, label: str, quiet: bool = False, initial: int = 0
) -> Iterator[T]:
    """A progress bar on stderr, only on a terminal."""
    hidden = quiet or not sys.stderr.isatty()
    yield from tqdm(items, label, total, initial=initial, disable=hidden, file=sys.stderr)


def failed(error: ComrecError) -> None:
    """Tell of one file's failure."""
    print(f"comrec: {error}", file=sys.stderr)

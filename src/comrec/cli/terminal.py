"""What the verbs show: tables and failures."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from comrec.errors import ComrecError


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned: the first to the left, the others to the right."""
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]

    def format_line(line: Sequence[str]) -> str:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        return "  ".join(cells).rstrip()

    return "\n".join([format_line(head), *map(format_line, rows)])


def failed(error: ComrecError) -> None:
    """Tell of one file's failure."""
    print(f"comrec: {error}", file=sys.stderr)

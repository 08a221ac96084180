"""Tables and failures on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from comrec.errors import ComrecError


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: bool = True) -> str:
    """A text table. The first column is aligned left, the others right if ``right``, else left."""
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]

    def format_line(line: Sequence[str]) -> str:
        cells = [line[0].ljust(widths[0])]
        pairs = zip(line[1:], widths[1:], strict=True)
        cells += [cell.rjust(width) if right else cell.ljust(width) for cell, width in pairs]
        return "  ".join(cells).rstrip()

    return "\n".join([format_line(head), *map(format_line, rows)])


def noted(name: str, notes: Sequence[str]) -> None:
    """Report on stderr what reading a file changed, left out or worked around."""
    for note in notes:
        print(f"comrec: {name}: {note}", file=sys.stderr)


def failed(error: ComrecError) -> None:
    """Report the failure of one file on stderr."""
    print(f"comrec: {error}", file=sys.stderr)

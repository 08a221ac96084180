"""comrec web: what sites need to show comrec's files in full, with comrec.js (docs/browser.md)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from comrec.cli import terminal, writing
from comrec.inference import export


def add(verbs: Any) -> None:
    """Declare the command."""
    verb = verbs.add_parser("web", help="the networks for comrec.js", description=__doc__)
    actions = verb.add_subparsers(metavar="ACTION", required=True)
    action = actions.add_parser(
        "export-weights",
        help="write the networks that comrec.js fetches",
        description="Write the networks of .jpg, .webp and .avif files, and an index of them, into "
        "a folder of a site. Run it again after each update of comrec; files of earlier versions "
        "stay.",
    )
    action.add_argument("folder", metavar="DIR", help="made if it is missing")
    action.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    folder = Path(options.folder)
    written = 0
    for name, data in export.files():
        writing.write(str(folder / name), data)
        written += len(data)
    terminal.show(f"{folder}: {written / 1e6:.1f} MB")
    return 0

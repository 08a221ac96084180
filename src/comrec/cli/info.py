"""comrec info: show what is stored in files, without decoding them."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from comrec import information
from comrec.cli import paths, terminal
from comrec.errors import ComrecError
from comrec.information import Information


def add(verbs: Any) -> None:
    """Declare the command."""
    verb = verbs.add_parser(
        "info", help="show size, codec and quality of files", description=__doc__
    )
    verb.add_argument("inputs", nargs="+", metavar="IN", help="files; - for standard input")
    verb.add_argument("--json", action="store_true", help="print one JSON object per file")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    failures = 0
    for name in options.inputs:
        try:
            found = information.info(paths.read(name), paths.label(name))
        except ComrecError as error:
            failures += 1
            terminal.failed(error)
            continue
        if options.json:
            print(json.dumps({"input": name, **asdict(found)}))
        else:
            print(_text(name, found))
    return 1 if failures else 0


def _text(name: str, found: Information) -> str:
    lines = [
        f"{name}: {found.codec}, {found.width}x{found.height}, {found.bytes:,} bytes, "
        f"{found.bpp:.3f} bpp"
    ]
    if found.network is not None:
        scale = {None: "", 1: " at scale 1", 2: " at scale 1/2"}[found.scale]
        lines.append(
            f"  stored as {found.container}{scale}, quality {found.quality:g}; "
            f"reconstructed by {found.network}"
        )
        lines.append(f"  other viewers show {found.shown}")
    if found.stale:
        lines.append("  edited after comrec wrote it: the mark no longer fits and is ignored")
    return "\n".join(lines)

"""comrec info: show what is stored in files, without decoding them."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from comrec import information
from comrec.cli import jobs, paths, terminal
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
    def tell(name: str) -> None:
        found = information.info(paths.read(name), paths.label(name))
        if options.json:
            terminal.report({"input": name, **asdict(found)})
        else:
            terminal.show(*_lines(name, found))

    return 1 if jobs.each(paths.once(options.inputs), tell, paths.label) else 0


def _lines(name: str, found: Information) -> list[str]:
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
    return lines

"""comrec info: show what is stored in files, without decoding them."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from comrec import information
from comrec.cli import jobs, paths, terminal
from comrec.cli.writing import STREAM
from comrec.information import Information, ProgressiveInformation


def add(verbs: Any) -> None:
    """Declare the command."""
    verb = verbs.add_parser(
        "info", help="show size, codec and quality of files", description=__doc__
    )
    verb.add_argument("inputs", nargs="+", metavar="IN", help="files; - for standard input")
    verb.add_argument("--json", action="store_true", help="print one JSON object per file")
    jobs.add_untrusted(verb)
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    def tell(name: str) -> None:
        found = _information(name, options.untrusted)
        if options.json:
            terminal.report({"input": name, **asdict(found)})
        else:
            terminal.show(*_lines(name, found))

    return 1 if jobs.each(paths.once(options.inputs), tell, paths.label) else 0


def _information(name: str, untrusted: bool) -> Information:
    """
    Raises:
        ComrecError: it cannot be read.
    """
    label = paths.label(name)
    if name == STREAM or not Path(name).is_file():
        return information.info(paths.read(name), label, untrusted=untrusted)
    return information.of_file(Path(name), label, untrusted=untrusted)


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
    if isinstance(found, ProgressiveInformation):
        lines += _steps(found)
    if found.stale:
        lines.append("  edited after comrec wrote it: the mark no longer fits and is ignored")
    return lines


def _steps(found: ProgressiveInformation) -> list[str]:
    lines = []
    if found.share is not None and found.share < 1:
        lines.append(f"  has {100 * found.share:.3g} % of the coded pixels of that quality")
    if found.steps:
        each = ", ".join(f"{step:,}" for step in found.steps)
        lines.append(f"  progressive: a better picture with each step, which ends at byte {each}")
    if found.cut_short:
        lines.append("  cut short: decode --allow-partial gives what is there")
    return lines

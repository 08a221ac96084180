"""comrec codecs: list all codecs, or the options of one."""

from __future__ import annotations

import argparse
from typing import Any

from comrec import codec as registry
from comrec.cli import terminal
from comrec.codec import Codec
from comrec.errors import UnknownCodecError


def add(verbs: Any) -> None:
    """Declare the command."""
    verb = verbs.add_parser("codecs", help="list the codecs", description=__doc__)
    verb.add_argument("codec", nargs="?", metavar="ID", help="show this codec and its options")
    verb.add_argument("--json", action="store_true", help="print one JSON object per codec")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.codec is not None:
        coder = registry.parse(options.codec)
        if options.json:
            terminal.report(_facts(coder))
        else:
            terminal.show(*_lines(coder))
        return 0
    for name in registry.names():
        if options.json:
            terminal.report(_facts_of(name))
        else:
            terminal.show(_line(name))
    return 0


def _line(name: str) -> str:
    """One codec, or why it cannot be loaded."""
    try:
        coder = registry.get(name)
    except UnknownCodecError as error:  # of another package
        return f"{name:20} {'-':6} {error}"
    return f"{coder.id:20} {coder.extension:6} {coder.summary}{_needs(coder)}"


def _facts_of(name: str) -> dict[str, Any]:
    """The same for --json."""
    try:
        return _facts(registry.get(name))
    except UnknownCodecError as error:
        return {"id": name, "available": False, "error": str(error)}


def _facts(coder: Codec) -> dict[str, Any]:
    return {
        "id": coder.id,
        "extension": coder.extension,
        "extra": coder.extra,
        "available": coder.available,
        "summary": coder.summary,
        "options": [
            {
                "name": option.name,
                "default": option.default,
                "values": option.values,
                "help": option.help,
            }
            for option in coder.options
        ],
    }


def _needs(coder: Codec) -> str:
    return f"; needs comrec[{coder.extra}]" if coder.extra else ""


def _lines(coder: Codec) -> list[str]:
    """One codec and its options as text."""
    lines = [f"{coder.id}: {coder.summary}; writes {coder.extension} files{_needs(coder)}"]
    if coder.options:
        head = ("option", "values", "default", "")
        rows = [
            (option.name, option.values, option.format(option.default), option.help)
            for option in coder.options
        ]
        option = coder.options[-1]
        values = (True,) if option.type is bool else option.allowed or (option.default,)
        example = next((v for v in values if v != option.default), option.default)
        lines += [
            *terminal.table(head, rows, right=False).split("\n"),
            f"example: -c {coder.id}:{option.name}={option.format(example)}",
        ]
    return lines

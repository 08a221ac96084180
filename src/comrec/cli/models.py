"""comrec models: list the networks of the package, or verify their checksums."""

from __future__ import annotations

import argparse
from typing import Any

from comrec.cli import terminal
from comrec.errors import WeightsError
from comrec.inference import store


def add(verbs: Any) -> None:
    """Declare the command."""
    verb = verbs.add_parser("models", help="list or verify the networks", description=__doc__)
    verb.add_argument("action", choices=("list", "verify"), nargs="?", default="list")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    return _verify() if options.action == "verify" else _list()


def _list() -> int:
    rows = []
    for network in store.networks():
        scale = f"{network.up}/{network.down}" if network.down > 1 else f"{network.up}"
        trained = f"{network.training.get('steps', 0):,} steps"
        rows.append((network.name, network.id, scale, trained))
    terminal.show(*terminal.table(("network", "id", "output", "trained"), rows).split("\n"))
    return 0


def _verify() -> int:
    failures = 0
    for network in store.networks():
        try:
            network.load()
        except WeightsError as error:
            failures += 1
            terminal.failed(error)
        else:
            terminal.show(f"{network.name}: ok, sha256 {network.sha256}")
    return 1 if failures else 0

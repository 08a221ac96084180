"""The networks that comrec.js fetches, as a folder of a site.

The folder has their ONNX files and ``index.json``, of version 1: ``{"version": 1, "networks": {ID:
ENTRY}}``, where ID is what marks name a network by, and an entry has:

    file        the name of the ONNX file
    sha256      of that file
    up          1 or 2: sides of the output per side of the input
    channels    of the input: 1 (luma) or 3 (RGB)
    align, reach, tile    see `Network`
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from comrec.inference import store
from comrec.inference.store import Network
from comrec.text import as_json

FORMATS = ("jpeg", "webp", "avif")
"""Marked files that browsers open."""
INDEX = "index.json"
_VERSION = 1
_FIELDS = ("sha256", "up", "channels", "align", "reach", "tile")


def files() -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of the folder; the index is the last.

    Raises:
        WeightsError: a network is missing or altered.
    """
    chosen = [n for n in store.networks() if n.role == "rec" and n.variant in FORMATS]
    for network in chosen:
        yield _name(network), network.load()
    entries = {network.id: _entry(network) for network in chosen}
    yield INDEX, as_json({"version": _VERSION, "networks": entries}, indent=2).encode() + b"\n"


def _entry(network: Network) -> dict[str, object]:
    values = asdict(network)
    return {"file": _name(network)} | {field: values[field] for field in _FIELDS}


def _name(network: Network) -> str:
    return store.file_name(network.name, network.sha256)

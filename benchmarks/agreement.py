"""The plot of what a classifier still recognises, from the results of `comrec tables evaluate`.

    cd benchmarks; python agreement.py results/labelled/agreement-1000.json -o ../docs/agreement.svg

Agreement with the uncompressed pictures over bytes per picture, up to --most kilobytes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from comrec.errors import OptionError, UnknownCodecError
from comrec.measure import plots, variants
from comrec.measure.plots import Line


def lines(content: dict[str, Any]) -> list[Line]:
    """One for each curve of two points or more: (kilobytes, agreement in percent)."""
    found = []
    for order, (label, curve) in enumerate(content["curves"].items()):
        points = [(p["bytes"] / 1000, 100 * p["agreement"][0]) for p in curve["points"]]
        if len(points) < 2:
            continue
        try:
            found.append(plots.line(variants.parse(label), points, order))
        except (OptionError, UnknownCodecError):  # a baseline, such as "same step"
            found.append(plots.baseline(label, points, order))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="accuracy.json of a run, or a copy")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".svg or .png")
    parser.add_argument("--most", type=float, default=20, help="kilobytes; by default 20")
    given = parser.parse_args(arguments)
    content = json.loads(given.results.read_text())
    up = f"top-1 agreement with the originals, %, {content['pictures']} pictures"
    files = plots.plotted(lines(content), "agreement", "kilobytes per picture", up, given.most)
    given.output.write_bytes(files[given.output.suffix.removeprefix(".")])


if __name__ == "__main__":
    main()

"""Draws what RecCNNs gain over the codec alone on validation crops, by training steps.

results/training.csv has the rows of the runs' curve.csv with the network's name before; of a
network that several runs trained, steps and seconds go on.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

from comrec.measure import plots

CURVES = Path(__file__).parent / "results" / "training.csv"
PICTURE = Path(__file__).parent.parent / "docs" / "training.svg"


def gains(path: Path) -> dict[str, list[tuple[float, float]]]:
    """(thousand steps, dB) by network, of a file like `CURVES`."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            gain = float(row["psnr"]) - float(row["psnr_plain"])
            found[row["network"]].append((int(row["step"]) / 1000, gain))
    return dict(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--curves", type=Path, default=CURVES)
    parser.add_argument("-o", "--output", type=Path, default=PICTURE)
    options = parser.parse_args()
    found = gains(options.curves)
    lines = [plots.baseline(*each, order) for order, each in enumerate(found.items())]
    most = max(step for points in found.values() for step, _ in points)
    across, up = "thousand steps", "dB (RGB) over the codec alone, validation crops"
    options.output.write_bytes(plots.plotted(lines, "training", across, up, most)["svg"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

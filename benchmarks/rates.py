"""Bits per pixel that codecs need for a given MS-SSIM, from the results of `comrec bench`.

    cd benchmarks/results; python ../rates.py rippel2017 kodak-rippel2017 kodak

Means over the pictures at each quality, interpolated: log rate over -10 log10(1 - MS-SSIM). The
first argument is the codec that the others are divided by. A codec that several folders have is
taken from the first.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

SIMILARITIES = (0.92, 0.94, 0.96, 0.97, 0.98, 0.985, 0.99)

Curve = list[tuple[float, float]]
"""(bits per pixel, MS-SSIM), each a mean over pictures."""


def curves(folder: Path) -> dict[str, Curve]:
    """The curve of each codec in a folder of results."""
    found: dict[tuple[str, float], list[tuple[float, float]]] = defaultdict(list)
    with (folder / "points.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            point = float(row["bpp"]), float(row["ms_ssim_rgb"])
            found[row["codec"], float(row["quality"])].append(point)
    means: dict[str, Curve] = defaultdict(list)
    for (codec, _), points in found.items():
        bpp, similarity = np.mean(points, 0)
        means[codec].append((float(bpp), float(similarity)))
    return {codec: sorted(points) for codec, points in means.items()}


def rate(curve: Curve, similarity: float) -> float | None:
    """Bits per pixel for an MS-SSIM; None where the curve doesn't come to it."""
    decibels = [-10 * math.log10(1 - value) for _, value in curve]
    wanted = -10 * math.log10(1 - similarity)
    if not decibels[0] <= wanted <= decibels[-1]:
        return None
    return math.exp(float(np.interp(wanted, decibels, [math.log(bpp) for bpp, _ in curve])))


def table(own: str, found: dict[str, Curve], similarities: Iterable[float]) -> list[str]:
    """In Markdown: bits per pixel of each codec, and in brackets how many times our own."""
    levels = list(similarities)
    ours = [rate(found[own], level) for level in levels]
    lines = [f"| MS-SSIM | {' | '.join(map(str, levels))} |", "|---|" + "---:|" * len(levels)]
    for codec, curve in found.items():
        cells = []
        for level, base in zip(levels, ours, strict=True):
            bpp = rate(curve, level)
            times = "" if bpp is None or base is None or codec == own else f" ({bpp / base:.1f})"
            cells.append("–" if bpp is None else f"{bpp:.3f}{times}")
        lines.append(f"| `{codec}` | {' | '.join(cells)} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("codec")
    parser.add_argument("folders", nargs="+", type=Path)
    given = parser.parse_args(arguments)
    found: dict[str, Curve] = {}
    for folder in given.folders:
        found = curves(folder) | found
    print("\n".join(table(given.codec, found, SIMILARITIES)))


if __name__ == "__main__":
    main()

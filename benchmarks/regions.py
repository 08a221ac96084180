"""Regions of interest on a folder of pictures, at the bytes of JPEG of quality 50.

    python benchmarks/regions.py /path/to/kodak -o benchmarks/results/regions.json

Every codec fills the bytes that plain JPEG of quality 50 has for each picture. Metrics are of all
pixels, and weighted by the most important fifth of them, by the network's map before it is
aligned to blocks. Seconds are of one encode with the network's map, loaded, at a quality.

Rows are written as soon as they are measured; those of the same commit and versions in the output
are not measured again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from comrec import codec, metrics, preparation, roi, ssimulacra2, targets
from comrec.measure import machine
from comrec.picture import Picture
from comrec.progress import progress
from comrec.targets import Match

SHARE = 0.2
QUALITY = 50
# Label: codec, and the strength of the network's map in dB; None without a map.
SERIES: dict[str, tuple[str, float | None]] = {
    "jpeg": ("jpeg", None),
    "jpeg-tuned": ("jpeg-tuned", None),
    "msroi-jpeg": ("msroi-jpeg", 6),
    "msroi-jpeg, 12 dB": ("msroi-jpeg", 12),
    "msroi-jpeg:method=composite": ("msroi-jpeg:method=composite", 6),
    "comrec-jpeg:tune=psnr": ("comrec-jpeg:tune=psnr", None),
    "comrec-jpeg:tune=psnr, 6 dB": ("comrec-jpeg:tune=psnr", 6),
    "comrec-jpeg": ("comrec-jpeg", None),
    "comrec-jpeg, 12 dB": ("comrec-jpeg", 12),
}

Pixels = NDArray[np.uint8]


def salient(picture: Picture) -> Pixels:
    """(H, W): 255 in the most important fifth of a picture, elsewhere 0."""
    coarse = roi.network.fine(picture.rgb)
    return np.where(coarse >= np.quantile(coarse, 1 - SHARE), 255, 0).astype(np.uint8)


def scores(decoded: Picture, original: Picture, weights: Pixels | None) -> dict[str, float]:
    """Of all pixels, or weighted."""
    ours, theirs = decoded.rgb, original.rgb
    lumas = [np.rint(metrics.luma(rgb)).astype(np.uint8) for rgb in (ours, theirs)]
    squares = np.square(np.subtract(ours, theirs, dtype=np.float64)).mean(axis=2)
    return {
        "psnr": float(10 * np.log10(255**2 / np.average(squares, weights=weights))),
        "ssim": metrics.ssim(lumas[0], lumas[1], weights),
        "ms_ssim": metrics.ms_ssim(ours, theirs, weights),
        "ssimulacra2": ssimulacra2.score(ours, theirs, weights),
    }


def measured(path: Path, label: str) -> dict[str, Any]:
    """The row of one picture and codec."""
    picture = preparation.read(path)
    weights = salient(picture)
    match = Match(codec.get("jpeg"), QUALITY)
    text, strength = SERIES[label]
    coder = codec.parse(text)

    def given() -> Picture:
        return picture if strength is None else roi.marked(picture, roi.AUTO, strength)

    point = targets.encode(coder, given(), match).point
    decoded = coder.decode(point.data)
    started = time.perf_counter()
    coder.encode(given(), point.quality)
    seconds = time.perf_counter() - started
    return {
        "picture": path.name,
        "codec": label,
        "quality": point.quality,
        "bytes": len(point.data),
        "budget": match.bytes(picture),
        "encode_s": round(seconds, 3),
        "all": scores(decoded, picture, None),
        "salient": scores(decoded, picture, weights),
    }


def known(output: Path, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of an output that this version measured on this machine."""
    if not output.exists():
        return []
    content = json.loads(output.read_text())
    same = {**content["facts"], "date": facts["date"]} == facts
    return list(content["rows"]) if same else []


def means(rows: list[dict[str, Any]], series: Sequence[str]) -> dict[str, dict[str, float]]:
    """Of each codec over all pictures."""
    found = {}
    for label in series:
        own = [row for row in rows if row["codec"] == label]
        of_codec = {"filled": float(np.mean([row["bytes"] / row["budget"] for row in own]))}
        of_codec["encode_s"] = float(np.median([row["encode_s"] for row in own]))
        for part in ("all", "salient"):
            for metric in own[0][part]:
                of_codec[f"{metric}_{part}"] = float(np.mean([row[part][metric] for row in own]))
        found[label] = of_codec
    return found


def table(found: dict[str, dict[str, float]]) -> list[str]:
    """In Markdown: all pixels / the salient ones."""
    digits = {"psnr": 2, "ssim": 4, "ms_ssim": 4, "ssimulacra2": 1}
    lines = ["| codec | PSNR dB | SSIM | MS-SSIM | SSIMULACRA2 |", "|---|---:|---:|---:|---:|"]
    for label, of_codec in found.items():
        cells = [
            " / ".join(f"{of_codec[f'{metric}_{part}']:.{n}f}" for part in ("all", "salient"))
            for metric, n in digits.items()
        ]
        name, comma, strength = label.partition(", ")
        lines.append(f"| `{name}`{comma}{strength} | {' | '.join(cells)} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--codecs", nargs="+", choices=SERIES, default=list(SERIES))
    parser.add_argument("--quiet", action="store_true")
    given = parser.parse_args(arguments)
    paths = sorted(path for path in given.folder.iterdir() if path.suffix in (".png", ".webp"))
    facts = machine.facts()
    rows = known(given.output, facts)
    there = {(row["picture"], row["codec"]) for row in rows}
    wanted = [(path, label) for path in paths for label in given.codecs]
    missing = [(path, label) for path, label in wanted if (path.name, label) not in there]
    for path, label in progress(missing, len(missing), "regions", given.quiet):
        rows.append(measured(path, label))
        found = means(rows, [each for each in SERIES if any(r["codec"] == each for r in rows)])
        content = {"facts": facts, "means": found, "rows": rows}
        given.output.write_text(json.dumps(content, indent=1) + "\n")
    print("\n".join(table(means(rows, given.codecs))))


if __name__ == "__main__":
    main()

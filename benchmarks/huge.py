"""Peak memory and time of encoding and decoding large pictures, for each codec.

    python benchmarks/huge.py PHOTOGRAPHS --out benchmarks/results/huge.json

Pictures are mosaics of the photographs, nearly square. Each encode and decode runs in a process of
its own, loading included. Results are kept as they come: the same command goes on where it was
interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from speed import DECODE, DO_AND_REPORT, ENCODE

from comrec.measure import machine

SIZES = 12, 50, 200
"""Megapixels."""
QUALITY = 50
CODECS = {
    "png": "png",
    "jpeg": "jpeg",
    "jpegli": "jpegli",
    "jpeg-tuned": "jpeg-tuned",
    "msroi-jpeg": "msroi-jpeg",
    "deepn-jpeg": "deepn-jpeg",
    "jpeg2000": "jpeg2000",
    "webp": "webp",
    "avif": "avif",
    "heic": "heic",
    "bpg": "bpg",
    "jpegxl": "jpegxl",
    "comrec-jpeg": "comrec-jpeg",
    "comrec-webp": "comrec-webp",
    "comrec-bpg": "comrec-bpg",
    "jiang2017-jpeg": "jiang2017-jpeg",
    "liu2018": "liu2018:effort=5",
    "rippel2017": "rippel2017:effort=5",
    "toderici2017": "toderici2017",
}
"""Those with networks in a loop of refinement at the highest effort without it."""

REGION = "comrec.decode(Path(sys.argv[1]).read_bytes(), region=(3000, 2000, 1024, 1024))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photographs", type=Path, help="a folder")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/huge.json"))
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="megapixels")
    parser.add_argument("--codecs", nargs="+", default=list(CODECS))
    parser.add_argument("--limit", type=int, default=7200, help="seconds for one encode or decode")
    arguments = parser.parse_args()
    report: dict[str, Any] = {"metadata": machine.facts(), "quality": QUALITY, "codecs": {}}
    if arguments.out.exists():
        report = json.loads(arguments.out.read_text())
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in arguments.sizes:
            pixels = Path(folder, "pixels.npy")
            size = write_mosaic(arguments.photographs, megapixels, pixels)
            for name in arguments.codecs:
                sizes = report["codecs"].setdefault(name, {"codec": CODECS[name], "sizes": {}})
                if str(megapixels) in sizes["sizes"]:
                    continue
                found = measured(CODECS[name], pixels, Path(folder, "file"), arguments.limit)
                sizes["sizes"][str(megapixels)] = {"size": size, **found}
                part = arguments.out.with_suffix(".part")
                part.write_text(json.dumps(report, indent=1) + "\n")
                os.replace(part, arguments.out)
                print(line(name, megapixels, found), flush=True)


def write_mosaic(photographs: Path, megapixels: int, path: Path) -> tuple[int, int]:
    """A picture in rows of photographs, as an array in a file; its width and height."""
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5 / 16) * 16
    height = -(-round(megapixels * 1e6 / width) // 16) * 16
    out = np.lib.format.open_memmap(path, "w+", np.uint8, (height, width, 3))
    pieces = shuffled(photographs)
    top = 0
    while top < height:
        left, bottom = 0, height
        while left < width:
            piece = next(pieces)[: height - top, : width - left]
            out[top : top + piece.shape[0], left : left + piece.shape[1]] = piece
            left += piece.shape[1]
            bottom = min(bottom, top + piece.shape[0])
        top = bottom
    out.flush()
    return width, height


def shuffled(photographs: Path) -> Iterator[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Photographs without end, always in the same order."""
    paths = sorted(path for path in photographs.iterdir() if path.is_file())
    rng = random.Random(2017)
    while True:
        rng.shuffle(paths)
        for path in paths:
            yield np.asarray(Image.open(path).convert("RGB"))


def measured(codec: str, pixels: Path, path: Path, limit: int) -> dict[str, Any]:
    """Seconds and peak memory of encoding, decoding and a region of a megapixel."""
    found: dict[str, Any] = {}
    for verb, action in (
        ("encode", ENCODE.format(codec=codec, quality=QUALITY)),
        ("decode", DECODE),
        ("region", REGION),
    ):
        files = (pixels, path) if verb == "encode" else (path,)
        found |= {f"{verb}_{key}": value for key, value in apart(action, files, limit)}
        if f"{verb}_failed" in found:
            break
    if path.exists():
        found["bytes"] = path.stat().st_size
        path.unlink()
    return found


def apart(action: str, files: Sequence[Path], limit: int) -> Iterator[tuple[str, Any]]:
    """What a fresh process says that does this with files."""
    script = DO_AND_REPORT.format(action=action)
    command = [sys.executable, "-c", script, *map(str, files)]
    started = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        yield "failed", f"not done after {limit} s"
        return
    if done.returncode:
        told = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        yield "failed", f"{told[0]} after {time.perf_counter() - started:.0f} s"
        return
    seconds, peak = done.stdout.split()
    yield "s", round(float(seconds), 2)
    yield "peak_mb", round(int(peak) / 1024)


def line(name: str, megapixels: int, found: dict[str, Any]) -> str:
    parts = [f"{name:<15} {megapixels:>4} MP"]
    for verb in ("encode", "decode", "region"):
        if f"{verb}_s" in found:
            parts.append(f"{verb} {found[f'{verb}_s']:.1f} s, {found[f'{verb}_peak_mb']:,} MB")
        elif f"{verb}_failed" in found:
            parts.append(f"{verb}: {found[f'{verb}_failed']}")
    return "; ".join(parts)


if __name__ == "__main__":
    main()

"""What `comrec decode --enhance` does to third-party files, beside the plain decoder.

    python benchmarks/enhance.py --data FOLDER --out benchmarks/results/enhance.json

The photographs are those of the folder (not the ones that networks were trained or tested on),
one crop each; screenshots, pixel art and drawings are generated (graphics.py).
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import graphics
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from comrec import codec, files, metrics
from comrec.measure import machine
from comrec.picture import Picture
from comrec.sandwich.enhancement import Enhancing

Pixels = NDArray[np.uint8]

SIZE = 256, 192
GRAPHICS = 3
"""Pictures of each generated kind."""
GRID: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("jpeg", "4:2:0", (30, 75, 90, 98)),
    ("jpeg", "4:2:2", (30, 75, 90, 98)),
    ("jpeg", "4:4:4", (30, 75, 90, 98)),
    ("webp", "4:2:0", (25, 75, 95)),
    ("webp", "lossless", (100,)),
    ("avif", "4:2:0", (40, 70, 95)),
    ("avif", "4:4:4", (40, 70, 95)),
    ("heic", "4:2:0", (30, 60, 90)),
    ("heic", "4:4:4", (30, 60, 90)),
    ("jpegxl", "", (30, 75, 95)),
    ("jpegxl", "lossless", (100,)),
    ("jpeg2000", "", (30, 60, 90)),
    ("jpeg2000", "lossless", (100,)),
    ("bpg", "4:2:0", (30, 60, 90)),
    ("bpg", "4:4:4", (30, 60, 90)),
)
"""Formats, chroma sampling (or lossless) and qualities."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="a folder of photographs")
    parser.add_argument("--photos", type=int, default=6, help="how many of them (default 6)")
    parser.add_argument("--formats", nargs="+", help="only these formats")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/enhance.json"))
    options = parser.parse_args()
    pictures = list(originals(options.data, options.photos))
    rows: list[dict[str, Any]] = []
    for format, sampling, qualities in GRID:
        if options.formats and format not in options.formats:
            continue
        for quality in qualities:
            rows += cell(format, sampling, quality, pictures)
    report = {"metadata": machine.facts(), "rows": rows}
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def originals(folder: Path | None, count: int) -> Iterator[tuple[str, Pixels]]:
    """(Kind, picture) of photographs, every second one at half size, and of what is generated."""
    width, height = SIZE
    paths = sorted(folder.iterdir())[:count] if folder else []
    for number, path in enumerate(paths):
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        if number % 2:
            half = image.width // 2, image.height // 2
            image = image.resize(half, Image.Resampling.LANCZOS)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        yield "photograph", np.asarray(image.crop((left, top, left + width, top + height)))
    for kind, draw in graphics.DRAWN.items():
        for seed in range(GRAPHICS):
            yield kind, draw[seed % len(draw)](seed, width, height)


def coded(format: str, sampling: str, quality: int, rgb: Pixels) -> bytes:
    """A file as other software writes it.

    Args:
        sampling, quality: see `GRID`.
    """
    lossless = sampling == "lossless"
    if format in ("bpg", "heic", "jpegxl"):
        how: dict[str, Any] = {"lossless": True} if lossless else {}
        if format != "jpegxl":
            how = {"subsampling": sampling}
        return codec.get(format, **how).encode(Picture(rgb), quality)
    how = {"quality": quality}
    if format == "jpeg2000":
        layers = {"quality_mode": "dB", "quality_layers": [20 + 0.3 * quality]}
        how = {"irreversible": not lossless} | ({} if lossless else layers)
    elif format == "webp":
        how["lossless"] = lossless
    else:
        how["subsampling"] = sampling
    buffer = io.BytesIO()
    name = "JPEG2000" if format == "jpeg2000" else format.upper()
    Image.fromarray(rgb).save(buffer, name, **how)
    return buffer.getvalue()


def cell(
    format: str, sampling: str, quality: int, pictures: list[tuple[str, Pixels]]
) -> Iterator[dict[str, Any]]:
    """A row for each kind: mean RGB PSNR of the plain pictures; mean and least gain, in dB."""
    for kind in dict.fromkeys(kind for kind, _ in pictures):
        plain, gains, alone = [], [], 0
        for rgb in (rgb for found, rgb in pictures if found == kind):
            file = files.parse(coded(format, sampling, quality, rgb))
            before, after = file.plain(), file.enhance(Enhancing())
            alone += after.pixels is before.pixels or np.array_equal(after.pixels, before.pixels)
            if np.array_equal(before.rgb, rgb):  # PSNR is infinite
                gains.append(0.0 if np.array_equal(after.rgb, rgb) else -100.0)
                continue
            plain.append(metrics.psnr(rgb, before.rgb))
            gains.append(metrics.psnr(rgb, after.rgb) - plain[-1])
        row = {
            "format": format,
            "sampling": sampling,
            "quality": quality,
            "kind": kind,
            "plain": round(mean(plain), 2) if plain else None,
            "mean_gain": round(mean(gains), 3),
            "least_gain": round(min(gains), 3),
            "left_alone": alone,
            "pictures": len(gains),
        }
        print(*row.values(), flush=True)
        yield row


if __name__ == "__main__":
    sys.exit(main())

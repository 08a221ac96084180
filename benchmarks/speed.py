"""How long comrec takes to start and to decode, and how much memory a large picture needs.

    python benchmarks/speed.py --out benchmarks/results/speed.json

The photograph is scikit-image's coffee, resized: 768x512 for times, 6000x4000 for memory.
Run it on an idle machine: times are wall times.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from skimage.data import coffee

import comrec
from comrec import codec as registry
from comrec.measure import machine
from comrec.picture import Picture, from_pil

PHOTO = 768, 512
LARGE = 6000, 4000
QUALITY = 50
DECODES = {"jpeg": 10, "comrec-jpeg": 10, "jiang2017-jpeg": 3, "liu2018": 10}
"""How often each codec decodes, after once to warm up."""
DECODES_LARGE = "comrec-jpeg", "liu2018"
STARTS = 5

DECODE_AND_REPORT = """
import sys, time
from pathlib import Path
import comrec
start = time.perf_counter()
comrec.decode(Path(sys.argv[1]).read_bytes())
print(time.perf_counter() - start)
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""
"""Prints seconds and the peak resident kB (not ru_maxrss, which the parent's memory raises)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/speed.json"))
    arguments = parser.parse_args()
    report = {
        "metadata": machine.facts(),
        "decode": {name: decoding(name, times) for name, times in DECODES.items()},
        "start": starting(),
        "large": {name: large_picture(name) for name in DECODES_LARGE},
    }
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    print_report(report)


def photograph(size: tuple[int, int]) -> Picture:
    """The middle 3:2 of a photograph, in colour."""
    return from_pil(Image.fromarray(coffee()).resize(size, Image.Resampling.LANCZOS))


def decoding(codec_id: str, times: int) -> dict[str, Any]:
    """Median seconds of decoding in one process that has its network loaded."""
    codec = registry.get(codec_id)
    data = codec.encode(photograph(PHOTO), QUALITY)
    codec.decode(data)
    seconds = [timed(partial(codec.decode, data)) for _ in range(times)]
    return {
        "size": PHOTO,
        "bytes": len(data),
        "marked": is_marked(data),
        "times": times,
        "median_s": median(seconds),
        "least_s": min(seconds),
    }


def is_marked(data: bytes) -> bool:
    """Whether a network runs in decoding: the encoder may have found plain JPEG better."""
    return comrec.info(data).network is not None


def starting() -> dict[str, float]:
    """Median wall seconds of a fresh process; `python` alone is the floor."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "photo.jpg")
        path.write_bytes(registry.get("jpeg").encode(photograph(PHOTO), QUALITY))
        commands = {
            "python_s": [sys.executable, "-c", "pass"],
            "import_s": [sys.executable, "-c", "import comrec"],
            "info_s": [sys.executable, "-m", "comrec", "info", str(path)],
        }
        return {
            name: median(timed(partial(fresh, command)) for _ in range(STARTS))
            for name, command in commands.items()
        }


def large_picture(codec_id: str) -> dict[str, Any]:
    """Decoding 24 megapixels in a fresh process, loading included."""
    data = registry.get(codec_id).encode(photograph(LARGE), QUALITY)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large")
        path.write_bytes(data)
        seconds, peak = fresh([sys.executable, "-c", DECODE_AND_REPORT, str(path)]).split()
    return {
        "size": LARGE,
        "bytes": len(data),
        "marked": is_marked(data),
        "decode_s": float(seconds),
        "peak_rss_mb": int(peak) / 1024,
        "pixels_mb": np.prod(LARGE).item() * 3 / 2**20,
    }


def fresh(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def print_report(report: dict[str, Any]) -> None:
    for name, result in report["decode"].items():
        width, height = result["size"]
        print(f"decode {name:<16} {width}x{height}  {result['median_s']:8.4f} s")
    for name, seconds in report["start"].items():
        print(f"start  {name.removesuffix('_s'):<16}          {seconds:8.4f} s")
    for name, result in report["large"].items():
        width, height = result["size"]
        seconds, peak = result["decode_s"], result["peak_rss_mb"]
        print(f"decode {name:<16} {width}x{height} {seconds:8.1f} s, peak {peak:.0f} MB")


if __name__ == "__main__":
    main()

"""How long comrec takes to start, to decode and to encode, and what memory a large picture needs.

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
from comrec.picture import Picture
from comrec.pillow_io import from_pil

PHOTO = 768, 512
LARGE = 6000, 4000
QUALITY = 50
DECODES = {
    "jpeg": 10,
    "comrec-jpeg": 10,
    "comrec-jpeg:network=fast": 10,
    "jiang2017-jpeg": 3,
    "liu2018": 10,
    "rippel2017": 10,
    "toderici2017": 5,
}
"""How often each codec decodes, after once to warm up."""
ENCODES = {"comrec-jpeg": [5, 7], "liu2018": [1, 7, 10], "rippel2017": [7], "toderici2017": [7]}
"""The efforts at which each codec encodes."""
LARGE_BY = "comrec-jpeg", "liu2018", "rippel2017"
STARTS = 5

DECODE = "comrec.decode(Path(sys.argv[1]).read_bytes())"
ENCODE = (
    "data = comrec.encode(np.load(sys.argv[1]), {codec!r}, {quality})\n"
    "Path(sys.argv[2]).write_bytes(data)"
)
DO_AND_REPORT = """
import sys, time
from pathlib import Path
import numpy as np
import comrec
start = time.perf_counter()
{action}
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
        "encode": {name: encoding(name, efforts) for name, efforts in ENCODES.items()},
        "start": starting(),
        "large": {name: large_picture(name) for name in LARGE_BY},
    }
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    print_report(report)


def photograph(size: tuple[int, int]) -> Picture:
    """The middle 3:2 of a photograph, in colour."""
    return from_pil(Image.fromarray(coffee()).resize(size, Image.Resampling.LANCZOS))


def decoding(codec_id: str, times: int) -> dict[str, Any]:
    """Median seconds of decoding in one process that has its network loaded."""
    codec = registry.parse(codec_id)
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


def encoding(codec_id: str, efforts: list[int]) -> list[dict[str, Any]]:
    """Median seconds of encoding, likewise, at each effort."""
    picture, results = photograph(PHOTO), []
    for effort in efforts:
        encode = partial(registry.get(codec_id, effort=effort).encode, picture, QUALITY)
        size = len(encode())
        seconds = median(timed(encode) for _ in range(3))
        results.append({"effort": effort, "size": PHOTO, "bytes": size, "median_s": seconds})
    return results


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
    """Decoding and encoding 24 megapixels in fresh processes, loading included."""
    encode = ENCODE.format(codec=codec_id, quality=QUALITY)
    with tempfile.TemporaryDirectory() as folder:
        path, pixels = Path(folder, "large"), Path(folder, "pixels.npy")
        np.save(pixels, photograph(LARGE).pixels)
        encoding_s, encoding_kb = apart(encode, pixels, path)
        decoding_s, decoding_kb = apart(DECODE, path)
        data = path.read_bytes()
    return {
        "size": LARGE,
        "bytes": len(data),
        "marked": is_marked(data),
        "decode_s": decoding_s,
        "peak_rss_mb": decoding_kb / 1024,
        "encode_s": encoding_s,
        "encode_peak_rss_mb": encoding_kb / 1024,
        "pixels_mb": np.prod(LARGE).item() * 3 / 2**20,
    }


def apart(action: str, *paths: Path) -> tuple[float, int]:
    """Seconds, and the peak resident kB, of a fresh process that does this with files."""
    script = DO_AND_REPORT.format(action=action)
    seconds, peak = fresh([sys.executable, "-c", script, *map(str, paths)]).split()
    return float(seconds), int(peak)


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
    for name, results in report["encode"].items():
        for result in results:
            width, height = result["size"]
            label = f"{name} -e {result['effort']}"
            print(f"encode {label:<16} {width}x{height}  {result['median_s']:8.4f} s")
    for name, seconds in report["start"].items():
        print(f"start  {name.removesuffix('_s'):<16}          {seconds:8.4f} s")
    for name, result in report["large"].items():
        width, height = result["size"]
        for verb, peak in (("decode", "peak_rss_mb"), ("encode", "encode_peak_rss_mb")):
            print(
                f"{verb} {name:<16} {width}x{height} {result[f'{verb}_s']:8.1f} s, "
                f"peak {result[peak]:.0f} MB"
            )


if __name__ == "__main__":
    main()

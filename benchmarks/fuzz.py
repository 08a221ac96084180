"""Damaged files of every format through comrec: untyped exceptions, crashes, time and memory.

    python benchmarks/fuzz.py --count 20000 --out benchmarks/results/fuzz.json

The files of tests/golden, and small ones that are made here, are mutated (`mutations`). A worker
process runs each through `comrec.info`, `comrec.decode` and one other way of reading, and reports
how it ended. Processor time and memory are measured, memory as growth of the peak resident size
over what the process held before. Files that break a limit are kept in the folder --keep.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import multiprocessing
import os
import random
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mutations import mutated
from PIL import Image, ImageCms

import comrec
from comrec import files
from comrec.errors import ComrecError
from comrec.measure import machine
from comrec.preparation import Preparation

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"

READ = Preparation("white", 8, "srgb", 0)

ACTIONS: dict[str, Callable[[bytes], object]] = {
    "info": comrec.info,
    "decode": comrec.decode,
    "plain": lambda data: comrec.decode(data, plain=True),
    "partial": lambda data: comrec.decode(data, allow_partial=True),
    "enhance": lambda data: comrec.decode(data, enhance=True),
    "read": lambda data: files.read(data, "input", READ),
}
"""What is done with a file; "read" is what encode does first."""
ALWAYS = "info", "decode"
OTHERS = "plain", "partial", "enhance", "read", "read"

MEGABYTE = 1_000_000
LIMITS = {"info": (1.0, 200 * MEGABYTE), "decode": (10.0, 1000 * MEGABYTE)}
"""Processor seconds and bytes of memory; those of decode hold for all others."""
PATIENCE = 120
"""Wall seconds after which the worker is ended."""
ADDRESSES = 8 << 30
"""Bytes of address space of the worker."""
JOBS = 2000
"""Files after which a fresh worker takes over."""


class Result(NamedTuple):
    """How an action on a file ended.

    Attributes:
        end: "done", the name of a typed error, or what went wrong.
        wrong: whether something did: an exception of another type, a crash, or a limit.
        seconds: processor time.
        grown: bytes of memory; 0 where that cannot be measured.
        detail: the end of a traceback.
    """

    end: str
    wrong: bool
    seconds: float
    grown: int
    detail: str = ""


def attempt(action: str, data: bytes) -> Result:
    """Do it in this process."""
    machine.reset_peak()
    before = machine.peak() or 0
    started = time.process_time()
    detail, wrong = "", False
    try:
        ACTIONS[action](data)
        end = "done"
    except ComrecError as error:
        end = type(error).__name__
    except Exception as error:
        end, wrong = f"untyped {type(error).__name__}", True
        detail = traceback.format_exc()[-2000:]
    seconds, grown = time.process_time() - started, (machine.peak() or 0) - before
    longest, most = LIMITS.get(action, LIMITS["decode"])
    if not wrong and seconds > longest:
        end, wrong = f"over {longest:g} s ({end})", True
    elif not wrong and grown > most:
        end, wrong = f"over {most // MEGABYTE} MB ({end})", True
    return Result(end, wrong, seconds, grown, detail)


def work(connection: Connection) -> None:
    """The worker: takes (action, file), sends a `Result`."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # libraries print
    while True:
        try:
            action, data = connection.recv()
        except EOFError:
            return
        connection.send(attempt(action, data))


class Worker:
    """A process that attempts, and is replaced where it crashes or does not answer."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        for path in _warm_up():  # so that no file pays for what is loaded once
            self._ours.send(("decode", path.read_bytes()))
            self._ours.recv()

    def attempt(self, action: str, data: bytes) -> Result:
        self._ours.send((action, data))
        if not self._ours.poll(PATIENCE):
            self.close()
            self._start()
            return Result(f"over {PATIENCE} s of wall time", True, PATIENCE, 0)
        try:
            result: Result = self._ours.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            self._start()
            return Result(f"crash (exit {code})", True, 0, 0)
        return result

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._ours.close()


def _warm_up() -> list[Path]:
    return [path for path in sorted(GOLDEN.iterdir()) if path.suffix not in (".png", ".md")]


def seeds() -> dict[str, bytes]:
    """The files to mutate, by name."""
    golden = {
        path.name: path.read_bytes()
        for path in sorted(GOLDEN.iterdir())
        if path.suffix != ".md" and (path.suffix != ".png" or path.name.startswith("v1-png"))
    }
    return golden | made()


def made() -> dict[str, bytes]:
    """Small files of kinds that comrec does not write."""
    rng = np.random.default_rng(1)
    smooth = np.add.outer(np.arange(37), 2 * np.arange(53)) % 256
    rgb = np.stack([smooth, smooth[::-1], smooth[:, ::-1]], axis=2).astype(np.uint8)
    rgba = Image.fromarray(np.dstack([rgb, rng.integers(0, 256, rgb.shape[:2], np.uint8)]))
    colour, gray = Image.fromarray(rgb), Image.fromarray(rgb[..., 0])
    deep = Image.fromarray((smooth * 257).astype(np.uint16))
    palette = colour.convert("P")
    exif = Image.Exif()
    exif[274], exif[271] = 6, "maker"
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with_metadata: dict[str, Any] = {"exif": exif.tobytes(), "icc_profile": icc, "xmp": b"<x/>"}

    def more() -> dict[str, Any]:
        return {"save_all": True, "append_images": [gray.convert("RGB"), rgba.convert("RGB")]}

    kinds: list[tuple[str, str, Image.Image, dict[str, Any]]] = [
        ("jpeg-metadata", "JPEG", colour, with_metadata),
        ("jpeg-progressive", "JPEG", colour, {"progressive": True, "subsampling": 0}),
        ("jpeg-cmyk", "JPEG", colour.convert("CMYK"), {}),
        ("jpeg-mpo", "MPO", colour, more()),
        ("png-metadata", "PNG", rgba, with_metadata),
        ("png-palette", "PNG", palette, {"transparency": 3}),
        ("png-deep", "PNG", deep, {}),
        ("png-bits", "PNG", gray.convert("1"), {}),
        ("png-animated", "PNG", colour, more()),
        ("webp-lossless", "WEBP", rgba, {"lossless": True}),
        ("webp-metadata", "WEBP", rgba, with_metadata),
        ("webp-animated", "WEBP", colour, more()),
        ("avif-metadata", "AVIF", rgba, with_metadata),
        ("avif-animated", "AVIF", colour, more()),
        ("jp2-alpha", "JPEG2000", rgba, {}),
        ("jp2-codestream", "JPEG2000", colour, {"no_jp2": True}),
        ("tiff", "TIFF", rgba, {"icc_profile": icc}),
        ("tiff-lzw", "TIFF", colour, {"compression": "tiff_lzw"}),
        ("tiff-deflate", "TIFF", deep, {"compression": "tiff_adobe_deflate"}),
        ("tiff-jpeg", "TIFF", colour, {"compression": "jpeg"}),
        ("tiff-fax", "TIFF", gray.convert("1"), {"compression": "group4"}),
        ("tiff-pages", "TIFF", colour, more()),
        ("gif", "GIF", palette, {"transparency": 3}),
        ("gif-animated", "GIF", colour, more()),
        ("bmp", "BMP", colour, {}),
        ("ppm", "PPM", colour, {}),
        ("pgm-deep", "PPM", deep, {}),
        ("tga", "TGA", rgba, {"compression": "tga_rle"}),
        ("ico", "ICO", rgba, {"sizes": [(32, 32)]}),
        ("pcx", "PCX", colour, {}),
        ("dds", "DDS", rgba, {}),
        ("sgi", "SGI", colour, {}),
    ]
    found = {}
    for name, format_id, image, options in kinds:
        buffer = io.BytesIO()
        image.copy().save(buffer, format_id, **options)  # Pillow leaves settings in what it saves
        found[name] = buffer.getvalue()
    return found


def run(
    count: int,
    seed: int,
    doing: Callable[[str, bytes], Result],
    keep: Path | None = None,
    names: str = "",
) -> dict[str, Any]:
    """Mutate ``count`` files and do all with each.

    Args:
        doing: `attempt`, or a `Worker`'s.
        keep: folder for the files that something went wrong with.
        names: only files whose name contains this.
    Returns:
        how often each action ended in which way, what went wrong, and the worst of time and memory.
    """
    rng = random.Random(seed)
    found = {name: data for name, data in seeds().items() if names in name}
    ends: dict[str, Counter[str]] = {action: Counter() for action in ACTIONS}
    worst = {action: {"seconds": 0.0, "megabytes": 0.0} for action in ACTIONS}
    wrong: list[dict[str, Any]] = []
    for number in range(count):
        name = rng.choice(list(found))
        data = mutated(rng, found[name], rng.choice(list(found.values())))
        for action in (*ALWAYS, rng.choice(OTHERS)):
            result = doing(action, data)
            ends[action][result.end] += 1
            high = worst[action]
            high["seconds"] = max(high["seconds"], round(result.seconds, 2))
            high["megabytes"] = max(high["megabytes"], round(result.grown / MEGABYTE, 1))
            if result.wrong:
                wrong.append(
                    {
                        "number": number,
                        "from": name,
                        "sha256": hashlib.sha256(data).hexdigest(),
                        "bytes": len(data),
                        "action": action,
                        "end": result.end,
                        "seconds": round(result.seconds, 2),
                        "megabytes": round(result.grown / MEGABYTE, 1),
                    }
                )
                print(json.dumps(wrong[-1]), result.detail, flush=True)
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{number}-{name}").write_bytes(data)
        if number % 500 == 499:
            print(f"{number + 1} files, {len(wrong)} wrong", file=sys.stderr, flush=True)
    return {
        "files": count,
        "seed": seed,
        "limits": {action: {"seconds": s, "bytes": b} for action, (s, b) in LIMITS.items()},
        "ends": {action: dict(sorted(each.items())) for action, each in ends.items()},
        "worst": worst,
        "wrong": wrong,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=20_000, help="number of mutated files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for files that something goes wrong with")
    parser.add_argument("--names", default="", help="only files whose name contains this")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    worker, done = Worker(), 0

    def doing(action: str, data: bytes) -> Result:
        nonlocal worker, done
        done += action == "info"
        if done % JOBS == 0 and action == "info":
            worker.close()
            worker = Worker()
        return worker.attempt(action, data)

    facts = machine.facts()
    report = run(arguments.count, arguments.seed, doing, arguments.keep, arguments.names)
    worker.close()
    if arguments.out is not None:
        arguments.out.write_text(json.dumps({"metadata": facts, **report}, indent=1) + "\n")
    print(f"{len(report['wrong'])} of {report['files']} files: something went wrong")
    return 1 if report["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())

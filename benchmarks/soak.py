"""Eight threads that encode and decode with all kinds of codecs: does memory grow?

    python benchmarks/soak.py --minutes 30 --out benchmarks/results/soak.json

Every file and every picture must be the one that a single thread made. Memory is the resident size,
taken a hundred times.
"""

from __future__ import annotations

import argparse
import json
import random
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from skimage.data import astronaut

import comrec
from comrec import proc
from comrec.measure import machine

THREADS = 8
CODECS = ("jpeg", "jpeg-tuned", "webp", "jpeg2000", "avif", "comrec-jpeg", "comrec-webp",
          "jiang2017-jpeg", "liu2018:effort=5", "rippel2017:effort=5",
          "toderici2017:iterations=2")  # fmt: skip
SIDES = 64, 96, 160
SAMPLES = 100


class Load:
    """What the threads do."""

    def __init__(self) -> None:
        picture = astronaut()
        self.pictures = [picture[:side, :side].copy() for side in SIDES]
        self.expected: dict[tuple[str, int], tuple[bytes, bytes]] = {}
        for codec in CODECS:
            for side, pixels in enumerate(self.pictures):
                data = comrec.encode(pixels, codec, 30)
                self.expected[codec, side] = data, np.asarray(comrec.decode(data)).tobytes()
        self.ended = threading.Event()
        self.done = [0] * THREADS
        self.wrong: list[str] = []

    def work(self, number: int) -> None:
        rng = random.Random(number)
        while not self.ended.is_set():
            (codec, side), (data, pixels) = rng.choice(list(self.expected.items()))
            if rng.random() < 0.5:
                right = comrec.encode(self.pictures[side], codec, 30) == data
            else:
                right = np.asarray(comrec.decode(data)).tobytes() == pixels
            if not right:
                self.wrong.append(codec)
            self.done[number] += 1


def run(minutes: float) -> dict[str, Any]:
    load = Load()
    threads = [threading.Thread(target=load.work, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    memory = []
    for _ in range(SAMPLES):
        time.sleep(60 * minutes / SAMPLES)
        memory.append(round((proc.memory("VmRSS") or 0) / 1e6))
    load.ended.set()
    for thread in threads:
        thread.join()
    return {
        "minutes": minutes,
        "threads": THREADS,
        "codecs": CODECS,
        "operations": sum(load.done),
        "wrong": load.wrong,
        "resident_mb": memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/soak.json"))
    arguments = parser.parse_args()
    report = {"metadata": machine.facts(), **run(arguments.minutes)}
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    memory = report["resident_mb"]
    tenth = SAMPLES // 10
    print(
        f"{report['operations']} operations, {len(report['wrong'])} wrong; resident MB: "
        f"{max(memory[tenth : 2 * tenth])} after a tenth, {max(memory[-tenth:])} at the end"
    )


if __name__ == "__main__":
    main()

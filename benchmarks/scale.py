"""The numbers of docs/scale.md: pictures per second of a core, and Ray beside local processes.

    python benchmarks/scale.py cores FOLDER jpeg webp comrec-jpeg
    python benchmarks/scale.py engines FOLDER jpeg

FOLDER has photographs; `cores` makes mosaics of those of 512x512. Linux. One JSON object for each
measurement, CPU seconds with the threads of a process, or all processes of a run.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from comrec import codec as registry
from comrec.batch import work
from comrec.batch.encoding import Recipe
from comrec.batch.work import Task
from comrec.measure.machine import facts
from comrec.text import as_json

SIDE = 512
GRIDS = {1: (2, 2), 2: (2, 4)}
"""Rows and columns of mosaics, by megapixels."""
COUNT = 3
RUN = "import sys; from comrec.cli import main; sys.exit(main())"


def mosaics(folder: Path, rows: int, columns: int) -> list[bytes]:
    """`COUNT` JPEG files of quality 92, each of other photographs."""
    tiles = []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            if image.size == (SIDE, SIDE):
                tiles.append(np.asarray(image.convert("RGB")))
        if len(tiles) == COUNT * rows * columns:
            break
    files = []
    for start in range(0, len(tiles), rows * columns):
        lines = [
            np.concatenate(tiles[start + columns * row : start + columns * (row + 1)], 1)
            for row in range(rows)
        ]
        file = io.BytesIO()
        Image.fromarray(np.concatenate(lines)).save(file, "JPEG", quality=92)
        files.append(file.getvalue())
    return files


def cores(folder: Path, codecs: list[str]) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sources = {size: mosaics(folder, *grid) for size, grid in GRIDS.items()}
    for name in codecs:
        recipe = Recipe(registry.parse(name))
        work.encode(Task("first", sources[1][0], "first", recipe))  # loads the networks
        for size, files in sources.items():
            started = time.process_time()
            made = [work.encode(Task("", file, "", recipe)) for file in files]
            seconds = time.process_time() - started
            report = {"codec": name, "megapixels": size, "per_second": len(files) / seconds}
            after, before = (sum(map(len, each)) for each in ((m.data for m in made), files))
            print(as_json(report | {"bytes": before, "output_bytes": after}), flush=True)


def engines(folder: Path, codec: str) -> None:
    """Both engines in turn, twice."""
    for engine in ("local", "ray", "ray", "local"):
        with TemporaryDirectory() as out:
            found = _watched(folder, codec, engine, out)
        print(as_json({"codec": codec, "engine": engine} | found), flush=True)


def _watched(folder: Path, codec: str, engine: str, out: str) -> dict[str, float]:
    """Seconds of a run, and CPU seconds of its processes, as last seen."""
    started, first = time.monotonic(), None
    spent: dict[int, float] = {}
    given = ["batch", str(folder), out, "-c", codec, "--engine", engine, "--quiet"]
    with subprocess.Popen([sys.executable, "-c", RUN, *given], start_new_session=True) as run:
        while run.poll() is None:
            for path in Path("/proc").glob("[0-9]*/stat"):
                try:
                    values = path.read_text().rpartition(")")[2].split()
                except OSError:  # it ended
                    continue
                if int(values[3]) == run.pid:
                    ticks = int(values[11]) + int(values[12])
                    spent[int(path.parent.name)] = ticks / os.sysconf("SC_CLK_TCK")
            if first is None and any(not each.startswith(".") for each in os.listdir(out)):
                first = time.monotonic()
            time.sleep(0.1)
    if run.returncode:
        raise SystemExit(run.returncode)
    end = time.monotonic()
    return {
        "seconds": end - started,
        "from_first_result": end - (first or end),
        "cpu": sum(spent.values()),
        "cpu_driver": spent[run.pid],
    }


if __name__ == "__main__":
    print(as_json(facts()))
    if sys.argv[1] == "cores":
        cores(Path(sys.argv[2]), sys.argv[3:])
    else:
        engines(Path(sys.argv[2]), sys.argv[3])

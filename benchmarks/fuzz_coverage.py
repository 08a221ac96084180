"""Coverage-guided fuzzing of our parsers and decoders (`fuzz_targets`), by atheris (libFuzzer).

    pip install atheris
    python benchmarks/fuzz_coverage.py --seconds 3600 --out benchmarks/results/fuzz-coverage.json

Each target has its share of the time, in a process of its own, one after the other. It begins with
the seeds in tests/seeds, and those that `fuzz_targets` makes. Exceptions that are not typed are
kept, one file for each place in the code, and fuzzing goes on; so it does after an input that takes
over 10 s, or over 1 GB more than the process has. At last, of all that was found interesting, the
smallest files that together reach all lines and jumps are written to tests/seeds, an archive for
each target, which tests/test_fuzz.py replays.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
SEEDS = _ROOT / "tests" / "seeds"

_SECONDS, _MEGABYTES = 10, 1000
_BASE = 400
"""Megabytes of the process before, at most."""
_LONGEST = 4096
"""Bytes of an input, unless a seed is longer."""
_KEPT = 300_000
"""Bytes of all seeds of a target that are kept."""
_PACKAGE = str(_ROOT / "src" / "comrec")


def seeds(name: str) -> list[bytes]:
    """What was kept of a target."""
    path = SEEDS / f"{name}.zip"
    if not path.exists():
        return []
    with zipfile.ZipFile(path) as archive:
        return [archive.read(each) for each in archive.namelist()]


def fuzz(name: str, seconds: int, corpus: Path, faults: Path) -> None:
    """Run one target in this process, which then ends."""
    try:
        import atheris
    except ImportError:
        sys.exit("fuzz_coverage.py needs atheris: pip install atheris")
    with atheris.instrument_imports(include=["comrec"]):
        from fuzz_targets import TARGETS
    target = TARGETS[name]
    for data in [*seeds(name), *target.seeds()]:
        _keep(corpus, data)
    words = corpus.with_suffix(".words")
    words.write_text("# words\n" + "".join(f'"{_quoted(word)}"\n' for word in target.words))

    def one(data: bytes) -> None:
        try:
            target.run(data)
        except Exception as error:
            _keep_fault(faults, data, error)

    options = [
        f"-max_total_time={seconds}",
        f"-timeout={_SECONDS}",
        f"-rss_limit_mb={_BASE + _MEGABYTES}",
        f"-max_len={max([_LONGEST, *(each.stat().st_size for each in corpus.iterdir())])}",
        f"-dict={words}",
        f"-artifact_prefix={faults}/",
        "-print_final_stats=1",
        "-report_slow_units=2",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


def _quoted(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _keep(folder: Path, data: bytes) -> None:
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def _keep_fault(folder: Path, data: bytes, error: Exception) -> None:
    """The shortest input for each place."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if _PACKAGE in frame.filename] or frames
    place = f"{Path(ours[-1].filename).stem}-{ours[-1].lineno}-{type(error).__name__}"
    path = folder / place
    if not path.exists() or path.stat().st_size > len(data):
        path.write_bytes(data)
        text = "".join(traceback.format_exception(error))
        path.with_name(f"{place}.txt").write_text(text)


def run(name: str, seconds: int, work: Path) -> dict[str, Any]:
    """Run a target in other processes, until its time is over; what came of it."""
    corpus, faults = work / name, work / f"{name}-faults"
    corpus.mkdir(parents=True, exist_ok=True)
    faults.mkdir(exist_ok=True)
    started, runs, ends = time.monotonic(), 0, []
    while (left := round(seconds - (time.monotonic() - started))) > 5:
        command = [sys.executable, __file__, "--only", name, "--seconds", str(left)]
        done = subprocess.run(
            [*command, "--work", str(work), "--here"], capture_output=True, text=True, check=False
        )
        (work / f"{name}.log").write_text(done.stdout + done.stderr)
        found = re.findall(r"number_of_executed_units: (\d+)|^#(\d+)", done.stderr, re.MULTILINE)
        runs += max((int(a or b) for a, b in found), default=0)
        if done.returncode:
            ends.append(done.stderr.strip().splitlines()[-1])
            if not found:
                break
    return {
        "executions": runs,
        "seconds": round(time.monotonic() - started),
        "inputs": len(list(corpus.iterdir())),
        "faults": sorted(each.name for each in faults.iterdir() if not _is_aside(each)),
        "ended early": ends,
    }


def _is_aside(path: Path) -> bool:
    """Whether a file is a traceback, or took long but not too long."""
    return path.suffix == ".txt" or path.name.startswith("slow-unit")


def minimised(name: str, inputs: Iterable[bytes]) -> list[bytes]:
    """The smallest inputs that each reach a line or jump of comrec that none before did."""
    from fuzz_targets import TARGETS

    found: list[bytes] = []
    known: set[tuple[str, int, int]] = set()
    room = _KEPT
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        reached = _reached(name, TARGETS[name].run, data)
        if reached - known and len(data) <= room:
            known |= reached
            found.append(data)
            room -= len(data)
    return found


def _reached(name: str, call: Any, data: bytes) -> set[tuple[str, int, int]]:
    """Which pairs of lines follow each other in a file of comrec."""
    found: set[tuple[str, int, int]] = set()

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        path = frame.f_code.co_filename
        if not path.startswith(_PACKAGE):
            return None
        last = 0

        def line(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal last
            if event == "line":
                found.add((path, last, frame.f_lineno))
                last = frame.f_lineno
            return line

        return line

    sys.settrace(enter)
    try:
        call(data)
    except Exception:
        print(f"{name}: still a fault", file=sys.stderr)
    finally:
        sys.settrace(None)
    return found


def write(name: str, found: list[bytes]) -> None:
    """The archive of a target, the same for the same seeds."""
    SEEDS.mkdir(exist_ok=True)
    with zipfile.ZipFile(SEEDS / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for data in found:
            archive.writestr(zipfile.ZipInfo(hashlib.sha1(data).hexdigest()[:16]), data, 8)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=3600, help="for all targets together")
    parser.add_argument("--only", action="append", help="a target; can be repeated")
    parser.add_argument("--work", type=Path, help="folder for what is found")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp(prefix="comrec-fuzz-"))
    if arguments.here:
        (name,) = arguments.only
        fuzz(name, arguments.seconds, work / name, work / f"{name}-faults")
        return 0
    from fuzz_targets import TARGETS

    from comrec.measure import machine

    names = arguments.only or list(TARGETS)
    unit = arguments.seconds / sum(TARGETS[name].weight for name in names)
    report = {}
    for name in names:
        report[name] = found = run(name, round(unit * TARGETS[name].weight), work)
        print(name, json.dumps(found), flush=True)
        inputs = [path.read_bytes() for path in (work / name).iterdir()]
        write(name, minimised(name, inputs))
    if arguments.out is not None:
        text = json.dumps({"metadata": machine.facts(), "targets": report}, indent=1)
        arguments.out.write_text(f"{text}\n")
    wrong = [name for name, found in report.items() if found["faults"]]
    print(f"faults in: {', '.join(wrong) or 'none'}; all of it in {work}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

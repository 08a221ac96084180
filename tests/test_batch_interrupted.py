"""comrec batch, killed and interrupted: nothing is lost, and the next run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comrec.batch import pool
from comrec.batch.pool import Bound
from comrec.cli import main

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")

STUCK = """
import os, sys, threading, time
from comrec.cli import main
name, calls, lock = os.environ["STUCK"], 0, threading.Lock()
usual = getattr(os, name)
def stuck(*given, **named):
    global calls
    with lock:  # the calls before the fourth are complete
        calls += not str(given[0]).endswith(".part") or name == "replace"
        if calls == 4:
            print("stuck", flush=True)
            time.sleep(2 if name == "fsync" else 600)
        return usual(*given, **named)
setattr(os, name, stuck)
sys.exit(main())
"""
INSIDE = """
import os, signal, sys, threading
from comrec.cli import main
left, usual = int(os.environ["LEFT"]), threading.Condition.__enter__
def enter(condition):
    global left
    usual(condition)
    if threading.get_ident() == threading.main_thread().ident:
        left -= 1
        if left == 0:
            signal.raise_signal(signal.SIGINT)
threading.Condition.__enter__ = enter
sys.exit(main())
"""
NAMES = [f"{letter}.png" for letter in "abcdefgh"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for index, name in enumerate(NAMES):
        image = Image.effect_noise((60, 40 + index), 50).convert("RGB")
        image.save(tmp_path / "in" / name)
    assert main(["encode", *map(str, inputs(tmp_path)), "-o", f"{tmp_path}/one/", *CODEC]) == 0
    return tmp_path


CODEC = ["-c", "jpeg", "--quiet"]


def inputs(folder: Path) -> list[Path]:
    return [folder / "in" / name for name in NAMES]


def wanted(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "one").iterdir()}


def pictures(folder: Path) -> dict[str, bytes]:
    names = (path for path in folder.iterdir() if path.name != ".comrec-batch.jsonl")
    return {path.name: path.read_bytes() for path in names}


def started(folder: Path, stuck: str, *arguments: str) -> subprocess.Popen[str]:
    """A run that hangs in the fourth call of a function of os; two seconds in fsync."""
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, "batch", "in", *arguments, *CODEC, "-j", "2"],
        cwd=folder, env={**os.environ, "STUCK": stuck}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "stuck\n"
    return process


def resumed(folder: Path, *arguments: str) -> dict[str, Any]:
    report = folder / "report.json"
    given = ["batch", f"{folder}/in", *arguments, *CODEC, "-j", "1", "--json", str(report)]
    assert main(given) == 0
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def test_killed_before_a_file_is_renamed(folder: Path) -> None:
    with started(folder, "replace", "out") as process:
        process.kill()
        process.communicate()
    left = pictures(folder / "out")
    parts = {name for name in left if name.endswith(".part")}
    assert parts
    assert len(left) - len(parts) >= 3
    assert {name: left[name] for name in set(left) - parts}.items() <= wanted(folder).items()
    facts = resumed(folder, str(folder / "out"))
    complete = len(left) - len(parts)
    assert (facts["skipped"], facts["encoded"]) == (complete, 8 - complete)
    assert pictures(folder / "out") == wanted(folder)


@pytest.mark.parametrize("stuck", ["replace", "unlink"])
def test_killed_in_place(folder: Path, stuck: str) -> None:
    originals = {path.name: path.read_bytes() for path in inputs(folder)}
    with started(folder, stuck, "--in-place") as process:
        process.kill()
        process.communicate()
    left = pictures(folder / "in")
    for name, data in originals.items():  # the source, or its complete result
        result = f"{name[0]}.jpg"
        assert left.get(name) == data or left.get(result) == wanted(folder)[result]
    resumed(folder, "--in-place")
    assert pictures(folder / "in") == wanted(folder)
    assert resumed(folder, "--in-place")["skipped"] == 8


def test_an_interrupt_says_how_to_go_on(folder: Path) -> None:
    with started(folder, "fsync", "out") as process:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    *_, told, last = err.splitlines()
    assert told.endswith("of 8 files are done; the same command does the others")
    assert last == "comrec: interrupted"
    assert not list((folder / "out").glob("*.part"))
    resumed(folder, str(folder / "out"))
    assert pictures(folder / "out") == wanted(folder)


@pytest.mark.parametrize("left", range(1, 20, 3))
def test_an_interrupt_inside_the_pool_of_threads(folder: Path, left: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INSIDE, "batch", "in", "out", *CODEC, "-j", "1"],
        cwd=folder, env={**os.environ, "LEFT": str(left)}, text=True,
        check=False, stderr=subprocess.PIPE, timeout=30,
    )  # fmt: skip
    assert done.returncode == 130
    assert done.stderr.endswith("comrec: interrupted\n")
    resumed(folder, str(folder / "out"))
    assert pictures(folder / "out") == wanted(folder)


def test_two_runs_at_one_time_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with started(folder, "replace", "out") as process:
        assert main(["batch", f"{folder}/in", f"{folder}/out", *CODEC]) == 1
        process.kill()
        process.communicate()
    assert "another comrec batch is using it" in capsys.readouterr().err


def together(folder: str) -> int:
    """How many run at one time as this does."""
    mark = Path(folder, str(os.getpid()))
    mark.touch()
    time.sleep(0.05)
    found = len(list(Path(folder).iterdir()))
    mark.unlink()
    return found


def test_a_bound_limits_what_runs_at_one_time(tmp_path: Path) -> None:
    answers = pool.run(together, [str(tmp_path)] * 6, 2, Bound(lambda _: 3, 5))
    assert [answer for _, answer in answers] == [1] * 6

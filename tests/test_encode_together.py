"""comrec encode of several files: in processes as one by one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from test_signals import SLOW

from comrec.batch import pool
from comrec.cli import main

Capture = pytest.CaptureFixture[str]
Encode = Callable[..., int]
NAMES = ["a.png", "b.png", "c.png", "d.png"]


@pytest.fixture
def encode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Encode:
    """Runs comrec encode, beside pictures."""
    monkeypatch.chdir(tmp_path)
    for index, name in enumerate(NAMES):
        Image.effect_noise((60, 40 + index), 50).convert("RGB").save(name)

    def running(*arguments: str) -> int:
        return main(["encode", *arguments, "-c", "jpeg"])

    return running


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of each pool that was used, how many."""
    found: list[int] = []
    usual = pool.run

    def run(function, tasks, jobs, bound=None):  # type: ignore[no-untyped-def]
        found.append(jobs)
        return usual(function, tasks, jobs, bound)

    monkeypatch.setattr(pool, "run", run)
    return found


def written(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_the_same_files_reports_and_errors(encode: Encode, capsys: Capture) -> None:
    Path("bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    Path("other").mkdir()
    Image.new("RGB", (8, 8)).save("other/a.png")
    given = [*NAMES[1:], "bad.png", "none.png", "a.png", "other/a.png", "--json"]
    found = []
    for jobs in ("1", "2"):
        assert encode(*given, "-j", jobs, "-o", f"{jobs}/", "--target-size", "900") == 1
        out, err = capsys.readouterr()
        reports = {
            report["input"]: report
            | {"encode_s": 0.0, "output": report["output"].removeprefix(f"{jobs}/")}
            for report in map(json.loads, out.splitlines())
        }
        assert set(reports) == set(NAMES[1:])
        told = sorted(line.replace(f" {jobs}/", " ") for line in err.splitlines())
        assert len(told) == 3
        found.append((reports, told, written(jobs)))
    assert found[0] == found[1]


def test_processes_start_where_it_is_worth_it(encode: Encode, processes: list[int]) -> None:
    large = Image.new("RGB", (3000, 1500))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for count, used in ((1, []), (2, [min(2, cores or 1)] if cores != 1 else [])):
        names = [f"large{index}.png" for index in range(count)]
        for name in names:
            large.save(name)
        processes.clear()
        assert encode(*names, "-o", "out/", "--quiet") == 0
        assert processes == used
    processes.clear()
    assert encode(*NAMES, "-o", "out/", "--quiet") == 0
    assert processes == []
    assert encode(*NAMES, "-o", "out/", "--quiet", "-j", "9") == 0
    assert processes == [4]
    processes.clear()
    assert encode(*NAMES[:1], "-o", "out/", "--quiet", "-j", "2") == 0
    assert processes == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
def test_pipes_are_read_by_this_process(encode: Encode, processes: list[int]) -> None:
    reading, writing = os.pipe()
    os.write(writing, Path("a.png").read_bytes())
    os.close(writing)
    assert encode(f"/dev/fd/{reading}", "b.png", "-o", "out/", "--quiet", "-j", "2") == 0
    os.close(reading)
    assert processes == []
    assert len(written("out")) == 2


def test_outputs_that_are_refused(encode: Encode, capsys: Capture) -> None:
    os.utime("b.png", ns=(10**18, 10**18))
    Path("out").mkdir()
    Path("out/a.jpg").write_bytes(b"mine")
    Path("out/c.jpg").symlink_to("../d.png")
    source = Path("d.png").read_bytes()
    given = [*NAMES, "-o", "out", "-j", "2", "--no-overwrite", "--preserve", "--quiet"]
    assert encode(*given) == 1
    assert sorted(capsys.readouterr().err.splitlines()) == [
        "comrec: out/a.jpg: exists (--no-overwrite)",
        "comrec: out/c.jpg: the output would overwrite the input d.png; choose another name or "
        "folder",
    ]
    assert (Path("out/a.jpg").read_bytes(), Path("d.png").read_bytes()) == (b"mine", source)
    assert Path("out/b.jpg").stat().st_mtime_ns == 10**18
    assert set(written("out")) == {"a.jpg", "b.jpg", "c.jpg", "d.jpg"}


def test_jobs_must_be_positive(encode: Encode, capsys: Capture) -> None:
    assert encode("a.png", "-o", "a.jpg", "-j", "0") == 2
    assert capsys.readouterr().err == "comrec: --jobs must be 1 or more, not 0\n"


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.usefixtures("encode")
def test_an_interrupt_leaves_no_temporary_file() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, "encode", *NAMES, "-o", "out/", "-c", "jpeg", "-j", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert (process.returncode, err) == (130, b"comrec: interrupted\n")
    assert os.listdir("out") == []

"""Signals end the command line cleanly; what a killed run left is removed by the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")

ENTRY = "import sys; from _comrec_entry import main; sys.exit(main())"
SLOW = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGHUP):  # ignored, where the tests run by nohup
    signal.signal(number, signal.SIG_DFL)
from comrec.cli import main
def wait(*_):
    print("waiting", flush=True)
    time.sleep(600)
os.replace = wait
sys.exit(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.effect_noise((40, 30), 50).convert("RGB").save(tmp_path / "a.png")
    return tmp_path


def ended_by(number: int, folder: Path) -> tuple[int, bytes]:
    """Exit code and stderr of a run that gets a signal before it renames its temporary file."""
    arguments = ["encode", "a.png", "-o", "a.jpg", "-c", "jpeg"]
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        assert len(list(folder.glob(".comrec-*.part"))) == 1
        process.send_signal(number)
        _, err = process.communicate()
        return process.returncode, err


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("SIGINT", 130, b"comrec: interrupted\n"),
        ("SIGTERM", 143, b"comrec: ended by SIGTERM\n"),
        ("SIGHUP", 129, b"comrec: ended by SIGHUP\n"),
    ],
)
def test_a_signal_leaves_no_temporary_file(folder: Path, name: str, code: int, says: bytes) -> None:
    assert ended_by(getattr(signal, name), folder) == (code, says)
    assert os.listdir(folder) == ["a.png"]


def test_what_a_killed_run_left_is_removed_by_the_next(folder: Path) -> None:
    import fcntl

    assert ended_by(signal.SIGKILL, folder)[0] == -signal.SIGKILL
    (left,) = folder.glob(".comrec-*.part")
    held = folder / ".comrec-0123456789abcdef.part"
    other = folder / ".comrec-notes.part"
    other.touch()
    with held.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as a run that goes on
        subprocess.run(
            [sys.executable, "-c", ENTRY, "encode", "a.png", "-o", "a.jpg", "-c", "jpeg"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        assert held.exists()
    assert not left.exists()
    assert {path.name for path in folder.iterdir()} == {"a.png", "a.jpg", held.name, other.name}


def test_an_interrupt_during_imports_has_no_traceback(folder: Path) -> None:
    (folder / "tqdm.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    done = subprocess.run(
        [sys.executable, "-c", ENTRY, "codecs"],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, b"comrec: interrupted\n")

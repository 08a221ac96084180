"""Killed at any moment, full disks and read-only folders: nothing is lost, nothing half written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs fork and mount namespaces")

KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from comrec.cli import main

rng, target = random.Random(2017), Path("out/a.jpg")
old, new = (Path(name).read_bytes() for name in ("old.jpg", "new.jpg"))
CODEC = ["-c", "jpeg:effort=10", "--quiet"]
seen = {}

def encode():
    return main(["encode", "a.png", "-o", "out/a.jpg", *CODEC])

start = time.perf_counter()
encode()
took = time.perf_counter() - start
for count in range(200):
    if count % 3:
        target.write_bytes(old)
    else:
        target.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        os._exit(encode())
    time.sleep(rng.uniform(0, 1.5 * took))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = target.read_bytes() if target.exists() else None
    what = {old: "old", new: "new", None: "none"}.get(found, "broken")
    assert what in ("new", "old" if count % 3 else "none"), (count, what)
    seen[what] = seen.get(what, 0) + 1
print(sorted(seen))
"""

COMREC = 'comrec() { "$PYTHON" -c "from _comrec_entry import main; exit(main())" "$@"; }\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.effect_noise((200, 150), 50).convert("RGB").save(tmp_path / "a.png")
    return tmp_path


def test_two_hundred_encodes_killed_at_random_moments(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "old.jpg").write_bytes(b"what was there before")

    def encode(output: str) -> None:
        entry = "from _comrec_entry import main; exit(main())"
        given = ["encode", "a.png", "-o", output, "-c", "jpeg:effort=10", "--quiet"]
        subprocess.run([sys.executable, "-c", entry, *given], cwd=folder, check=True)

    encode("new.jpg")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['new', 'none', 'old']\n"
    encode("out/a.jpg")
    assert os.listdir(folder / "out") == ["a.jpg"]  # what killed runs left, the next removes


def mounted(folder: Path, options: str, commands: str) -> subprocess.CompletedProcess[str]:
    """Shell commands where the folder "disk" is a file system of its own."""
    (folder / "disk").mkdir(exist_ok=True)
    begin = f"mount -t tmpfs {options} none disk || exit 99\n"
    if shutil.which("unshare") is None:
        pytest.skip("no unshare")
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "bash", "-c",
         begin + COMREC + commands],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHON": sys.executable},
    )  # fmt: skip
    if done.returncode == 99 or done.stderr.startswith("unshare:"):
        pytest.skip("file systems cannot be mounted here")
    return done


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("comrec encode a.png -c png -o disk/a.png", "comrec: disk/a.png: No space left on device"),
        ("comrec decode a.png -o disk/a.png", "comrec: disk/a.png: No space left on device"),
        (
            "comrec batch in disk -c png --quiet",
            "comrec: in/a.png: disk/a.png: No space left on device",
        ),
    ],
)
def test_a_full_disk_is_one_line_and_what_was_there_stays(
    folder: Path, command: str, says: str
) -> None:
    (folder / "in").mkdir()
    shutil.copy(folder / "a.png", folder / "in")
    after = "\ncode=$?; ls -A disk; cat disk/a.png; exit $code"
    done = mounted(folder, "-o size=16k", f"printf before > disk/a.png\n{command}{after}")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [says]
    assert done.stdout.endswith("a.png\nbefore")
    assert ".part" not in done.stdout


@pytest.mark.parametrize(
    "verb",
    [
        "encode a.png -c jpeg -o disk/a.jpg",
        "decode a.png -o disk/b.png",
        "batch in disk -c jpeg --quiet",
    ],
)
def test_a_read_only_target_is_one_line(folder: Path, verb: str) -> None:
    (folder / "in").mkdir()
    shutil.copy(folder / "a.png", folder / "in")
    done = mounted(folder, "-o ro", f"comrec {verb}")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("comrec: disk")
    assert line.endswith(": Read-only file system")

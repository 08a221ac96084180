"""comrec batch --engine ray: as the local processes, whatever workers and machines are lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from PIL import Image

from comrec.cli import main
from comrec.picture import Picture

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")

Found = TypeVar("Found")
FILES = 36
CODEC = ["-c", "comrec-jpeg:effort=3", "--quiet"]
COMREC = [sys.executable, "-c", "import sys; from comrec.cli import main; sys.exit(main())"]
MACHINES = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=2)
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.remove_node(second, allow_graceful=False)
print("removed", flush=True)
sys.stdin.readline()
cluster.shutdown()
"""
DIRECT = """
import json, os, sys
from comrec.batch import cluster
from test_batch_interrupted import together
with cluster.connected(None, 2) as found:
    alone = [answer for _, answer in found.run(together, [sys.argv[1]] * 6, 2, lambda _: 3, 5)]
    ((task, failure),) = found.run(os._exit, [3], 1, lambda _: 0)
print(json.dumps([found.cpus, alone, failure.message]))
"""


@pytest.fixture
def folder(tmp_path: Path, photo: Picture) -> Path:
    """Photographs, and what the local processes make of them."""
    pytest.importorskip("ray")
    (tmp_path / "in").mkdir()
    image = Image.fromarray(photo.pixels)
    for index in range(FILES):
        image.rotate(10 * index).save(tmp_path / "in" / f"{index}.png")
    assert main(["batch", f"{tmp_path}/in", f"{tmp_path}/local", *CODEC]) == 0
    return tmp_path


def made(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.jpg")}


def processes(session: int) -> dict[int, str]:
    """Those of a session that run, with their command lines."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, of = (path / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of) == session and state != "Z":
                found[int(path.name)] = (path / "cmdline").read_text()
        except OSError:  # it ended meanwhile
            continue
    return found


def until(condition: Callable[[], Found]) -> Found:
    """What a condition gives, once that is true."""
    end = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def busy(session: int) -> int:
    """A worker of a session that has a task, as soon as there is one: between tasks none has."""
    return until(lambda: [n for n, what in processes(session).items() if "_Actor.do" in what])[0]


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A batch, of which some files are done."""
    process = subprocess.Popen(
        [*COMREC, "batch", "in", "out", *CODEC, "--engine", "ray", *arguments],
        cwd=folder, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    until(lambda: process.poll() is not None or len(made(folder / "out")) > 3)
    return process


def test_lost_workers_and_machines_lose_nothing(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MACHINES], start_new_session=True, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as machines:  # fmt: skip
        assert machines.stdin is not None
        assert machines.stdout is not None
        address = machines.stdout.readline().strip()
        with started(folder, "--address", address, "--json", "report.json") as run:
            os.kill(busy(machines.pid), signal.SIGKILL)
            count = len(made(folder / "out"))
            until(lambda: run.poll() is not None or len(made(folder / "out")) > count + 6)
            machines.stdin.write("\n")
            machines.stdin.flush()
            assert machines.stdout.readline() == "removed\n"
            assert len(made(folder / "out")) < FILES
            assert run.communicate() == ("", "")
        assert run.returncode == 0
        machines.communicate("\n")
    facts = json.loads((folder / "report.json").read_text())
    assert (facts["encoded"], facts["failed"]) == (FILES, 0)
    assert made(folder / "out") == made(folder / "local")


def test_an_interrupt_leaves_no_process(folder: Path) -> None:
    with started(folder) as run:
        os.killpg(run.pid, signal.SIGINT)  # as Ctrl-C does
        _, err = run.communicate()
    told, last = err.splitlines()
    assert told.endswith(f"of {FILES} files are done; the same command does the others")
    assert (last, run.returncode) == ("comrec: interrupted", 130)
    until(lambda: not processes(run.pid))
    assert main(["batch", f"{folder}/in", f"{folder}/out", *CODEC]) == 0
    assert made(folder / "out") == made(folder / "local")


def test_a_bound_and_a_task_that_no_worker_survives(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    tests = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", DIRECT, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": tests},
        capture_output=True,
        check=True,
        text=True,
    )
    cpus, alone, message = json.loads(done.stdout)
    assert (cpus, alone) == (2, [1] * 6)
    assert message.startswith("lost 3 workers (")


@pytest.mark.parametrize(
    ("address", "says"),
    [("127.0.0.1:1", "no Ray cluster"), ("cluster", "expected host:port, ray://host:port or auto")],
)
def test_no_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str, says: str
) -> None:
    pytest.importorskip("ray")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    given = ["batch", str(tmp_path), f"{tmp_path}/out", *CODEC, "--engine", "ray"]
    assert main([*given, "--address", address]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"comrec: {address}: no Ray cluster (")
    assert says in line


def test_ray_is_imported_only_if_asked(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    code = (
        "import sys; sys.modules['ray'] = None; from comrec.cli import main; "
        "given = ['batch', '.', 'out', '-c', 'jpeg', '--quiet']; assert main(given) == 0; "
        "sys.exit(main([*given, '-q', '30', '--engine', 'ray']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "comrec: --engine ray needs an extra: pip install 'comrec[ray]'\n"

"""Training by several processes, which torchrun starts, on the CPU."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from training import photos, recipe_file

pytestmark = pytest.mark.train

# float32 everywhere: what bfloat16 makes of sums depends on their order.
_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "ONEDNN_MAX_CPU_ISA": "AVX2"}
_PATIENCE = 300  # seconds


def start(processes: int, recipe: str, *options: object) -> subprocess.Popen[str]:
    """comrec train, by torchrun if there are several processes."""
    many = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    launcher = many if processes > 1 else []
    return subprocess.Popen(
        [sys.executable, "-m", *launcher, "comrec", "train", recipe, *map(str, options)],
        env=_ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(running: subprocess.Popen[str]) -> str:
    """What it says, when it has ended."""
    try:
        return running.communicate(timeout=_PATIENCE)[1]
    finally:
        running.kill()


def curve(run: Path) -> list[dict[str, float]]:
    """All but the seconds."""
    with (run / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{k: float(v) for k, v in row.items() if k != "seconds"} for row in rows]


def checkpoint(run: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(run / "checkpoint.pt", weights_only=True)
    return state


def check_equal(run: Path, other: Path, *ignored: str) -> None:
    """But for the order of sums, and for columns that are ignored."""
    rows, others = (
        [{**row, **dict.fromkeys(ignored, 0.0)} for row in curve(r)] for r in (run, other)
    )
    assert len(rows) == len(others)
    for row, one in zip(rows, others, strict=True):
        assert row == pytest.approx(one, rel=3e-5, abs=2e-5)
    state, expected = checkpoint(run), checkpoint(other)
    assert state["step"] == expected["step"]
    assert state["norm"] == pytest.approx(expected["norm"], rel=1e-4)  # of all gradients so far
    for name, value in expected["module"].items():
        if "running" in name:
            assert (state["module"][name] - value).norm() <= 1e-3 * value.norm(), name


FILTER = {"batch": 6, "crop": 32, "quality_bins": 1, "steps": 60, "validate_every": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos(tmp_path_factory.mktemp("photos"), 64)


@pytest.fixture(scope="module")
def alone(data: Path) -> Path:
    """The folder of a run of one process, of the scheme "filter"."""
    run = data.parent / "alone"
    recipe = recipe_file(data.parent, "toy", **FILTER)
    running = start(1, recipe, "--data", data, "-o", run)
    assert finish(running) == ""
    assert running.returncode == 0
    return run


# "alternating": batch normalisation. "curriculum": noise from a generator of the step. "recurrent":
# noise from torch's own generator, and a loss weighted by the batch's mean.
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("jiang2017-jpeg", {"batch": 4, "crop": 32, "steps": 4}),
        ("liu2018-2-quantised", {"batch": 2, "steps": 4}),
        ("toderici2017-johnston", {"batch": 2, "crop": 32, "steps": 3, "iterations": 2}),
    ],
)
def test_two_processes_train_as_one_does(
    name: str, changes: dict[str, object], data: Path, tmp_path: Path
) -> None:
    recipe = recipe_file(tmp_path, name, **changes)
    for processes in (1, 2):
        running = start(processes, recipe, "--data", data, "-o", tmp_path / str(processes))
        said = finish(running)
        assert running.returncode == 0, said
    check_equal(tmp_path / "2", tmp_path / "1")
    exported = [sorted(p.name for p in tmp_path.glob(f"{n}/weights/*.json")) for n in (1, 2)]
    assert exported[0] == exported[1]


def test_a_run_can_be_interrupted_and_resumed_by_another_number_of_processes(
    alone: Path, data: Path, tmp_path: Path
) -> None:
    run, recipe = tmp_path / "run", str(data.parent / "toy.toml")
    options = ["--data", data, "-o", run, "--store", alone / "data"]
    rows = 0
    for processes in (2, 1):
        running = start(processes, recipe, *options, *["--resume"][: rows > 0])
        while running.poll() is None and (
            not run.joinpath("curve.csv").exists() or len(curve(run)) <= rows
        ):
            time.sleep(0.01)
        running.send_signal(signal.SIGTERM)
        said = finish(running)
        assert "comrec: ended by SIGTERM" in said
        assert running.returncode != 0
        state = checkpoint(run)
        rows = len(curve(run))
        assert 0 < state["step"] < FILTER["steps"]
        assert state["step"] // 2 == rows
    running = start(3, recipe, *options, "--resume")
    said = finish(running)
    assert running.returncode == 0, said
    check_equal(run, alone, "loss")  # a running mean, which begins anew
    (network,) = json.loads((run / "weights" / "manifest.json").read_text())["networks"]
    (expected,) = json.loads((alone / "weights" / "manifest.json").read_text())["networks"]
    assert network["training"]["scores"] == pytest.approx(expected["training"]["scores"], abs=1e-3)


def test_a_batch_that_cannot_be_split_is_refused_once(data: Path, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, "toy", batch=3)
    said = finish(start(2, recipe, "--data", data, "-o", tmp_path / "run"))
    assert said.count("cannot be split evenly over 2 processes") == 1
    assert not (tmp_path / "run").exists()

"""A few hundred of the mutated files of benchmarks/fuzz.py, always the same ones."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(SCRIPTS)
    import fuzz

    yield fuzz
    for name in ("fuzz", "mutations"):
        sys.modules.pop(name, None)


@pytest.mark.filterwarnings("default")
def test_mutated_files_give_pictures_or_typed_errors(
    fuzz: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    def doing(action: str, data: bytes) -> object:
        result = fuzz.attempt(action, data)
        # Time is not asserted here, and memory is that of all tests before.
        return result._replace(wrong=result.end.startswith("untyped"))

    report = fuzz.run(300, 3, doing)
    assert report["wrong"] == []
    assert report["ends"]["decode"]["done"] > 20
    assert report["ends"]["decode"]["DamagedFileError"] > 20


def test_a_fault_is_reported_with_its_file(
    fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(data: bytes) -> None:
        raise KeyError("a bug")

    monkeypatch.setitem(fuzz.ACTIONS, "info", broken)
    report = fuzz.run(2, 1, fuzz.attempt, tmp_path, names="v1-png.png")
    assert [found["end"] for found in report["wrong"] if found["action"] == "info"] == [
        "untyped KeyError"
    ] * 2
    assert len(list(tmp_path.iterdir())) == 2


def test_mutated_files_are_the_same_for_a_seed_and_differ_from_the_original(
    fuzz: ModuleType,
) -> None:
    from mutations import mutated

    original = (fuzz.GOLDEN / "v1-png.png").read_bytes()
    first, again = (
        [mutated(rng, original, original) for _ in range(50)]
        for rng in (random.Random(1), random.Random(1))
    )
    assert first == again
    assert sum(data != original for data in first) > 40

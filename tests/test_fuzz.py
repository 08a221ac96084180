"""Files that no encoder writes: mutated ones of all formats, and those that fuzzing found.

Any bytes give a picture of the size that `info` tells, or a typed error: 2,000 mutated files of
each format, always the same ones. All go through `info` and are decoded, but for networks, which
take most of the time: one file in `SHARE` is decoded in full, and of the others the standard file
alone, or the container. Time and memory are not asserted here; benchmarks/fuzz.py measures both.
"""

from __future__ import annotations

import random
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import comrec
from comrec import files, preparation
from comrec.errors import ComrecError
from comrec.formats import cmr
from comrec.preparation import Preparation

SCRIPTS = Path(__file__).parent.parent / "benchmarks"
COUNT, SHARE = 2000, 4
READ = Preparation("white", 8, "srgb", 0)


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(SCRIPTS)
    import fuzz

    yield fuzz
    for name in ("fuzz", "fuzz_targets", "mutations"):
        sys.modules.pop(name, None)


# mutated files

STANDARD = "avif", "bpg", "heic", "jpeg", "jpeg2000", "jpegxl", "png", "webp"
LEARNED = "liu2018", "rippel2017", "toderici2017"
OTHERS = "tiff", "gif", "bmp", "ppm", "pgm", "tga", "ico", "pcx", "dds", "sgi"
ENDINGS = {"jpeg": ".jpg", "jpeg2000": ".jp2", "jpegxl": ".jxl"}


def seeds(fuzz: ModuleType, kind: str) -> list[bytes]:
    """The files of a format; of learned codecs, with a tiny picture each."""
    if kind in LEARNED:
        ramp = np.add.outer(np.arange(9), np.arange(17)) * 9 % 256
        colours = np.dstack([ramp, ramp[::-1], ramp[:, ::-1]]).astype(np.uint8)
        with_alpha = Image.fromarray(np.dstack([colours, ramp.astype(np.uint8)]))
        codec = kind if kind == "toderici2017" else f"{kind}:effort=1"
        return [comrec.encode(each, codec, 40) for each in (colours, colours[..., 0], with_alpha)]
    ending = ENDINGS.get(kind, f".{kind}")
    return [
        data
        for name, data in fuzz.seeds().items()
        if name.endswith(ending) or (name.startswith(kind) and "." not in name)
    ]


def ended(data: bytes, full: bool) -> str:
    """How reading a file ended: "done", or the type of the error.

    Args:
        full: decode it with its network, if it has one.
    """
    try:
        said = comrec.info(data)
    except ComrecError:
        said = None
    try:
        file = files.parse(data)
        if full:
            size = comrec.decode(data).size
            assert said is not None
            expected = said.width, said.height
        elif file.format == cmr.FORMAT:
            cmr.parse(data, partial=True)
            return "parsed"
        else:
            size = comrec.decode(data, plain=True).size
            expected = file.header.width, file.header.height
    except ComrecError as error:
        return type(error).__name__
    assert size == expected, "wrong size"
    return "done"


def all_ended(fuzz: ModuleType, kind: str, end: Callable[[bytes, int], str]) -> Counter[str]:
    """How often `COUNT` mutated files of a format ended in which way.

    Args:
        end: of a file and its number.
    """
    from mutations import mutated

    found, rng = seeds(fuzz, kind), random.Random(kind)
    ends: Counter[str] = Counter()
    for number in range(COUNT):
        data = mutated(rng, rng.choice(found), rng.choice(found))
        try:
            ends[end(data, number)] += 1
        except Exception as error:
            error.add_note(f"mutated file {number} of {kind}, {len(data)} bytes: {data[:1000]!r}")
            raise
    return ends


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [*STANDARD, *LEARNED])
def test_mutated_files_give_pictures_or_typed_errors(
    fuzz: ModuleType, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    ends = all_ended(fuzz, kind, lambda data, number: ended(data, number % SHARE == 0))
    assert ends["done"] > 20
    assert ends["DamagedFileError"] > 200


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", OTHERS)
def test_mutated_files_of_other_formats_are_read_or_refused(
    fuzz: ModuleType, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """As `comrec encode` reads them."""

    def end(data: bytes, number: int) -> str:
        try:
            header = preparation.header_of(data)
        except ComrecError:
            header = None
        try:
            picture = files.read(data, "input", READ)
        except ComrecError as error:
            return type(error).__name__
        assert header is not None
        assert (picture.width, picture.height) == (header.width, header.height), "wrong size"
        return "done"

    ends = all_ended(fuzz, kind, end)
    assert ends["done"] > 50
    assert ends.total() - ends["done"] > 50


# found by coverage


SEEDS = Path(__file__).parent / "seeds"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(path.stem for path in SEEDS.glob("*.zip")))
def test_what_fuzzing_found_raises_typed_errors_alone(fuzz: ModuleType, name: str) -> None:
    from fuzz_targets import TARGETS

    with zipfile.ZipFile(SEEDS / f"{name}.zip") as archive:
        found = [archive.read(each) for each in archive.namelist()]
    assert len(found) > 2
    for data in found:
        TARGETS[name].run(data)


# the script


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

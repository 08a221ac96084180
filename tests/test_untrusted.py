"""Untrusted files: read in a process with limits, whose faults are errors here."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faults
import numpy as np
import pytest
from PIL import Image

import comrec
from comrec import confined, errors, files, information
from comrec.cli import main
from comrec.confined import Limits
from comrec.errors import (
    ComrecError,
    DamagedFileError,
    LimitError,
    MissingExtraError,
    TooLargeError,
)
from comrec.preparation import Preparation

GOLDEN = Path(__file__).parent / "golden"
MEMORY = 300_000_000


def call(function: Callable[..., Any], *given: Any, seconds: float = 300.0) -> Any:
    limits = Limits(MEMORY, seconds)
    return confined.call(function, *given, limits=limits, name="some.png")


# calls


@pytest.mark.parametrize(
    ("fault", "seconds", "told"),
    [
        (faults.segfault, 300.0, r"crashed \(SIGSEGV\)"),
        (faults.leave, 300.0, r"crashed \(exit code 7\)"),
        (faults.spin, 1.0, "took more than 1 s, its limit"),
        (faults.sleep, 1.0, "took more than 1 s, its limit"),
        pytest.param(
            faults.allocate,
            300.0,
            "took more than 300 MB of memory, its limit",
            marks=pytest.mark.skipif(confined.memory() is None, reason="limited on Linux alone"),
        ),
    ],
)
def test_a_fault_is_an_error_and_the_next_call_has_a_process(
    fault: Callable[[], None], seconds: float, told: str
) -> None:
    before = call(faults.pid)
    with pytest.raises(LimitError, match=f"^some.png: reading it {told}$"):
        call(fault, seconds=seconds)
    after = call(faults.pid)
    assert after not in (before, os.getpid())
    assert call(faults.pid) == after


def test_calls_share_a_process_unless_they_are_made_at_one_time() -> None:
    found: list[int] = []
    both = threading.Barrier(2)

    def ask() -> None:
        both.wait()
        found.append(call(faults.pid_after, 1.0))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 2
    assert call(faults.pid) in found


def test_a_process_that_was_ended_meanwhile_is_replaced() -> None:
    first = call(faults.pid)
    os.kill(first, 9)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert call(faults.pid) != first


@pytest.mark.parametrize(
    ("kind", "expected", "told"),
    [
        ("ours", DamagedFileError, "input: damaged"),
        ("extra", MissingExtraError, "HEIC needs an extra: pip install 'comrec[heic]'"),
        ("exit", LimitError, "some.png: reading it failed (SystemExit: 3)"),
        ("key", LimitError, "some.png: reading it failed (KeyError: 'key')"),
    ],
)
def test_errors_arrive_as_their_public_types(
    kind: str, expected: type[ComrecError], told: str
) -> None:
    with pytest.raises(ComrecError) as caught:
        call(faults.raised, kind)
    assert type(caught.value) is expected
    assert str(caught.value) == told


def test_all_public_errors_arrive() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    names = [each.__name__ for each in kinds if issubclass(each, ComrecError)]
    assert len(names) > 10
    for name in names:
        with pytest.raises(ComrecError, match=r"^told$") as caught:
            call(faults.raised, name)
        assert type(caught.value).__name__ == name


def test_arrays_come_back_as_they_are_and_can_be_written_to() -> None:
    samples = np.arange(60, dtype=np.uint8).reshape(6, 10)
    found = call(faults.doubled, samples)
    assert np.array_equal(found["twice"], samples * 2)
    assert np.array_equal(found["at"], samples[::2, ::3])
    found["twice"][0, 0] = 7


def test_a_child_writes_no_files(tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="failed"):
        call(faults.write, str(tmp_path / "written"))
    assert (tmp_path / "written").stat().st_size == 0


def test_limits_grow_with_the_file() -> None:
    small, one, large = Limits.of(1000), Limits.of(1_000_000), Limits.of(1000, large=True)
    assert small.memory < one.memory < large.memory
    assert small.seconds < one.seconds < large.seconds


# files


@pytest.mark.parametrize(
    "name",
    [
        "v1-comrec-jpeg-scale2.jpg",
        "v1-comrec-webp-alpha.webp",
        "v1-liu2018-gray-alpha.cmr",
        "v1-png.png",
        "v1-avif.avif",
    ],
)
def test_pictures_are_the_same(name: str) -> None:
    data = (GOLDEN / name).read_bytes()
    trusted, untrusted = comrec.decode(data), comrec.decode(data, untrusted=True)
    assert (trusted.mode, trusted.info) == (untrusted.mode, untrusted.info)
    assert trusted.tobytes() == untrusted.tobytes()
    assert comrec.info(data, untrusted=True) == comrec.info(data)
    encoded = comrec.encode(data, "webp", 30, untrusted=True)
    assert encoded == comrec.encode(data, "webp", 30)


def test_metadata_and_notes_are_the_same(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274], exif[271] = 6, "maker"
    path = tmp_path / "deep.tif"
    deep = Image.fromarray(np.arange(300, dtype=np.uint16).reshape(15, 20) * 200)
    deep.save(path, exif=exif, dpi=(90, 90))
    how = Preparation(depth=8)
    data = path.read_bytes()
    trusted = files.read(data, "deep.tif", how)
    untrusted = files.read(data, "deep.tif", how, untrusted=True)
    assert np.array_equal(trusted.pixels, untrusted.pixels)
    assert trusted.metadata == untrusted.metadata
    assert trusted.notes == untrusted.notes
    assert comrec.encode(path, "png", depth=8, untrusted=True) == comrec.encode(
        path, depth=8, codec="png"
    )


@pytest.mark.parametrize("untrusted", [False, True])
def test_errors_of_files_are_the_same(untrusted: bool) -> None:
    data = (GOLDEN / "v1-jpeg.jpg").read_bytes()
    with pytest.raises(DamagedFileError, match=r"^a\.jpg: damaged or cut short"):
        comrec.decode(data[:300], untrusted=untrusted, name="a.jpg")
    bomb = (GOLDEN / "v1-png.png").read_bytes()
    bomb = bomb[:16] + b"\0\1\0\0" * 2 + bomb[24:]
    with pytest.raises((DamagedFileError, TooLargeError), match=r"^a\.png: ") as caught:
        comrec.info(bomb, "a.png", untrusted=untrusted)
    assert str(caught.value).count("a.png") == 1


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file whose decoder, in processes that start now, does what its name says."""
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import faults
from PIL import Image, ImageFile

class Broken(ImageFile.ImageFile):
    format = "BROKEN"

    def _open(self):
        self.fp.read(6)
        self._mode, self._size = "L", (8, 8)
        self._what = self.fp.read().decode()

    def load(self):
        getattr(faults, self._what)()

Image.register_open("BROKEN", Broken, lambda start: start[:6] == b"BROKEN")
"""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    given = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", str(folder) + (os.pathsep + given if given else ""))
    confined.close()
    yield tmp_path
    confined.close()


def test_a_crash_of_a_decoder_is_one_line_and_other_files_are_read(
    broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good, out = broken / "bad.img", GOLDEN / "v1-jpeg.jpg", broken / "out"
    bad.write_bytes(b"BROKENsegfault")
    out.mkdir()
    arguments = ["encode", str(bad), str(good), "-o", f"{out}/", "-c", "jpeg", "--untrusted"]
    assert main([*arguments, "--quiet"]) == 1
    told = capsys.readouterr().err
    assert told == f"comrec: {bad}: reading it crashed (SIGSEGV)\n"
    assert [path.name for path in out.iterdir()] == ["v1-jpeg.jpg"]


def test_a_decoder_that_hangs_is_ended(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "SECONDS", 1.0)
    with pytest.raises(LimitError, match=r"^a\.img: reading it took more than 1 s"):
        files.read(b"BROKENspin", "a.img", untrusted=True)


@pytest.mark.skipif(confined.memory() is None, reason="limited on Linux alone")
def test_a_decoder_that_takes_memory_is_ended(
    broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confined, "MEMORY", MEMORY)
    with pytest.raises(LimitError, match=r"^a\.img: reading it took more than 300 MB of memory"):
        files.read(b"BROKENallocate", "a.img", untrusted=True)


# the command line


def test_the_command_line_reads_untrusted_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, folder = GOLDEN / "v1-comrec-jpeg-scale1.jpg", tmp_path / "made"
    said: list[Any] = []
    for more in ([], ["--untrusted"]):
        made = tmp_path / f"made{len(more)}.png"
        assert main(["decode", str(source), "-o", str(made), *more]) == 0
        assert main(["info", "--json", str(source), *more]) == 0
        said.append((made.read_bytes(), json.loads(capsys.readouterr().out)))
    assert said[0] == said[1]
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "one.jpg").write_bytes(source.read_bytes())
    (tmp_path / "from" / "two.jpg").write_bytes(b"\xff\xd8\xffnone")
    arguments = ["batch", str(tmp_path / "from"), str(folder), "-c", "webp", "--untrusted"]
    assert main([*arguments, "--quiet", "--jobs", "1"]) == 1
    assert "two.jpg: damaged" in capsys.readouterr().err
    plain = files.read(source.read_bytes(), "one.jpg")
    assert (folder / "one.webp").read_bytes() == comrec.encode(plain, "webp")


def test_info_of_a_large_untrusted_file_reads_what_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    data = (GOLDEN / "v1-png.png").read_bytes()
    path.write_bytes(data + bytes(20 << 20))
    found = information.of_file(path, "large.png", untrusted=True)
    assert (found.width, found.bytes) == (53, len(data) + (20 << 20))
    with pytest.raises(errors.InputError, match=r"^no\.png: No such file"):
        information.of_file(tmp_path / "no.png", "no.png", untrusted=True)

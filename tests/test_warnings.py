"""Warnings of libraries: decoding changes no filters, the command line shows none."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import comrec
from comrec.cli import main
from comrec.errors import DamagedFileError, TooLargeError
from comrec.formats import detection
from comrec.preparation import sources
from comrec.preparation.orientation import orientation_of

# Little-endian TIFF of two entries: orientation 6, and a text that begins beyond the end.
BROKEN_EXIF = (
    b"II*\0\x08\0\0\0\x02\0"
    + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"
    + b"\x0e\x01\x02\0\x40\0\0\0\x40\0\0\0"
    + bytes(4)
)


@pytest.fixture(scope="module")
def warned_of() -> dict[str, bytes]:
    """Files of each format that Pillow warns of, by format."""
    image = Image.fromarray(np.arange(48 * 32, dtype=np.uint8).reshape(32, 48))
    found = {}
    for name in ("JPEG", "PNG", "WEBP", "AVIF"):
        buffer = io.BytesIO()
        image.save(buffer, name, exif=b"Exif\0\0" + BROKEN_EXIF)
        found[name.lower()] = buffer.getvalue()
    # APNG whose number of frames is 0.
    png = io.BytesIO()
    image.save(png, "PNG")
    data = png.getvalue()
    control = b"\0\0\0\x08acTL" + bytes(8) + zlib.crc32(b"acTL" + bytes(8)).to_bytes(4, "big")
    found["apng"] = data[:33] + control + data[33:]
    return found


def _warnings_of(data: bytes) -> list[str]:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        comrec.decode(data).getexif()
    return [str(each.message) for each in told]


def test_these_files_do_cause_warnings(warned_of: dict[str, bytes]) -> None:
    assert any(_warnings_of(data) for data in warned_of.values())


def test_the_orientation_is_read_without_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert orientation_of(BROKEN_EXIF) == 6


@pytest.fixture
def watched() -> Iterator[list[object]]:
    """What the filters of warnings became, seen all the while by another thread."""
    expected, changes, done = list(warnings.filters), list[object](), threading.Event()
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def watch() -> None:
        while not done.is_set():
            if list(warnings.filters) != expected:
                changes.append(list(warnings.filters))
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield changes
    done.set()
    watcher.join()
    sys.setswitchinterval(switch)


def test_threads_that_decode_leave_the_filters_alone(
    warned_of: dict[str, bytes], watched: list[object]
) -> None:
    before = list(warnings.filters)
    jobs = [*warned_of.values()] * 8

    def use(data: bytes) -> None:
        comrec.decode(data)
        comrec.info(data)
        orientation_of(BROKEN_EXIF)
        sources.read(data)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, jobs))
    assert watched == []
    assert list(warnings.filters) == before


def test_warnings_as_errors_are_errors_of_ours(warned_of: dict[str, bytes]) -> None:
    told = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for data in warned_of.values():
            for call in (comrec.decode, comrec.info, sources.read, comrec.encode):
                told += _is_refused(call, data)
    assert told


def _is_refused(call: Callable[[bytes], object], data: bytes) -> bool:
    try:
        call(data)
    except DamagedFileError:
        return True
    return False


def test_a_picture_too_large_is_told_as_that_where_pillow_only_warns() -> None:
    header = b"P6 17000 17000 255\n"  # above the limit, below twice that
    for action in ("ignore", "error"):
        with warnings.catch_warnings():
            warnings.simplefilter(action)
            with pytest.raises(TooLargeError):
                sources.read(header)


def test_the_command_line_shows_no_warnings_of_libraries(
    warned_of: dict[str, bytes], tmp_path: Path
) -> None:
    paths = []
    for name, data in warned_of.items():
        path = tmp_path / f"{name}.{detection.find(data)}"
        path.write_bytes(data)
        paths.append(path)
    out = tmp_path / "out"
    out.mkdir()
    for arguments in (["info", *paths], ["decode", *paths, "-o", out]):
        done = subprocess.run(
            [sys.executable, "-m", "comrec", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr


def test_the_command_line_leaves_warnings_to_pythons_own_option(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "warnoptions", ["default"])
    before = list(warnings.filters)
    assert main(["codecs", "png"]) == 0
    assert warnings.filters == before

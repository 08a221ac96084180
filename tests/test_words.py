"""What errors call a file: unsupported kinds are not damaged; and metadata that say nothing."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sources
from PIL import Image
from sources import saved

import comrec
from comrec.cli import main
from comrec.errors import DamagedFileError, UnsupportedPictureError
from comrec.picture import Metadata, Picture
from comrec.preparation import Preparation, orientation, read

RGB = sources.smooth(3)
ALL = Preparation("white", 8, "srgb", 0, "none")


def framed(marker: int, bits: int = 8) -> bytes:
    """A JPEG file with another frame header."""
    data = saved(Image.fromarray(RGB), "JPEG")
    at = data.index(b"\xff\xc0")
    return data[: at + 1] + bytes([marker]) + data[at + 2 : at + 4] + bytes([bits]) + data[at + 5 :]


def tagged(tag: int, value: int, samples: Any = RGB, photometric: str = "rgb") -> bytes:
    """A TIFF file with another value of a tag that has one."""
    data = sources.tiff(samples, photometric)
    at = data.index(struct.pack("<HHI", tag, 3, 1))
    return data[: at + 8] + struct.pack("<H", value) + data[at + 10 :]


def psd16() -> bytes:
    data = sources.psd(3, 3, np.zeros((3, 20, 24), np.uint8))
    return data[:22] + b"\0\x10" + data[24:]


UNSUPPORTED = {
    "12 bits per sample": sources.jpeg_of_12_bits(),
    "lossless JPEG": framed(0xC3),
    "hierarchical JPEG": framed(0xC5),
    "JPEG-LS": framed(0xF7),
    "32-bit floating-point RGB": sources.tiff(RGB.astype(np.float32), "rgb"),
    "64-bit floating-point gray": sources.tiff(RGB[..., 0].astype(np.float64), "minisblack"),
    "16-bit signed integer RGB": sources.tiff(RGB.astype(np.int16), "rgb"),
    "colour filter array": tagged(262, 32803),
    "compressed by JPEG 2000": tagged(259, 34712),
    "compressed by WebP": tagged(259, 50001),
    "compressed by method 4321": tagged(259, 4321),
    "16-bit RGB": psd16(),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_an_unsupported_kind_is_named_and_not_called_damaged(kind: str) -> None:
    data = UNSUPPORTED[kind]
    with pytest.raises(UnsupportedPictureError, match=kind) as error:
        read(data, "a.bin", ALL)
    assert str(error.value).startswith("a.bin: ")
    assert "convert it with other software" in str(error.value)
    with pytest.raises(UnsupportedPictureError, match=f"^input: .*{kind}"):
        comrec.encode(data, "png")


@pytest.mark.parametrize("verb", ["encode", "decode", "info"])
def test_every_command_says_so(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jpg").write_bytes(sources.jpeg_of_12_bits())
    options = {"encode": ["-o", "b.jpg"], "decode": ["-o", "b.png"], "info": []}[verb]
    assert main([verb, "a.jpg", *options]) == 1
    said = capsys.readouterr().err
    assert said.startswith("comrec: a.jpg: a JPEG file of 12 bits per sample")
    assert "damaged" not in said


@pytest.mark.parametrize(
    "damage",
    [
        lambda: saved(Image.fromarray(RGB), "JPEG")[:300],
        lambda: saved(Image.fromarray(RGB), "TIFF")[:-700],
        lambda: saved(Image.fromarray(RGB), "TIFF", compression="tiff_adobe_deflate")[:-700],
        lambda: sources.tiff(RGB, "rgb")[:40],
        lambda: sources.psd(3, 3, np.zeros((3, 20, 24), np.uint8))[:20],
    ],
)
def test_what_is_damaged_is_still_called_damaged(damage: Callable[[], bytes]) -> None:
    with pytest.raises(comrec.errors.InputError):
        read(damage(), how=ALL)


def test_a_damaged_strip_is_damage() -> None:
    data = bytearray(saved(Image.fromarray(RGB), "TIFF", compression="tiff_adobe_deflate"))
    data[8:60] = b"\x55" * 52
    with pytest.raises(DamagedFileError):
        read(bytes(data))


# standard error


@pytest.mark.parametrize("kind", ["strip", "samples"])
def test_libraries_print_nothing(kind: str, tmp_path: Path) -> None:
    if kind == "strip":  # libtiff prints on errors
        data = bytearray(saved(Image.fromarray(RGB), "TIFF", compression="tiff_lzw"))
        data[8:60] = b"\x55" * 52
    else:  # Pillow logs an error
        data = bytearray(tagged(277, 200))
    (tmp_path / "a.tif").write_bytes(data)
    command = [sys.executable, "-m", "comrec", "encode", "a.tif", "-o", "a.png", "--codec", "png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("comrec: a.tif: ")
    assert done.stderr.count("\n") == 1


# metadata that say nothing


def test_empty_blocks_are_absent() -> None:
    assert Metadata(b"", b"", b"") == Metadata()
    assert Metadata(b"Exif\0\0") == Metadata()


def with_exif(block: bytes) -> bytes:
    data = saved(Image.fromarray(RGB), "JPEG")
    body = b"Exif\0\0" + block
    return data[:20] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[20:]


@pytest.mark.parametrize("codec_id", ["jpeg", "jpeg2000", "webp", "avif", "png", "liu2018"])
def test_empty_exif_is_no_exif(codec_id: str) -> None:
    data = with_exif(b"")
    assert read(data).metadata == Metadata()
    assert comrec.decode(data).info.get("exif") is None
    assert comrec.encode(data, codec_id, 40) == comrec.encode(Picture(read(data).pixels), codec_id,
                                                              40)  # fmt: skip


def orientation_block(order: str, kind: int, *values: int) -> bytes:
    code = {1: "B", 3: "H", 4: "I"}[kind]
    packed = struct.pack(f"{order}{len(values)}{code}", *values)
    place = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack(f"{order}I", 26)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, 1)
    entry = struct.pack(f"{order}HHI", 0x0112, kind, len(values)) + place
    return head + entry + bytes(4) + (packed if len(packed) > 4 else b"")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [(3, (6,), 6), (3, (6, 1), 6), (3, (8, 3, 1), 8), (4, (6, 1), 6), (1, (6, 2), 6), (3, (9,), 1),
     (3, (0, 6), 1)],
)  # fmt: skip
def test_the_first_of_several_orientations_counts(
    order: str, kind: int, values: tuple[int, ...], expected: int
) -> None:
    block = orientation_block(order, kind, *values)
    assert orientation.orientation_of(block) == expected
    data = with_exif(block)
    turned = read(data, how=Preparation(metadata="none"))
    assert (turned.width > turned.height) == (expected < 5)
    assert comrec.decode(comrec.encode(data, "jpeg", 90)).info["exif"] == b"Exif\0\0" + block


def test_no_warning_for_several_orientations(recwarn: pytest.WarningsRecorder) -> None:
    comrec.encode(with_exif(orientation_block("<", 3, 6, 1)), "jpeg", 90)
    assert not recwarn.list

"""Progressive files in `compare --prefixes` and `info`, in Pillow and in numcodecs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bitplanes import BitPlanes, registered
from PIL import Image

from comrec import codec, fidelity, files
from comrec.cli import main
from comrec.learned.files import write
from comrec.picture import Metadata, Picture

PERCENT = [5, 10, 20, 40, 100]
CODEC = ["--codecs", BitPlanes.id]


@pytest.fixture(scope="module", autouse=True)
def codec_() -> Iterator[None]:
    with registered():
        yield


@pytest.fixture(scope="module")
def small(photo: Picture) -> Picture:
    return Picture(photo.pixels[20:120, 60:188].copy())


@pytest.fixture(scope="module")
def whole(small: Picture) -> bytes:
    return BitPlanes().encode(small, 100)


@pytest.fixture
def folder(tmp_path: Path, small: Picture, whole: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a photograph, its file, and the first half of that."""
    monkeypatch.chdir(tmp_path)
    small.to_pil().save("a.png")
    Path("a.cmr").write_bytes(whole)
    Path("half.cmr").write_bytes(whole[: len(whole) // 2])
    return tmp_path


# compare --prefixes


def rows_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_prefixes_of_a_photograph_are_measured(
    folder: Path, capsys: pytest.CaptureFixture[str], small: Picture, whole: bytes
) -> None:
    assert main(["compare", "a.png", "--prefixes", *CODEC, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    rows = rows_of(out)
    assert [row["percent"] for row in rows] == PERCENT
    for row in rows:
        assert list(row) == [
            "codec", "percent", "bytes", "bpp", "psnr", "ms_ssim", "ssimulacra2", "decode_s",
        ]  # fmt: skip
        assert row["codec"] == BitPlanes.id
        assert row["bytes"] == len(whole) * row["percent"] // 100
        assert row["bpp"] == round(8 * row["bytes"] / (128 * 100), 4)
        assert row["ms_ssim"] is None  # too small for it
    for row in rows[:-1]:
        shown = files.decode(whole[: int(row["bytes"])], partial=True)
        assert row["psnr"] == round(fidelity.psnr(shown, small), 3)
        assert row["ssimulacra2"] == round(fidelity.ssimulacra2(shown, small), 3)
    assert [row["psnr"] for row in rows[:-1]] == sorted(row["psnr"] for row in rows[:-1])
    assert rows[-1]["psnr"] is None  # infinite
    assert rows[-1]["ssimulacra2"] == 100


def test_prefixes_are_a_table_and_crops(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "a.png", "--prefixes", *CODEC, "-o", "crops.png"]) == 0
    title, head, *lines = capsys.readouterr().out.splitlines()
    size = Path("a.cmr").stat().st_size
    assert title == f"a.png: 128x100, {BitPlanes.id}, {size:,} bytes"
    assert head.split()[:4] == ["prefix", "bytes", "bpp", "PSNR"]
    assert [line.split()[:2] for line in lines] == [[str(n), "%"] for n in PERCENT]
    with Image.open("crops.png") as image:
        assert image.format == "PNG"
        assert image.width > 3 * 320  # the original and five prefixes
        assert image.height > 2 * 320


def test_prefixes_of_a_file_need_no_original(
    folder: Path, capsys: pytest.CaptureFixture[str], whole: bytes
) -> None:
    assert main(["compare", "a.cmr", "--prefixes", "--json"]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert [row["bytes"] for row in rows] == [len(whole) * n // 100 for n in PERCENT]
    assert {row["psnr"] for row in rows} == {row["ssimulacra2"] for row in rows} == {None}
    assert main(["compare", "a.cmr", "--prefixes", "-o", "crops.png"]) == 0
    title, head, *lines = capsys.readouterr().out.splitlines()
    assert title == f"a.cmr: 128x100, {BitPlanes.id}, {len(whole):,} bytes"
    assert head.split() == ["prefix", "bytes", "bpp", "decode", "s"]
    assert len(lines) == 5
    with Image.open("crops.png") as image:
        assert image.width > 2 * 320


def test_a_file_is_a_photograph_where_a_codec_is_given(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "a.cmr", "--prefixes", *CODEC, "--json"]) == 0
    assert rows_of(capsys.readouterr().out)[0]["psnr"] > 5


def test_prefixes_that_are_too_short_say_so(
    folder: Path, capsys: pytest.CaptureFixture[str], small: Picture
) -> None:
    heavy = Picture(small.pixels, None, Metadata(xmp=b"<x/>" * 2000))  # a sixth of the file
    Path("heavy.cmr").write_bytes(BitPlanes().encode(heavy, 100))
    assert main(["compare", "heavy.cmr", "--prefixes", "-o", "crops.png"]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert ["too short" in line for line in lines] == [True, True, False, False, False]
    assert main(["compare", "heavy.cmr", "--prefixes", "--json"]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert [row["percent"] for row in rows] == [20, 40, 100]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["a.png", "--codecs", "jpeg"], 2, "jpeg is not"),
        (["a.png", "--codecs", "jpeg:subsampling=4:4:4"], 2, "jpeg:subsampling=4:4:4 is not"),
        (["a.png", "--codecs", f"{BitPlanes.id},{BitPlanes.id}"], 2, "no codec"),
        (["liu.cmr"], 2, "liu.cmr: a file of liu2018, which is not progressive"),
        (["a.png", *CODEC, "-q", "30"], 2, "not allowed with"),
        (["a.png", *CODEC, "--bytes", "3000"], 2, "not allowed with"),
        (["a.png", *CODEC, "-o", "crops.jpg"], 2, ".png"),
        (["half.cmr"], 1, "half.cmr: cut short"),
        (["alien.cmr"], 2, "alien.cmr: a .cmr file of the codec 'alien'"),
        (["missing.png", *CODEC], 1, "missing.png"),
        (["text.png", *CODEC], 1, "comrec: text.png: "),
    ],
)
def test_prefixes_refuse_what_they_cannot_do(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    small: Picture,
    whole: bytes,
    arguments: list[str],
    code: int,
    says: str,
) -> None:
    Path("liu.cmr").write_bytes(codec.get("liu2018", effort=1).encode(small, 10))
    Path("alien.cmr").write_bytes(alien(small))
    Path("text.png").write_text("no picture")
    before = sorted(path.name for path in folder.iterdir())
    try:
        found = main(["compare", "--prefixes", *arguments])
    except SystemExit as error:  # argparse
        found = int(error.code or 0)
    assert found == code
    err = capsys.readouterr().err
    assert says in err
    assert len(err.splitlines()) == 1
    assert sorted(path.name for path in folder.iterdir()) == before


def alien(picture: Picture) -> bytes:
    """A .cmr file of a codec that is not here."""
    return write(picture, "alien", "00" * 10, 50, [b"payload"])

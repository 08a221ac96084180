"""Progressive files in `compare --prefixes` and `info`, in Pillow and in numcodecs."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bitplanes import BitPlanes, registered
from PIL import Image, ImageFile, UnidentifiedImageError

import comrec
from comrec import codec, fidelity, files
from comrec.cli import main
from comrec.errors import DamagedFileError
from comrec.formats import cmr
from comrec.information import Information, ProgressiveInformation
from comrec.learned import progressive
from comrec.learned.files import write
from comrec.numcodecs_plugin import Comrec
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


# info


def test_info_tells_what_each_step_needs(
    folder: Path, capsys: pytest.CaptureFixture[str], whole: bytes
) -> None:
    found = comrec.info(whole)
    assert isinstance(found, ProgressiveInformation)
    assert not found.cut_short
    assert found.share == 1
    assert found.steps[-1] == len(whole)
    for number, step in enumerate(found.steps, 1):
        file = cmr.parse(whole[:step], partial=True)
        assert (len(file.payloads), file.broken) == (number, False)
    assert main(["info", "a.cmr", "a.png", "--json"]) == 0
    told, plain = rows_of(capsys.readouterr().out)
    assert told["steps"] == list(found.steps)
    assert told["cut_short"] is False
    assert told["share"] == 1
    assert not {"steps", "cut_short", "share"} & set(plain)
    assert main(["info", "a.cmr"]) == 0
    text = capsys.readouterr().out
    assert ", ".join(f"{step:,}" for step in found.steps) in text
    assert "cut short" not in text
    assert "has " not in text


def test_info_of_a_file_that_is_cut_short_tells_the_steps_that_are_known(
    folder: Path, capsys: pytest.CaptureFixture[str], whole: bytes
) -> None:
    steps = cmr.ends(whole)
    for length in range(60, len(whole), 31):
        found = comrec.info(whole[:length])
        assert isinstance(found, ProgressiveInformation)
        assert found.cut_short
        assert found.steps == steps[: len(found.steps)]
        assert sum(step + 8 <= length for step in steps) + 1 == len(found.steps) or length < 70
        if found.share is None:
            assert length < 80
            continue
        held = progressive.stream(cmr.parse(whole[:length], partial=True)).data
        assert found.share == len(held) / (128 * 100 * 3)
    assert main(["info", "half.cmr", "--json"]) == 0
    (told,) = rows_of(capsys.readouterr().out)
    assert told["cut_short"] is True
    assert told["bytes"] == len(whole) // 2
    assert main(["info", "half.cmr"]) == 0
    said = capsys.readouterr().out
    assert "cut short" in said
    assert f"has {100 * told['share']:.3g} % of the coded pixels" in said
    Path("start.cmr").write_bytes(whole[:60])
    assert main(["info", "start.cmr"]) == 0
    assert "cut short" in capsys.readouterr().out


def test_info_of_a_file_of_a_size_says_it_is_whole(small: Picture) -> None:
    point = BitPlanes().encode_within(small, 3000)
    data = point.data
    found = comrec.info(data + b"what follows is ignored")
    assert isinstance(found, ProgressiveInformation)
    assert not found.cut_short
    assert found.steps[-1] == len(data)
    assert found.share == pytest.approx(point.quality / 100)


@pytest.mark.parametrize("codec_id", ["png", "comrec-jpeg", "liu2018"])
def test_info_of_other_codecs_has_no_steps(codec_id: str, small: Picture) -> None:
    assert type(comrec.info(comrec.encode(small, codec_id, 30))) is Information


def test_info_of_a_large_file_knows_all_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "large.cmr"
    rng = np.random.default_rng(1)
    data = BitPlanes().encode(Picture(rng.integers(0, 256, (2500, 2400, 3), np.uint8)), 100)
    assert len(data) > 16 << 20
    for length in (len(data), len(data) - 1):
        source.write_bytes(data[:length])
        assert main(["info", str(source), "--json"]) == 0
        (told,) = rows_of(capsys.readouterr().out)
        assert told["steps"] == list(cmr.ends(data))
        assert told["cut_short"] == (length < len(data))


# Pillow


@pytest.mark.usefixtures("folder", "pillow")
def test_pillow_opens_what_is_there_if_it_is_told_to(
    whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = files.decode(whole[: len(whole) // 2], partial=True)
    with pytest.raises(OSError, match="cut short") as told:
        Image.open("half.cmr")
    assert not isinstance(told.value, UnidentifiedImageError)
    with Image.open("a.cmr") as image:
        expected = image.tobytes()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with Image.open("half.cmr") as image:
        assert np.array_equal(np.asarray(image), half.pixels)
    with Image.open("a.cmr") as image:
        assert image.tobytes() == expected
    with pytest.raises(OSError, match="cut short"):
        Image.open(io.BytesIO(whole[:70]))


@pytest.mark.usefixtures("pillow")
@pytest.mark.parametrize("truncated", [False, True])
def test_pillow_raises_where_nothing_can_be_shown(
    truncated: bool, small: Picture, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", truncated)
    other = codec.get("liu2018", effort=1).encode(small, 10)
    damaged = whole[:100] + bytes([whole[100] ^ 1]) + whole[101:]
    for data, says in ((other[:-9], "cut short"), (damaged, "checksum"), (whole[:20], "cut short")):
        with pytest.raises(OSError, match=says):
            Image.open(io.BytesIO(data))


# numcodecs


@pytest.mark.parametrize("shape", [(30, 20), (30, 20, 3)])
def test_numcodecs_takes_a_progressive_codec(shape: tuple[int, ...]) -> None:
    samples = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    coder = Comrec(BitPlanes.id, quality=100)
    assert coder.get_config() == {"id": "comrec", "codec": BitPlanes.id, "quality": 100.0}
    data = coder.encode(samples)
    assert np.array_equal(coder.decode(data), samples)
    out = np.empty_like(samples)
    coder.decode(data, out)
    assert np.array_equal(out, samples)
    lossy = Comrec(BitPlanes.id, quality=50).encode(samples)
    assert len(lossy) < len(data)
    assert np.array_equal(coder.decode(lossy), samples & 0xF0)
    with pytest.raises(DamagedFileError, match="cut short"):
        coder.decode(data[:-1])


def alien(picture: Picture) -> bytes:
    """A .cmr file of a codec that is not here."""
    return write(picture, "alien", "00" * 10, 50, [b"payload"])

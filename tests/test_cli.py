"""The command line: what it writes, prints and returns; what it leaves alone."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import comrec
from comrec import codec
from comrec.cli import main
from comrec.formats.mark import Mark
from comrec.inference import store
from comrec.learned.liu2018 import Liu2018
from comrec.picture import Metadata, Picture
from comrec.sandwich import marked as marked_files

Files = Callable[[], set[str]]


@pytest.fixture(scope="module")
def small(photo: Picture) -> Picture:
    return Picture(photo.pixels[60:107, 100:173].copy())  # 73x47


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: Picture) -> Path:
    """The working directory, with a.png and b.png."""
    monkeypatch.chdir(tmp_path)
    small.to_pil().save("a.png")
    small.with_pixels(small.pixels[::-1].copy()).to_pil().save("b.png")
    return tmp_path


@pytest.fixture
def listing(folder: Path) -> Files:
    """Relative names of all files below the working directory, hidden ones too."""
    return lambda: {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def usage(*arguments: str) -> int:
    """The exit code, whether argparse or a verb refuses."""
    try:
        return main(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)


def half_jpeg(small: Picture) -> bytes:
    network = store.find("comrec", "jpeg", "rec", up=2)
    assert network is not None
    compact = Picture(np.asarray(small.to_pil().resize((37, 24))).copy())
    return marked_files.write(
        codec.get("jpeg"), codec.get("jpeg").encode(compact, 60), small, 60, network
    )


def python_m(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "comrec", *arguments], input=given, capture_output=True, check=False
    )


# encode


@pytest.mark.parametrize(
    ("name", "pillow_format", "codec_id"),
    [
        ("out.jpg", "JPEG", "comrec-jpeg"),
        ("out.jpeg", "JPEG", "comrec-jpeg"),
        ("out.JPG", "JPEG", "comrec-jpeg"),
        ("out.webp", "WEBP", "comrec-webp"),
        ("out.jp2", "JPEG2000", "comrec-jpeg2000"),
        ("out.avif", "AVIF", "comrec-avif"),
        ("out.png", "PNG", "png"),
    ],
)
def test_the_outputs_extension_chooses_the_codec(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, pillow_format: str, codec_id: str
) -> None:
    assert main(["encode", "a.png", "-o", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["codec"] == codec_id
    with Image.open(name) as image:
        assert image.format == pillow_format
        assert image.size == (73, 47)


def test_encode_reports_what_it_wrote(
    folder: Path, capsys: pytest.CaptureFixture[str], small: Picture
) -> None:
    arguments = ["encode", "a.png", "-o", "a.jpg", "-c", "jpeg", "-q", "30", "-e", "4"]
    assert main([*arguments, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    data = Path("a.jpg").read_bytes()
    assert data == comrec.encode(small, "jpeg", 30, effort=4)
    assert row.pop("encode_s") >= 0
    assert row == {
        "input": "a.png",
        "output": "a.jpg",
        "codec": "jpeg",
        "quality": 30,
        "target": None,
        "width": 73,
        "height": 47,
        "input_bytes": Path("a.png").stat().st_size,
        "bytes": len(data),
        "bpp": round(8 * len(data) / (73 * 47), 4),
    }
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "a.jpg" in err
    assert f"{len(data):,} bytes" in err
    assert main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "target", "says"),
    [
        (["--target-size", "1.5kB"], ("size", 1500), " bytes (target 1,500), "),
        (["--target-bpp", "3.5"], ("bpp", 3.5), " bpp (target 3.5), quality "),
        (["--target-psnr", "30"], ("psnr", 30), ", psnr 30."),
        (["--target-ssim", "0.9"], ("ssim", 0.9), ", ssim 0.9"),
    ],
)
def test_encode_meets_a_target_and_tells_how(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    small: Picture,
    arguments: list[str],
    target: tuple[str, float],
    says: str,
) -> None:
    arguments = ["encode", "a.png", "-o", "a.jpg", "-c", "jpeg", *arguments]
    assert main([*arguments, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    data = Path("a.jpg").read_bytes()
    kind, value = target
    assert data == comrec.encode(small, "jpeg", **{f"target_{kind}": value})
    assert data == comrec.encode(small, "jpeg", quality=row["quality"])
    assert row["bytes"] == len(data)
    told = row["target"]
    assert (told["kind"], told["value"]) == target
    assert 0 < told["encodes"] <= 10
    assert told["met"] <= value if kind in ("size", "bpp") else told["met"] >= value
    assert main(arguments) == 0
    line = capsys.readouterr().err
    assert says in line
    assert line.endswith(f", quality {row['quality']:g}\n")


def test_a_fidelity_without_loss_is_told_as_json_has_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["encode", "a.png", "-o", "c.png", "--target-psnr", "50"]
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["target"]["met"] is None
    assert main(arguments) == 0
    assert "psnr lossless (target 50)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2900", 2900), ("2900B", 2900), ("2.9k", 2900), ("2.9kB", 2900), ("2.9 KB", 2900),
        ("3KiB", 3072), ("3kib", 3072), (".003M", 3000), ("0.003MB", 3000), ("0.003MiB", 3145),
    ],
)  # fmt: skip
def test_sizes_are_read_as_people_write_them(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, size: int
) -> None:
    arguments = ["encode", "a.png", "-o", "a.webp", "-c", "webp", "--target-size", text]
    assert main([*arguments, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["target"]["value"] == size
    assert row["bytes"] <= size


def test_a_target_that_one_picture_cannot_meet_stops_no_other(
    folder: Path, capsys: pytest.CaptureFixture[str], listing: Files
) -> None:
    Image.effect_noise((300, 300), 90).save("noise.png")
    arguments = ["encode", "a.png", "noise.png", "b.png", "-o", "out/", "-c", "jpeg"]
    assert main([*arguments, "--target-size", "1kB", "--quiet"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("comrec: noise.png: at most 1,000 bytes cannot be met: jpeg's smallest ")
    assert listing() == {"a.png", "b.png", "noise.png", "out/a.jpg", "out/b.jpg"}
    assert main([*arguments, "--target-msssim", "0.5", "--quiet"]) == 1
    assert "a.png: ms_ssim needs sides of at least 161" in capsys.readouterr().err
    assert "out/noise.jpg" in listing()


def test_a_search_shows_what_it_tries_on_a_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    arguments = ["encode", "a.png", "-o", "a.webp", "-c", "webp", "--target-size", "1500"]
    assert main(arguments) == 0
    assert re.search(r"quality \d+(\.\d)?: \d,\d\d\d bytes", capsys.readouterr().err)
    assert main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_encode_passes_scale_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for scale in ("auto", "1", "1/2"):
        assert main(["encode", "a.png", "-o", "a.jpg", "-q", "5", "--scale", scale]) == 0
        with Image.open("a.jpg") as image:
            assert image.size in [(73, 47), (37, 24)]
            assert scale != "1" or image.size == (73, 47)
        assert comrec.decode(Path("a.jpg").read_bytes()).size == (73, 47)


def test_cmr_files_are_of_the_learned_codec(
    folder: Path, capsys: pytest.CaptureFixture[str], small: Picture
) -> None:
    assert main(["encode", "a.png", "-o", "a.cmr", "-q", "40", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["codec"] == "liu2018"
    data = Path("a.cmr").read_bytes()
    assert data == comrec.encode(small, "liu2018", 40)
    assert main(["encode", "a.png", "-o", "b.cmr", "-q", "40", "--metric", "mse", "--quiet"]) == 0
    assert Path("b.cmr").read_bytes() == data
    assert main(["encode", "a.png", "b.png", "-o", "out/", "-c", "liu2018", "--quiet"]) == 0
    assert {path.name for path in Path("out").iterdir()} == {"a.cmr", "b.cmr"}
    capsys.readouterr()
    assert main(["info", "a.cmr"]) == 0
    text = capsys.readouterr().out
    assert "a.cmr: liu2018, 73x47, " in text
    assert "quality 40; reconstructed by liu2018-mse-" in text
    assert "other viewers show nothing" in text
    assert main(["decode", "a.cmr", "-o", "back.png"]) == 0
    with Image.open("back.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(comrec.decode(data)))


def test_encode_passes_metric_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def encode(self: Liu2018, picture: Picture, quality: float) -> bytes:
        asked.append(str(self))
        return b"file"

    monkeypatch.setattr(Liu2018, "encode", encode)
    arguments = ["encode", "a.png", "-o", "c.cmr", "--quiet"]
    for metric in ("mse", "ms-ssim", "perceptual"):
        assert main([*arguments, "--metric", metric]) == 0
    assert main([*arguments, "-c", "liu2018:metric=ms-ssim", "-e", "3"]) == 0
    assert main(arguments) == 0
    ms_ssim = "liu2018:metric=ms-ssim"
    assert asked == [
        "liu2018",
        ms_ssim,
        "liu2018:metric=perceptual",
        f"{ms_ssim}:effort=3",
        "liu2018",
    ]


@pytest.mark.parametrize("out", ["new/", "new/deeper/", "there"])
def test_several_inputs_go_into_a_folder(folder: Path, listing: Files, out: str) -> None:
    Path("there").mkdir()
    assert main(["encode", "a.png", "b.png", "-o", out, "-c", "webp", "--quiet"]) == 0
    assert listing() == {"a.png", "b.png", str(Path(out, "a.webp")), str(Path(out, "b.webp"))}
    assert main(["decode", "there/a.webp" if out == "there" else f"{out}a.webp", "-o", out]) == 0
    assert Path(out, "a.png").exists()


def test_one_bad_input_stops_no_other(
    folder: Path, capsys: pytest.CaptureFixture[str], listing: Files
) -> None:
    Path("bad.png").write_bytes(Path("a.png").read_bytes()[:300])
    Path("notes.txt").write_text("no picture")
    inputs = ["a.png", "bad.png", "missing.png", "notes.txt", "b.png"]
    assert main(["encode", *inputs, "-o", "out/", "-c", "jpeg", "--json"]) == 1
    out, err = capsys.readouterr()
    assert [json.loads(line)["input"] for line in out.splitlines()] == ["a.png", "b.png"]
    lines = err.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == inputs[1:4]
    assert all(line.startswith("comrec: ") for line in lines)
    assert listing() == {"a.png", "b.png", "bad.png", "notes.txt", "out/a.jpg", "out/b.jpg"}


@pytest.mark.parametrize("mode", ["CMYK", "I;16"])
def test_an_unsupported_input_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], listing: Files, mode: str
) -> None:
    image = Image.new(mode, (9, 7))
    image.save("deep.tif")
    assert main(["encode", "deep.tif", "a.png", "-o", "out/", "-c", "jpeg", "--quiet"]) == 1
    assert "deep.tif: " in capsys.readouterr().err
    assert "out/a.jpg" in listing()


def test_transparency_that_cannot_be_carried_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], listing: Files
) -> None:
    Image.new("RGBA", (9, 7), (1, 2, 3, 100)).save("clear.png")
    assert main(["encode", "clear.png", "-o", "clear.jpg"]) == 1
    assert "clear.png: " in capsys.readouterr().err
    assert "clear.jpg" not in listing()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-o", "a.jpg", "-q", "101"], "--quality must be in 0..100, not 101"),
        (["-o", "a.jpg", "-q", "-1"], "-1"),
        (["-o", "a.jpg", "-q", "nan"], "nan"),
        (["-o", "a.jpg", "-q", "good"], "good"),
        (["-o", "a.jpg", "--target-size", "0"], "--target-size must be"),
        (["-o", "a.jpg", "--target-size", "-3kB"], "--target-size"),
        (["-o", "a.jpg", "--target-size", "40 kbit"], "40 kbit"),
        (["-o", "a.jpg", "--target-size", "nan"], "nan"),
        (["-o", "a.jpg", "--target-bpp", "0"], "--target-bpp must be"),
        (["-o", "a.jpg", "--target-psnr", "inf"], "--target-psnr must be"),
        (["-o", "a.jpg", "--target-ssim", "1.1"], "1.1"),
        (["-o", "a.jpg", "--target-msssim", "98"], "98"),
        (["-o", "a.jpg", "--target-ssimulacra2", "101"], "above 0 and at most 100, not 101"),
        (["-o", "a.jpg", "--target-msssim", "0.9", "--target-size", "9k"], "not allowed with"),
        (["-o", "a.jpg", "--target-psnr", "30", "-q", "50"], "not allowed with"),
        (["-o", "a.jpg", "-e", "0"], "--effort must be in 1..10"),
        (["-o", "a.jpg", "-e", "11"], "effort"),
        (["-o", "a.jpg", "-c", "jpg"], "comrec-jpeg"),
        (["-o", "a.webp", "-c", "jpeg"], ".jpg"),
        (["-o", "a.xyz"], ".jpg"),
        (["-o", "a.jpg", "-c", "jpeg", "--scale", "1"], "scale"),
        (["-o", "a.jpg", "--scale", "1/4"], "1/4"),
        (["-o", "a.jpg", "--metric", "mse"], "comrec-jpeg has no option --metric"),
        (["-o", "a.cmr", "--metric", "psnr"], "not psnr"),
        (["-o", "a.cmr", "--scale", "1"], "liu2018 has no option --scale; it has: --metric"),
        (["-o", "a.cmr", "-c", "jpeg"], "jpeg writes .jpg files"),
        (["-o", "a.jpg", "-c", "liu2018"], "liu2018 writes .cmr files"),
        (["b.png", "-o", "a.jpg"], "folder"),
        (["-", "-o", "out/"], "standard input"),
        ([], "-o"),
        (["-o", "a.jpg", "--wrong"], "--wrong"),
    ],
)
def test_wrong_usage_of_encode_exits_2_and_writes_nothing(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    listing: Files,
    arguments: list[str],
    says: str,
) -> None:
    before = listing()
    assert usage("encode", "a.png", *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert listing() == before
    assert not Path("out").exists()


@pytest.mark.parametrize("out", ["a.jpg", "./a.jpg", "link.jpg", "sub/../a.jpg", "."])
def test_encode_never_overwrites_its_input(
    folder: Path, capsys: pytest.CaptureFixture[str], listing: Files, out: str, small: Picture
) -> None:
    data = codec.get("jpeg").encode(small, 90)
    Path("a.jpg").write_bytes(data)
    Path("link.jpg").symlink_to("a.jpg")
    Path("sub").mkdir()
    before = listing()
    assert main(["encode", "a.jpg", "-o", out, "-c", "jpeg", "-q", "5"]) == 1
    assert "overwrite the input" in capsys.readouterr().err
    assert Path("a.jpg").read_bytes() == data
    assert listing() == before


def test_files_are_replaced_unless_told_otherwise(
    folder: Path, capsys: pytest.CaptureFixture[str], listing: Files
) -> None:
    Path("a.jpg").write_bytes(b"precious")
    before = listing()
    arguments = ["encode", "a.png", "-o", "a.jpg", "--quiet"]
    assert main([*arguments, "--no-overwrite"]) == 1
    assert "a.jpg: exists" in capsys.readouterr().err
    assert Path("a.jpg").read_bytes() == b"precious"
    assert listing() == before
    assert main(arguments) == 0
    assert Path("a.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert listing() == before


def test_written_files_have_the_permissions_of_new_files(folder: Path) -> None:
    Path("plain").touch()
    assert main(["encode", "a.png", "-o", "a.jpg", "--quiet"]) == 0
    assert Path("a.jpg").stat().st_mode == Path("plain").stat().st_mode


def test_a_failing_write_leaves_nothing_behind(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    listing: Files,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("a.jpg").write_bytes(b"precious")
    before = listing()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert main(["encode", "a.png", "-o", "a.jpg", "-c", "jpeg"]) == 1
    assert "a.jpg: No space left" in capsys.readouterr().err
    assert listing() == before
    assert Path("a.jpg").read_bytes() == b"precious"


def test_an_output_below_a_file_is_an_error_in_words(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["encode", "a.png", "-o", "b.png/a.jpg", "-c", "jpeg"]) == 1
    assert "b.png/a.jpg: " in capsys.readouterr().err


# decode


@pytest.mark.parametrize("extension", [".png", ".tif", ".bmp", ".ppm"])
def test_decode_writes_the_full_picture(folder: Path, small: Picture, extension: str) -> None:
    Path("half.jpg").write_bytes(half_jpeg(small))
    out = f"full{extension}"
    assert main(["decode", "half.jpg", "-o", out]) == 0
    with Image.open(out) as image:
        assert np.array_equal(
            np.asarray(image), np.asarray(comrec.decode(Path("half.jpg").read_bytes()))
        )
    assert main(["decode", "half.jpg", "-o", out, "--plain"]) == 0
    with Image.open(out) as image:
        assert image.size == (37, 24)


def test_decode_enhances_when_asked(folder: Path, small: Picture) -> None:
    Path("old.jpg").write_bytes(codec.get("jpeg").encode(small, 20))
    assert main(["decode", "old.jpg", "-o", "new.png", "--enhance"]) == 0
    expected = comrec.decode(Path("old.jpg").read_bytes(), enhance=True)
    with Image.open("new.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(expected))


def test_decode_reports_as_json(
    folder: Path, capsys: pytest.CaptureFixture[str], small: Picture
) -> None:
    data = half_jpeg(small)
    Path("half.jpg").write_bytes(data)
    assert main(["decode", "half.jpg", "-o", "full.png", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row.pop("decode_s") >= 0
    assert row == {
        "input": "half.jpg",
        "output": "full.png",
        "width": 73,
        "height": 47,
        "bytes": len(data),
        "bpp": round(8 * len(data) / (73 * 47), 4),
    }


def test_decode_keeps_metadata(folder: Path, small: Picture, metadata: Metadata) -> None:
    picture = Picture(small.pixels, None, metadata)
    Path("a.jpg").write_bytes(comrec.encode(picture, "comrec-jpeg", 40))
    assert main(["decode", "a.jpg", "-o", "out.png"]) == 0
    with Image.open("out.png") as image:
        assert image.getexif()[0x0112] == 6
        assert image.info["icc_profile"] == metadata.icc


@pytest.mark.parametrize("out", ["new.jpg", "new.webp", "new", "new.gif"])
def test_decode_refuses_to_lose_what_it_rebuilt(
    folder: Path, capsys: pytest.CaptureFixture[str], listing: Files, out: str
) -> None:
    before = listing()
    assert main(["decode", "a.png", "-o", out]) == 2
    assert ".png" in capsys.readouterr().err
    assert listing() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.png", "b.png", "-o", "c.png"],
        ["a.png", "-o", "c.png", "--plain", "--enhance"],
        ["a.png"],
        ["-o", "c.png"],
    ],
)
def test_wrong_usage_of_decode_exits_2(
    folder: Path, capsys: pytest.CaptureFixture[str], listing: Files, arguments: list[str]
) -> None:
    before = listing()
    assert usage("decode", *arguments) == 2
    assert listing() == before


def damaged(small: Picture) -> Iterator[tuple[str, bytes]]:
    good = half_jpeg(small)
    yield "cut.jpg", good[: len(good) // 2]
    yield "header.jpg", good[:9]
    yield "empty.jpg", b""
    yield "text.jpg", b"not a picture at all"
    at = good.index(b"comrec")
    yield "mark.jpg", good[: at + 9] + b"\xff" + good[at + 10 :]
    other = codec.get("jpeg").encode(small, 50)
    unknown = Mark(1, 50, 73, 47, "ab" * 10).pack()
    yield "later.jpg", codec.get("jpeg").with_mark(other, unknown)


def test_damaged_inputs_of_decode_are_named_and_stop_no_other(
    folder: Path, capsys: pytest.CaptureFixture[str], listing: Files, small: Picture
) -> None:
    names = []
    for name, data in damaged(small):
        names.append(name)
        Path(name).write_bytes(data)
    Path("good.jpg").write_bytes(half_jpeg(small))
    before = listing()
    assert main(["decode", *names, "good.jpg", "missing.jpg", "-o", "out/"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert [line.split(":")[1].strip() for line in err.splitlines()] == [*names, "missing.jpg"]
    assert listing() - before == {"out/good.png"}


def test_decode_never_overwrites_its_input(
    folder: Path, capsys: pytest.CaptureFixture[str], listing: Files
) -> None:
    data, before = Path("a.png").read_bytes(), listing()
    for out in ("a.png", "."):
        assert main(["decode", "a.png", "-o", out]) == 1
        assert "overwrite the input" in capsys.readouterr().err
    assert main(["decode", "a.png", "-o", "b.png", "--no-overwrite"]) == 1
    assert Path("a.png").read_bytes() == data
    assert listing() == before


# info, codecs, models, compare


def test_info_tells_plain_and_marked_files_apart(
    folder: Path, capsys: pytest.CaptureFixture[str], small: Picture
) -> None:
    data = half_jpeg(small)
    Path("half.jpg").write_bytes(data)
    assert main(["info", "half.jpg", "a.png", "--json"]) == 0
    marked, plain = map(json.loads, capsys.readouterr().out.splitlines())
    assert list(marked) == [
        "input", "container", "codec", "width", "height", "bytes", "bpp", "scale", "quality",
        "network", "shown", "stale",
    ]  # fmt: skip
    assert (marked["input"], marked["codec"], marked["scale"]) == ("half.jpg", "comrec-jpeg", 2)
    assert (marked["width"], marked["height"], marked["bytes"]) == (73, 47, len(data))
    assert (plain["codec"], plain["scale"], plain["network"]) == ("png", None, None)

    assert main(["info", "half.jpg", "a.png"]) == 0
    text = capsys.readouterr().out
    assert "half.jpg: comrec-jpeg, 73x47" in text
    assert "37x24" in text
    assert "a.png: png, 73x47" in text


def test_info_names_bad_files_and_goes_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("notes.txt").write_text("no picture")
    assert main(["info", "notes.txt", "missing.jpg", "a.png"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("a.png: ")
    assert [line.split(":")[1].strip() for line in err.splitlines()] == ["notes.txt", "missing.jpg"]


def test_codecs_lists_every_codec(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codecs", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in rows] == comrec.codecs()
    assert all(row["extension"].startswith(".") and row["summary"] for row in rows)
    assert main(["codecs"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == comrec.codecs()


def test_models_are_listed_and_verified(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [network.name for network in store.networks()]
    assert main(["models"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == names
    assert main(["models", "verify"]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == names
    assert usage("models", "frobnicate") == 2

    monkeypatch.setattr(store, "FOLDER", tmp_path)
    for network in store.networks()[2:]:
        network.path.write_bytes((store.MANIFEST.parent / network.path.name).read_bytes())
    first, second = (network.path for network in store.networks()[:2])
    second.write_bytes(b"altered")
    capsys.readouterr()
    assert main(["models", "verify"]) == 1
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in out.splitlines()] == names[2:]
    assert f"{first.name} is missing" in err
    assert f"{second.name} does not match" in err


def test_models_are_listed_with_the_scale_of_their_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["models"]) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    scales = {line.split()[0]: line.split()[2] for line in lines}
    assert scales["comrec-jpeg-rec1"] == "1"
    assert scales["comrec-jpeg-com2"] == "1/2"
    assert scales["comrec-jpeg-rec2"] == "2"
    of_latents = {role: scales[f"liu2018-mse-{role}"] for role in ("g_a", "h_a", "h_s", "g_s")}
    assert of_latents == {"g_a": "1/16", "h_a": "1/4", "h_s": "4", "g_s": "16"}


def test_compare_gives_a_table_at_equal_bytes_and_crops(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", "a.png", "--codecs", "jpeg,comrec-jpeg"]
    assert main([*arguments, "--bytes", "1.5kB", "-o", "crops.png"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert "1,500 bytes" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["codec", "jpeg", "comrec-jpeg"]
    with Image.open("crops.png") as image:
        assert image.format == "PNG"
        assert image.width > 3 * 160

    assert main([*arguments, "-q", "30", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["codec"] for row in rows] == ["jpeg", "comrec-jpeg"]
    budget = len(comrec.encode(Image.open("a.png"), "jpeg", 30))
    assert all(0 < row["bytes"] <= budget for row in rows)
    assert set(rows[0]) == {
        "codec", "quality", "bytes", "bpp", "psnr", "ms_ssim", "ssimulacra2", "decode_s",
    }  # fmt: skip
    assert 0 < rows[0]["ssimulacra2"] < rows[1]["ssimulacra2"] + 30
    assert rows[0]["ms_ssim"] is None  # too small for it


def test_compare_takes_options_of_codecs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["liu2018", "liu2018:metric=ms-ssim", "jpeg:subsampling=4:4:4"]
    assert main(["compare", "a.png", "--codecs", ",".join(names), "--bytes", "1500", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["codec"] for row in rows] == names
    assert rows[0]["psnr"] > rows[1]["psnr"]


def test_compare_says_what_does_not_fit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "a.png", "--codecs", "jpeg,png", "--bytes", "1500"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.split()[0] == "png"
    assert "too large" in last


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["a.png", "--codecs", "jpeg,jpg"], 2),
        (["a.png", "--codecs", "jpeg,liu2018:metric=best"], 2),
        (["a.png", "--codecs", "jpeg:metric=mse"], 2),
        (["a.png", "-o", "crops.jpg"], 2),
        (["a.png", "-q", "200"], 2),
        (["a.png", "--bytes", "-5"], 2),
        (["a.png", "--bytes", "0"], 2),
        (["a.png", "--bytes", "900", "-q", "5"], 2),
        (["missing.png"], 1),
    ],
)
def test_compare_refuses_what_it_cannot_do(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    listing: Files,
    arguments: list[str],
    code: int,
) -> None:
    before = listing()
    assert usage("compare", *arguments) == code
    assert capsys.readouterr().err
    assert listing() == before


def test_compare_does_not_replace_its_photograph(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path("a.png").read_bytes()
    assert main(["compare", "a.png", "--codecs", "jpeg", "-o", "a.png"]) == 1
    assert Path("a.png").read_bytes() == data


def test_no_verb_or_an_unknown_one_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert usage() == 2
    assert usage("compress") == 2
    assert usage("--version") == 0
    assert comrec.__version__ in capsys.readouterr().out


# the process


def test_standard_input_to_standard_output(folder: Path, small: Picture) -> None:
    given = Path("a.png").read_bytes()
    encoded = python_m("encode", "-", "-o", "-", "-q", "40", given=given)
    assert encoded.returncode == 0, encoded.stderr
    assert encoded.stdout == comrec.encode(small, "comrec-jpeg", 40)
    decoded = python_m("decode", "-", "-o", "-", "--json", given=encoded.stdout)
    assert decoded.returncode == 0, decoded.stderr
    with Image.open(io.BytesIO(decoded.stdout)) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), np.asarray(comrec.decode(encoded.stdout)))
    assert json.loads(decoded.stderr)["width"] == 73  # beside the picture, not in it
    told = python_m("info", "-", "--json", given=encoded.stdout)
    assert json.loads(told.stdout)["bytes"] == len(encoded.stdout)


def test_a_learned_codec_through_a_pipe(folder: Path, small: Picture) -> None:
    arguments = ["encode", "-", "-o", "-", "-c", "liu2018", "--target-size", "20kB", "--json"]
    encoded = python_m(*arguments, given=Path("a.png").read_bytes())
    assert encoded.returncode == 0, encoded.stderr
    report = json.loads(encoded.stderr)
    assert report["bytes"] == len(encoded.stdout) <= 20_000
    assert encoded.stdout == comrec.encode(small, "liu2018", report["quality"])
    compared = python_m("compare", "-", "--codecs", "jpeg,liu2018", given=encoded.stdout)
    assert compared.returncode == 0, compared.stderr
    assert [line.split()[0] for line in compared.stdout.decode().splitlines()[2:]] == [
        "jpeg",
        "liu2018",
    ]


def test_the_processs_exit_codes_and_messages(folder: Path, listing: Files) -> None:
    Path("cut.jpg").write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF")
    before = listing()
    for arguments, code, says in [
        (["decode", "cut.jpg", "-o", "out.png"], 1, b"cut.jpg: "),
        (["decode", "-", "-o", "out.png"], 1, b"standard input: "),
        (["encode", "a.png", "-o", "a.gif"], 2, b".jpg"),
        (["encode", "a.png"], 2, b"required"),
    ]:
        done = python_m(*arguments)
        assert done.returncode == code, arguments
        assert says in done.stderr
        assert b"Traceback" not in done.stderr
        assert done.stdout == b""
    assert listing() == before


def test_there_is_no_progress_bar_away_from_a_terminal(folder: Path) -> None:
    done = python_m("encode", "a.png", "b.png", "-o", "out/", "-c", "jpeg", "--json")
    assert done.returncode == 0
    assert done.stderr == b""
    assert len(done.stdout.splitlines()) == 2


def test_a_marked_file_is_encoded_from_its_full_picture(tmp_path: Path, photo: Picture) -> None:
    network = store.find("comrec", "jpeg", "rec", up=2)
    assert network is not None
    half = Picture(np.ascontiguousarray(photo.pixels[::2, ::2]))
    payload = codec.get("jpeg").encode(half, 50)
    marked, again = tmp_path / "half.jpg", tmp_path / "again.png"
    marked.write_bytes(marked_files.write(codec.get("jpeg"), payload, photo, 50, network))
    assert main(["encode", str(marked), "-o", str(again), "--quiet"]) == 0
    with Image.open(again) as picture:
        assert picture.size == (photo.width, photo.height)

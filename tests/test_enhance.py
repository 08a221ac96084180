"""Enhancing third-party files: photographs gain, other files are left as they are."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from PIL import Image

import comrec
from comrec import codec
from comrec.cli import main
from comrec.errors import OptionError
from comrec.formats import coding
from comrec.inference import store
from comrec.metrics import psnr
from comrec.picture import Picture

Pixels = NDArray[np.uint8]

WIDTH, HEIGHT = 192, 160


@pytest.fixture
def graphics(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The benchmarks' generator of drawn pictures."""
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
    import graphics

    yield graphics
    sys.modules.pop("graphics")


def photograph() -> Pixels:
    whole = Image.fromarray(skimage.data.coffee()).resize((300, 200), Image.Resampling.LANCZOS)
    return np.array(whole.crop((60, 20, 60 + WIDTH, 20 + HEIGHT)))


def saved(rgb: Pixels, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(quality: int, sampling: str) -> Callable[[Pixels], bytes]:
    return lambda rgb: saved(rgb, "JPEG", quality=quality, subsampling=sampling)


def by_codec(name: str, quality: int, **options: Any) -> Callable[[Pixels], bytes]:
    return lambda rgb: codec.get(name, **options).encode(Picture(rgb), quality)


def left_alone(data: bytes) -> str | None:
    """Why the file is left alone, in the words of the note; None if it is not."""
    enhanced, plain = comrec.decode(data, enhance=True), comrec.decode(data)
    notes = [note for note in enhanced.info.get("notes", ()) if note.startswith("not enhanced")]
    assert bool(notes) == np.array_equal(np.asarray(enhanced), np.asarray(plain))
    return notes[0] if notes else None


def gain(data: bytes, original: Pixels) -> float:
    enhanced, plain = comrec.decode(data, enhance=True), comrec.decode(data)
    return psnr(original, np.asarray(enhanced)) - psnr(original, np.asarray(plain))


USUAL = {
    "jpeg": (jpeg(75, "4:2:0"), 0.5),
    "coarse 4:4:4 jpeg": (jpeg(30, "4:4:4"), 0.5),
    "webp": (by_codec("webp", 50), 0.5),
    "avif": (by_codec("avif", 50, subsampling="4:2:0"), 0.3),
    "jpegxl": (by_codec("jpegxl", 40), 0.2),
    "jpeg2000": (by_codec("jpeg2000", 30), 0.2),
    "bpg": (by_codec("bpg", 40, subsampling="4:2:0"), 0.2),
}


@pytest.mark.parametrize("name", USUAL)
def test_photographs_gain(name: str) -> None:
    encode, least = USUAL[name]
    data = encode(photograph())
    assert left_alone(data) is None
    assert gain(data, photograph()) > least


LOSSLESS = {
    "webp": lambda rgb: saved(rgb, "WEBP", lossless=True),
    "avif": lambda rgb: saved(rgb, "AVIF", quality=100, subsampling="4:4:4"),
    "jpeg2000": lambda rgb: saved(rgb, "JPEG2000"),
    "jpegxl": by_codec("jpegxl", 100, lossless=True),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_files_are_left_alone(name: str, graphics: ModuleType) -> None:
    for rgb in (photograph(), graphics.sprites(1, WIDTH, HEIGHT), graphics.drawing(0, WIDTH, 160)):
        assert left_alone(LOSSLESS[name](rgb)) is not None


FINE = {
    "jpeg 4:4:4": jpeg(97, "4:4:4"),
    "jpeg 4:2:2": jpeg(97, "4:2:2"),
    "jpeg RGB": lambda rgb: saved(rgb, "JPEG", quality=80, keep_rgb=True),
    "avif 4:4:4": lambda rgb: saved(rgb, "AVIF", quality=60, subsampling="4:4:4"),
    "heic 4:4:4": by_codec("heic", 50, subsampling="4:4:4"),
    "jpegxl": by_codec("jpegxl", 98),
    "jpeg2000": by_codec("jpeg2000", 95),
}


@pytest.mark.parametrize("name", FINE)
def test_what_the_network_is_not_trained_for_is_left_alone(name: str) -> None:
    assert left_alone(FINE[name](photograph())) is not None


DRAWN_BY = {
    "jpeg 20": jpeg(20, "4:2:0"),
    "jpeg 92": jpeg(92, "4:2:0"),
    "jpeg 30 4:4:4": jpeg(30, "4:4:4"),
    "webp": by_codec("webp", 75),
    "jpegxl": by_codec("jpegxl", 60),
    "bpg": by_codec("bpg", 50),
}


@pytest.mark.parametrize("name", DRAWN_BY)
@pytest.mark.parametrize("kind", ["document", "window", "sprites"])
def test_drawn_pictures_are_left_alone(name: str, kind: str, graphics: ModuleType) -> None:
    for seed in (1, 2):
        data = DRAWN_BY[name](getattr(graphics, kind)(seed, WIDTH, HEIGHT))
        assert "no photograph" in (left_alone(data) or "")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (saved(photograph(), "JPEG", subsampling="4:2:2"), coding.Coding(sampling="4:2:2")),
        (saved(photograph()[..., 0], "JPEG"), coding.Coding(sampling="4:0:0")),
        (saved(photograph(), "JPEG", keep_rgb=True), coding.Coding(sampling="RGB")),
    ],
)
def test_headers_of_jpeg_say_how_chroma_is_coded(data: bytes, expected: coding.Coding) -> None:
    assert coding.of("jpeg", data) == expected


@pytest.mark.parametrize("sampling", ["4:0:0", "4:2:0", "4:2:2", "4:4:4"])
def test_headers_of_avif_say_how_chroma_is_coded(sampling: str) -> None:
    data = saved(photograph(), "AVIF", subsampling=sampling)
    assert coding.of("avif", data) == coding.Coding(sampling=sampling)


def test_alpha_of_an_avif_file_is_not_taken_for_its_chroma() -> None:
    rgba = np.dstack([photograph(), photograph()[..., 0]])
    assert coding.of("avif", saved(rgba, "AVIF", subsampling="4:4:4")).sampling == "4:4:4"


@pytest.mark.parametrize("sampling", ["4:2:0", "4:2:2", "4:4:4"])
def test_headers_of_bpg_say_how_chroma_is_coded(sampling: str) -> None:
    data = by_codec("bpg", 20, subsampling=sampling)(photograph()[:64, :64])
    assert coding.of("bpg", data) == coding.Coding(sampling=sampling)


@pytest.mark.parametrize("sampling", ["4:2:0", "4:4:4"])
def test_headers_of_heic_say_how_chroma_is_coded(sampling: str) -> None:
    data = by_codec("heic", 50, subsampling=sampling)(photograph())
    assert coding.of("heic", data) == coding.Coding(sampling=sampling)


@pytest.mark.parametrize("reversible", [False, True])
def test_headers_of_jpeg2000_say_whether_the_transform_is_reversible(reversible: bool) -> None:
    data = saved(photograph(), "JPEG2000", irreversible=not reversible)
    assert coding.of("jpeg2000", data).lossless == reversible


def test_the_benchmark_writes_a_row_for_each_cell(
    tmp_path: Path, graphics: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    import enhance

    monkeypatch.setattr(enhance, "GRID", (("webp", "lossless", (100,)), ("jpeg", "4:2:0", (50,))))
    monkeypatch.setattr(enhance, "GRAPHICS", 1)
    out = tmp_path / "enhance.json"
    monkeypatch.setattr(sys, "argv", ["enhance.py", "--out", str(out)])
    assert enhance.main() == 0
    rows = json.loads(out.read_text())["rows"]
    assert len(rows) == 2 * len(graphics.DRAWN)
    assert all(row["least_gain"] == 0 for row in rows if row["sampling"] == "lossless")
    sys.modules.pop("enhance")


# strength


def levels(data: bytes, **options: Any) -> NDArray[np.int_]:
    return np.asarray(comrec.decode(data, **options)).astype(int)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_strength_goes_from_the_decoded_picture_to_the_enhanced_one(mode: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(photograph()).convert(mode).save(buffer, "JPEG", quality=20)
    data = buffer.getvalue()
    plain, full = levels(data), levels(data, enhance=True)
    assert np.abs(full - plain).max() > 8
    assert np.array_equal(levels(data, enhance=True, strength=0), plain)
    assert np.array_equal(levels(data, enhance=True, strength=1), full)
    half = levels(data, enhance=True, strength=0.5)
    # The mean is of the network's output before it is rounded and clipped.
    inside = (full > 0) & (full < 255)
    assert np.abs(half - (plain + full) / 2)[inside].max() <= (0.75 if mode == "RGB" else 1.5)


def test_strength_leaves_alpha_as_it_is() -> None:
    rgb = Image.fromarray(photograph())
    rgb.putalpha(Image.linear_gradient("L").resize(rgb.size))
    buffer = io.BytesIO()
    rgb.save(buffer, "WEBP", quality=50)
    data = buffer.getvalue()
    found = levels(data, enhance=True, strength=0.3)
    assert np.array_equal(found[..., 3], levels(data)[..., 3])
    assert not np.array_equal(found, levels(data))


def test_the_size_of_the_network_can_be_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = USUAL["jpeg"][0](photograph())
    found = {size: levels(data, enhance=True, network=size) for size in store.SIZES}
    assert np.array_equal(found["default"], levels(data, enhance=True))
    assert not np.array_equal(found["fast"], found["default"])
    (tmp_path / "a.jpg").write_bytes(data)
    arguments = ["decode", str(tmp_path / "a.jpg"), "-o", str(tmp_path / "a.png")]
    assert main([*arguments, "--network", "fast"]) == 2
    assert "--network" in capsys.readouterr().err
    assert main([*arguments, "--enhance", "--network", "fast"]) == 0
    with Image.open(tmp_path / "a.png") as written:
        assert np.array_equal(np.asarray(written), found["fast"])


def test_where_a_format_has_no_network_of_a_size_the_default_one_enhances_and_a_note_says_so() -> (
    None
):
    data = USUAL["webp"][0](photograph())
    found = comrec.decode(data, enhance=True, network="fast")
    assert np.array_equal(np.asarray(found), np.asarray(comrec.decode(data, enhance=True)))
    (note,) = found.info["notes"]
    assert note == "there is no fast network for webp files: enhanced by the default one"


@pytest.mark.parametrize("network", ["better", "", 3, True])
def test_no_other_size_of_networks_is_taken(network: Any) -> None:
    with pytest.raises(OptionError, match="network must be fast, default or best"):
        comrec.decode(USUAL["jpeg"][0](photograph()), enhance=True, network=network)


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan"), "much", True])
def test_a_strength_out_of_range_is_refused(strength: Any) -> None:
    data = USUAL["jpeg"][0](photograph())
    with pytest.raises(OptionError, match=r"strength must be .*0\.\.1"):
        comrec.decode(data, enhance=True, strength=strength)


def test_a_strength_without_enhancing_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = USUAL["jpeg"][0](photograph())
    with pytest.raises(OptionError, match="enhance"):
        comrec.decode(data, strength=1)
    (tmp_path / "a.jpg").write_bytes(data)
    arguments = ["decode", str(tmp_path / "a.jpg"), "-o", str(tmp_path / "a.png")]
    for wrong, says in (
        (["--strength", "0.5"], "--strength"),
        (["--strength", "2", "--enhance"], "--strength must be in 0..1"),
    ):
        assert main([*arguments, *wrong]) == 2
        assert says in capsys.readouterr().err
        assert not (tmp_path / "a.png").exists()
    assert main([*arguments, "--enhance", "--strength", "0.5"]) == 0
    with Image.open(tmp_path / "a.png") as written:
        assert np.array_equal(np.asarray(written), levels(data, enhance=True, strength=0.5))

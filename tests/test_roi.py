"""Regions of interest: maps from all sources, their alignment, and who takes them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import comrec
from comrec import codec, roi
from comrec.cli import main
from comrec.errors import InputError, OptionError, UnsupportedPictureError
from comrec.picture import Metadata, Picture

Plane = NDArray[np.float32]
LEARNED = ["liu2018", "rippel2017"]
SIZES = [(1, 1), (1, 90), (37, 5), (64, 48), (50, 333)]


def picture_of(width: int, height: int) -> Picture:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3))
    return Picture(pixels.astype(np.uint8))


def turned(picture: Picture, orientation: int) -> Picture:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return Picture(picture.pixels, None, Metadata(exif.tobytes()))


@pytest.fixture
def photo_file(photo: Picture, tmp_path: Path) -> str:
    path = tmp_path / "photo.png"
    photo.to_pil().save(path)
    return str(path)


# Maps


@pytest.mark.parametrize("given", ["auto", "centre", "0,0,1x1", np.eye(7, dtype=bool)])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_source_gives_a_map_of_every_size(given: roi.Given, width: int, height: int) -> None:
    marked = roi.marked(picture_of(width, height), given)
    assert marked.importance is not None
    assert marked.importance.shape == (height, width)
    least = 10 ** (-roi.DEFAULT_STRENGTH / 10)
    assert least - 1e-6 <= marked.importance.min() <= marked.importance.max() <= 1
    assert marked.importance.max() > least


def test_rectangles_are_grown_to_whole_blocks() -> None:
    marked = roi.marked(picture_of(100, 70), "20,20,10x10; 90,5,300x1", strength=10)
    expected = np.full((70, 100), 0.1)
    expected[16:32, 16:32] = 1
    expected[:16, 80:] = 1
    assert marked.importance == pytest.approx(expected)


def test_a_mask_of_another_size_is_stretched_over_the_picture(tmp_path: Path) -> None:
    mask = np.zeros((10, 10), np.uint8)
    mask[:5, 5:] = 255
    path = tmp_path / "mask.png"
    Image.fromarray(mask).save(path)
    for given in (path, str(path), mask, mask > 0, mask / 255, Image.fromarray(mask)):
        plane = roi.stored(picture_of(240, 40), given)
        assert plane[3, 200] == 1
        assert plane[36, 200] == plane[3, 40] == plane[36, 40] == 0


def test_a_mask_is_white_where_it_is_opaque_and_white(tmp_path: Path) -> None:
    mask = np.full((8, 16, 4), 255, np.uint8)
    mask[:, 8:, 3] = 0
    path = tmp_path / "mask.png"
    Image.fromarray(mask).save(path)
    plane = roi.stored(picture_of(16, 8), path)
    assert plane[4, 2] == 1
    assert plane[4, 13] == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sources_speak_of_the_picture_as_it_is_shown(orientation: int, photo: Picture) -> None:
    picture = turned(photo, orientation)
    plane = roi.stored(picture, "0,0,64x32")
    shown = roi.shown(picture, "0,0,64x32", plain=True)
    upright = np.zeros((shown.height, shown.width), np.uint8)
    upright[:32, :64] = 255
    assert np.array_equal(shown.pixels, upright)
    # Of a corner of the stored picture, too.
    assert plane.shape == photo.pixels.shape[:2]
    assert plane.sum() == 64 * 32
    assert max(plane[0, 0], plane[0, -1], plane[-1, 0], plane[-1, -1]) == 1


def test_the_network_sees_the_picture_upright(photo: Picture) -> None:
    upright = roi.stored(photo, "auto")
    lying = Picture(np.ascontiguousarray(np.rot90(photo.pixels)))
    turned_map = roi.stored(turned(lying, 6), "auto")
    assert turned_map == pytest.approx(np.rot90(upright), abs=1e-6)


def test_the_network_finds_what_stands_out(photo: Picture) -> None:
    """A face of a cat, somewhere on a plain wall."""
    places = [(0, 0), (0, 288), (192, 0), (192, 288)]
    for top, left in places:
        wall = np.full((384, 576, 3), (150, 160, 165), np.uint8)
        wall[top : top + 192, left : left + 256] = photo.pixels
        plane = roi.stored(Picture(wall), "auto")
        inside = plane[top : top + 192, left : left + 256]
        assert inside.mean() > 2 * plane.mean()


def test_a_flat_picture_matters_everywhere_alike() -> None:
    flat = Picture(np.full((16, 16, 3), 90, np.uint8))
    assert roi.marked(flat, "auto").importance is not None


@pytest.mark.parametrize("given", ["", "1,2,3", "0,0,0x5", "1,2,3x4;", "-1,0,5x5", 7, None])
def test_what_is_no_region_is_refused(given: Any, photo: Picture) -> None:
    with pytest.raises(OptionError, match=r"region of interest|no rectangle"):
        roi.marked(photo, given)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((2, 2, 3), np.uint8), r"\(h, w\)"),
        (np.zeros((0, 2), np.uint8), r"\(h, w\)"),
        (np.full((2, 2), 1.5), "0..1"),
        (np.full((2, 2), np.nan), "0..1"),
        (np.zeros((2, 2), np.int32), "int32"),
    ],
)
def test_masks_of_other_kinds_are_refused(mask: NDArray[Any], message: str, photo: Picture) -> None:
    with pytest.raises(OptionError, match=message):
        roi.marked(photo, mask)


def test_a_rectangle_outside_of_the_picture_is_refused(photo: Picture) -> None:
    with pytest.raises(OptionError, match=r"256,0,5x5 lies outside .* 256x192"):
        roi.marked(photo, "256,0,5x5")


def test_a_missing_mask_is_told_with_the_other_sources(photo: Picture) -> None:
    with pytest.raises(InputError, match=r"nowhere.png: No such file.*auto, centre"):
        roi.marked(photo, "nowhere.png")


@pytest.mark.parametrize("strength", [-1, 31, float("nan"), "much", True])
def test_strengths_out_of_range_are_refused(strength: Any, photo: Picture) -> None:
    with pytest.raises(OptionError, match="roi_strength must be 0 to 30 dB"):
        roi.marked(photo, "centre", strength)


# Codecs


def test_codecs_that_cannot_name_those_that_can(photo: Picture) -> None:
    with pytest.raises(UnsupportedPictureError) as error:
        comrec.encode(photo.to_pil(), "webp", 50, roi="centre")
    for codec_id in ("jpeg-tuned", "msroi-jpeg", "comrec-jpeg", *LEARNED):
        assert codec.get(codec_id).uses_importance
        assert codec_id in str(error.value)
    assert "jpeg2000" not in str(error.value)


@pytest.mark.parametrize("codec_id", ["jpeg-tuned", "msroi-jpeg", "comrec-jpeg"])
@pytest.mark.parametrize("options", [{"effort": 3}, {"effort": 7}, {"subsampling": "4:4:4"}])
def test_a_region_gets_better_and_the_rest_worse(
    codec_id: str, options: dict[str, Any], photo: Picture
) -> None:
    image = photo.to_pil()
    match = "jpeg:40"
    plain = comrec.encode(image, codec_id, match=match, roi="0,0,1x1", roi_strength=0, **options)
    data = comrec.encode(
        image, codec_id, match=match, roi="96,64,96x80", roi_strength=12, **options
    )

    (inside, outside), (inside_before, outside_before) = (
        errors(file, photo) for file in (data, plain)
    )
    assert inside < 0.9 * inside_before
    assert outside > 1.03 * outside_before


def errors(file: bytes, photo: Picture) -> tuple[float, float]:
    """Mean squared, inside of a rectangle and outside."""
    squares = (np.asarray(comrec.decode(file), float) - photo.pixels) ** 2
    inside = squares[64:144, 96:192].mean()
    return inside, (squares.sum() - inside * 96 * 80 * 3) / (squares.size - 96 * 80 * 3)


@pytest.mark.parametrize(
    ("codec_id", "quality"),
    [("liu2018", 30), ("liu2018:metric=ms-ssim", 30), ("rippel2017", 45)],
)
def test_a_region_of_a_learned_codec_gets_better_at_equal_bytes(
    codec_id: str, quality: float, photo: Picture
) -> None:
    image = photo.to_pil()
    plain = comrec.encode(image, codec_id, quality)
    data = comrec.encode(
        image, codec_id, target_size=len(plain), roi="96,64,96x80", roi_strength=12
    )
    assert len(data) <= len(plain)
    (inside, outside), (inside_before, outside_before) = (
        errors(file, photo) for file in (data, plain)
    )
    assert inside < inside_before
    assert inside / inside_before < 0.95 * outside / outside_before


@pytest.mark.parametrize("codec_id", LEARNED)
def test_a_learned_codec_takes_importance_for_relative(codec_id: str, photo: Picture) -> None:
    coder = codec.get(codec_id)
    even = Picture(photo.pixels, importance=np.full(photo.pixels.shape[:2], 0.3, np.float32))
    assert coder.encode(even, 40) == coder.encode(photo, 40)


@pytest.mark.parametrize(
    ("codec_id", "side", "message"),
    [
        ("liu2018:effort=5", 192, "liu2018 makes use .* from effort 6 on"),
        ("rippel2017:effort=1", 192, "rippel2017 makes use .* from effort 6 on"),
        ("liu2018:metric=perceptual", 192, r"choose another metric \(mse, ms-ssim\)"),
        ("liu2018:metric=ms-ssim", 100, "in pictures of 161 pixels or more"),
        ("rippel2017", 100, "in pictures of 161 pixels or more"),
    ],
)
def test_learned_codecs_that_cannot_weigh_say_why(
    codec_id: str, side: int, message: str, photo: Picture
) -> None:
    image = photo.cropped(0, 0, 192, side).to_pil()
    with pytest.raises(UnsupportedPictureError, match=message):
        comrec.encode(image, codec_id, 50, roi="centre")


def test_importance_of_one_weight_changes_nothing(photo: Picture) -> None:
    tuned = codec.get("jpeg-tuned")
    even = Picture(photo.pixels, importance=np.ones(photo.pixels.shape[:2], np.float32))
    assert tuned.encode(even, 40) == tuned.encode(photo, 40)
    assert codec.get("jpeg-tuned", effort=3).encode(even, 40) == codec.get(
        "jpeg-tuned", effort=3
    ).encode(photo, 40)


# The command line


def test_encode_takes_a_region(photo_file: str, tmp_path: Path) -> None:
    for name, more in (("a", []), ("b", ["--roi-strength", "12"]), ("c", ["--roi", "centre"])):
        arguments = ["encode", photo_file, "-c", "jpeg-tuned", "-o", str(tmp_path / f"{name}.jpg")]
        assert main([*arguments, *more]) == 0
    files = {(tmp_path / f"{name}.jpg").read_bytes() for name in "abc"}
    assert len(files) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-c", "webp", "--roi", "centre"], 1, "webp cannot make one part"),
        (["-c", "jpeg-tuned", "--roi", "1,2,3"], 2, "no rectangle"),
        (["-c", "jpeg-tuned", "--roi", "900,2,3x3"], 1, "photo.png: the rectangle"),
        (["-c", "jpeg-tuned", "--roi", "no.png"], 1, "no.png"),
        (["-c", "jpeg-tuned", "--roi-strength", "99"], 2, "--roi-strength must be 0 to 30"),
    ],
)
def test_encode_refuses_regions(
    arguments: list[str],
    code: int,
    message: str,
    photo_file: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = f"{tmp_path}/out/"
    assert main(["encode", photo_file, "-o", out, *arguments]) == code
    told = capsys.readouterr().err.strip()
    assert message in told
    assert "\n" not in told


def test_the_map_is_drawn_over_the_picture_or_alone(
    photo_file: str, photo: Picture, tmp_path: Path
) -> None:
    heat, gray = tmp_path / "heat.png", tmp_path / "gray.png"
    assert main(["roi", photo_file, "-o", str(heat)]) == 0
    assert main(["roi", photo_file, "-o", str(gray), "--gray"]) == 0
    with Image.open(heat) as drawn:
        assert drawn.mode == "RGB"
        assert drawn.size == (256, 192)
    # The second is a mask that gives the same map.
    assert roi.stored(photo, gray) == pytest.approx(roi.stored(photo, "auto"), abs=0.003)
    assert main(["roi", photo_file, "-o", str(tmp_path / "map.jpg")]) == 2


def test_compare_tells_psnr_inside_and_outside_and_shows_the_map(
    photo_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", photo_file, "--codecs", "jpeg,jpeg-tuned", "--quiet", "-q", "30"]
    assert main([*arguments, "--roi", "centre", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    jpeg, tuned = rows
    gain = tuned["psnr_inside"] - jpeg["psnr_inside"], tuned["psnr_outside"] - jpeg["psnr_outside"]
    assert gain[0] > gain[1]
    sheets = [tmp_path / "with.png", tmp_path / "without.png"]
    assert main([*arguments, "--roi", "centre", "-o", str(sheets[0])]) == 0
    assert "inside dB" in capsys.readouterr().out
    assert main([*arguments, "-o", str(sheets[1])]) == 0
    assert "inside dB" not in capsys.readouterr().out
    shown, plain = (np.asarray(Image.open(sheet)) for sheet in sheets)
    panel = (plain.shape[1] + 8) // 3
    assert shown.shape[1] == plain.shape[1] + panel
    of_jpeg = slice(2 * panel, 3 * panel), slice(panel, 2 * panel)
    assert np.array_equal(shown[:, of_jpeg[0]], plain[:, of_jpeg[1]])
    assert not np.array_equal(shown[:, panel : 2 * panel], plain[:, panel : 2 * panel])


# Another codec's size


@pytest.mark.parametrize("codec_id", ["jpeg-tuned", "msroi-jpeg", "webp", "liu2018"])
def test_a_file_matches_the_size_of_another(codec_id: str, photo: Picture) -> None:
    wanted = len(comrec.encode(photo.to_pil(), "jpeg", 50))
    found = len(comrec.encode(photo.to_pil(), codec_id, match="jpeg:50"))
    assert found <= wanted
    if codec_id == "msroi-jpeg":
        assert found >= 0.99 * wanted


def test_the_other_codec_can_have_options(photo: Picture) -> None:
    wanted = len(comrec.encode(photo.to_pil(), "jpeg:subsampling=4:4:4", 20))
    found = comrec.encode(photo.to_pil(), "jpeg-tuned", match="jpeg:subsampling=4:4:4:20")
    assert 0.99 * wanted <= len(found) <= wanted


@pytest.mark.parametrize("match", ["jpeg", "jpeg:", "jpeg:high", "jpeg:120", "50", 50])
def test_what_names_no_file_to_match_is_refused(match: Any, photo: Picture) -> None:
    with pytest.raises(OptionError, match=r"match must be|quality must be"):
        comrec.encode(photo.to_pil(), "jpeg-tuned", match=match)
    with pytest.raises(OptionError, match="either quality or one target"):
        comrec.encode(photo.to_pil(), "jpeg-tuned", 40, match="jpeg:50")


def test_the_command_line_matches_sizes(
    photo_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jpg"
    arguments = ["encode", photo_file, "-c", "msroi-jpeg", "-o", str(out), "--match", "jpeg:50"]
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["target"]["kind"] == "match"
    assert report["target"]["value"] == "jpeg:50"
    assert report["target"]["met"] == report["bytes"] == out.stat().st_size
    with Image.open(io.BytesIO(out.read_bytes())) as image:
        image.load()

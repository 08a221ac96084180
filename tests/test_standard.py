"""The standard codecs and the registry."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from comrec import codec
from comrec.errors import (
    OptionError,
    UnknownCodecError,
    UnknownFormatError,
    UnsupportedPictureError,
)
from comrec.picture import Picture

STANDARD = ["jpeg", "jpeg2000", "webp", "avif", "bpg", "jpegxl", "heic", "png", "jpegli"]
LOSSY = ["jpeg", "jpeg2000", "webp", "avif", "bpg", "jpegxl", "heic", "jpegli"]


def mean_error(a: Picture, b: Picture) -> float:
    return float(np.abs(a.rgb.astype(float) - b.rgb).mean())


@pytest.mark.parametrize("codec_id", STANDARD)
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 7), (7, 1), (5, 3), (17, 16), (64, 48)])
@pytest.mark.parametrize("gray", [False, True])
def test_every_size_comes_back_and_looks_alike(
    codec_id: str, width: int, height: int, gray: bool, photo: Picture
) -> None:
    pixels = photo.pixels[60 : 60 + height, 100 : 100 + width]
    picture = Picture(np.ascontiguousarray(pixels[..., 1] if gray else pixels))
    one = codec.get(codec_id)
    data = one.encode(picture, 90)
    back = one.decode(data)
    header = one.header(data)
    assert (back.width, back.height) == (header.width, header.height) == (width, height)
    assert mean_error(back, picture) < 8


@pytest.mark.parametrize("codec_id", STANDARD)
@pytest.mark.parametrize("quality", [0, 100])
def test_the_ends_of_the_quality_scale_work(codec_id: str, quality: int, photo: Picture) -> None:
    one = codec.get(codec_id)
    assert one.decode(one.encode(photo, quality)).pixels.shape == photo.pixels.shape


@pytest.mark.parametrize("codec_id", STANDARD)
@pytest.mark.parametrize("quality", [-1, 100.5, float("nan")])
def test_quality_out_of_range_is_refused(codec_id: str, quality: float, photo: Picture) -> None:
    with pytest.raises(OptionError, match="quality"):
        codec.get(codec_id).encode(photo, quality)


@pytest.mark.parametrize("codec_id", LOSSY)
def test_more_quality_means_more_bytes_and_less_error(codec_id: str, photo: Picture) -> None:
    one = codec.get(codec_id)
    files = [one.encode(photo, quality) for quality in (10, 40, 70, 95)]
    sizes = [len(data) for data in files]
    errors = [mean_error(one.decode(data), photo) for data in files]
    assert sizes == sorted(set(sizes))
    assert errors == sorted(set(errors), reverse=True)


def test_png_is_exact_at_any_quality_and_effort(photo: Picture) -> None:
    alpha = np.ascontiguousarray(photo.pixels[..., 2])
    for quality, effort in ((0, 1), (100, 10)):
        one = codec.get("png", effort=effort)
        back = one.decode(one.encode(Picture(photo.pixels, alpha), quality))
        assert np.array_equal(back.pixels, photo.pixels)
        assert back.alpha is not None
        assert np.array_equal(back.alpha, alpha)


@pytest.mark.parametrize("codec_id", ["jpeg2000", "webp", "avif", "bpg", "jpegxl", "heic", "png"])
@pytest.mark.parametrize("gray", [False, True])
def test_alpha_is_carried(codec_id: str, gray: bool, photo: Picture) -> None:
    alpha = np.zeros((64, 64), np.uint8)
    alpha[16:48, 16:48] = 255
    pixels = photo.pixels[:64, :64, 0] if gray else photo.pixels[:64, :64]
    one = codec.get(codec_id)
    back = one.decode(one.encode(Picture(np.ascontiguousarray(pixels), alpha), 90))
    assert back.alpha is not None
    assert np.abs(back.alpha.astype(int) - alpha).mean() < 4


@pytest.mark.parametrize("codec_id", ["jpeg", "jpeg-tuned", "deepn-jpeg", "jpegli"])
def test_jpeg_refuses_alpha_and_says_who_carries_it(codec_id: str) -> None:
    picture = Picture(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8))
    with pytest.raises(UnsupportedPictureError, match="webp"):
        codec.get(codec_id).encode(picture, 50)


@pytest.mark.parametrize(
    ("codec_id", "largest"),
    [
        ("jpeg", 65_500),
        ("jpeg-tuned", 65_500),
        ("deepn-jpeg", 65_500),
        ("jpegli", 65_500),
        ("webp", 16_383),
        ("avif", 32_768),
    ],
)
@pytest.mark.parametrize("upright", [False, True])
def test_the_longest_side_works_and_one_more_is_refused(
    codec_id: str, largest: int, upright: bool
) -> None:
    def strip(length: int) -> Picture:
        return Picture(np.zeros((length, 1) if upright else (1, length), np.uint8))

    one = codec.get(codec_id, effort=1)
    back = one.decode(one.encode(strip(largest), 50))
    assert max(back.width, back.height) == largest
    with pytest.raises(UnsupportedPictureError, match=str(largest + 1)):
        one.encode(strip(largest + 1), 50)


@pytest.mark.parametrize(("codec_id", "size"), [("jpeg", (1, 70_000)), ("webp", (20_000, 1))])
def test_far_too_long_pictures_are_refused(codec_id: str, size: tuple[int, int]) -> None:
    with pytest.raises(UnsupportedPictureError):
        codec.get(codec_id).encode(Picture(np.zeros(size, np.uint8)), 50)


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
@pytest.mark.parametrize("quality", [60, 94, 100])
def test_jpeg_stores_what_no_file_is_larger_of(subsampling: str, quality: int) -> None:
    """Noise of two levels, also in several threads: Pillow's room for a file would not do."""
    before = ImageFile.MAXBLOCK
    random = np.random.default_rng(0)
    pictures = [
        Picture((random.integers(0, 2, (size, size, 3)) * 255).astype(np.uint8))
        for size in (160, 280, 400)
    ]
    coder = codec.get("jpeg", subsampling=subsampling, effort=1)
    with ThreadPoolExecutor(3) as pool:
        files = list(pool.map(lambda picture: coder.encode(picture, quality), pictures))
    for picture, data in zip(pictures, files, strict=True):
        assert coder.decode(data).pixels.shape == picture.pixels.shape
    assert before == ImageFile.MAXBLOCK


@pytest.mark.parametrize("quality", [1, 50, 90])
def test_jpeg_is_the_smaller_of_baseline_and_progressive(quality: int, photo: Picture) -> None:
    sizes = {}
    for progressive in (False, True):
        buffer = io.BytesIO()
        options = {"optimize": True, "progressive": progressive, "subsampling": "4:2:0"}
        photo.to_pil().save(buffer, "JPEG", quality=quality, **options)
        sizes[progressive] = len(buffer.getvalue())
    best = min(sizes, key=sizes.__getitem__)
    assert best == (quality == 90)
    for effort, expected in ((2, False), (3, best), (10, best)):
        data = codec.get("jpeg", effort=effort, subsampling="4:2:0").encode(photo, quality)
        assert len(data) == sizes[expected]
        assert bool(Image.open(io.BytesIO(data)).info.get("progressive")) == expected


def test_full_chroma_costs_bytes_and_keeps_red_edges() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[::2, :, 0] = 255
    stripes = Picture(pixels)
    half, full = (codec.get("jpeg", subsampling=s) for s in ("4:2:0", "4:4:4"))
    small, large = half.encode(stripes, 90), full.encode(stripes, 90)
    assert len(small) < len(large)
    assert mean_error(full.decode(large), stripes) < mean_error(half.decode(small), stripes) / 4


def test_custom_tables_end_up_in_the_file(photo: Picture) -> None:
    luma, chroma = list(range(1, 65)), [9] * 64
    data = codec.get("jpeg", tables=[luma, chroma]).encode(photo, 90)
    image = Image.open(io.BytesIO(data))
    assert isinstance(image, JpegImageFile)
    stored = image.quantization
    assert [list(stored[0]), list(stored[1])] == [luma, chroma]


@pytest.mark.parametrize(
    "options",
    [
        {"effort": 0},
        {"effort": 11},
        {"subsampling": "4:1:1"},
        {"tables": []},
        {"tables": [[1] * 63]},
        {"tables": [[0] + [1] * 63]},
        {"tables": [[256] + [1] * 63]},
        {"tables": [[1] * 64] * 3},
    ],
)
def test_bad_jpeg_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        codec.get("jpeg", **options)


@pytest.mark.parametrize("codec_id", STANDARD)
def test_a_file_of_another_codec_is_refused_by_name(codec_id: str, photo: Picture) -> None:
    other = "png" if codec_id != "png" else "webp"
    data = codec.get(other).encode(photo, 50)
    with pytest.raises(UnknownFormatError, match=other):
        codec.get(codec_id).decode(data)


def test_names_lists_the_standard_codecs_and_get_makes_them() -> None:
    assert set(STANDARD) <= set(codec.names())
    for name in STANDARD:
        assert codec.get(name).id == name
        assert (codec.get(name).quality_step is None) == (name == "png")


def test_an_unknown_codec_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownCodecError, match=r"no codec 'jpg'.*jpeg2000"):
        codec.get("jpg")


def test_an_unknown_option_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"webp has no option 'speed'.*effort"):
        codec.get("webp", speed=3)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed distribution that offers the codec ``upside-down``."""
    (tmp_path / "upside_down.py").write_text(
        "from dataclasses import dataclass\n"
        "from comrec.options import option\n"
        "from comrec.standard import Png\n"
        "@dataclass(frozen=True)\n"
        "class UpsideDown(Png):\n"
        "    id = 'upside-down'\n"
        "    signatures = ()\n"
        "    turns: int = option(1, 'quarter turns')\n"
    )
    info = tmp_path / "upside_down-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: upside-down\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[comrec.codecs]\nupside-down = upside_down:UpsideDown\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    codec.unregister("upside-down")
    sys.modules.pop("upside_down", None)


@pytest.mark.usefixtures("plugin")
def test_codecs_of_other_packages_are_found_and_take_options() -> None:
    assert codec.names()[-1] == "upside-down"
    assert codec.get("upside-down", turns=3).turns == 3  # type: ignore[attr-defined]
    with pytest.raises(OptionError, match="turns"):
        codec.get("upside-down", twist=1)
    assert codec.names().count("upside-down") == 1


def test_a_plugin_that_does_not_import_disturbs_nobody_who_does_not_ask_for_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('not today')\n")
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[comrec.codecs]\nbroken = broken:Broken\n")
    source, out = tmp_path / "in.png", tmp_path / "out.webp"
    Image.new("RGB", (8, 8), "red").save(source)
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + (
        "from comrec import codec\n"
        "from comrec.cli import main\n"
        "assert 'broken' in codec.names()\n"
        f"raise SystemExit(main(['encode', {str(source)!r}, '-o', {str(out)!r}, '--quiet']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert out.exists()

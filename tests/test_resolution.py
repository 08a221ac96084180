"""Resolution is carried where the format has a place for it, and changes nothing elsewhere."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sources
from PIL import Image
from sources import saved

import comrec
from comrec import codec
from comrec.cli import main
from comrec.formats import resolution
from comrec.picture import EXIF_HEAD, Metadata, Picture
from comrec.preparation import Preparation, from_image, read

RGB = sources.smooth(3)
IMAGE = Image.fromarray(RGB)
CODERS = [
    "jpeg", "jpeg-tuned", "deepn-jpeg", "jpegli", "comrec-jpeg:scale=1", "comrec-jpeg:scale=1/2",
    "jpeg2000", "png",
]  # fmt: skip


def exif(across: float, down: float, unit: int | None = 2) -> bytes:
    block = Image.Exif()
    block[282], block[283] = across, down
    if unit is not None:
        block[296] = unit
    return block.tobytes().removeprefix(EXIF_HEAD)


def of_file(data: bytes) -> Any:
    """As Pillow, and not our code, reads it."""
    return Image.open(io.BytesIO(data)).info.get("dpi")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("stated", [(300, 300), (72, 144), (118 * 2.54, 118 * 2.54)])
def test_resolution_goes_from_file_to_file(
    kind: str, coder: str, stated: tuple[float, float]
) -> None:
    data = comrec.encode(saved(IMAGE, kind, dpi=stated), coder, 60)
    nearest = pytest.approx(stated, abs=0.5 if kind == "JPEG" else 0.03)
    assert of_file(data) == nearest
    assert comrec.decode(data).info["dpi"] == nearest
    assert from_image(Image.open(io.BytesIO(data))).metadata.resolution == nearest


@pytest.mark.parametrize("coder", CODERS)
def test_resolution_in_exif_is_also_stated_outside(coder: str) -> None:
    for stated, expected in [
        (exif(300, 200), (300, 200)),
        (exif(100, 100, 3), (254, 254)),
        (exif(150, 150, None), (150, 150)),
    ]:
        data = codec.parse(coder).encode(Picture(RGB, None, Metadata(exif=stated)), 60)
        assert of_file(data) == pytest.approx(expected, abs=0.02)
        assert comrec.decode(data).info["exif"] == EXIF_HEAD + stated


@pytest.mark.parametrize("coder", CODERS)
@pytest.mark.parametrize("stated", [exif(72, 72), exif(300, 300, 1), exif(0, 0), b"II*\0", b"x"])
def test_exif_without_a_resolution_changes_no_other_byte(coder: str, stated: bytes) -> None:
    plain = codec.parse(coder).encode(Picture(RGB), 60)
    data = codec.parse(coder).encode(Picture(RGB, None, Metadata(exif=stated)), 60)
    assert data[:20] == plain[:20]  # with the density of JFIF
    assert b"pHYs" not in data
    assert b"resc" not in data


@pytest.mark.parametrize(
    "codec_id", ["jpeg", "jpeg-tuned", "deepn-jpeg", "jpegli", "jpeg2000", "png"]
)
def test_nothing_changes_without_a_resolution(codec_id: str) -> None:
    data = codec.get(codec_id).encode(Picture(RGB), 60)
    assert data == codec.get(codec_id).encode(Picture(RGB, None, Metadata(resolution=None)), 60)
    assert comrec.decode(data).info.get("dpi") is None
    if codec_id.startswith("jpeg") and codec_id != "jpeg2000":
        assert data[:20] == b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"


@pytest.mark.parametrize("codec_id", ["webp", "avif"])
def test_a_format_without_a_place_for_it_leaves_it_out(codec_id: str) -> None:
    coder = codec.get(codec_id)
    stated = Picture(RGB, None, Metadata(resolution=(300, 300)))
    assert coder.encode(stated, 60) == coder.encode(Picture(RGB), 60)


def test_no_metadata_is_no_resolution() -> None:
    source = saved(IMAGE, "PNG", dpi=(300, 300))
    assert read(source, how=Preparation(metadata="none")).metadata == Metadata()
    assert of_file(comrec.encode(source, "png", metadata="none")) is None
    assert read(source, how=Preparation(metadata="icc")).metadata.resolution is not None


def test_a_picture_that_is_turned_has_its_resolution_turned() -> None:
    block = Image.Exif()
    block[0x0112] = 6
    source = saved(IMAGE, "PNG", dpi=(300, 150), exif=block.tobytes())
    for kept, expected in (("all", (300, 150)), ("icc", (150, 300))):
        found = read(source, how=Preparation(metadata=kept)).metadata.resolution
        assert found == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("orientation", "expected"), [(1, (300, 150)), (6, (150, 300))])
def test_a_tiff_that_is_read_upright_has_its_resolution_turned(
    orientation: int, expected: tuple[float, float]
) -> None:
    block = Image.Exif()
    block[0x0112] = orientation
    picture = read(saved(IMAGE, "TIFF", dpi=(300, 150), exif=block.tobytes()))
    assert picture.metadata.resolution == expected
    assert (picture.height > picture.width) == (orientation == 6)


@pytest.mark.parametrize("unit", [b"\0", b"\x01", b"\x02"])
def test_a_jfif_density_without_a_unit_is_none(unit: bytes) -> None:
    data = saved(IMAGE, "JPEG")
    stated = data[:13] + unit + b"\0\x60\0\x30" + data[18:]
    expected = {b"\0": None, b"\x01": (96, 48), b"\x02": (96 * 2.54, 48 * 2.54)}[unit]
    assert read(stated).metadata.resolution == expected
    again = comrec.encode(stated, "jpeg", 50)
    assert again[13:18] == (b"\0\0\x01\0\x01" if expected is None else stated[13:18])


@pytest.mark.parametrize("value", [(0, 0), (-1, 5), (float("nan"), 1), (1e9, 1e9), 72, "ab", None])
def test_impossible_resolutions_are_none(value: Any) -> None:
    assert resolution.valid(value) is None


def test_very_fine_and_very_coarse_ones_never_break_a_file() -> None:
    for stated in ((90_000, 90_000), (0.1, 0.1), (70_000, 1.0)):
        picture = Picture(RGB, None, Metadata(resolution=stated))
        for coder in ("jpeg", "jpeg2000", "png"):
            assert comrec.decode(codec.get(coder).encode(picture, 60)).size == IMAGE.size


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "ppm"])
@pytest.mark.parametrize("in_exif", [False, True])
def test_decode_writes_it(
    suffix: str, in_exif: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"exif": EXIF_HEAD + exif(300, 150)} if in_exif else {"dpi": (300, 150)}
    Path("a.jpg").write_bytes(saved(IMAGE, "JPEG", **options))
    plain = in_exif and suffix in ("bmp", "ppm")
    done = main(["decode", "a.jpg", "-o", f"a.{suffix}", "--quiet"])
    if plain:  # EXIF cannot be stored
        assert done == 1
        return
    assert done == 0
    expected = None if suffix == "ppm" else pytest.approx((300, 150), abs=0.02)
    assert of_file(Path(f"a.{suffix}").read_bytes()) == expected
    assert np.asarray(Image.open(f"a.{suffix}")).shape == RGB.shape

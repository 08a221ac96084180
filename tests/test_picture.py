"""Pictures: from and to Pillow, metadata, and what files cannot be read."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from comrec import codec, preparation
from comrec.errors import (
    ComrecError,
    DamagedFileError,
    OptionError,
    TooLargeError,
    UnknownFormatError,
    UnsupportedPictureError,
)
from comrec.formats.detection import format_of
from comrec.picture import Metadata, Picture
from comrec.pillow_io import from_pil
from comrec.preparation import orientation, read

STANDARD = ["jpeg", "jpeg2000", "webp", "avif", "png"]


def ramp(*shape: int) -> np.ndarray:
    return (np.arange(np.prod(shape)) * 7 % 256).astype(np.uint8).reshape(shape)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif_tags(exif: bytes | None) -> dict[int, object]:
    tags = Image.Exif()
    tags.load(exif or b"")
    return dict(tags)


@pytest.mark.parametrize(
    ("mode", "shape"), [("L", (5, 4)), ("LA", (5, 4, 2)), ("RGB", (5, 4, 3)), ("RGBA", (5, 4, 4))]
)
def test_pillow_images_of_8_bits_come_back_unchanged(mode: str, shape: tuple[int, ...]) -> None:
    image = Image.fromarray(ramp(*shape))
    assert image.mode == mode
    back = from_pil(image).to_pil()
    assert back.mode == mode
    assert np.array_equal(np.asarray(back), np.asarray(image))


def test_a_palette_becomes_its_colours() -> None:
    image = Image.fromarray(ramp(6, 6, 3)).quantize(8)
    picture = from_pil(image)
    assert picture.alpha is None
    assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))


def test_a_transparent_palette_entry_becomes_alpha() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    picture = read(saved(image, "PNG", transparency=1))
    assert picture.pixels.tolist() == [[[255, 0, 0], [0, 0, 255]]]
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[255, 0]]


def test_a_transparent_colour_becomes_alpha() -> None:
    image = Image.fromarray(np.array([[[1, 2, 3], [9, 9, 9]]], np.uint8))
    picture = read(saved(image, "PNG", transparency=(1, 2, 3)))
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[0, 255]]


def test_black_and_white_becomes_gray() -> None:
    image = Image.fromarray(np.array([[True, False, True]]))
    assert image.mode == "1"
    assert from_pil(image).pixels.tolist() == [[255, 0, 255]]


@pytest.mark.parametrize("mode", ["I;16", "I", "F", "CMYK"])
def test_deep_and_cmyk_pictures_are_refused_by_name(mode: str) -> None:
    with pytest.raises(UnsupportedPictureError, match=mode):
        from_pil(Image.new(mode, (3, 2)))


def test_a_16_bit_png_is_refused_rather_than_truncated_to_8() -> None:
    deep = Image.fromarray(np.full((3, 3), 40_000, np.uint16))
    with pytest.raises(UnsupportedPictureError):
        read(saved(deep, "PNG"))


@pytest.mark.parametrize("codec_id", STANDARD)
@pytest.mark.parametrize("gray", [False, True])
def test_metadata_survives(codec_id: str, gray: bool, photo: Picture, metadata: Metadata) -> None:
    pixels = photo.pixels[:32, :48, 1] if gray else photo.pixels[:32, :48]
    one = codec.get(codec_id)
    back = one.decode(one.encode(Picture(pixels, None, metadata), 60))
    assert exif_tags(back.metadata.exif) == {0x0112: 6, 0x010E: "a cat"}
    assert back.metadata.icc == metadata.icc
    assert back.metadata.xmp == metadata.xmp
    assert (back.width, back.height) == (48, 32)  # orientation is kept, not applied


GARBAGE = Metadata(exif=b"Exif\0\0garbage")


@pytest.mark.parametrize("codec_id", ["jpeg", "webp", "png", "jpeg2000"])
def test_garbage_in_exif_does_not_stop_a_picture(codec_id: str) -> None:
    one = codec.get(codec_id)
    assert one.decode(one.encode(Picture(ramp(8, 9), None, GARBAGE), 50)).width == 9


def test_avif_which_needs_the_orientation_refuses_garbage_in_exif() -> None:
    with pytest.raises(UnsupportedPictureError, match="avif"):
        codec.get("avif").encode(Picture(ramp(8, 9), None, GARBAGE), 50)


@pytest.mark.parametrize("field", ["exif", "xmp"])
def test_jpeg_refuses_metadata_longer_than_a_segment(field: str) -> None:
    block: dict[str, Any] = {field: b"Exif\0\0" + bytes(70_000)}
    picture = Picture(ramp(8, 8), None, Metadata(**block))
    with pytest.raises(UnsupportedPictureError, match=rf"{field.upper()} .*--metadata \w+,\w+ "):
        codec.get("jpeg").encode(picture, 50)


def test_an_empty_file_is_damaged_and_named() -> None:
    with pytest.raises(DamagedFileError, match=r"holiday\.jpg"):
        read(b"", "holiday.jpg")


@pytest.mark.parametrize("codec_id", STANDARD)
@pytest.mark.parametrize("part", [0.001, 0.01, 0.25, 0.5, 0.9])
def test_a_truncated_file_is_damaged_and_named(codec_id: str, part: float, photo: Picture) -> None:
    data = codec.get(codec_id).encode(photo, 90)
    with pytest.raises(DamagedFileError, match=r"cat\.bin"):
        read(data[: max(12, int(len(data) * part))], "cat.bin")


@pytest.mark.parametrize("data", [b"Dear diary, " * 50, b"\0" * 500, b"<svg></svg>", b"x"])
def test_a_foreign_file_is_unknown_and_named(data: bytes) -> None:
    with pytest.raises(UnknownFormatError, match=r"diary\.txt"):
        read(data, "diary.txt")


def test_errors_name_the_path_by_default(tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_bytes(b"not a picture")
    with pytest.raises(UnknownFormatError, match=r"notes\.png"):
        read(path)


def test_a_decompression_bomb_is_refused_before_decoding() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))
    with pytest.raises(TooLargeError, match=r"bomb\.png"):
        read(bomb + chunk(b"IEND", b""), "bomb.png")


@pytest.fixture(scope="module")
def small_files(photo: Picture, metadata: Metadata) -> dict[str, bytes]:
    small = Picture(np.ascontiguousarray(photo.pixels[:24, :32]), None, metadata)
    files = {name: codec.get(name).encode(small, 50) for name in STANDARD}
    exif = small.to_pil().getexif()
    for kind in ("TIFF", "GIF", "BMP"):
        files[kind] = saved(Image.fromarray(small.pixels), kind, exif=exif)
    return files


@pytest.mark.filterwarnings("ignore")
@given(data=st.data())
@settings(max_examples=300)
def test_altered_files_raise_nothing_but_our_errors(
    small_files: dict[str, bytes], data: st.DataObject
) -> None:
    altered = bytearray(small_files[data.draw(st.sampled_from(sorted(small_files)))])
    place = st.integers(0, len(altered) - 1) | st.integers(0, 150)
    for at, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), min_size=1)):
        altered[at % len(altered)] = value
    try:
        picture = read(bytes(altered))
    except ComrecError:
        return
    assert picture.pixels.size


@pytest.mark.filterwarnings("ignore")
def test_a_broken_image_item_in_an_avif_is_damage(small_files: dict[str, bytes]) -> None:
    broken = small_files["avif"].replace(b"av01", b"av99")
    with pytest.raises(DamagedFileError):
        read(broken)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros((4, 0, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_picture_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(OptionError):
        Picture(pixels)


@pytest.mark.parametrize("alpha", [np.zeros((4, 5), np.uint8), np.zeros((5, 4), np.float32)])
def test_alpha_must_match_the_pixels(alpha: np.ndarray) -> None:
    with pytest.raises(OptionError, match="alpha"):
        Picture(np.zeros((5, 4, 3), np.uint8), alpha)


def test_with_pixels_keeps_alpha_and_metadata(metadata: Metadata) -> None:
    picture = Picture(ramp(3, 2), ramp(3, 2), metadata)
    other = picture.with_pixels(ramp(3, 2, 3))
    assert other.alpha is picture.alpha
    assert other.metadata == metadata
    assert not other.is_gray


def test_rgb_of_a_gray_picture_repeats_it() -> None:
    gray = Picture(ramp(3, 2))
    assert gray.rgb.shape == (3, 2, 3)
    assert (gray.rgb == gray.pixels[..., None]).all()


@pytest.mark.parametrize("codec_id", STANDARD)
def test_format_of_tells_every_standard_format(codec_id: str) -> None:
    assert format_of(codec.get(codec_id).encode(Picture(ramp(9, 9)), 50)) == codec_id


def test_format_of_knows_no_others() -> None:
    with pytest.raises(UnknownFormatError, match="jpeg"):
        format_of(saved(Image.new("L", (2, 2)), "GIF"))


# Importance


def test_importance_is_turned_cropped_and_halved_with_the_pixels() -> None:
    importance = np.linspace(0, 1, 35, dtype=np.float32).reshape(5, 7)
    pixels = (importance * 255).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Picture(pixels, None, Metadata(exif.tobytes()), importance)

    def follows(found: Picture) -> bool:
        assert found.importance is not None
        return bool(np.all(np.abs(found.importance * 255 - found.pixels) <= 1))

    turned = orientation.upright(picture)
    assert turned.pixels.shape == (7, 5)
    assert follows(turned)
    assert np.array_equal(orientation.turned_back(turned).pixels, pixels)
    assert follows(orientation.turned_back(turned))
    part = picture.cropped(2, 1, 4, 3)
    assert np.array_equal(part.pixels, pixels[1:4, 2:6])
    assert follows(part)
    half = picture.halved(np.zeros((3, 4), np.uint8))
    assert half.importance is not None
    assert half.importance.shape == (3, 4)
    assert half.importance[1, 1] == pytest.approx(importance[2:4, 2:4].mean())
    assert half.importance[2, 3] == importance[4, 6]  # edges are repeated
    assert follows(preparation.finish(picture, preparation.Preparation(metadata="none")))


@pytest.mark.parametrize(
    ("importance", "message"),
    [
        (np.ones((3, 4), np.float32), r"importance must be \(4, 3\) float32"),
        (np.ones((4, 3)), "float64"),
        (np.full((4, 3), 1.5, np.float32), r"0\.\.1"),
        (np.full((4, 3), np.nan, np.float32), r"0\.\.1"),
    ],
)
def test_importance_of_another_shape_or_range_is_refused(
    importance: NDArray[np.float32], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        Picture(np.zeros((4, 3), np.uint8), importance=importance)


@pytest.mark.parametrize("box", [(-1, 0, 2, 2), (0, 0, 0, 1), (2, 0, 2, 1), (0, 3, 1, 2)])
def test_a_crop_outside_is_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(OptionError, match="does not lie inside 3x4"):
        Picture(np.zeros((4, 3), np.uint8)).cropped(*box)

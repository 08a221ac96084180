"""Frames, pages, samples and apertures that Pillow or a simple reader gets wrong."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
import sources
import tifffile
from PIL import Image
from sources import saved

import comrec
from comrec import codec, preparation
from comrec.errors import UnsupportedPictureError
from comrec.formats import aperture, tiff
from comrec.picture import Picture
from comrec.preparation import Preparation, read

RGB, ALPHA = sources.smooth(3), sources.alpha()
FIRST = Preparation(frame=0)


# frames


def test_a_psd_whose_frames_count_from_one() -> None:
    data = sources.psd(3, 3, np.moveaxis(RGB, 2, 0))
    assert np.array_equal(read(data).pixels, RGB)
    assert np.array_equal(read(data, how=FIRST).pixels, RGB)
    assert np.array_equal(preparation.from_image(Image.open(io.BytesIO(data))).pixels, RGB)
    with pytest.raises(UnsupportedPictureError, match=r"no frame 1, only 0\.\.0"):
        read(data, how=Preparation(frame=1))
    assert comrec.encode(data, "png")


@pytest.mark.parametrize(("channels", "mode", "told"), [(2, 1, "one"), (5, 3, "2"), (4, 3, None)])
def test_channels_of_a_psd_that_are_left_out_are_told(
    channels: int, mode: int, told: str | None
) -> None:
    plane = np.full((channels, sources.HEIGHT, sources.WIDTH), 77, np.uint8)
    notes = read(sources.psd(channels, mode, plane)).notes
    assert len(notes) == (told is not None)
    assert all(told is not None and told in note for note in notes)


def test_a_stack_of_one_spider_image_is_no_damaged_file() -> None:
    data = saved(Image.fromarray(RGB[..., 0].astype(np.float32)), "SPIDER")
    with pytest.raises(UnsupportedPictureError, match="mode F"):
        read(data, how=FIRST)


@pytest.mark.parametrize("kind", ["QOI", "XBM"])
def test_formats_whose_decoders_take_no_arguments(kind: str) -> None:
    image = Image.fromarray(RGB)
    data = saved(image if kind == "QOI" else image.convert("1"), kind)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(read(data).rgb, expected)


# pages

SMALL = np.ascontiguousarray(RGB[::2, ::2])
THUMBNAIL: dict[str, Any] = {"photometric": "rgb", "subfiletype": 1}
PAGE: dict[str, Any] = {"photometric": "rgb"}


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_a_reduced_page_is_no_page(first: bool, big: bool) -> None:
    two = [(RGB, PAGE), (SMALL, THUMBNAIL)]
    data = sources.pages(*(two[::-1] if first else two), bigtiff=big)
    picture = read(data)
    assert np.array_equal(picture.pixels, RGB)
    assert picture.notes == ()
    opened = preparation.from_image(Image.open(io.BytesIO(data)))
    assert np.array_equal(opened.pixels, RGB)


def test_the_older_tag_of_a_reduced_page() -> None:
    old = (255, "H", 1, 2, True)
    data = sources.pages((RGB, PAGE), (SMALL, {"photometric": "rgb", "extratags": [old]}))
    assert np.array_equal(read(data).pixels, RGB)


def test_frames_of_a_tiff_count_its_pages_only() -> None:
    other = np.ascontiguousarray(RGB[:, ::-1])
    data = sources.pages((RGB, PAGE), (SMALL, THUMBNAIL), (other, PAGE), (SMALL, THUMBNAIL))
    with pytest.raises(UnsupportedPictureError, match="--frame 0"):
        read(data)
    for frame, expected in enumerate([RGB, other]):
        how = Preparation(frame=frame)
        assert np.array_equal(read(data, how=how).pixels, expected)
        image = Image.open(io.BytesIO(data))
        assert np.array_equal(preparation.from_image(image, how).pixels, expected)
    with pytest.raises(UnsupportedPictureError, match=r"no frame 2, only 0\.\.1"):
        read(data, how=Preparation(frame=2))


def test_a_mask_page_is_left_out_with_a_note() -> None:
    mask = (ALPHA > 200, {"photometric": "miniswhite", "subfiletype": 4})
    picture = read(sources.pages((RGB, PAGE), mask))
    assert np.array_equal(picture.pixels, RGB)
    assert any("mask" in note for note in picture.notes)


def test_a_file_of_nothing_but_a_reduced_page_has_it_as_its_picture() -> None:
    picture = read(sources.pages((SMALL, THUMBNAIL)))
    assert np.array_equal(picture.pixels, SMALL)
    assert any("reduced" in note for note in picture.notes)


def test_a_version_in_the_wrong_byte_order_is_read() -> None:
    data = sources.tiff(RGB, "rgb")
    assert np.array_equal(read(data[:2] + b"\0*" + data[4:]).pixels, RGB)


def test_reduced_versions_below_a_page_are_no_pages() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(RGB, photometric="rgb", subifds=1)
        writer.write(SMALL, **THUMBNAIL)
    assert np.array_equal(read(buffer.getvalue()).pixels, RGB)


def chain(count: int) -> tuple[bytes, int]:
    """A TIFF of so many pages of one gray sample, and the offset of its last directory."""
    entries = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (278, 1), (279, 1)]
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    size = 2 + len(tags) + 4
    body = b"".join(
        struct.pack("<H", len(entries))
        + tags
        + struct.pack("<I", 10 + (i + 1) * size if i + 1 < count else 0)
        for i in range(count)
    )
    return b"II*\0" + struct.pack("<I", 10) + b"\x4d\0" + body, 10 + (count - 1) * size


def test_pages_are_counted_without_looking_at_all_of_each_other() -> None:
    # With Pillow, which compares every page with all before it, this takes hours.
    data, last = chain(200_000)
    found = tiff.pages(data)
    assert len(found.offsets) == 200_000
    assert found.offsets[-1] == last
    with pytest.raises(UnsupportedPictureError, match="--frame 0"):
        read(data)
    assert read(data, how=Preparation(frame=199_999)).pixels.tolist() == [[77]]


def test_a_chain_of_pages_that_closes_is_counted_once() -> None:
    data, last = chain(3)
    first = struct.pack("<I", 10)
    assert len(tiff.pages(data[: last + 98] + first + data[last + 102 :]).offsets) == 3


def test_a_page_outside_the_file_ends_the_count() -> None:
    data, last = chain(3)
    far = struct.pack("<I", 0x7FFFFFFF)
    assert len(tiff.pages(data[: last - 4] + far + data[last:]).offsets) == 2


# samples


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("gray", [False, True])
def test_an_extra_sample_without_a_meaning_is_transparency_with_a_note(
    order: str, planar: str, gray: bool
) -> None:
    if gray and planar == "separate":
        pytest.skip("Pillow does not read it")
    samples = np.dstack([RGB[..., :1] if gray else RGB, ALPHA])
    stored = samples if planar == "contig" else np.ascontiguousarray(np.moveaxis(samples, 2, 0))
    data = sources.tiff(
        stored, "minisblack" if gray else "rgb", extrasamples=["unspecified"],
        planarconfig=planar, byteorder=order,
    )  # fmt: skip
    picture = read(data)
    assert np.array_equal(picture.pixels, RGB[..., 0] if gray else RGB)
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, ALPHA)
    assert any("taken as transparency" in note for note in picture.notes)
    assert comrec.decode(comrec.encode(data, "png")).mode == ("LA" if gray else "RGBA")


@pytest.mark.parametrize(("value", "notes"), [(255, 0), (0, 1)])
def test_an_extra_sample_that_only_pads_hides_nothing(value: int, notes: int) -> None:
    padded = np.dstack([RGB, np.full_like(ALPHA, value)])
    picture = read(sources.tiff(padded, "rgb", extrasamples=["unspecified"]))
    assert picture.alpha is None
    assert np.array_equal(picture.pixels, RGB)
    assert len(picture.notes) == notes


@pytest.mark.parametrize("alpha", [True, False])
def test_further_extra_samples_are_left_out_with_a_note(alpha: bool) -> None:
    samples = np.dstack([RGB, ALPHA, ALPHA // 2])
    extra = ["unassalpha" if alpha else "unspecified", "unspecified"]
    picture = read(sources.tiff(samples, "rgb", extrasamples=extra))
    assert np.array_equal(picture.pixels, RGB)
    assert (picture.alpha is not None) == alpha
    (note,) = picture.notes
    assert note.startswith("one further sample" if alpha else "2 further samples")


def test_an_extra_sample_of_cmyk_is_left_out_with_a_note() -> None:
    samples = np.dstack([sources.smooth(4), ALPHA])
    data = sources.tiff(samples, "separated", extrasamples=["unspecified"])
    picture = read(data, how=Preparation(colorspace="srgb"))
    assert any("one further sample" in note for note in picture.notes)


# aperture


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_clean_aperture_of_avif_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {} if orientation == 1 else {"exif": exif.tobytes()}
    data = saved(Image.fromarray(RGB), "AVIF", quality=100, subsampling="4:4:4", **options)
    cut = sources.with_aperture(data, sources.clap(10, 8, (-3, 1), (2, 1)))  # 24x20: left 4, top 8
    whole, shown = codec.get("avif").decode(data), codec.get("avif").decode(cut)
    assert np.array_equal(shown.pixels, whole.pixels[8:16, 4:14])
    assert np.array_equal(read(cut).pixels, shown.pixels)
    assert (comrec.info(cut).width, comrec.info(cut).height) == (10, 8)
    assert comrec.decode(cut).size == (10, 8)


@pytest.mark.parametrize(
    "numbers",
    [
        sources.clap(10, 8, (20, 1), (0, 1)),
        sources.clap(10, 8, (1, 2), (0, 1)),
        sources.clap(10, 8, (0, 0), (0, 1)),
        sources.clap(0, 8, (0, 1), (0, 1)),
        sources.clap(99, 8, (0, 1), (0, 1)),
    ],
)
def test_an_invalid_aperture_is_ignored(numbers: tuple[int, ...]) -> None:
    data = sources.with_aperture(saved(Image.fromarray(RGB), "AVIF"), numbers)
    assert aperture.window(data, sources.WIDTH, sources.HEIGHT) is None
    assert read(data).width == sources.WIDTH


# the smallest picture


@pytest.mark.parametrize("codec_id", comrec.codecs())
def test_one_pixel_through_every_codec(codec_id: str) -> None:
    library = {"bpg": "av", "heic": "pillow_heif", "jpegli": "ajpegli", "jpegxl": "pyjpegxl"}
    if module := library.get(codec_id.split("-")[-1]):
        pytest.importorskip(module)
    data = comrec.encode(codec.get("png").encode(Picture(RGB[:1, :1].copy()), 100), codec_id)
    assert comrec.decode(data).size == (1, 1)
    assert (comrec.info(data).width, comrec.info(data).height) == (1, 1)

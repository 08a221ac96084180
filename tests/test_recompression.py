"""JPEG coefficients inside JPEG XL files."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Literal

import numpy as np
import pyjpegxl
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import comrec
from comrec import codec
from comrec.errors import DamagedFileError, TargetError
from comrec.fidelity import psnr
from comrec.formats import boxes
from comrec.formats.mark import UUID, unpack
from comrec.jpegtuning.bitstream import Component, write_jpeg
from comrec.picture import Metadata, Picture
from comrec.regions import Region
from comrec.sandwich import recompression

Mode = Literal["L", "RGB"]


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def turned(picture: Picture, tag: int) -> Picture:
    exif = Image.Exif()
    exif[0x112] = tag
    return replace(picture, metadata=Metadata(exif.tobytes()))


@settings(max_examples=40)
@given(
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    mode=st.sampled_from(["L", "RGB"]),
    subsampling=st.sampled_from([0, 2]),
    progressive=st.booleans(),
    quality=st.integers(1, 100),
    seed=st.integers(0, 9),
)
def test_every_coefficient_comes_back(
    width: int,
    height: int,
    mode: Mode,
    subsampling: int,
    progressive: bool,
    quality: int,
    seed: int,
) -> None:
    shape = (height, width) if mode == "L" else (height, width, 3)
    noise = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(
        buffer, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive
    )
    jpeg = buffer.getvalue()
    data = recompression.recompressed(jpeg, recompression.shell(Metadata()))
    back = recompression.restored(data)
    assert np.array_equal(pixels(back), pixels(jpeg))
    with Image.open(io.BytesIO(back)) as ours, Image.open(io.BytesIO(jpeg)) as theirs:
        tables = [each.quantization for each in (ours, theirs)]  # type: ignore[attr-defined]
    assert tables[0][0] == tables[1][0]


def test_a_table_of_each_component_comes_back() -> None:
    tables = [np.arange(64) % 200 + first for first in (3, 17, 41)]
    blocks = [
        np.random.default_rng(i).integers(-3, 4, (2, 2, 64)).astype(np.int16) for i in range(3)
    ]
    components = [Component(levels, min(i, 1), 1, i) for i, levels in enumerate(blocks)]
    jpeg = write_jpeg(16, 16, components, tables, jfif=False)
    data = recompression.recompressed(jpeg, recompression.shell(Metadata()))
    assert recompression.restored(data) == jpeg


@pytest.mark.parametrize("options", [{}, {"tune": "psnr"}, {"scale": "1/2"}, {"network": "fast"}])
@pytest.mark.parametrize("gray", [False, True])
def test_the_picture_of_the_jpeg_file_in_fewer_bytes(
    options: dict[str, str], gray: bool, wide: Picture
) -> None:
    picture = Picture(np.ascontiguousarray(wide.pixels[..., 1])) if gray else wide
    ours = codec.get("comrec-jpegxl", effort=6, **options)
    theirs = codec.get("comrec-jpeg", effort=6, **options)
    for quality in (30, 75):
        data, jpeg = ours.encode(picture, quality), theirs.encode(picture, quality)
        assert comrec.info(data).network == comrec.info(jpeg).network
        assert np.array_equal(ours.decode(data).pixels, theirs.decode(jpeg).pixels)
        assert len(data) < (0.97 if options.get("scale") != "1/2" else 1.06) * len(jpeg)


@pytest.mark.parametrize("tag", range(1, 9))
def test_pictures_of_every_orientation(tag: int, photo: Picture) -> None:
    picture = turned(photo.cropped(0, 0, 121, 75), tag)
    one = codec.get("comrec-jpegxl", effort=6, scale="1")
    encode = one.encoder(picture)
    data = encode(60)
    shown = one.decode(data)
    assert shown.metadata.exif == picture.metadata.exif
    assert psnr(shown, picture) > 30
    assert np.array_equal(encode.decoded(data).pixels, shown.pixels)  # type: ignore[attr-defined]
    header = one.header(data)
    assert (header.width, header.height) == (121, 75)
    # Viewers, which turn nothing, show it upright.
    upright = pyjpegxl.decode_to_numpy(data)[1]
    assert upright.shape[:2] == ((121, 75) if tag >= 5 else (75, 121))
    part = one.decode_region(data, Region(30, 20, 50, 40))
    assert np.array_equal(part.pixels, shown.pixels[20:60, 30:80])


def test_other_viewers_see_nearly_the_same(wide: Picture) -> None:
    data = codec.get("comrec-jpegxl", scale="1").encode(wide, 60)
    seen = Picture(np.ascontiguousarray(pyjpegxl.decode_to_numpy(data)[1][..., :3]))
    jpeg = codec.get("jpeg").decode(codec.get("comrec-jpeg", scale="1").encode(wide, 60))
    assert abs(psnr(seen, wide) - psnr(jpeg, wide)) < 0.5


def test_what_jpeg_cannot_carry_is_coded_by_jpeg_xl(photo: Picture) -> None:
    alpha = np.full(photo.pixels.shape[:2], 255, np.uint8)
    alpha[:, :20] = 0
    one = codec.get("comrec-jpegxl", effort=6)
    data = one.encode(replace(photo, alpha=alpha), 60)
    body = boxes.find_uuid(data, UUID)
    assert body is not None
    assert not unpack(body).recompressed
    back = one.decode(data).alpha
    assert back is not None
    assert np.array_equal(back, alpha)


def test_a_file_that_was_coded_again_is_a_plain_one(photo: Picture) -> None:
    one = codec.get("comrec-jpegxl", scale="1")
    data = one.encode(photo, 60)
    body = boxes.find_uuid(data, UUID)
    assert body is not None
    again = codec.get("jpegxl").with_mark(codec.get("jpegxl").encode(photo, 60), body)
    shown = one.decode(again)
    assert np.array_equal(shown.pixels, codec.get("jpegxl").decode(again).pixels)
    assert any("read as a plain file" in note for note in shown.notes)


def test_a_file_without_coefficients_of_jpeg_is_refused(photo: Picture) -> None:
    with pytest.raises(DamagedFileError):
        recompression.restored(codec.get("jpegxl").encode(photo, 60))
    with pytest.raises(DamagedFileError):
        recompression.restored(codec.get("comrec-jpegxl").encode(photo, 60)[:-200])


@pytest.mark.parametrize("budget", [900, 2_500, 9_000])
def test_sizes_are_met(budget: int, photo: Picture) -> None:
    one = codec.get("comrec-jpegxl", effort=6)
    point = one.encode_within(photo, budget)
    assert len(point.data) <= budget
    assert len(point.data) > 0.9 * budget
    rival = codec.get("jpegxl").encode_within(photo, budget) if budget > 1_800 else None
    if rival is not None:
        assert psnr(one.decode(point.data), photo) > psnr(
            codec.get("jpegxl").decode(rival.data), photo
        )


def test_the_smallest_size_is_told(photo: Picture) -> None:
    one = codec.get("comrec-jpegxl", effort=6)
    with pytest.raises(TargetError) as caught:
        one.encode_within(photo, 100)
    smallest = caught.value.smallest
    assert smallest > 100
    assert len(one.encode_within(photo, smallest + 20).data) <= smallest + 20


def test_metadata_is_that_of_jpeg_xl(photo: Picture, metadata: Metadata) -> None:
    one = codec.get("comrec-jpegxl", effort=6)
    data = one.encode(replace(photo.cropped(0, 0, 64, 48), metadata=metadata), 50)
    assert one.decode(data).metadata == metadata
    library = pyjpegxl.probe(data)
    assert metadata.exif is not None
    assert library.exif is not None
    assert library.exif.endswith(metadata.exif)
    assert library.xmp == metadata.xmp


def test_the_textbook_photograph_is_much_better_than_jpeg_xl() -> None:
    photographs: object = skimage.data
    picture = Picture(np.ascontiguousarray(photographs.coffee()[60:316, 120:476]))  # type: ignore[attr-defined]
    budget = 8_000
    ours = codec.get("comrec-jpegxl").encode_within(picture, budget)
    theirs = codec.get("jpegxl").encode_within(picture, budget)
    gain = psnr(codec.get("comrec-jpegxl").decode(ours.data), picture)
    gain -= psnr(codec.get("jpegxl").decode(theirs.data), picture)
    assert gain > 1.0

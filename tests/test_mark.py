"""The mark, and the places in standard files where it lies."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from comrec import codec
from comrec.errors import ComrecError, DamagedFileError
from comrec.formats.mark import SIZE, Mark, unpack
from comrec.picture import Metadata, Picture
from comrec.preparation import read

CONTAINERS = ["jpeg", "png", "webp", "jpeg2000", "avif", "bpg", "jpegxl", "heic"]
MARK = Mark(2, 37.25, 4000, 3000, "00112233445566778899").pack()

marks = st.builds(
    Mark,
    scale=st.sampled_from([1, 2]),
    quality=st.integers(0, 10_000).map(lambda hundredths: hundredths / 100),
    width=st.integers(1, 2**32 - 1),
    height=st.integers(1, 2**32 - 1),
    network=st.binary(min_size=10, max_size=10).map(bytes.hex),
)


@given(marks)
@settings(max_examples=200)
def test_a_mark_comes_back_from_its_bytes(mark: Mark) -> None:
    packed = mark.pack()
    assert len(packed) == SIZE <= 64
    assert unpack(packed) == mark


def test_every_flipped_bit_is_noticed() -> None:
    for bit in range(SIZE * 8):
        altered = bytearray(MARK)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedFileError):
            unpack(bytes(altered))


@pytest.mark.parametrize("length", range(SIZE))
def test_a_truncated_mark_is_damage(length: int) -> None:
    with pytest.raises(DamagedFileError):
        unpack(MARK[:length])


@pytest.mark.parametrize(
    "mark",
    [Mark(3, 50, 8, 8, "00" * 10), Mark(1, 50, 0, 8, "00" * 10), Mark(0, 50, 8, 8, "0" * 20)],
)
def test_impossible_fields_are_damage_even_with_a_right_checksum(mark: Mark) -> None:
    with pytest.raises(DamagedFileError, match="invalid"):
        unpack(mark.pack())


def test_a_later_version_says_to_upgrade() -> None:
    later = MARK[:6] + b"\x03" + MARK[7:]
    with pytest.raises(DamagedFileError, match="upgrade"):
        unpack(later)


def variants(photo: Picture, metadata: Metadata) -> list[tuple[str, str, bytes]]:
    """(name, container, file): every container, as our codecs and as other encoders write it."""
    pixels, alpha = photo.pixels[:40, :56], photo.pixels[40:80, :56, 0]
    plain = Picture(pixels)
    full = Picture(pixels, None, metadata)
    clear = Picture(pixels, np.ascontiguousarray(alpha), metadata)
    files = [(f"{c}-plain", c, codec.get(c).encode(plain, 50)) for c in CONTAINERS]
    files += [(f"{c}-metadata", c, codec.get(c).encode(full, 50)) for c in CONTAINERS]
    files += [(f"{c}-alpha", c, codec.get(c).encode(clear, 50)) for c in CONTAINERS if c != "jpeg"]
    files += [
        (f"{c}-gray", c, codec.get(c).encode(Picture(pixels[..., 0].copy()), 50))
        for c in CONTAINERS
    ]
    for name in ("jpeg-tuned", "jpegli", "msroi-jpeg", "deepn-jpeg"):
        files.append((name, "jpeg", codec.get(name).encode(full, 50)))
    bare = Picture(pixels, clear.alpha)
    for name, picture in (("webp-lossless", plain), ("webp-lossless-alpha", bare)):
        buffer = io.BytesIO()
        picture.to_pil().save(buffer, "WEBP", lossless=True)
        files.append((name, "webp", buffer.getvalue()))
    return files


@pytest.fixture(scope="module")
def files(photo: Picture, metadata: Metadata) -> list[tuple[str, str, bytes]]:
    return variants(photo, metadata)


def test_a_marked_file_gives_back_its_mark_and_an_unmarked_one_none(
    files: list[tuple[str, str, bytes]],
) -> None:
    for name, container, data in files:
        assert codec.get(container).mark_in(data) is None, name
        marked = codec.get(container).with_mark(data, MARK)
        assert codec.get(container).mark_in(marked) == MARK, name


def test_a_marked_file_opens_to_the_same_pixels_alpha_and_metadata(
    files: list[tuple[str, str, bytes]],
) -> None:
    for name, container, data in files:
        decode = codec.get(container).decode
        before, after = decode(data), decode(codec.get(container).with_mark(data, MARK))
        assert np.array_equal(after.pixels, before.pixels), name
        assert (after.alpha is None) == (before.alpha is None), name
        if after.alpha is not None and before.alpha is not None:
            assert np.array_equal(after.alpha, before.alpha), name
        assert after.metadata == before.metadata, name


def test_a_mark_costs_no_more_than_its_stated_overhead(
    files: list[tuple[str, str, bytes]],
) -> None:
    for name, container, data in files:
        cost = len(codec.get(container).with_mark(data, MARK)) - len(data) - len(MARK)
        overhead = codec.get(container).mark_overhead
        assert overhead is not None, name
        assert 0 < cost <= overhead, name


def test_every_container_that_carries_marks_is_tested() -> None:
    coders = map(codec.get, codec.names())
    carrying = {coder.container for coder in coders if coder.mark_overhead is not None}
    assert carrying == set(CONTAINERS)


@pytest.mark.parametrize("lossless", [False, True])
def test_webp_payloads_of_any_length_stay_readable(lossless: bool, photo: Picture) -> None:
    parities = set()
    for width, height in ((1, 1), (15, 4), (16, 7), (33, 10), (51, 13), (56, 16), (64, 64)):
        buffer = io.BytesIO()
        Image.fromarray(photo.pixels[:height, :width]).save(buffer, "WEBP", lossless=lossless)
        data = buffer.getvalue()
        parities.add(int.from_bytes(data[16:20], "little") % 2)
        marked = codec.get("webp").with_mark(data, MARK)
        assert int.from_bytes(marked[4:8], "little") == len(marked) - 8
        assert np.array_equal(read(marked).pixels, read(data).pixels)
        assert codec.get("webp").mark_in(marked) == MARK
    assert parities == {0, 1} or not lossless  # libwebp makes lossy payloads even


@given(data=st.data())
@settings(max_examples=300)
def test_altered_files_give_a_mark_or_none_or_our_errors(
    files: list[tuple[str, str, bytes]], data: st.DataObject
) -> None:
    _, container, plain = data.draw(st.sampled_from(files))
    altered = bytearray(codec.get(container).with_mark(plain, MARK))
    place = st.integers(0, len(altered) - 1) | st.integers(0, 60)
    for at, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)))):
        altered[at] = value
    del altered[data.draw(st.integers(0, len(altered)) | st.just(len(altered))) :]
    try:
        found = codec.get(container).mark_in(bytes(altered))
        if found is not None:
            unpack(found)
    except ComrecError:
        pass


@pytest.mark.parametrize("alpha", [False, True])
def test_an_extended_webp_says_whether_it_has_alpha(alpha: bool, photo: Picture) -> None:
    image = Image.fromarray(photo.pixels[:9, :9])
    if alpha:
        image.putalpha(Image.fromarray(photo.pixels[:9, :9, 0]))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True)
    marked = codec.get("webp").with_mark(buffer.getvalue(), MARK)
    assert marked[12:16] == b"VP8X"
    assert bool(marked[20] & 0x10) == alpha


@pytest.mark.parametrize("container", ["jpeg2000", "avif", "jpegxl", "heic"])
def test_a_box_shorter_than_its_head_is_damage(container: str, photo: Picture) -> None:
    data = codec.get(container).encode(photo, 10)
    with pytest.raises(DamagedFileError):
        codec.get(container).mark_in(b"\0\0\0\x04free" + data)


@given(st.binary(max_size=200), st.sampled_from(CONTAINERS))
@settings(max_examples=200)
def test_noise_gives_no_mark_or_our_errors(noise: bytes, container: str) -> None:
    with contextlib.suppress(ComrecError):
        assert codec.get(container).mark_in(noise) is None

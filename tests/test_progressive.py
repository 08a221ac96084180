"""Prefixes of files, end to end, on a small progressive codec."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bitplanes import LEAST, BitPlanes, registered
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import comrec
from comrec import codec, files
from comrec.cli import main
from comrec.errors import DamagedFileError, TargetError
from comrec.formats import cmr
from comrec.learned import progressive
from comrec.metrics import psnr
from comrec.picture import Metadata, Picture

FRAME, CHECKSUM, LENGTH = 8, 4, 4


def same(a: Picture, b: Picture) -> bool:
    assert a.alpha is not None
    assert b.alpha is not None
    return (
        a.metadata == b.metadata
        and np.array_equal(a.pixels, b.pixels)
        and np.array_equal(a.alpha, b.alpha)
    )


def start_of(data: bytes) -> int:
    """Where the first payload of a file begins."""
    return cmr.ends(data)[0] - CHECKSUM - len(cmr.parse(data, partial=True).payloads[0])


@pytest.fixture(scope="module", autouse=True)
def codec_() -> Iterator[None]:
    with registered():
        yield


@pytest.fixture(scope="module")
def small(photo: Picture, metadata: Metadata) -> Picture:
    alpha = np.tile(np.arange(48, dtype=np.uint8), (40, 1))
    return Picture(photo.pixels[60:100, 100:148].copy(), alpha, metadata)


@pytest.fixture(scope="module")
def whole(small: Picture) -> bytes:
    return BitPlanes().encode(small, 100)


@given(stream=st.binary(max_size=5000))
def test_payloads_are_one_stream_and_grow(stream: bytes) -> None:
    parts = progressive.payloads(stream)
    sizes = [len(part) for part in parts]
    assert sizes[:-1] == sorted(sizes[:-1])
    head = cmr.Header("x", "00" * 10, 1, 1, 1, 50)
    data = cmr.write(head, Metadata(), None, parts)
    assert progressive.stream(cmr.parse(data)) == (stream, False)
    for length in range(start_of(data) + LENGTH, len(data), 17):
        found = progressive.stream(cmr.parse(data[:length], partial=True))
        assert found.data == stream[: len(found.data)]
        assert found.cut == (found.data != stream)


def test_a_whole_file_has_the_whole_picture(whole: bytes, small: Picture) -> None:
    assert len(cmr.parse(whole).payloads) > 4
    assert same(files.decode(whole), small)
    assert same(files.decode(whole, partial=True), small)


@given(data=st.data())
@settings(max_examples=150)
def test_every_prefix_is_a_picture_and_more_bytes_are_a_better_one(
    data: st.DataObject, whole: bytes, small: Picture
) -> None:
    least = start_of(whole) + LENGTH + LEAST
    lengths = st.integers(least, len(whole))
    shorter, longer = sorted((data.draw(lengths), data.draw(lengths)))
    worse, better = (files.decode(whole[:n], partial=True) for n in (shorter, longer))
    assert psnr(worse.rgb, small.rgb) <= psnr(better.rgb, small.rgb)
    for picture in (worse, better):
        assert picture.metadata == small.metadata
        assert picture.alpha is not None
        assert small.alpha is not None
        assert np.array_equal(picture.alpha, small.alpha)


def test_every_byte_of_a_payload_counts(whole: bytes) -> None:
    ends = [end - CHECKSUM for end in cmr.ends(whole)]
    sizes = map(len, cmr.parse(whole).payloads)
    inside = {at for end, size in zip(ends, sizes, strict=True) for at in range(end - size, end)}
    first = start_of(whole) + LENGTH
    for length in range(first, len(whole) + 1):
        held = progressive.stream(cmr.parse(whole[:length], partial=True)).data
        assert len(held) == len(inside & set(range(first, length)))


def test_a_prefix_is_damage_unless_it_is_asked_for(whole: bytes) -> None:
    for length in (len(whole) // 2, len(whole) - 1, cmr.ends(whole)[0]):
        cut = whole[:length]
        with pytest.raises(DamagedFileError, match="cut short"):
            files.decode(cut)
        with pytest.raises(DamagedFileError, match=r"^cat\.cmr: cut short"):
            comrec.decode(cut, name="cat.cmr")
        assert comrec.decode(cut, allow_partial=True).size == (48, 40)


def test_too_short_a_prefix_has_no_picture(whole: bytes) -> None:
    least = start_of(whole) + LENGTH + LEAST
    for length in range(60, least):
        with pytest.raises(DamagedFileError, match="cut short"):
            comrec.decode(whole[:length], allow_partial=True)
    assert comrec.decode(whole[:least], allow_partial=True).size == (48, 40)


@given(data=st.data())
@settings(max_examples=150)
def test_damage_ends_the_picture_before_its_chunk(data: st.DataObject, whole: bytes) -> None:
    ends = cmr.ends(whole)
    bit = data.draw(st.integers(8 * ends[0], 8 * len(whole) - 1))
    altered = bytearray(whole)
    altered[bit // 8] ^= 128 >> bit % 8
    with pytest.raises(DamagedFileError, match=r"chunk \d+ \("):
        files.decode(bytes(altered))
    before = max(end for end in ends if end <= bit // 8)
    expected = files.decode(whole[:before], partial=True)
    assert same(files.decode(bytes(altered), partial=True), expected)


def test_damage_of_the_first_payload_leaves_nothing(whole: bytes) -> None:
    first = start_of(whole)
    altered = whole[:first] + bytes([whole[first] ^ 1]) + whole[first + 1 :]
    with pytest.raises(DamagedFileError, match=r"\(DATA"):
        files.decode(altered, partial=True)


def test_a_stream_longer_than_it_says_is_damage(small: Picture, whole: bytes) -> None:
    file = cmr.parse(whole)
    data = cmr.write(file.header, file.metadata, file.alpha, [*file.payloads, b"more"])
    for partial in (False, True):
        with pytest.raises(DamagedFileError, match="damaged: 5,764 bytes of coded pixels"):
            files.decode(data, partial=partial)


def smallest(whole: bytes) -> int:
    """Bytes of the shortest file."""
    return start_of(whole) + LENGTH + LEAST + CHECKSUM


@given(share=st.floats(0, 1.2))
@settings(max_examples=100)
def test_a_size_is_one_encode_and_a_cut(share: float, whole: bytes, small: Picture) -> None:
    budget = int(share * len(whole))
    if budget < smallest(whole):
        told = f"{budget:,} bytes.*{smallest(whole):,}"
        with pytest.raises(TargetError, match=told):
            BitPlanes().encode_within(small, budget)
        return
    point = BitPlanes().encode_within(small, budget)
    assert point.encodes == 1
    assert len(point.data) <= budget
    left = min(budget, len(whole)) - len(point.data)
    assert left <= FRAME + CHECKSUM  # too few for a byte of another chunk
    back = files.decode(point.data)  # whole: nothing partial about it
    assert same(files.decode(point.data, partial=True), back)
    stream = progressive.stream(cmr.parse(whole)).data
    held = progressive.stream(cmr.parse(point.data))
    assert held == (stream[: len(held.data)], budget < len(whole))
    assert point.quality == 100 * len(held.data) / len(stream)


def test_the_smallest_file_is_as_small_as_is_said(whole: bytes, small: Picture) -> None:
    least = smallest(whole)
    point = BitPlanes().encode_within(small, least)
    assert len(point.data) == least
    assert files.decode(point.data).width == 48
    with pytest.raises(TargetError, match=f"{least:,}"):
        BitPlanes().encode_within(small, least - 1)


def test_a_file_of_a_size_can_be_cut_again(whole: bytes, small: Picture) -> None:
    first = BitPlanes().encode_within(small, 5000).data
    for budget in (4000, 4999, 3500):
        assert cmr.cut(first, budget) == BitPlanes().encode_within(small, budget).data
    picture = files.decode(first[:4000], partial=True)
    assert psnr(picture.rgb, small.rgb) < psnr(files.decode(first).rgb, small.rgb)


def test_the_command_line_takes_a_prefix(
    whole: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "cut.cmr", tmp_path / "out.png"
    source.write_bytes(whole[: len(whole) // 2])
    assert main(["decode", str(source), "-o", str(out)]) == 1
    assert "cut short" in capsys.readouterr().err
    assert not out.exists()
    assert main(["decode", str(source), "-o", str(out), "--allow-partial", "--quiet"]) == 0
    with Image.open(out) as image:
        assert image.size == (48, 40)


@pytest.mark.parametrize("codec_id", ["avif", "bpg", "liu2018"])
def test_codecs_that_are_not_progressive_raise_as_ever(codec_id: str, small: Picture) -> None:
    data = codec.get(codec_id, effort=1).encode(Picture(small.pixels), 50)
    with pytest.raises(DamagedFileError):
        comrec.decode(data[: len(data) // 2], allow_partial=True)

"""Prefixes of files, end to end, on a small progressive codec."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import comrec
from comrec import codec, files
from comrec.cli import main
from comrec.codec import check_quality
from comrec.errors import DamagedFileError, TargetError
from comrec.formats import cmr
from comrec.learned.files import header as header_of
from comrec.learned.files import picture as picture_of
from comrec.learned.files import write
from comrec.learned.progressive import ProgressiveCodec
from comrec.metrics import psnr
from comrec.picture import Metadata, Picture
from comrec.preparation import Header

NETWORK = "00112233445566778899"


@dataclass(frozen=True)
class BitPlanes(ProgressiveCodec):
    """Eight planes of bits, the most significant first, each deflated."""

    id, summary = "bit-planes", "for tests"
    quality_step = 12.5

    def encode(self, picture: Picture, quality: float) -> bytes:
        self.check(picture)
        count = max(1, round(8 * check_quality(quality) / 100))
        planes = [
            zlib.compress(np.packbits(picture.rgb >> (7 - i) & 1).tobytes()) for i in range(8)
        ]
        return write(picture, self.id, NETWORK, quality, planes[:count])

    def decode(self, data: bytes, *, partial: bool = False) -> Picture:
        file = cmr.parse(data, partial=partial)
        shape = (file.header.height, file.header.width, 3)
        pixels = np.zeros(shape, np.uint8)
        for i, payload in enumerate(file.payloads):
            bits = np.unpackbits(np.frombuffer(zlib.decompress(payload), np.uint8))
            pixels |= bits[: pixels.size].reshape(shape) << (7 - i)
        left = 8 - len(file.payloads)
        return picture_of(file, pixels | np.uint8(1 << left >> 1))  # the middle of what is unknown

    def header(self, data: bytes) -> Header:
        return header_of(data)


def same(a: Picture, b: Picture) -> bool:
    return a.metadata == b.metadata and np.array_equal(a.pixels, b.pixels)


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    codec.register(BitPlanes.id, BitPlanes)
    yield
    codec.unregister(BitPlanes.id)


@pytest.fixture(scope="module")
def small(photo: Picture, metadata: Metadata) -> Picture:
    alpha = np.tile(np.arange(48, dtype=np.uint8), (40, 1))
    return Picture(photo.pixels[60:100, 100:148].copy(), alpha, metadata)


@pytest.fixture(scope="module")
def whole(small: Picture) -> bytes:
    return BitPlanes().encode(small, 100)


def test_every_prefix_is_a_picture_and_more_bytes_are_a_better_one(
    whole: bytes, small: Picture
) -> None:
    first = whole.index(b"DATA") + 4
    first += int.from_bytes(whole[first - 8 : first - 4], "big") + 4
    quality = []
    for length in [*range(first, len(whole), 97), len(whole)]:
        picture = files.decode(whole[:length], partial=True)
        assert picture.metadata == small.metadata
        assert picture.alpha is not None
        assert small.alpha is not None
        assert np.array_equal(picture.alpha, small.alpha)
        quality.append(psnr(picture.rgb, small.rgb))
    assert quality == sorted(quality)
    assert len(set(quality)) == 8
    assert same(files.decode(whole, partial=True), files.decode(whole))
    assert np.array_equal(files.decode(whole).pixels, small.pixels)


def test_a_prefix_is_damage_unless_it_is_asked_for(whole: bytes) -> None:
    cut = whole[: len(whole) // 2]
    with pytest.raises(DamagedFileError, match="cut short"):
        files.decode(cut)
    with pytest.raises(DamagedFileError, match="cut short"):
        comrec.decode(cut)
    assert comrec.decode(cut, allow_partial=True).size == (48, 40)
    with pytest.raises(DamagedFileError, match="cut short"):  # nothing to show yet
        comrec.decode(whole[:60], allow_partial=True)


@given(share=st.floats(0, 1.2))
@settings(max_examples=60)
def test_a_size_is_one_encode_and_a_cut(share: float, whole: bytes, small: Picture) -> None:
    budget = int(share * len(whole))
    file = cmr.parse(whole)
    least = len(cmr.write(file.header, file.metadata, file.alpha, file.payloads[:1]))
    if budget < least:
        with pytest.raises(TargetError, match=f"{budget:,} bytes"):
            BitPlanes().encode_within(small, budget)
        return
    point = BitPlanes().encode_within(small, budget)
    assert point.encodes == 1
    assert len(point.data) <= budget
    back = files.decode(point.data)  # whole: nothing partial about it
    kept = cmr.header(point.data).payloads
    assert point.quality == 100 * kept / 8
    assert same(files.decode(point.data, partial=True), back)
    if kept < 8:
        assert len(point.data) + len(file.payloads[kept]) + 12 > budget  # the next does not fit


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
    assert main(["info", str(source)]) == 0


@pytest.mark.parametrize("codec_id", ["avif", "bpg", "liu2018"])
def test_codecs_that_are_not_progressive_raise_as_ever(codec_id: str, small: Picture) -> None:
    data = codec.get(codec_id, effort=1).encode(Picture(small.pixels), 50)
    with pytest.raises(DamagedFileError):
        comrec.decode(data[: len(data) // 2], allow_partial=True)

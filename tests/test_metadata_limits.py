"""Metadata that would expand to more than its limit: what is left out, and what is carried."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest
import sources
from PIL import Image

import comrec
from comrec import codec, files
from comrec.errors import DamagedFileError, UnknownFormatError
from comrec.formats import boxes, brob, limits
from comrec.picture import Metadata, Picture

EXIF = b"MM\0*\0\0\0\x08\0\0\0\0\0\0"


@pytest.fixture
def small() -> Picture:
    return Picture(sources.smooth(3))


# JPEG XL


def stream(size: int, last: bool = True) -> bytes:
    """The start of a Brotli stream of one meta-block that declares a size; it has no data."""
    nibbles = max(4, -(-(size - 1).bit_length() // 4))
    bits, count = 0, 0
    for value, width in ((0, 1), (last, 1), *([(0, 1)] if last else []), (nibbles - 4, 2),
                         (size - 1, 4 * nibbles)):  # fmt: skip
        bits |= int(value) << count
        count += width
    return bits.to_bytes(16, "little")


@pytest.mark.parametrize("size", [1, 1000, 65536, 65537, 1 << 20, (1 << 20) + 1, 1 << 24])
def test_a_brotli_stream_says_its_size(size: int) -> None:
    assert brob.expanded_size(stream(size)) == size
    assert brob.expanded_size(stream(size, last=False)) is None


def test_what_we_write_says_its_size(small: Picture) -> None:
    pytest.importorskip("pyjpegxl")
    xmp = b"<x>" + np.random.default_rng(1).bytes(200_000).hex().encode() + b"</x>"
    picture = Picture(small.pixels, None, Metadata(EXIF, None, xmp))
    data = codec.get("jpegxl", effort=1).encode(picture, 50)
    sizes = {
        body[:4]: brob.expanded_size(body[4:]) for _, kind, body in boxes.walk(data)
        if kind == b"brob"
    }  # fmt: skip
    assert sizes == {b"Exif": 4 + len(EXIF), b"xml ": len(xmp)}
    decoded = files.decode(data)
    assert decoded.metadata == picture.metadata
    assert decoded.notes == ()


@pytest.mark.parametrize("kind", [b"Exif", b"xml "])
def test_brotli_boxes_without_a_bound_are_left_out(kind: bytes, small: Picture) -> None:
    pytest.importorskip("pyjpegxl")
    coder = codec.get("jpegxl", effort=1)
    data = coder.with_mark(coder.encode(small, 50), bytes(32))
    plain = np.asarray(codec.get("jpegxl").decode(data).pixels)
    at = data.index(b"uuid") - 4
    bomb = boxes.pack(b"brob", kind + stream(1 << 24, last=False))
    found = coder.decode(data[:at] + bomb + data[at:])
    (note,) = found.notes
    assert note.startswith("EXIF is left out" if kind == b"Exif" else "XMP is left out")
    assert np.array_equal(found.pixels, plain)
    assert found.metadata == Metadata()
    assert coder.header(data[:at] + bomb + data[at:]).width == small.width


def test_brotli_boxes_have_one_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "METADATA", 1000)
    first, second = (boxes.pack(b"brob", kind + stream(600)) for kind in (b"Exif", b"xml "))
    other = boxes.pack(b"jxlc", b"abc")
    kept, notes = brob.limited(first + first + other + second + boxes.pack(b"brob", b"jumb1234"))
    assert kept == first + other
    assert [note[:15] for note in notes] == ["XMP is left out"]


def test_bytes_after_a_jpeg_xl_file_are_passed_over(small: Picture) -> None:
    pytest.importorskip("pyjpegxl")
    picture = Picture(small.pixels, None, Metadata(EXIF, None, b"<x/>"))
    data = codec.get("comrec-jpegxl", scale="1", effort=1).encode(picture, 60)
    expected = comrec.decode(data)
    for tail in (bytes(30), b"\0\0\0\5abcd", b"abcdefghijklmnop", b"abc"):
        assert np.array_equal(np.asarray(comrec.decode(data + tail)), np.asarray(expected))
        assert comrec.info(data + tail).codec == comrec.info(data).codec
    with pytest.raises(DamagedFileError):
        comrec.decode(data[:-20])


def test_no_boxes_are_left_as_they_are() -> None:
    assert brob.limited(b"") == (b"", ())


# HEIC


@pytest.mark.parametrize("version", [0, 1, 2])
def test_items_of_heic_that_share_bytes_are_limited(version: int) -> None:
    pytest.importorskip("pillow_heif")
    number = ">I" if version == 2 else ">H"
    method = b"\0\0" if version else b""
    one = struct.pack(number, 1) + method + bytes(2) + struct.pack(">H", 40)
    one += struct.pack(">II", 0, 5_000_000) * 40
    head = bytes([version, 0, 0, 0, 0x44, 0])
    location = boxes.pack(b"iloc", head + struct.pack(number, 1) + one)
    data = boxes.pack(b"ftyp", b"heic\0\0\0\0mif1heic")
    data += boxes.pack(b"meta", bytes(4) + location) + boxes.pack(b"mdat", bytes(1000))
    for read in (comrec.info, comrec.decode):
        with pytest.raises(DamagedFileError, match="more than the file holds"):
            read(data)


@pytest.mark.parametrize("brand", [b"heic", b"avif", b"avis", b"mif1"])
@pytest.mark.parametrize("base", [0, 4])
def test_parts_without_places_are_refused_before_they_are_counted(brand: bytes, base: int) -> None:
    """Each item declares 65,535 parts in no bytes: libavif would take 1 MB for each."""
    if brand == b"heic":
        pytest.importorskip("pillow_heif")
    each = [struct.pack(">HH", i, 0) + bytes(base) + b"\xff\xff" for i in range(40_000)]
    head = bytes([0, 0, 0, 0, 0, base << 4])
    location = boxes.pack(b"iloc", head + struct.pack(">H", len(each)) + b"".join(each))
    data = boxes.pack(b"ftyp", brand + bytes(4) + b"mif1avifmiaf" + brand)
    data += boxes.pack(b"meta", bytes(4) + location)
    for read in (comrec.info, comrec.decode, lambda data: files.read(data, "input")):
        with pytest.raises((DamagedFileError, UnknownFormatError)) as caught:
            read(data)
        if brand != b"mif1":
            assert "have no places" in str(caught.value)


@pytest.mark.parametrize("kind", [b"iloc", b"ipma"])
def test_a_number_of_items_costs_nothing_without_the_items(kind: bytes) -> None:
    """Four thousand million, of which there are none: to count them takes many minutes."""
    pytest.importorskip("pillow_heif")
    if kind == b"iloc":
        box = boxes.pack(kind, b"\2\0\0\0\x44\0" + b"\xff" * 4)
    else:
        box = boxes.pack(
            b"iprp", boxes.pack(b"ipco", b"") + boxes.pack(kind, bytes(4) + b"\xff" * 4)
        )
    data = boxes.pack(b"ftyp", b"heic\0\0\0\0mif1heic") + boxes.pack(b"meta", bytes(4) + box)
    for read in (comrec.info, comrec.decode):
        with pytest.raises(DamagedFileError):
            read(data)


# PNG


def text_chunk(kind: bytes, keyword: bytes, text: bytes) -> bytes:
    body = keyword + b"\0" + (b"\1\0\0\0" if kind == b"iTXt" else b"\0") + zlib.compress(text, 9)
    return sources.png_chunk(kind, body)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_long_text_in_png_is_left_out(kind: bytes, small: Picture) -> None:
    chunk = text_chunk(kind, b"Comment", bytes(3 << 20))
    found = files.read(sources.png(small.pixels, 8, 2, chunk), "input")
    assert found.notes == (
        f"the chunk {kind.decode()} is left out: it expands to more than 1,048,576 bytes",
    )
    assert np.array_equal(found.pixels, small.pixels)


def test_long_xmp_in_png_is_carried(small: Picture) -> None:
    xmp = b"<x>" + b"a cat " * 400_000 + b"</x>"
    chunk = text_chunk(b"iTXt", b"XML:com.adobe.xmp", xmp)
    found = files.read(sources.png(small.pixels, 8, 2, chunk), "input")
    assert found.metadata.xmp == xmp
    assert found.notes == ()


def test_xmp_in_png_beyond_the_limit_is_left_out(
    small: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "METADATA", 2 << 20)
    chunk = text_chunk(b"iTXt", b"XML:com.adobe.xmp", bytes(3 << 20))
    found = files.read(sources.png(small.pixels, 8, 2, chunk), "input")
    assert found.metadata.xmp is None
    assert found.notes == ("XMP is left out: it expands to more than 2,097,152 bytes",)


def test_all_text_in_png_has_one_limit(small: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "METADATA", 2 << 20)
    chunk = text_chunk(b"zTXt", b"Comment", bytes(1 << 20))
    found = files.read(sources.png(small.pixels, 8, 2, *[chunk] * 5), "input")
    assert len(found.notes) == 1
    assert np.array_equal(found.pixels, small.pixels)


def test_a_long_profile_in_png_is_refused(small: Picture) -> None:
    chunk = sources.png_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(3 << 20)))
    with pytest.raises(DamagedFileError, match="too large"):
        comrec.decode(sources.png(small.pixels, 8, 2, chunk))


# EXIF and TIFF, whose tags may share their values


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_tags_that_share_values_cost_no_more_than_the_file(kind: str, small: Picture) -> None:
    count, size = 3000, 60_000
    shared = struct.pack(">2sHIH", b"MM", 42, 8, count) + b"".join(
        struct.pack(">HHII", 40_000 + i, 7, size - 100, 8) for i in range(count)
    )
    block = shared.ljust(size, b"\0")
    options: dict[str, Any] = {"exif": b"Exif\0\0" + block}
    if kind == "TIFF":
        data = block  # no picture
        with pytest.raises(comrec.errors.ComrecError):
            files.read(data, "input")
        return
    data = sources.saved(Image.fromarray(small.pixels), kind, **options)
    assert files.read(data, "input").metadata.exif == block
    assert comrec.info(data).width == small.width

"""Files that decoders take though they are not well-formed, and files that are cut short."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sources
from PIL import Image

import comrec
from comrec import codec, files
from comrec.cli import main
from comrec.errors import ComrecError, DamagedFileError
from comrec.formats import png, segments
from comrec.picture import Metadata, Picture


@pytest.fixture(scope="module")
def medium(photo: Picture) -> Picture:
    return Picture(photo.pixels[:96, :128].copy())


def of_pillow(picture: Picture, kind: str, **options: Any) -> bytes:
    return sources.saved(Image.fromarray(picture.pixels), kind, **options)


def told(data: bytes) -> tuple[str, ...]:
    """The notes on a file, which encoding and decoding give alike."""
    notes: tuple[str, ...] = comrec.decode(data).info.get("notes", ())
    assert files.read(data, "input").notes == notes
    comrec.info(data)
    return notes


def rows_alike(picture: Picture, image: Image.Image, tolerance: float = 6) -> int:
    """The number of rows from the first that come back."""
    differ = np.abs(np.asarray(image).astype(int) - picture.pixels).mean((1, 2)) > tolerance
    return int(np.argmax(differ)) if differ.any() else picture.height


# What libjpeg takes


JUNK = {
    "bytes after JFIF": (20, b"\x01\x02\x03", True),
    "FF 00 in them": (20, b"\0\xff\0\x07", True),
    "fill bytes": (20, b"\xff\xff\xff", False),
    "a restart marker": (20, b"\xff\xd0", False),
    "EXIF before JFIF": (2, b"\xff\xe1\0\x10Exif\0\0MM\0*\0\0\0\x08"[:18], False),
}


@pytest.mark.parametrize("kind", JUNK)
def test_bytes_between_jpeg_segments_are_passed_over(kind: str, medium: Picture) -> None:
    at, junk, is_noted = JUNK[kind]
    data = of_pillow(medium, "JPEG", quality=90)
    odd = data[:at] + junk + data[at:]
    assert np.array_equal(np.asarray(comrec.decode(odd)), np.asarray(comrec.decode(data)))
    notes = told(odd)
    assert len(notes) == is_noted
    assert all("bytes between segments belong to none" in note for note in notes)
    assert np.array_equal(segments.luma_table(odd), segments.luma_table(data))
    marked = codec.get("comrec-jpeg", scale="1", effort=1).encode(medium, 10)
    odd = marked[:at] + junk + marked[at:]
    assert comrec.info(odd).codec == "comrec-jpeg"
    assert np.array_equal(np.asarray(comrec.decode(odd)), np.asarray(comrec.decode(marked)))


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"subsampling": 0}]
)
def test_a_jpeg_without_its_end_marker_is_whole(options: dict[str, Any], medium: Picture) -> None:
    data = of_pillow(medium, "JPEG", quality=85, **options)
    for cut in (data[:-2], data[:-1]):
        assert told(cut) == ("the end marker is missing",)
        assert np.array_equal(np.asarray(comrec.decode(cut)), np.asarray(comrec.decode(data)))
    assert told(data + b"a video") == ()


def test_without_its_last_scan_a_jpeg_is_not_whole(medium: Picture) -> None:
    data = of_pillow(medium, "JPEG", quality=85, progressive=True)
    cut = data[: data.rindex(b"\xff\xda")]
    cut = cut[: max(cut.rfind(b"\xff\xc4"), 0)] if cut.rfind(b"\xff\xc4") > len(cut) - 300 else cut
    with pytest.raises(DamagedFileError, match="--allow-partial gives what is there"):
        comrec.decode(cut)
    (note,) = comrec.decode(cut, allow_partial=True).info["notes"]
    assert "scans that refine the picture are missing" in note


# What libpng takes


def chunked(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def broken(chunk: bytes) -> bytes:
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


@pytest.mark.parametrize(
    ("kind", "body", "name"),
    [
        (b"tEXt", b"Comment\0a cat", "the chunk tEXt"),
        (b"eXIf", b"MM\0*\0\0\0\x08\0\0\0\0\0\0", "EXIF"),
        (b"iCCP", b"p\0\0" + zlib.compress(sources.rgb_profile()), "ICC"),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>", "XMP"),
        (b"a\x1bcD", b"", r"the chunk a\x1bcD"),
    ],
)
def test_a_png_chunk_with_a_wrong_checksum_is_left_out(
    kind: bytes, body: bytes, name: str, medium: Picture
) -> None:
    chunk = broken(sources.png_chunk(kind, body))
    data = sources.png(medium.pixels, 8, 2, chunk)
    assert told(data) == (f"{name} is left out: its checksum is wrong",)
    assert np.array_equal(np.asarray(comrec.decode(data)), medium.pixels)
    assert files.read(data, "input").metadata == Metadata()


def test_a_png_header_with_a_wrong_checksum_is_refused(medium: Picture) -> None:
    data = bytearray(of_pillow(medium, "PNG"))
    data[30] ^= 1
    with pytest.raises(DamagedFileError):
        comrec.decode(bytes(data), allow_partial=True)


def test_a_png_without_its_end_is_whole(medium: Picture) -> None:
    data = of_pillow(medium, "PNG")
    end = data.index(b"IEND") - 4
    for cut in (data[:end], data[: end - 4], data[: end - 7], data + b"more"):
        assert np.array_equal(np.asarray(comrec.decode(cut)), medium.pixels)
        assert set(told(cut)) <= {"the end of the file is missing"}


# What libwebp takes elsewhere


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("by", [-300, -2, -1, 1, 2, 4, 5000])
def test_the_size_in_a_webp_header_may_be_wrong(by: int, lossless: bool, medium: Picture) -> None:
    data = of_pillow(medium, "WEBP", quality=60, lossless=lossless)
    odd = data[:4] + struct.pack("<I", len(data) - 8 + by) + data[8:]
    for each in (odd, odd + b"abcd", odd + b"abcdefghijkl"):
        assert told(each) == ("the size in its header is wrong",)
        assert np.array_equal(np.asarray(comrec.decode(each)), np.asarray(comrec.decode(data)))


def test_webp_metadata_that_is_cut_short_is_told(medium: Picture) -> None:
    data = of_pillow(medium, "WEBP", quality=60, xmp=b"<x/>" * 20)
    cut = data[:-9]
    assert told(cut) == ("the file is cut short: XMP is missing",)
    assert np.array_equal(np.asarray(comrec.decode(cut)), np.asarray(comrec.decode(data)))
    padded = data[: len(data) - 1] if data[-1:] == b"\0" else data
    assert comrec.decode(padded).size == (128, 96)


# Boxes


@pytest.mark.parametrize("codec_id", ["avif", "jpeg2000", "comrec-avif", "comrec-jpeg2000"])
@pytest.mark.parametrize("tail", [bytes(30), b"\0\0\0\5abcd" * 4, b"abcdefghijklmnop", b"abc"])
def test_bytes_after_the_last_box_are_passed_over(
    codec_id: str, tail: bytes, medium: Picture
) -> None:
    data = codec.get(codec_id, effort=1).encode(medium, 50)
    assert comrec.info(data + tail).codec == codec_id
    assert np.array_equal(np.asarray(comrec.decode(data + tail)), np.asarray(comrec.decode(data)))


# Cut short


ROWS = re.compile(r"^the file is cut short: only the first (\d+) of 96 rows are there$")
BYTES = re.compile(r"^the file is cut short: only [\d,]+ of [\d,]+ bytes of its picture are there$")


@pytest.mark.parametrize("part", [0.4, 0.7, 0.95])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 90}),
        ("JPEG", {"quality": 90, "restart_marker_blocks": 2}),
        ("PNG", {}),
        ("PNG", {"bits": 16}),
    ],
)
def test_the_rows_that_are_there_are_told(
    kind: str, options: dict[str, Any], part: float, medium: Picture
) -> None:
    if "bits" in options:
        data = sources.png(medium.pixels.astype(np.uint16) * 257, 16, 2)
    else:
        data = of_pillow(medium, kind, **options)
    whole = Picture(np.asarray(comrec.decode(data)))
    cut = data[: int(len(data) * part)]
    with pytest.raises(DamagedFileError, match="--allow-partial gives what is there"):
        comrec.decode(cut)
    with pytest.raises(DamagedFileError, match="--allow-partial gives what is there"):
        files.read(cut, "input", comrec.preparation.Preparation(depth=8))
    image = comrec.decode(cut, allow_partial=True)
    found = [match for note in image.info["notes"] if (match := ROWS.match(note))]
    assert len(found) == 1
    there = int(found[0][1])
    assert 0 < there < 96
    assert abs(rows_alike(whole, image) - there) <= 16
    assert abs(there / 96 - part) < 0.3


@pytest.mark.parametrize("part", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("kind", ["WEBP", "JPEG2000", "JPEG2000, tiles", "JPEG, progressive"])
def test_what_is_there_of_other_files_is_given(kind: str, part: float, medium: Picture) -> None:
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "WEBP": ("WEBP", {"quality": 90}),
        "JPEG2000": ("JPEG2000", {"quality_mode": "dB", "quality_layers": [40]}),
        "JPEG2000, tiles": ("JPEG2000", {"tile_size": (32, 32)}),
        "JPEG, progressive": ("JPEG", {"quality": 90, "progressive": True}),
    }
    name, options = kinds[kind]
    data = of_pillow(medium, name, **options)
    cut = data[: int(len(data) * part)]
    with pytest.raises(DamagedFileError, match="--allow-partial gives what is there"):
        comrec.decode(cut)
    image = comrec.decode(cut, allow_partial=True)
    (note,) = image.info["notes"]
    assert note.startswith("the file is cut short: ")
    assert BYTES.match(note) or name == "JPEG"
    size = 32 if "tiles" in kind else 96
    errors = np.asarray(image)[:size].astype(int) - medium.pixels[:size]
    assert np.abs(errors).mean() < np.abs(medium.pixels[:size].astype(int) - 128).mean() * 0.75


def test_an_interlaced_png_gives_what_is_there() -> None:
    pixels = np.kron(sources.smooth(3), np.ones((4, 4, 1), np.uint8))
    parts = []
    for left, top, across, down in png._ADAM7:
        for row in pixels[top::down, left::across]:
            parts.append(b"\0" + row.tobytes())
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 1)
    body = sources.png_chunk(b"IDAT", zlib.compress(b"".join(parts)))
    data = chunked(sources.png_chunk(b"IHDR", head), body, sources.png_chunk(b"IEND", b""))
    assert np.array_equal(np.asarray(comrec.decode(data)), pixels)
    image = comrec.decode(data[: len(data) * 2 // 3], allow_partial=True)
    assert BYTES.match(image.info["notes"][0])
    assert np.array_equal(np.asarray(image)[::8, ::8], pixels[::8, ::8])


def test_a_png_with_damaged_samples_is_refused(medium: Picture) -> None:
    data = bytearray(of_pillow(medium, "PNG"))
    at = data.index(b"IDAT") + 6
    data[at : at + 40] = b"\xff" * 40
    with pytest.raises(DamagedFileError, match="stream") as error:
        comrec.decode(bytes(data), allow_partial=True)
    assert "--allow-partial" not in str(error.value)


def test_a_marked_file_that_is_cut_short_is_reconstructed(medium: Picture) -> None:
    data = codec.get("comrec-jpeg", scale="1", effort=1).encode(medium, 10)
    cut = data[: len(data) * 4 // 5]
    with pytest.raises(DamagedFileError, match="--allow-partial"):
        comrec.decode(cut)
    image = comrec.decode(cut, allow_partial=True)
    assert image.size == (128, 96)
    plain = comrec.decode(cut, allow_partial=True, plain=True)
    assert not np.array_equal(np.asarray(image), np.asarray(plain))
    assert image.info["notes"] == plain.info["notes"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "JPEG2000"])
def test_any_length_of_a_file_is_a_picture_or_a_typed_error(kind: str) -> None:
    data = of_pillow(Picture(sources.smooth(3)), kind, xmp=b"<x/>")
    for length in range(len(data)):
        for partial in (False, True):
            try:
                image = comrec.decode(data[:length], allow_partial=partial)
            except ComrecError:
                continue
            assert image.size == (24, 20)


def test_the_command_line_says_what_helps(
    medium: Picture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "cut.jpg", tmp_path / "out.png"
    data = of_pillow(medium, "JPEG", quality=90)
    source.write_bytes(data[: len(data) // 2])
    assert main(["decode", str(source), "-o", str(out)]) == 1
    assert "--allow-partial gives what is there" in capsys.readouterr().err
    assert not out.exists()
    assert main(["decode", str(source), "-o", str(out), "--allow-partial"]) == 0
    assert "of 96 rows are there" in capsys.readouterr().err
    source.write_bytes(data[:100])
    assert main(["decode", str(source), "-o", str(out), "--allow-partial"]) == 1
    assert "--allow-partial" not in capsys.readouterr().err

"""JPEG XL and HEIC: what their libraries do not do by themselves, and files of other programs."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pillow_heif
import pyjpegxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

import comrec
from comrec import codec, files
from comrec.cli import main
from comrec.errors import (
    ComrecError,
    DamagedFileError,
    MissingExtraError,
    OptionError,
    TooLargeError,
    UnknownFormatError,
    UnsupportedPictureError,
)
from comrec.formats import boxes
from comrec.formats.detection import format_of
from comrec.picture import Metadata, Picture
from comrec.preparation import Preparation
from comrec.preparation.colour import means_srgb
from comrec.standard.jpegxl import distance

BOTH = ["jpegxl", "heic"]
JXL_HEAD = boxes.pack(b"JXL ", b"\r\n\x87\n") + boxes.pack(b"ftyp", b"jxl \0\0\0\0jxl ")


@pytest.fixture(scope="module")
def small(photo: Picture) -> Picture:
    return Picture(np.ascontiguousarray(photo.pixels[60:108, 100:164]))


def seen_elsewhere(data: bytes) -> np.ndarray:
    """What the format's own library shows."""
    if format_of(data) == "heic":
        file = pillow_heif.open_heif(data)
        return np.array(file)
    return pyjpegxl.decode_to_numpy(data)[1]


def turned(orientation: int, description: str = "") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    if description:
        exif[0x010E] = description
    return exif.tobytes()


def mean_error(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(float) - b).mean())


@pytest.mark.parametrize("codec_id", BOTH)
@pytest.mark.parametrize("kind", ["rgb", "gray", "alpha"])
def test_metadata_survives(codec_id: str, kind: str, small: Picture, metadata: Metadata) -> None:
    pixels = small.pixels[..., 1] if kind == "gray" else small.pixels
    alpha = small.pixels[..., 0] if kind == "alpha" else None
    one = codec.get(codec_id)
    data = one.encode(Picture(pixels, alpha, metadata), 60)
    back = one.decode(data)
    assert back.metadata == metadata
    header = one.header(data)
    assert (back.width, back.height) == (header.width, header.height) == (64, 48)
    assert back.is_gray == (kind == "gray")


@pytest.mark.parametrize("codec_id", BOTH)
def test_a_picture_without_metadata_comes_back_without(codec_id: str, small: Picture) -> None:
    one = codec.get(codec_id)
    assert one.decode(one.encode(small, 50)).metadata == Metadata()


@pytest.mark.parametrize("codec_id", BOTH)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_other_viewers_see_it_upright_and_we_as_it_was_given(
    codec_id: str, orientation: int, small: Picture
) -> None:
    given = Picture(small.pixels, small.pixels[..., 2], Metadata(turned(orientation)))
    upright = np.asarray(ImageOps.exif_transpose(given.to_pil()))
    one = codec.get(codec_id)
    data = one.encode(given, 100)
    assert mean_error(seen_elsewhere(data), upright) < 4
    back = one.decode(data)
    assert mean_error(back.pixels, given.pixels) < 4
    assert back.alpha is not None
    assert given.alpha is not None
    assert mean_error(back.alpha, given.alpha) < 2
    assert back.metadata.exif == given.metadata.exif
    assert (one.header(data).width, one.header(data).height) == (64, 48)


def test_a_heic_turned_by_its_own_property_is_turned_once(small: Picture) -> None:
    image = small.to_pil()
    buffer = io.BytesIO()  # pillow-heif writes irot and leaves EXIF's tag
    pillow_heif.encode("RGB", image.size, image.tobytes(), buffer, quality=90, exif=turned(6))
    data = buffer.getvalue()
    assert b"irot" in data
    back = comrec.decode(data)
    assert back.size == (64, 48)
    assert back.getexif()[0x0112] == 6
    assert mean_error(np.asarray(back), small.pixels) < 8
    found = comrec.info(data)
    assert (found.width, found.height) == (64, 48)


@pytest.mark.parametrize("exif", [b"garbage", b"II*\0", b"MM\0*\0\0\0\x08\0\x01\x01\x12"])
@pytest.mark.parametrize("codec_id", BOTH)
def test_damaged_exif_does_not_stop_a_picture(codec_id: str, exif: bytes, small: Picture) -> None:
    one = codec.get(codec_id)
    back = one.decode(one.encode(Picture(small.pixels, None, Metadata(exif)), 50))
    assert (back.width, back.height) == (64, 48)


@pytest.mark.parametrize("before", [bytes(4), b"\0\0\0\x06Exif\0\0", b"", b"Exif\0\0"])
def test_exif_of_other_jpeg_xl_writers_is_understood(before: bytes, small: Picture) -> None:
    bare = pyjpegxl.encode_from_numpy(small.pixels, quality=1.0)
    tiff = turned(1, "a cat").removeprefix(b"Exif\0\0")
    data = JXL_HEAD + boxes.pack(b"jxlc", bare) + boxes.pack(b"Exif", before + tiff)
    back = codec.get("jpegxl").decode(data)
    assert back.metadata == Metadata(tiff)


def test_exif_is_written_as_the_standard_says(small: Picture) -> None:
    exif = turned(1, "a cat")
    data = codec.get("jpegxl").encode(Picture(small.pixels, None, Metadata(exif)), 50)
    stored = pyjpegxl.probe(data).exif
    assert stored == bytes(4) + exif.removeprefix(b"Exif\0\0")


@pytest.fixture(scope="module")
def other_icc(metadata: Metadata) -> bytes:
    """sRGB with red and green changed for each other."""
    assert metadata.icc is not None
    return (
        metadata.icc.replace(b"rXYZ", b"....").replace(b"gXYZ", b"rXYZ").replace(b"....", b"gXYZ")
    )


def test_profiles_that_mean_srgb_are_told_from_others(
    metadata: Metadata, other_icc: bytes, small: Picture
) -> None:
    assert metadata.icc is not None
    assert means_srgb(metadata.icc)
    assert not means_srgb(other_icc)
    assert not means_srgb(b"no profile")
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert not means_srgb(lab)
    gray = pyjpegxl.probe(pyjpegxl.encode_from_numpy(small.pixels[..., 0].copy())).icc
    assert gray is not None
    assert means_srgb(gray)


def test_only_heic_carries_a_profile_other_than_srgb(small: Picture, other_icc: bytes) -> None:
    picture = Picture(small.pixels, None, Metadata(icc=other_icc))
    one = codec.get("heic")
    assert one.decode(one.encode(picture, 50)).metadata.icc == other_icc
    for lossless in (False, True):
        with pytest.raises(UnsupportedPictureError, match=r"sRGB.*heic"):
            codec.get("jpegxl", lossless=lossless).encode(picture, 50)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (31, 17), (64, 48)])
@pytest.mark.parametrize("kind", ["rgb", "gray", "rgb alpha", "gray alpha"])
def test_lossless_jpeg_xl_is_exact(size: tuple[int, int], kind: str, small: Picture) -> None:
    part = small.pixels[: size[1], : size[0]]
    alpha = np.where(part[..., 1] > 100, part[..., 1], 0).astype(np.uint8)
    picture = Picture(part[..., 0] if "gray" in kind else part, alpha if "alpha" in kind else None)
    one = codec.get("jpegxl", lossless=True)
    assert one.quality_step is None
    data = one.encode(picture, 3)
    assert data == one.encode(picture, 97)
    back = one.decode(data)
    assert np.array_equal(back.pixels, picture.pixels)
    assert (back.alpha is None) == (picture.alpha is None)
    assert back.alpha is None or np.array_equal(back.alpha, alpha)


def test_jpeg_xl_distances_are_those_of_cjxl_from_30_up_and_never_rise() -> None:
    assert [round(distance(quality), 3) for quality in (30, 50, 90, 100)] == [6.4, 4.6, 1.0, 0.1]
    distances = [distance(tenth / 10) for tenth in range(1001)]
    assert distances == sorted(set(distances), reverse=True)
    assert distances[0] < 10


@pytest.mark.parametrize("codec_id", BOTH)
def test_the_same_picture_gives_the_same_bytes(codec_id: str, photo: Picture) -> None:
    one = codec.get(codec_id)
    threads = pyjpegxl.get_num_threads()
    try:
        pyjpegxl.set_num_threads(1)
        alone = one.encode(photo, 50)
        pyjpegxl.set_num_threads(3)
        assert one.encode(photo, 50) == alone
    finally:
        pyjpegxl.set_num_threads(threads)


@pytest.mark.parametrize("codec_id", BOTH)
def test_more_effort_gives_smaller_files(codec_id: str, photo: Picture) -> None:
    sizes = [len(codec.get(codec_id, effort=effort).encode(photo, 60)) for effort in (1, 7)]
    assert sizes[1] < sizes[0]
    assert codec.get(codec_id, effort=10).encode(Picture(photo.pixels[:16, :16]), 60)


def test_full_chroma_costs_bytes_and_keeps_red_edges() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[::2, :, 0] = 255
    half, full = (codec.get("heic", subsampling=s) for s in ("4:2:0", "4:4:4"))
    errors = [
        mean_error(one.decode(one.encode(Picture(pixels), 90)).pixels, pixels)
        for one in (half, full)
    ]
    assert errors[1] < errors[0] / 4


@pytest.mark.parametrize(
    ("codec_id", "options"),
    [
        ("heic", {"effort": 0}),
        ("heic", {"effort": 11}),
        ("heic", {"subsampling": "4:1:1"}),
        ("heic", {"lossless": True}),
        ("jpegxl", {"effort": 11}),
        ("jpegxl", {"subsampling": "4:2:0"}),
    ],
)
def test_bad_options_are_refused(codec_id: str, options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        codec.get(codec_id, **options)


@pytest.mark.parametrize("upright", [False, True])
def test_narrow_pictures_beyond_the_levels_of_hevc(upright: bool) -> None:
    shape = (9000, 3) if upright else (3, 9000)
    one = codec.get("heic", effort=1)
    assert one.decode(one.encode(Picture(np.zeros(shape, np.uint8)), 50)).pixels.shape == shape


@pytest.fixture(scope="module")
def whole(small: Picture, metadata: Metadata) -> dict[str, bytes]:
    """Files with and without metadata."""
    found = {}
    for codec_id in BOTH:
        for kind, extra in (("plain", Metadata()), ("full", metadata)):
            picture = Picture(small.pixels, small.pixels[..., 0], extra)
            found[f"{codec_id} {kind}"] = codec.get(codec_id).encode(picture, 50)
    return found


@pytest.mark.parametrize("codec_id", BOTH)
@pytest.mark.parametrize("kind", ["plain", "full"])
@pytest.mark.parametrize("part", [0.02, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_damaged_and_named(
    codec_id: str, kind: str, part: float, whole: dict[str, bytes]
) -> None:
    data = whole[f"{codec_id} {kind}"]
    cut = data[: max(40, int(len(data) * part))]
    with pytest.raises(DamagedFileError, match=r"^cat\.bin: "):
        comrec.decode(cut, name="cat.bin")
    with pytest.raises(DamagedFileError, match=r"^cat\.bin: "):
        files.read(cut, "cat.bin")


@pytest.mark.filterwarnings("ignore")
@given(data=st.data())
@settings(max_examples=300)
def test_altered_files_raise_nothing_but_our_errors(
    whole: dict[str, bytes], data: st.DataObject
) -> None:
    altered = bytearray(whole[data.draw(st.sampled_from(sorted(whole)))])
    place = st.integers(0, len(altered) - 1) | st.integers(0, 300)
    for at, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), min_size=1)):
        altered[at % len(altered)] = value
    for call in (comrec.decode, comrec.info):
        with contextlib.suppress(ComrecError):
            call(bytes(altered))


def test_a_box_that_declares_more_than_there_is_takes_no_memory(
    whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(whole["jpegxl full"])
    at = data.index(b"brobExif") - 4
    data[at : at + 4] = b"\x70\0\0\0"
    monkeypatch.setattr(pyjpegxl, "probe", lambda _: pytest.fail("the library was asked"))
    with pytest.raises(DamagedFileError):
        comrec.info(bytes(data))


def huge_jpeg_xl(side: int) -> bytes:
    """The header of a codestream that declares a square (ISO/IEC 18181-1, D.2), no more."""
    bits = "0" + "11" + f"{side - 1:030b}"[::-1] + "100" + "1" * 8  # large, 30 bits, 1:1, defaults
    bits += "0" * (-len(bits) % 8)
    return b"\xff\x0a" + bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


def huge_heic(side: int, small: Picture) -> bytes:
    data = codec.get("heic").encode(Picture(np.ascontiguousarray(small.pixels[:, :48])), 50)
    declared = b"ispe" + struct.pack(">III", 0, 64, 64)
    assert declared in data
    data = data.replace(declared, b"ispe" + struct.pack(">III", 0, side, side))
    return data.replace(b"clap", b"free")


def test_a_picture_beyond_the_levels_of_hevc_is_refused_at_once() -> None:
    large = np.broadcast_to(np.uint8(0), (12_000, 12_000))
    with pytest.raises(UnsupportedPictureError, match="at most 142,606,336 pixels"):
        codec.get("heic").encode(Picture(large), 50)


@pytest.mark.parametrize("codec_id", BOTH)
def test_a_decompression_bomb_is_refused_before_decoding(codec_id: str, small: Picture) -> None:
    data = huge_jpeg_xl(17_000) if codec_id == "jpegxl" else huge_heic(17_000, small)
    for call in (comrec.decode, comrec.info):
        with pytest.raises(TooLargeError, match=r"^bomb: .*pixels"):
            call(data, name="bomb")


@pytest.mark.parametrize("codec_id", BOTH)
@pytest.mark.parametrize("gray", [False, True])
def test_deeper_samples_are_decoded_to_8_bits_but_read_only_where_that_is_allowed(
    codec_id: str, gray: bool, small: Picture
) -> None:
    deep = (small.pixels[..., 1] if gray else small.pixels).astype(np.uint16) * 257
    if codec_id == "jpegxl":
        data = pyjpegxl.encode_from_numpy(deep, lossless=True)
    else:
        buffer = io.BytesIO()
        mode = "I;16" if gray else "RGB;16"
        pillow_heif.encode(mode, (64, 48), deep.tobytes(), buffer, quality=100)
        data = buffer.getvalue()
    assert mean_error(np.asarray(comrec.decode(data)), deep / 257) < 2
    with pytest.raises(UnsupportedPictureError, match=r"^deep: .*(10|16).*--depth 8"):
        files.read(data, "deep")
    assert files.read(data, "deep", Preparation(depth=8)).is_gray == gray


def branded(major: bytes, *compatible: bytes) -> bytes:
    return boxes.pack(b"ftyp", major + bytes(4) + b"".join(compatible)) + boxes.pack(b"meta", b"")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"BPG\xfb" + bytes(9), "bpg"),
        (b"\xff\x0a" + bytes(9), "jpegxl"),
        (JXL_HEAD, "jpegxl"),
        (branded(b"heic", b"mif1", b"heic"), "heic"),
        (branded(b"heix", b"mif1"), "heic"),
        (branded(b"mif1", b"mif1", b"heic"), "heic"),
        (branded(b"mif1", b"miaf", b"MA1B", b"avif"), "avif"),
        (branded(b"avif", b"mif1", b"miaf"), "avif"),
        (branded(b"avis", b"msf1"), "avif"),
        (branded(b"mif1", b"avif", b"heic"), "avif"),
        (branded(b"heic", b"avif"), "heic"),
    ],
)
def test_formats_are_told_by_signature_and_brand(data: bytes, expected: str) -> None:
    assert format_of(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        branded(b"mif1"),
        branded(b"mp42", b"isom"),
        branded(b"mif1") + b"heic",  # behind the box
        branded(b"mif1", b"\0hei", b"c\0\0\0"),  # across two brands
        b"\0\0\0\x0cJXL \r\n\x87\r",
        b"\0\0\0\0ftyp",
    ],
)
def test_other_boxes_are_no_format_of_ours(data: bytes) -> None:
    with pytest.raises(UnknownFormatError, match=r"heic.*jpegxl"):
        format_of(data)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without the extras."""
    for module in ("pyjpegxl", "pillow_heif"):
        monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("family", ["", "comrec-", "jiang2017-"])
@pytest.mark.parametrize("base", BOTH)
def test_without_the_extra_the_install_line_is_told(
    family: str, base: str, small: Picture, whole: dict[str, bytes]
) -> None:
    line = rf"pip install 'comrec\[{base}\]'$"
    assert family + base in comrec.codecs()
    assert codec.get(family + base).extra == base
    with pytest.raises(MissingExtraError, match=line):
        comrec.encode(small, family + base)
    data = whole[f"{base} full"]
    for call in (comrec.decode, comrec.info):
        with pytest.raises(MissingExtraError, match=r"^a\.b: .*" + line):
            call(data, name="a.b")
    with pytest.raises(MissingExtraError, match=r"^a\.b: .*" + line):
        files.read(data, "a.b")


@pytest.mark.usefixtures("bare")
def test_the_command_line_lists_codecs_and_says_what_to_install(
    tmp_path: Path, small: Picture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["codecs", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    needs = {row["id"]: row["extra"] for row in rows}
    assert needs["heic"] == needs["comrec-heic"] == needs["jiang2017-heic"] == "heic"
    assert needs["webp"] is None
    assert main(["codecs"]) == 0
    assert "needs comrec[jpegxl]" in capsys.readouterr().out
    source = tmp_path / "a.png"
    small.to_pil().save(source)
    assert main(["encode", str(source), "-o", str(tmp_path / "a.jxl")]) == 1
    assert "pip install 'comrec[jpegxl]'" in capsys.readouterr().err


@pytest.mark.parametrize("extension", [".jxl", ".heic", ".heif", ".bpg"])
def test_the_command_line_writes_reads_and_describes_them(
    extension: str, tmp_path: Path, small: Picture, capsys: pytest.CaptureFixture[str]
) -> None:
    source, coded = tmp_path / "a.png", tmp_path / f"b{extension}"
    small.to_pil().save(source)
    assert main(["encode", str(source), "-o", str(coded), "-q", "60", "--quiet"]) == 0
    assert main(["decode", str(coded), "-o", str(tmp_path / "c.png")]) == 0
    with Image.open(tmp_path / "c.png") as image:
        assert mean_error(np.asarray(image), small.pixels) < 12
    assert main(["encode", str(coded), "-o", str(tmp_path / "d.jpg"), "--quiet"]) == 0
    assert main(["info", str(coded), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["width"], found["height"]) == (64, 48)
    assert found["container"] in ("jpegxl", "heic", "bpg")


def test_pillow_opens_them_once_asked(tmp_path: Path, small: Picture) -> None:
    for codec_id in ("jpegxl", "heic", "bpg"):
        (tmp_path / codec_id).write_bytes(codec.get(codec_id).encode(small, 50))
    marked = codec.get("jiang2017-jpegxl").encode(small, 50)
    (tmp_path / "marked").write_bytes(marked)
    script = """
import sys
from pathlib import Path
from PIL import Image
import comrec

paths = sorted(Path(sys.argv[1]).iterdir())
for path in paths:
    try:
        Image.open(path)
    except Image.UnidentifiedImageError:
        continue
    raise AssertionError(path)
comrec.register_pillow()
for path in paths:
    with Image.open(path) as image:
        assert image.tobytes() == comrec.decode(path.read_bytes()).tobytes(), path
for module in ("pyjpegxl", "pillow_heif", "av"):
    sys.modules[module] = None
    sys.modules.pop(f"{module}._", None)
try:
    Image.open(paths[0])
except Image.UnidentifiedImageError:
    pass
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)

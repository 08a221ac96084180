"""Colour that files say otherwise than by ICC: profiles made of it, and tone mapping."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sources
from numpy.typing import NDArray
from PIL import Image, ImageCms
from sources import saved

import comrec
from comrec import codec, files
from comrec.cli import main
from comrec.errors import UnsupportedPictureError
from comrec.formats import boxes
from comrec.picture import Metadata, Picture
from comrec.preparation import Preparation, read
from comrec.preparation.colour import means_srgb

RGB = sources.smooth(3)
SRGB = Preparation(colorspace="srgb")
BARE = Preparation(metadata="none")

D65 = (0.3127, 0.3290)
POINTS = {  # red, green, blue and white
    1: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), D65),
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), D65),
    6: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), D65),
    7: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), (0.310, 0.316)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),
    10: ((1, 0), (0, 1), (0, 0), (1 / 3, 1 / 3)),
    11: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.314, 0.351)),
    12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), D65),
    22: ((0.63, 0.34), (0.295, 0.605), (0.155, 0.077), D65),
}
ADOBE = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), D65)


def srgb_light(v: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


LIGHT: dict[int, Callable[[Any], Any]] = {
    **dict.fromkeys((1, 6, 13, 14, 15), srgb_light),
    4: lambda v: v**2.2,
    5: lambda v: v**2.8,
    7: lambda v: np.where(v < 0.0912, v / 4, ((v + 0.1115) / 1.1115) ** (1 / 0.45)),
    8: lambda v: v,
    17: lambda v: v**2.6,
}


def srgb_samples(light: NDArray[np.floating]) -> NDArray[np.uint8]:
    light = light.clip(0, 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(255 * curve), np.uint8)


def xyz(points: tuple[tuple[float, float], ...]) -> NDArray[np.floating]:
    """The matrix from linear RGB to XYZ (SMPTE RP 177), adapted to D50 by Bradford's method."""
    columns = np.array([(x, y, 1 - x - y) for x, y in points[:3]]).T
    x, y = points[3]
    white = np.array([x / y, 1, (1 - x - y) / y])
    matrix = columns @ np.diag(np.linalg.inv(columns) @ white)
    bradford = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    gains = (bradford @ np.array([0.9642, 1, 0.8249])) / (bradford @ white)
    return np.asarray(np.linalg.inv(bradford) @ np.diag(gains) @ bradford @ matrix)


def between(source: int, target: int) -> NDArray[np.floating]:
    return np.asarray(np.linalg.inv(xyz(POINTS[target])) @ xyz(POINTS[source]))


def shown(samples: NDArray[np.uint8], primaries: int, transfer: int) -> NDArray[np.uint8]:
    """The sRGB samples of those of two code points, by floating point."""
    return srgb_samples(LIGHT[transfer](samples / 255) @ between(primaries, 1).T)


def close(a: NDArray[np.uint8], b: NDArray[np.uint8], levels: int = 1) -> bool:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max()) <= levels


def png(*chunks: bytes, samples: NDArray[np.generic] = RGB, bits: int = 8) -> bytes:
    return sources.png(samples, bits, 2 if samples.ndim == 3 else 0, *chunks)


def profile_of(picture: Picture) -> ImageCms.ImageCmsProfile:
    assert picture.metadata.icc is not None
    return ImageCms.ImageCmsProfile(io.BytesIO(picture.metadata.icc))


def by_profile(picture: Picture) -> NDArray[np.uint8]:
    """sRGB samples by LittleCMS."""
    target = ImageCms.createProfile("sRGB")
    mode = "L" if picture.is_gray else "RGB"
    found = ImageCms.profileToProfile(
        Image.fromarray(picture.pixels), profile_of(picture), target, outputMode="RGB"
    )
    assert found is not None
    return np.asarray(found)[..., 1] if mode == "L" else np.asarray(found)


GRID = np.array(list(product(range(0, 256, 15), repeat=3)), np.uint8).reshape(-1, 18, 3)


# profiles


@pytest.mark.parametrize("transfer", sorted(LIGHT))
@pytest.mark.parametrize("primaries", sorted(POINTS))
def test_a_profile_shows_what_its_code_points_mean(primaries: int, transfer: int) -> None:
    picture = read(png(sources.cicp(primaries, transfer), samples=GRID))
    assert np.array_equal(picture.pixels, GRID)
    expected = shown(GRID, primaries, transfer)
    if picture.metadata.icc is None:
        assert (primaries, transfer) in {(1, code) for code in (1, 6, 13, 14, 15)}
        assert close(GRID, expected)
        return
    assert not means_srgb(picture.metadata.icc)
    # LittleCMS rounds to 8 bits between curves and matrix, which shows where sRGB is steepest.
    difference = np.abs(by_profile(picture).astype(int) - expected)
    assert difference.mean() < 0.4
    assert np.percentile(difference, 99) <= 2


@pytest.mark.parametrize("transfer", sorted(set(LIGHT) - {1, 6, 13, 14, 15}))
def test_a_gray_picture_gets_a_gray_profile(transfer: int) -> None:
    ramp = np.arange(256, dtype=np.uint8)[None]
    picture = read(png(sources.cicp(9, transfer), samples=ramp))
    assert profile_of(picture).profile.xcolor_space == "GRAY"
    assert np.array_equal(picture.pixels, ramp)
    bare = read(png(sources.cicp(9, transfer), samples=ramp), how=BARE)
    assert bare.is_gray
    assert close(bare.pixels, srgb_samples(LIGHT[transfer](ramp / 255)), 2)


def test_a_profile_is_named_and_always_the_same() -> None:
    first, second = (read(png(sources.cicp(12, 13))) for _ in range(2))
    assert first.metadata == second.metadata
    assert first.notes == ()
    assert ImageCms.getProfileDescription(profile_of(first)).strip() == "Display P3"


@pytest.mark.parametrize("codes", [(1, 13), (1, 1), (2, 2), (1, 2), (2, 13), (1, 6)])
def test_what_means_srgb_gets_no_profile(codes: tuple[int, int]) -> None:
    picture = read(png(sources.cicp(*codes)))
    assert picture.metadata == Metadata()
    assert picture.notes == ()


# PNG


def chrm(points: tuple[tuple[float, float], ...], gamma: float = 2.2) -> bytes:
    red, green, blue, white = points
    return sources.gama_chrm(gamma, (*white, *red, *green, *blue))


def iccp(profile: bytes) -> bytes:
    data = saved(Image.new("RGB", (1, 1)), "PNG", icc_profile=profile)
    at = data.index(b"iCCP") - 4
    (length,) = struct.unpack_from(">I", data, at)
    return data[at : at + 12 + length]


def test_gama_and_chrm_become_a_profile() -> None:
    picture = read(png(chrm(ADOBE), samples=GRID))
    matrix = np.linalg.inv(xyz(POINTS[1])) @ xyz(ADOBE)
    expected = srgb_samples((GRID / 255) ** 2.2 @ matrix.T)
    difference = np.abs(by_profile(picture).astype(int) - expected)
    assert difference.mean() < 0.4
    assert np.percentile(difference, 99) <= 2
    again = comrec.encode(Image.open(io.BytesIO(png(chrm(ADOBE), samples=GRID))), "png")
    assert codec.get("png").decode(again).metadata == picture.metadata


def test_gama_alone_is_followed() -> None:
    ramp = np.arange(256, dtype=np.uint8)[None]
    gama = sources.png_chunk(b"gAMA", struct.pack(">I", 100_000))
    bare = read(png(gama, samples=ramp), how=BARE)
    assert close(bare.pixels, srgb_samples(ramp / 255))


@pytest.mark.parametrize("with_points", [False, True])
def test_the_gama_that_goes_with_srgb_means_srgb(with_points: bool) -> None:
    both = chrm(POINTS[1])
    picture = read(png(both if with_points else both[:16]))
    assert picture.metadata.icc is None


def test_chrm_alone_has_the_curve_of_srgb() -> None:
    assert read(png(chrm(POINTS[12])[16:])).metadata.icc is not None
    p3 = read(png(chrm(POINTS[12])[16:], samples=GRID), how=BARE)
    assert np.abs(p3.pixels.astype(int) - shown(GRID, 12, 13)).mean() < 0.4


def test_cicp_outranks_iccp_outranks_srgb_outranks_gama() -> None:
    profile, srgb = sources.rgb_profile(), sources.png_chunk(b"sRGB", b"\0")
    linear = chrm(POINTS[9], 1)
    p3 = read(png(sources.cicp(12, 13))).metadata.icc
    assert read(png(sources.cicp(12, 13), iccp(profile), linear)).metadata.icc == p3
    assert read(png(sources.cicp(1, 13), iccp(profile), linear)).metadata.icc is None
    assert read(png(sources.cicp(2, 2), iccp(profile))).metadata.icc == profile
    assert read(png(iccp(profile), linear)).metadata.icc == profile
    assert read(png(srgb, linear)).metadata.icc is None
    assert read(png(linear)).metadata.icc is not None


@pytest.mark.parametrize(
    ("chunk", "word"),
    [
        (sources.png_chunk(b"cICP", b"\x0c\x0d"), "cICP"),
        (sources.cicp(12, 13, matrix=6), "cICP"),
        (sources.cicp(12, 13, full_range=7), "cICP"),
        (sources.cicp(77, 13), "colour primaries 77"),
        (sources.cicp(1, 10), "transfer characteristics 10"),
        (sources.png_chunk(b"gAMA", bytes(4)), "gAMA"),
        (sources.png_chunk(b"gAMA", b"\xff" * 4), "gAMA"),
        (sources.png_chunk(b"cHRM", bytes(32)), "cHRM"),
        (sources.png_chunk(b"cHRM", b"\xff" * 32), "cHRM"),
        (sources.png_chunk(b"cHRM", struct.pack(">8I", *4 * (31270, 32900))), "cHRM"),
    ],
)
def test_what_is_invalid_is_ignored_with_a_note(chunk: bytes, word: str) -> None:
    picture = read(png(chunk))
    assert np.array_equal(picture.pixels, RGB)
    assert picture.metadata.icc is None
    (note,) = picture.notes
    assert word in note


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_video_range_is_expanded(bits: int, channels: int) -> None:
    step = 2 ** (bits - 8)
    levels = np.array([0, 16, 126, 235, 255])
    samples = (levels * step).astype(np.uint16).reshape(1, -1)
    if channels == 3:
        samples = np.dstack([samples] * 3)
    data = png(sources.cicp(1, 13, full_range=0), samples=samples, bits=bits)
    picture = read(data, how=Preparation(depth=8))
    expected = np.rint(((levels - 16) / 219).clip(0, 1) * 255)
    assert picture.pixels.reshape(5, -1)[:, 0].tolist() == expected.tolist()
    assert read(png(sources.cicp(12, 13, full_range=0))).metadata.icc is not None


# AVIF, HEIC, JPEG XL, JPEG 2000, TIFF


def test_nclx_of_avif_becomes_a_profile() -> None:
    p3 = read(png(sources.cicp(12, 13))).metadata.icc
    data = sources.nclx_avif(RGB, 12, 13)
    for picture in (files.read(data, "a.avif"), files.decode(data)):
        assert picture.metadata.icc == p3
        assert close(picture.pixels, RGB, 6)
    assert files.read(sources.nclx_avif(RGB, 1, 1), "a.avif").metadata.icc is None
    assert files.read(sources.nclx_avif(RGB, 2, 2), "a.avif").metadata.icc is None
    assert "icc_profile" in comrec.decode(data).info
    assert comrec.info(data).width == sources.WIDTH


def test_a_profile_in_avif_outranks_nclx() -> None:
    metadata = Metadata(icc=sources.rgb_profile())
    data = codec.get("avif").encode(Picture(RGB, None, metadata), 90)
    assert codec.get("avif").decode(data).metadata == metadata


def test_nclx_of_another_item_is_not_that_of_the_picture() -> None:
    data = sources.nclx_avif(RGB, 12, 13)
    at = data.index(b"ipma") + 4 + 4 + 4 + 2  # to the number of properties of the first item
    number = data[at]
    indices = bytearray(data[at + 1 : at + 1 + number])
    kinds = [kind for _, kind, _ in boxes.walk(boxes.find(data, b"meta", b"iprp", b"ipco") or b"")]
    where = [index & 0x7F for index in indices].index(kinds.index(b"colr") + 1)
    indices[where] = indices[0]
    other = data[: at + 1] + bytes(indices) + data[at + 1 + number :]
    assert files.decode(other).metadata.icc is None


def test_a_marked_file_keeps_the_colour_that_nclx_says() -> None:
    data = comrec.encode(RGB, "jiang2017-avif", 90, effort=1)
    head = b"colrnclx" + struct.pack(">HH", 1, 13)
    data = data.replace(head, b"colrnclx" + struct.pack(">HH", 12, 13))
    assert comrec.info(data).codec == "jiang2017-avif"
    p3 = read(png(sources.cicp(12, 13))).metadata.icc
    assert comrec.decode(data).info["icc_profile"] == p3
    assert comrec.decode(data, plain=True).info["icc_profile"] == p3


def heic(samples: NDArray[np.generic], primaries: int, transfer: int) -> bytes:
    library = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    mode = "RGB;16" if samples.dtype == np.uint16 else "RGB"
    library.encode(
        mode,
        (samples.shape[1], samples.shape[0]),
        samples.tobytes(),
        buffer,
        quality=100,
        chroma=444,
        save_nclx_profile=True,
        color_primaries=primaries,
        transfer_characteristics=transfer,
        matrix_coefficients=9 if primaries == 9 else 6,
        full_range_flag=1,
    )
    return buffer.getvalue()


def test_nclx_of_heic_becomes_a_profile() -> None:
    p3 = read(png(sources.cicp(12, 13))).metadata.icc
    data = heic(RGB, 12, 13)
    for picture in (files.read(data, "a.heic"), files.decode(data)):
        assert picture.metadata.icc == p3
        assert close(picture.pixels, RGB, 6)
    assert files.decode(heic(RGB, 1, 13)).metadata.icc is None
    library = pytest.importorskip("pillow_heif")
    opened = library.open_heif(data).to_pillow()
    assert codec.get("png").decode(comrec.encode(opened, "png")).metadata.icc == p3


def jxl(samples: NDArray[np.uint8], primaries: int, transfer: int) -> bytes:
    """JPEG XL of 64x64 whose header declares an encoding (ISO/IEC 18181-1, annex D)."""
    library = pytest.importorskip("pyjpegxl")
    data = library.encode_from_numpy(samples, lossless=False, quality=0.1)
    start = int.from_bytes(data[2:4], "little")
    assert start >> 9 & 3 == 3  # all default, and so is the transform
    fields = [
        (start & 0x1FF, 9),  # the size
        (0, 1),  # not all default
        (0, 1),  # no extra fields
        (0, 1), (0, 2),  # 8 bits
        (1, 1),  # 16-bit buffers
        (0, 2),  # no extra channels
        (1, 1),  # XYB
        (0, 1), (0, 1), (0, 2), (1, 2),  # not all default, no ICC, RGB, D65
        (2, 2), (primaries - 2, 4),
        (0, 1), *([(3, 2), (0, 6)] if transfer == 18 else [(2, 2), (transfer - 2, 4)]),
        (1, 2),  # relative colorimetric
        (0, 2),  # no extensions
        (1, 1),  # default transform
    ]  # fmt: skip
    value = at = 0
    for field, width in fields:
        value |= field << at
        at += width
    return bytes(data[:2]) + value.to_bytes(-(-at // 8), "little") + bytes(data[4:])


FLAT = np.full((64, 64, 3), (200, 120, 90), np.uint8)


def test_what_jpeg_xl_declares_becomes_a_profile() -> None:
    data = jxl(FLAT, 11, 13)  # its number of P3
    picture = files.read(data, "a.jxl")
    assert picture.metadata.icc is not None
    assert close(picture.pixels, srgb_samples(srgb_light(FLAT / 255) @ between(1, 12).T), 4)
    assert close(files.read(data, "a.jxl", BARE).pixels, FLAT, 4)


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_in_jpeg_xl_is_refused_or_tone_mapped(transfer: int, name: str) -> None:
    data = jxl(FLAT, 9, transfer)
    with pytest.raises(UnsupportedPictureError, match=rf"^a.jxl: .*{name}.*--colorspace srgb"):
        files.read(data, "a.jxl")
    picture = files.read(data, "a.jxl", SRGB)
    assert picture.metadata.icc is None
    assert close(files.decode(data).pixels, picture.pixels, 0)
    # Its brightest is 255 cd/m2 at most, so that little is compressed.
    light = srgb_light(FLAT[0, 0] / 255.0)
    expected = srgb_samples(light * 255 / 203)
    if transfer == 16:
        assert close(picture.pixels[0, 0], expected, 12)
    assert picture.pixels[0, 0, 0] > picture.pixels[0, 0, 1] > picture.pixels[0, 0, 2]


def jp2(colour: bytes) -> bytes:
    return sources.jp2_colour(RGB, colour)


def test_what_jpeg_2000_declares_becomes_a_profile() -> None:
    srgb = files.decode(jp2(b"\1\0\0" + struct.pack(">I", 16)))
    assert srgb.metadata.icc is None
    romm = files.decode(jp2(b"\1\0\0" + struct.pack(">I", 21)))
    assert "ROMM" in ImageCms.getProfileDescription(profile_of(romm))
    points = files.decode(jp2(b"\5\0\0" + struct.pack(">HHHB", 12, 13, 0, 128)))
    assert points.metadata == read(png(sources.cicp(12, 13))).metadata
    unknown = files.decode(jp2(b"\1\0\0" + struct.pack(">I", 20)))
    assert unknown.metadata.icc is None
    assert any("20" in note for note in unknown.notes)


def tiff(*tags: tuple[int, int, int, tuple[int, ...]]) -> bytes:
    return sources.tiff(RGB, "rgb", extratags=[(*tag, True) for tag in tags])


def rationals(*values: float) -> tuple[int, ...]:
    return tuple(part for value in values for part in (round(value * 10_000), 10_000))


def test_chromaticities_and_curve_of_tiff_become_a_profile() -> None:
    white = (318, 5, 2, rationals(*D65))
    p3 = (319, 5, 6, rationals(*sum(POINTS[12][:3], ())))
    for data in (tiff(white, p3), tiff(p3)):
        found = by_profile(read(data))
        assert np.abs(found.astype(int) - shown(RGB, 12, 13)).mean() < 0.4
    table = tuple(round(65535 * (i / 255) ** 1.8) for i in range(256))
    curved = read(tiff((301, 3, 256, table)))
    assert close(by_profile(curved), srgb_samples((RGB / 255) ** 1.8), 2)
    same = read(tiff(white, (319, 5, 6, rationals(*sum(POINTS[1][:3], ())))))
    assert same.metadata.icc is None


def test_wrong_chromaticities_of_tiff_are_ignored_with_a_note() -> None:
    for tag in ((319, 5, 6, (0, 1) * 6), (319, 5, 2, (1, 2, 1, 2)), (319, 5, 6, (1, 0) * 6)):
        picture = read(tiff(tag))
        assert picture.metadata.icc is None
        assert any("chromaticities" in note for note in picture.notes)
    assert any("TransferFunction" in note for note in read(tiff((301, 3, 3, (1, 2, 3)))).notes)


# PQ and HLG


def deep(samples: NDArray[np.floating]) -> NDArray[np.uint16]:
    rounded: NDArray[np.uint16] = np.rint(samples * 65535).astype(np.uint16)
    return rounded


def in_pq(samples: NDArray[np.uint8], white: float = 203) -> NDArray[np.uint16]:
    """sRGB samples as PQ in BT.2020, with white at so many cd/m2."""
    light = srgb_light(samples / 255) @ between(1, 9).T
    return deep(sources.pq(white * light.clip(0, None)))


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
@pytest.mark.parametrize("bits", [8, 16])
def test_hdr_is_refused_by_an_error_that_names_the_option(
    transfer: int, name: str, bits: int
) -> None:
    data = png(sources.cicp(9, transfer), samples=RGB, bits=bits)
    for how in (Preparation(), Preparation(depth=8)):
        with pytest.raises(UnsupportedPictureError) as refusal:
            files.read(data, "a.png", how)
        assert str(refusal.value).startswith("a.png: ")
        assert name in str(refusal.value)
        assert "--colorspace srgb" in str(refusal.value)
    assert files.read(data, "a.png", SRGB).pixels.dtype == np.uint8


def test_pq_without_highlights_is_shown_as_it_is() -> None:
    data = png(sources.cicp(9, 16), samples=in_pq(GRID), bits=16)
    assert close(files.read(data, "a.png", SRGB).pixels, GRID)
    gray = np.arange(256, dtype=np.uint8)[None]
    light = deep(sources.pq(203 * srgb_light(gray / 255)))
    picture = files.read(png(sources.cicp(9, 16), samples=light, bits=16), "a.png", SRGB)
    assert picture.is_gray
    assert close(picture.pixels, gray)


def test_pq_is_mapped_from_all_of_its_bits() -> None:
    ramp = np.linspace(0, 0.58, 4096)[None]
    data = png(sources.cicp(9, 16), samples=deep(ramp), bits=16)
    picture = files.read(data, "a.png", SRGB)
    eight = png(sources.cicp(9, 16), samples=np.rint(255 * ramp).astype(np.uint8))
    assert len(np.unique(picture.pixels)) > 230
    assert len(np.unique(files.read(eight, "a.png", SRGB).pixels)) < 150


def test_highlights_are_compressed_and_the_rest_is_kept() -> None:
    nits = np.array([[0, 1, 10, 50, 203, 400, 1000]])
    samples = deep(sources.pq(nits))
    (values,) = files.read(png(sources.cicp(9, 16), samples=samples, bits=16), "a", SRGB).pixels
    assert values[-1] == 255
    assert (np.diff(values.astype(int)) > 0).all()
    assert close(values[:4], srgb_samples(nits[0, :4] / 203))
    assert 215 < values[4] < 240


def test_a_bright_colour_keeps_its_hue() -> None:
    light = np.array([[[900.0, 450, 225]]])
    samples = deep(sources.pq(light))
    (pixel,) = files.read(png(sources.cicp(1, 16), samples=samples, bits=16), "a", SRGB).pixels[0]
    assert close(pixel, srgb_samples(light[0, 0] / 900))


def test_hlg_has_its_reference_white_and_peak() -> None:
    samples = deep(np.array([[0, 0.25, 0.5, 0.75, 1.0]]))
    (values,) = files.read(png(sources.cicp(9, 18), samples=samples, bits=16), "a", SRGB).pixels
    assert values[0] == 0
    assert values[-1] == 255
    # A sample of 0.75 is reference white, 203 cd/m2 of the 1000, as in PQ.
    nits = deep(sources.pq(np.array([[203.0, 1000]])))
    same = files.read(png(sources.cicp(9, 16), samples=nits, bits=16), "a", SRGB).pixels
    assert abs(int(values[3]) - int(same[0, 0])) <= 1
    # Dark ones are not compressed: (E^2 / 3) to the power of 1.2, of 1000 cd/m2.
    assert close(values[1:2], srgb_samples(np.array([1000 * (0.25**2 / 3) ** 1.2 / 203])))


def test_transparency_of_hdr_is_kept() -> None:
    samples = np.dstack([in_pq(RGB), sources.alpha().astype(np.uint16) * 257])
    data = sources.png(samples, 16, 6, sources.cicp(9, 16))
    picture = files.read(data, "a.png", SRGB)
    assert close(picture.pixels, RGB)
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, sources.alpha())


def test_hdr_in_avif_and_heic_is_tone_mapped() -> None:
    eight = np.rint(in_pq(RGB) / 257).astype(np.uint8)
    data = sources.nclx_avif(eight, 9, 16)
    with pytest.raises(UnsupportedPictureError, match=r"PQ.*--colorspace srgb"):
        files.read(data, "a.avif")
    assert np.abs(files.read(data, "a.avif", SRGB).pixels.astype(int) - RGB).mean() < 6


def test_hdr_in_heic_is_tone_mapped_from_all_of_its_bits() -> None:
    data = heic(in_pq(RGB), 9, 16)
    with pytest.raises(UnsupportedPictureError, match=r"PQ.*--colorspace srgb"):
        files.read(data, "a.heic")
    picture = files.read(data, "a.heic", SRGB)
    assert np.abs(picture.pixels.astype(int) - RGB).mean() < 2
    assert comrec.info(data).height == sources.HEIGHT


def test_decode_tone_maps_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(png(sources.cicp(9, 16), samples=in_pq(RGB), bits=16))
    assert main(["decode", "a.png", "-o", "b.png"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("comrec: a.png: PQ")
    with Image.open("b.png") as image:
        assert close(np.asarray(image), RGB)
    assert main(["encode", "a.png", "-o", "c.jpg", "-c", "jpeg", "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "--colorspace srgb" in line
    arguments = ["-o", "c.jpg", "-c", "jpeg", "--quiet", "--colorspace", "srgb", "--json"]
    assert main(["encode", "a.png", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] > 0

"""How sources of all kinds become 8-bit gray or RGB, and what their metadata does to pixels."""

from __future__ import annotations

import contextlib
import io
import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sources
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from sources import saved

import comrec
from comrec import codec, files, preparation
from comrec.cli import main
from comrec.errors import DamagedFileError, InputError, OptionError, UnsupportedPictureError
from comrec.formats import boxes, jp2, jxl
from comrec.picture import Metadata, Picture
from comrec.preparation import Preparation, read

EIGHT = Preparation(depth=8)
SRGB = Preparation(colorspace="srgb")
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def nearest(samples: np.ndarray, levels: int = 65535) -> np.ndarray:
    return np.floor(samples / levels * 255 + 0.5).astype(np.uint8)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 65536, shape).astype(np.uint16)


def exif(orientation: int, description: str = "a cat") -> bytes:
    block = Image.Exif()
    block[0x0112], block[0x010E] = orientation, description
    return block.tobytes()


def orientation_of(picture: Picture) -> int:
    found = Image.Exif()
    found.load(picture.metadata.exif or b"")
    return int(found.get(0x0112, 1))


# depth


def test_every_16_bit_sample_becomes_the_nearest_of_8_bits() -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(read(sources.png(every, 16, 0), how=EIGHT).pixels, nearest(every))


@pytest.mark.parametrize(("channels", "colour_type"), [(1, 0), (2, 4), (3, 2), (4, 6)])
def test_a_16_bit_png_is_rounded_and_not_cut(channels: int, colour_type: int) -> None:
    samples = noise(9, 7, channels)
    picture = read(sources.png(samples, 16, colour_type), how=EIGHT)
    expected = nearest(samples)
    colours = 3 if channels > 2 else 1
    assert np.array_equal(picture.pixels.reshape(9, 7, -1), expected[..., :colours])
    assert (picture.alpha is None) == (channels in (1, 3))
    if picture.alpha is not None:
        assert np.array_equal(picture.alpha, expected[..., -1])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("channels", "photometric", "extra"),
    [
        (1, "minisblack", None),
        (3, "rgb", None),
        (4, "rgb", ["unassalpha"]),
        (4, "rgb", ["unspecified"]),
        (4, "separated", None),
    ],
)
def test_a_16_bit_tiff_is_rounded_and_not_cut(
    order: str, compression: str | None, channels: int, photometric: str, extra: Any
) -> None:
    samples = noise(9, 7, channels)
    given_samples = samples[..., 0] if channels == 1 else samples
    data = sources.tiff(
        given_samples, photometric, byteorder=order, compression=compression, extrasamples=extra
    )
    picture = read(data, how=replace(EIGHT, colorspace="srgb"))
    expected = nearest(samples)
    if photometric == "separated":
        light = 1 - expected / 255
        assert np.abs(picture.pixels - 255 * light[..., :3] * light[..., 3:]).max() <= 1
        return
    assert np.array_equal(picture.pixels.reshape(9, 7, -1), expected[..., : min(channels, 3)])
    if channels == 4:
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha, expected[..., 3])
    assert bool(picture.notes) == (extra == ["unspecified"])


def test_a_16_bit_tiff_whose_zero_is_white_is_inverted() -> None:
    samples = noise(9, 7)
    picture = read(sources.tiff(samples, "miniswhite"), how=EIGHT)
    assert np.array_equal(picture.pixels, nearest(65535 - samples))


def test_16_bit_colours_multiplied_by_alpha_are_divided_again() -> None:
    samples = noise(9, 7, 4)
    samples[..., :3] = samples[..., :3] * (samples[..., 3:] / 65535)
    picture = read(sources.tiff(samples, "rgb", extrasamples=["assocalpha"]), how=EIGHT)
    whole = np.minimum(samples[..., :3] / np.maximum(samples[..., 3:], 1.0) * 65535, 65535)
    assert np.abs(picture.pixels.astype(int) - nearest(whole)).max() <= 1
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, nearest(samples[..., 3]))


def test_a_12_bit_tiff_uses_the_whole_range() -> None:
    samples = np.array([[0, 4095], [2048, 1]], np.uint16)
    packed = np.packbits(  # 12 bits each, most significant first
        (samples[..., None] >> np.arange(11, -1, -1) & 1).astype(np.uint8).reshape(2, -1), axis=1
    )
    header = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 8)
    entries = [(256, 2), (257, 2), (258, 12), (259, 1), (262, 1), (273, 110), (278, 2), (279, 6)]
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    data = (header + tags + bytes(4)).ljust(110, b"\0") + packed.tobytes()
    assert read(data, how=EIGHT).pixels.tolist() == [[0, 255], [128, 0]]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("extra", [None, "unassalpha", "assocalpha", "unspecified"])
@pytest.mark.parametrize("deep", [False, True])
def test_planes_of_a_tiff_are_read_one_by_one(
    order: str, compression: str | None, tile: Any, extra: str | None, deep: bool
) -> None:
    samples = noise(3 if extra is None else 4, 20, 24)
    if extra == "assocalpha":
        samples[3] |= 1 << 15
        samples[:3] = samples[:3] * (samples[3] / 65535)
    stored = samples if deep else (samples >> 8).astype(np.uint8)
    data = sources.tiff(
        stored, "rgb", planarconfig="separate", byteorder=order, compression=compression,
        tile=tile, extrasamples=None if extra is None else [extra],
    )  # fmt: skip
    picture = read(data, how=EIGHT)
    expected = np.moveaxis(stored / np.iinfo(stored.dtype).max, 0, 2)
    if extra == "assocalpha":
        expected[..., :3] = np.minimum(expected[..., :3] / expected[..., 3:], 1)
    assert np.abs(picture.pixels - 255 * expected[..., :3]).max() <= 0.51
    assert (picture.alpha is None) == (extra is None)
    if picture.alpha is not None:
        assert np.abs(picture.alpha - 255 * expected[..., 3]).max() <= 0.51


@pytest.mark.parametrize("header", [b"P6 2 1 65535\n", b"P6 2 1 1023\n", b"P5 6 1 65535\n"])
def test_a_deep_pnm_is_rounded(header: bytes) -> None:
    levels = int(header.split()[-1])
    samples = np.minimum(noise(6), levels)
    data = header + samples.astype(">u2").tobytes()
    with pytest.raises(UnsupportedPictureError, match="--depth 8"):
        read(data)
    assert np.array_equal(read(data, how=EIGHT).pixels.ravel(), nearest(samples, levels))


@pytest.mark.parametrize("name", ["16.jp2", "16.j2k"])
def test_a_deep_jpeg2000_is_noticed(name: str) -> None:
    samples = (noise(32, 32) // 4096) * 4096
    data = saved(Image.fromarray(samples), "JPEG2000", no_jp2=name.endswith("j2k"))
    with pytest.raises(UnsupportedPictureError, match=rf"^{name}: .*16: --depth 8"):
        read(data, name)
    assert np.array_equal(read(data, how=EIGHT).pixels, nearest(samples))


def test_a_deep_avif_is_noticed() -> None:
    data = codec.get("avif").encode(Picture(sources.smooth(3)), 80)
    deep = bytearray(data)
    at = data.index(b"pixi")
    assert data[at + 8 : at + 12] == b"\3\10\10\10"
    deep[at + 9 : at + 12] = b"\12\12\12"
    deep[data.index(b"av1C") + 6] |= 0x40  # high_bitdepth, which must agree
    with pytest.raises(UnsupportedPictureError, match="not 10: --depth 8"):
        read(bytes(deep))


def test_a_deep_transparent_colour_is_compared_in_full() -> None:
    samples = np.array([[[256, 512, 768], [257, 512, 768]]], np.uint16)
    key = sources.png_chunk(b"tRNS", struct.pack(">HHH", 256, 512, 768))
    picture = read(sources.png(samples, 16, 2, key), how=EIGHT)
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[0, 255]]


@pytest.mark.parametrize(("bits", "row"), [(1, 0b01010101), (2, 0b00011011), (4, 0x01)])
def test_a_transparent_gray_of_few_bits_is_found(bits: int, row: int) -> None:
    key = sources.png_chunk(b"tRNS", struct.pack(">H", 1))
    picture = read(sources.png(np.array([[row]]), bits, 0, key))
    expected = [255 * ((row >> at & (1 << bits) - 1) != 1) for at in range(8 - bits, -1, -bits)]
    assert picture.is_gray
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [expected]


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_deep_images_in_memory_need_the_option_too(mode: str) -> None:
    image = Image.new(mode, (3, 2), 40_000)
    with pytest.raises(UnsupportedPictureError, match="--depth 8"):
        comrec.encode(image, "png")
    assert comrec.decode(comrec.encode(image, "png", depth=8)).getpixel((0, 0)) == 156


@pytest.mark.parametrize("mode", ["I", "F"])
def test_samples_without_an_agreed_white_are_refused_by_name(mode: str) -> None:
    image = Image.new(mode, (3, 2))
    everything: dict[str, Any] = {"background": "white", "depth": 8, "colorspace": "srgb"}
    with pytest.raises(UnsupportedPictureError, match=f"mode {mode} "):
        comrec.encode(image, "png", **everything)
    with pytest.raises(UnsupportedPictureError, match=f"^a.tif: .*mode {mode} "):
        read(saved(image, "TIFF"), "a.tif", Preparation(**everything))


# background


@given(arrays(np.uint8, (1, 9, 3)), arrays(np.uint8, (1, 9)), st.tuples(*3 * [st.integers(0, 255)]))
@settings(max_examples=50)
def test_a_background_shows_through_by_alpha(
    pixels: np.ndarray, alpha: np.ndarray, colour: tuple[int, int, int]
) -> None:
    how = Preparation("#{:02x}{:02x}{:02x}".format(*colour))
    flat = preparation.finish(Picture(pixels, alpha), how)
    part = alpha[..., None] / 255
    assert flat.alpha is None
    exact = part * pixels + (1 - part) * np.array(colour)
    assert np.abs(flat.pixels - exact).max() <= 0.5 + 1e-9


def test_gray_stays_gray_over_gray_and_becomes_rgb_over_a_colour() -> None:
    picture = Picture(sources.smooth(1), sources.alpha())
    assert preparation.finish(picture, Preparation("silver")).is_gray
    over_red = preparation.finish(picture, Preparation("red"))
    above = float(picture.pixels[-1, 0]) * 100 / 255
    assert over_red.pixels[-1, 0].tolist() == [round(above + 155), round(above), round(above)]


def test_a_background_is_srgb_where_the_profile_goes() -> None:
    profile = Metadata(icc=sources.rgb_profile())
    clear = Picture(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8), profile)
    for kept in ("none", "icc"):
        flat = preparation.finish(clear, Preparation("#40c020", metadata=kept))
        assert flat.pixels[0, 0].tolist() == [0x40, 0xC0, 0x20]


def test_a_gray_profile_does_not_stay_around_a_colour() -> None:
    profile = Metadata(icc=sources.gray_profile(1.0))
    picture = Picture(np.full((2, 2), 128, np.uint8), np.full((2, 2), 254, np.uint8), profile)
    flat = preparation.finish(picture, Preparation("red"))
    assert flat.metadata.icc is None
    assert abs(int(flat.pixels[0, 0, 1]) - 187) <= 2  # half of linear light


def test_an_opaque_picture_keeps_its_pixels_over_any_background() -> None:
    picture = Picture(sources.smooth(3), np.full((sources.HEIGHT, sources.WIDTH), 255, np.uint8))
    for how in (Preparation(), Preparation("red")):
        plain = preparation.finish(picture, how)
        assert plain.alpha is None
        assert np.array_equal(plain.pixels, picture.pixels)


@pytest.mark.parametrize(
    "wrong",
    [
        {"background": "whitish"},
        {"background": "#12345"},
        {"background": "#ffffff80"},
        {"depth": 10},
        {"colorspace": "cmyk"},
        {"frame": -1},
        {"metadata": "exif,gps"},
        {"metadata": ""},
        {"metadata": "all,exif"},
    ],
)
def test_wrong_values_are_refused_with_the_right_ones(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(OptionError, match=f"{name}|colour"):
        Preparation(**wrong)
    with pytest.raises(OptionError):
        comrec.encode(sources.smooth(3), "png", **wrong)


# colour


def cmyk() -> Image.Image:
    return Image.frombytes("CMYK", (sources.WIDTH, sources.HEIGHT), sources.smooth(4).tobytes())


@pytest.mark.parametrize("icc", [b"damaged", sources.rgb_profile(), sources.gray_profile(2.2)])
def test_cmyk_with_a_profile_that_does_not_fit_is_as_without(icc: bytes) -> None:
    image = cmyk()
    plain = read(saved(image, "TIFF"), how=SRGB)
    odd = read(saved(image, "TIFF", icc_profile=icc), how=SRGB)
    assert np.array_equal(odd.pixels, plain.pixels)
    assert odd.metadata.icc is None


def test_images_in_memory_are_converted_alike() -> None:
    image = cmyk()
    image.info["icc_profile"] = sources.cmyk_profile()
    data = comrec.encode(image, "png", colorspace="srgb")
    expected = read(saved(image, "TIFF", icc_profile=sources.cmyk_profile()), how=SRGB)
    assert np.array_equal(np.asarray(comrec.decode(data)), expected.pixels)
    with pytest.raises(UnsupportedPictureError, match="CMYK: --colorspace srgb"):
        comrec.encode(image, "png")


def test_a_picture_that_loses_its_profile_looks_the_same() -> None:
    from test_kinds import from_p3

    picture = Picture(sources.smooth(3), None, Metadata(icc=sources.rgb_profile()))
    without = preparation.finish(picture, Preparation(metadata="exif,xmp"))
    assert without.metadata.icc is None
    assert np.abs(without.pixels.astype(int) - from_p3(picture.pixels)).max() <= 2
    assert not np.array_equal(without.pixels, picture.pixels)
    kept = preparation.finish(picture, Preparation(metadata="icc"))
    assert kept.metadata.icc == picture.metadata.icc
    assert np.array_equal(kept.pixels, picture.pixels)


@pytest.mark.parametrize(
    "icc", [sources.srgb_profile(), b"damaged", sources.cmyk_profile(), sources.gray_profile(1.0)]
)
def test_pixels_stay_where_a_profile_says_srgb_or_nothing_that_fits(icc: bytes) -> None:
    picture = Picture(sources.smooth(3), None, Metadata(icc=icc))
    without = preparation.finish(picture, Preparation(metadata="none"))
    assert np.array_equal(without.pixels, picture.pixels)
    assert without.metadata == Metadata()


def test_gray_in_an_rgb_profile_stays_gray() -> None:
    gray = Picture(
        np.array([[0, 40, 128, 255]], np.uint8), None, Metadata(icc=sources.rgb_profile())
    )
    without = preparation.finish(gray, Preparation(metadata="none"))
    light = np.array([0, 40, 128, 255]) / 255
    expected = np.where(
        light**2.2 <= 0.0031308, 12.92 * light**2.2, 1.055 * light ** (2.2 / 2.4) - 0.055
    )
    assert without.is_gray
    assert np.abs(without.pixels - 255 * expected).max() <= 1.5


# orientation and other metadata


@pytest.mark.parametrize("orientation", range(1, 9))
def test_without_exif_pixels_are_turned_upright(orientation: int) -> None:
    picture = Picture(
        sources.smooth(3), sources.alpha(), Metadata(exif(orientation), None, XMP + b"more")
    )
    seen = ImageOps.exif_transpose(picture.to_pil())
    upright = preparation.finish(picture, Preparation(metadata="xmp"))
    assert np.array_equal(np.asarray(upright.to_pil()), np.asarray(seen))
    assert upright.metadata.exif is None
    assert upright.metadata.xmp is not None
    assert upright.metadata.xmp.endswith(b"more")
    assert b"Orientation" not in upright.metadata.xmp  # it would be turned again


@pytest.mark.parametrize("codec_id", ["jpeg", "jpeg2000", "webp", "avif", "heic", "jpegxl", "bpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_and_tag_fit_each_other_after_any_codec(codec_id: str, orientation: int) -> None:
    coder = codec.get(codec_id, effort=1)
    if coder.extra is not None:
        pytest.importorskip({"heic": "pillow_heif", "jpegxl": "pyjpegxl", "bpg": "av"}[coder.extra])
    picture = Picture(sources.smooth(3), None, Metadata(exif(orientation)))
    back = coder.decode(coder.encode(picture, 95))
    assert orientation_of(back) == orientation
    assert back.pixels.shape == picture.pixels.shape
    assert np.abs(back.pixels.astype(int) - picture.pixels).mean() < 4


def test_an_orientation_in_xmp_alone_makes_no_exif() -> None:
    # Viewers pass over it; with EXIF they would turn the picture.
    metadata = Metadata(xmp=XMP)
    data = codec.get("png").encode(Picture(sources.smooth(3), None, metadata), 100)
    assert read(data).metadata == metadata
    assert preparation.finish(read(data), Preparation(metadata="xmp")).metadata == metadata


@pytest.mark.parametrize("source", ["jpeg", "png", "webp", "avif", "jpeg2000"])
@pytest.mark.parametrize("target", ["jpeg", "png", "webp", "avif", "jpeg2000"])
def test_metadata_goes_from_each_format_to_each(source: str, target: str) -> None:
    given_metadata = Metadata(exif(3), sources.rgb_profile(), XMP)
    picture = Picture(sources.smooth(3), None, given_metadata)
    first = files.read(codec.get(source).encode(picture, 90), "first")
    back = codec.get(target).decode(codec.get(target).encode(first, 90))
    found = Image.Exif()
    found.load(back.metadata.exif or b"")
    assert (found[0x010E], found[0x0112]) == ("a cat", 3)
    assert (back.metadata.icc, back.metadata.xmp) == (given_metadata.icc, given_metadata.xmp)


def test_exif_in_png_text_is_read() -> None:
    text = PngInfo()
    raw = exif(6).hex()
    text.add_text("Raw profile type exif", f"\nexif\n{len(raw) // 2:8}\n{raw}\n", zip=True)
    picture = read(saved(Image.fromarray(sources.smooth(3)), "PNG", pnginfo=text))
    assert orientation_of(picture) == 6


def test_a_tiffs_own_tags_do_not_become_exif() -> None:
    plain = read(saved(Image.fromarray(sources.smooth(3)), "TIFF"))
    assert plain.metadata == Metadata()
    block = Image.Exif()
    block.load(exif(6))
    block.get_ifd(0x8769)[0x9003] = "2020:02:02 20:20:20"
    block[700] = b"<x:xmpmeta/>"
    data = saved(
        Image.fromarray(sources.smooth(3)),
        "TIFF",
        exif=block.tobytes(),
        icc_profile=sources.rgb_profile(),
    )
    picture = read(data)
    found = Image.Exif()
    found.load(picture.metadata.exif or b"")
    assert dict(found.get_ifd(0x8769)) == {0x9003: "2020:02:02 20:20:20"}
    assert {tag: found[tag] for tag in found if tag != 0x8769} == {0x010E: "a cat"}
    assert picture.metadata.icc == sources.rgb_profile()
    assert picture.metadata.xmp == b"<x:xmpmeta/>"
    # Pillow turns TIFF upright.
    assert np.array_equal(picture.pixels, np.rot90(sources.smooth(3), -1))


def test_jp2_metadata_lies_where_other_programs_look() -> None:
    metadata = Metadata(exif(1), sources.rgb_profile(), XMP)
    data = codec.get("jpeg2000").encode(Picture(sources.smooth(3), None, metadata), 60)
    assert boxes.find_uuid(data, b"JpgTiffExif->JP2") == exif(1)[6:]
    assert boxes.find_uuid(data, bytes.fromhex("be7acfcb97a942e89c71999491e3afac")) == XMP
    assert boxes.find(data, b"jp2h", b"colr") == b"\2\0\0" + sources.rgb_profile()
    kinds = [kind for _, kind, _ in boxes.walk(data)]
    assert kinds.index(b"uuid") > kinds.index(b"jp2h")  # whose place is before all but ftyp
    assert kinds[-1] == b"jp2c"


@given(st.binary(max_size=120))
@settings(max_examples=200)
def test_noise_in_boxes_gives_nothing_or_damage(noise: bytes) -> None:
    head = boxes.pack(b"jP  ", b"\r\n\x87\n")
    try:
        found = jp2.metadata_of(head + boxes.pack(b"jp2h", noise) + noise)
    except (DamagedFileError, IndexError):
        return
    assert found.exif is None or found.exif in noise


@pytest.mark.parametrize(
    ("codec_id", "size"), [("jpeg", 17_000_000), ("jpeg-tuned", 17_000_000), ("png", 1_100_000)]
)
def test_an_icc_profile_that_does_not_fit_is_refused(codec_id: str, size: int) -> None:
    picture = Picture(sources.smooth(3), None, Metadata(icc=bytes(size)))
    with pytest.raises(UnsupportedPictureError, match=r"ICC .*--metadata exif,xmp"):
        codec.get(codec_id).encode(picture, 50)


# frames


def gif() -> bytes:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "lime", "blue")]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


def test_a_frame_can_be_chosen() -> None:
    with pytest.raises(UnsupportedPictureError, match=r"^a\.gif: .*--frame 0"):
        read(gif(), "a.gif")
    for frame, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        assert read(gif(), how=Preparation(frame=frame)).pixels[0, 0].tolist() == [*colour]
    with pytest.raises(UnsupportedPictureError, match=r"no frame 3, only 0\.\.2"):
        read(gif(), how=Preparation(frame=3))


def test_an_animated_image_in_memory_needs_the_option_too() -> None:
    image = Image.open(io.BytesIO(gif()))
    with pytest.raises(UnsupportedPictureError, match="--frame 0"):
        comrec.encode(image, "png")
    data = comrec.encode(image, "png", frame=1)
    assert comrec.decode(data).getpixel((0, 0)) == (0, 255, 0)


def test_further_pictures_of_an_mpo_are_no_frames() -> None:
    preview = Image.fromarray(sources.smooth(3))
    data = saved(preview, "MPO", save_all=True, append_images=[preview.resize((4, 4))])
    assert read(data).width == sources.WIDTH


def test_encode_takes_files_and_loses_nothing_of_them(tmp_path: Path) -> None:
    samples = noise(6, 5, 3)
    data = sources.png(samples, 16, 2)
    path = tmp_path / "deep.png"
    path.write_bytes(data)
    for source, name in ((data, "input"), (path, str(path))):
        with pytest.raises(UnsupportedPictureError, match=rf"^{name}: .*--depth 8"):
            comrec.encode(source, "png")
        with pytest.raises(InputError, match=r"missing\.png"):
            comrec.encode(tmp_path / "missing.png")
        back = comrec.decode(comrec.encode(source, "png", depth=8))
        assert np.array_equal(np.asarray(back), nearest(samples))


def test_kinds_that_other_libraries_decode_are_refused_alike() -> None:
    pytest.importorskip("av")
    data = codec.get("bpg", bit_depth=10).encode(Picture(sources.smooth(3)), 80)
    assert files.read(data, "a.bpg").width == sources.WIDTH  # 10 bits for 8 are no loss
    animated = data[:5] + bytes([data[5] | 1]) + data[6:]
    with pytest.raises(UnsupportedPictureError, match="--frame 0"):
        files.read(animated, "a.bpg")
    with pytest.raises(UnsupportedPictureError, match="only the first"):
        files.read(animated, "a.bpg", Preparation(frame=1))


ANIMATION = bytes.fromhex(
    "ff0a982041130088090804010040004b188b1580d5fd7f0000470200e020490804010044004b188b15801dfaff00"
    "009004000c3e22010804050044004b188b15805dfaff0000920400483b4202"
)
"""JPEG XL, 24x20, of three frames, by libjxl 0.11."""


def test_a_jpeg_xl_animation_is_refused_and_not_its_last_frame_taken() -> None:
    pytest.importorskip("pyjpegxl")
    head = boxes.pack(b"JXL ", b"\r\n\x87\n") + boxes.pack(b"ftyp", b"jxl \0\0\0\0jxl ")
    for data in (ANIMATION, head + boxes.pack(b"jxlc", ANIMATION)):
        with pytest.raises(UnsupportedPictureError, match=r"^a\.jxl: an animation"):
            files.read(data, "a.jxl", Preparation(frame=0))
        with pytest.raises(UnsupportedPictureError, match="animation"):
            comrec.decode(data)


@given(st.binary(max_size=80))
@settings(max_examples=200)
def test_noise_in_a_jpeg_xl_header_is_damage_or_tells_something(noise: bytes) -> None:
    for data in (b"\xff\x0a" + noise, boxes.pack(b"jxlp", noise), noise):
        with contextlib.suppress(DamagedFileError):
            assert jxl.is_animated(data) in (False, True)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (64, 64), (333, 8), (70_000, 1), (3, 300)])
def test_a_still_jpeg_xl_is_none_whatever_its_size(width: int, height: int) -> None:
    pytest.importorskip("pyjpegxl")
    picture = Picture(np.zeros((height, width), np.uint8))
    assert not jxl.is_animated(codec.get("jpegxl", effort=1).encode(picture, 50))


# the command line


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_encode_takes_the_options(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = np.dstack([sources.smooth(3), sources.alpha()]).astype(np.uint16) * 257
    Path("deep.png").write_bytes(sources.png(samples, 16, 6))
    Path("moving.gif").write_bytes(gif())
    Path("print.tif").write_bytes(saved(cmyk(), "TIFF"))
    arguments = ["-o", "out/", "-c", "jpeg", "--quiet"]
    assert main(["encode", "deep.png", "moving.gif", "print.tif", *arguments]) == 1
    told = capsys.readouterr().err.splitlines()
    for line, name, option in zip(
        told,
        ["deep.png", "moving.gif", "print.tif"],
        ["--depth 8", "--frame 0", "--colorspace srgb"],
        strict=True,
    ):
        assert line.startswith(f"comrec: {name}: ")
        assert option in line
    options = ["--depth", "8", "--frame", "0", "--colorspace", "srgb", "--background", "white"]
    assert main(["encode", "deep.png", "moving.gif", "print.tif", *arguments, *options]) == 0
    assert {path.name for path in Path("out").iterdir()} == {"deep.jpg", "moving.jpg", "print.jpg"}


@pytest.mark.parametrize(
    "wrong",
    [["--background", "whitish"], ["--depth", "10"], ["--metadata", "gps"], ["--frame", "-1"]],
)
@pytest.mark.parametrize("verb", ["encode", "compare"])
def test_wrong_options_are_wrong_usage(
    folder: Path, capsys: pytest.CaptureFixture[str], wrong: list[str], verb: str
) -> None:
    Path("a.png").write_bytes(codec.get("png").encode(Picture(sources.smooth(3)), 100))
    output = ["-o", "a.jpg"] if verb == "encode" else []
    try:
        code = main([verb, "a.png", *output, *wrong])
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert code == 2
    assert not Path("a.jpg").exists()


@pytest.mark.parametrize("extension", [".png", ".tif"])
def test_decode_carries_metadata_and_leaves_it_out(folder: Path, extension: str) -> None:
    metadata = Metadata(exif(6), sources.rgb_profile(), b"<x:xmpmeta/>")
    picture = Picture(sources.smooth(3), None, metadata)
    Path("a.jpg").write_bytes(codec.get("jpeg").encode(picture, 95))
    assert main(["decode", "a.jpg", "-o", f"all{extension}"]) == 0
    found = read(Path(f"all{extension}"))
    assert (found.metadata.icc, found.metadata.xmp) == (metadata.icc, metadata.xmp)
    assert b"a cat" in (found.metadata.exif or b"")
    upright = np.rot90(codec.get("jpeg").decode(Path("a.jpg").read_bytes()).pixels, -1)
    seen = ImageOps.exif_transpose(Image.open(f"all{extension}"))
    assert np.array_equal(np.asarray(seen), upright)
    assert main(["decode", "a.jpg", "-o", f"none{extension}", "--metadata", "none"]) == 0
    bare = read(Path(f"none{extension}"))
    assert bare.metadata == Metadata()
    assert (bare.width, bare.height) == (sources.HEIGHT, sources.WIDTH)
    converted = preparation.finish(picture, Preparation(metadata="none")).pixels
    assert np.abs(bare.pixels.astype(int) - converted).mean() < 4


def test_decode_writes_no_bmp_that_would_lose_metadata(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = Picture(sources.smooth(3), None, Metadata(exif(6)))
    Path("a.jpg").write_bytes(codec.get("jpeg").encode(picture, 95))
    assert main(["decode", "a.jpg", "-o", "a.bmp"]) == 1
    assert "--metadata none" in capsys.readouterr().err
    assert main(["decode", "a.jpg", "-o", "a.bmp", "--metadata", "none"]) == 0
    with Image.open("a.bmp") as image:
        assert image.size == (sources.HEIGHT, sources.WIDTH)


def test_a_tiff_takes_no_sizes_from_exif(folder: Path) -> None:
    block = Image.Exif()
    block.update({0x0100: 4000, 0x0101: 3000, 0x0103: 6, 0x010F: "a phone that repeats its sizes"})
    picture = Picture(sources.smooth(3), None, Metadata(block.tobytes()))
    Path("a.jpg").write_bytes(codec.get("jpeg").encode(picture, 95))
    assert main(["decode", "a.jpg", "-o", "a.tif"]) == 0
    with Image.open("a.tif") as image:
        assert image.size == (sources.WIDTH, sources.HEIGHT)
        assert image.getexif()[0x010F] == "a phone that repeats its sizes"
        image.load()


def test_damaged_exif_stops_a_tiff_with_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = Picture(sources.smooth(3), None, Metadata(b"garbage"))
    Path("a.jpg").write_bytes(codec.get("jpeg").encode(picture, 95))
    assert main(["decode", "a.jpg", "-o", "a.tif"]) == 1
    assert "--metadata icc,xmp" in capsys.readouterr().err
    assert main(["decode", "a.jpg", "-o", "a.tif", "--metadata", "icc,xmp"]) == 0
    assert main(["decode", "a.jpg", "-o", "a.png"]) == 0


def test_decode_says_what_it_changes_in_third_party_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("deep.png").write_bytes(sources.png(noise(5, 4, 3), 16, 2))
    Path("print.jpg").write_bytes(saved(cmyk(), "JPEG"))
    assert main(["decode", "deep.png", "print.jpg", "-o", "out/", "--json"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["input"] for line in out.splitlines()] == ["deep.png", "print.jpg"]
    deep, cmyk_line = err.splitlines()
    assert deep.startswith("comrec: deep.png: 16 bits")
    assert cmyk_line.startswith("comrec: print.jpg: CMYK")
    with Image.open("out/deep.png") as image:
        assert np.array_equal(np.asarray(image), nearest(noise(5, 4, 3)))

"""BPG: the container, HEVC's headers, colour, and whole files."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from comrec import codec
from comrec.errors import (
    ComrecError,
    DamagedFileError,
    MissingExtraError,
    OptionError,
    TooLargeError,
    UnknownFormatError,
    UnsupportedPictureError,
)
from comrec.formats.bits import BitReader
from comrec.metrics import psnr
from comrec.picture import MAX_PIXELS, Metadata, Picture
from comrec.standard import Bpg
from comrec.standard.bpg import bits, colour, container, hevc, parameters
from comrec.standard.bpg.codec import quantiser
from comrec.standard.bpg.container import Alpha, ColourSpace, PixelFormat

pytest.importorskip("av")

SHARED = Path(os.environ.get("COMREC_SHARED", Path(__file__).parents[2] / "shared"))
CONFORMANCE = SHARED / "data" / "bpg"
SUBSAMPLINGS = ["4:2:0", "4:2:2", "4:4:4"]


def conformance() -> list[tuple[str, str]]:
    """(file, reference PNG) of the reference encoder and decoder; none without the folder."""
    manifest = CONFORMANCE / "manifest.json"
    if not manifest.exists():
        return []
    return [(case["file"], case["reference"]) for case in json.loads(manifest.read_text())]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(height, width, 4) uint8, hard to code."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)


def picture_of(samples: np.ndarray, gray: bool, alpha: bool) -> Picture:
    pixels = samples[..., 0] if gray else samples[..., :3]
    return Picture(
        np.ascontiguousarray(pixels), np.ascontiguousarray(samples[..., 3]) if alpha else None
    )


def altered(data: bytes, **changes: Any) -> bytes:
    """The file with other header fields."""
    file = container.parse(data)
    return replace(file, header=replace(file.header, **changes)).pack()


@pytest.mark.skipif(not CONFORMANCE.exists(), reason="no conformance files here")
@pytest.mark.parametrize(("name", "reference"), conformance())
def test_files_of_the_reference_encoder_decode_as_its_decoder_does(
    name: str, reference: str
) -> None:
    expected = np.asarray(Image.open(CONFORMANCE / reference))
    data = (CONFORMANCE / name).read_bytes()
    picture = Bpg().decode(data)
    got = picture.rgb if picture.alpha is None else np.dstack([picture.rgb, picture.alpha])
    assert np.array_equal(got, expected)
    header = Bpg().header(data)
    assert (header.width, header.height) == (expected.shape[1], expected.shape[0])
    assert picture.is_gray == ("gray" in name)


@pytest.mark.skipif(not CONFORMANCE.exists(), reason="no conformance files here")
def test_files_of_the_reference_encoder_are_written_again_byte_for_byte() -> None:
    for name, _ in conformance():
        data = (CONFORMANCE / name).read_bytes()
        file = container.parse(data)
        front, behind = container.streams(file)
        body = container.pack_streams(front, behind)
        # It writes some start codes with four bytes, and no length of the body.
        assert body == file.body.replace(b"\0\0\0\1", b"\0\0\1")
        assert file.pack()[-len(file.body) :] == file.body
        assert container.parse(file.pack()) == file


# Round trips


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("bit_depth", [8, 10, 12])
def test_a_photograph_comes_back_closely(photo: Picture, subsampling: Any, bit_depth: int) -> None:
    bpg = Bpg(effort=1, subsampling=subsampling, bit_depth=bit_depth)
    data = bpg.encode(photo, 80)
    header = container.parse(data).header
    assert header.pixel_format.name == "YUV" + subsampling.replace(":", "")
    assert header.bit_depth == bit_depth
    assert len(data) < photo.pixels.size / 4
    assert psnr(bpg.decode(data).pixels, photo.pixels) > 36


@pytest.mark.parametrize(
    ("height", "width"),
    [(1, 1), (2, 3), (1, 70), (8, 30), (9, 9), (16, 16), (17, 33), (31, 40), (65, 64), (70, 131)],
)
def test_every_size_and_kind_keeps_its_shape_and_matches_its_recorded_stream(
    height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What FFmpeg decodes from x265's own stream, headers and checksum included, and crops."""
    streams: list[bytes] = []
    original = hevc.x265

    def recording(planes: Any, layout: str, preset: str, chosen: dict[str, Any]) -> bytes:
        streams.append(original(planes, layout, preset, chosen | {"hash": 1}))
        return streams[-1]

    monkeypatch.setattr(hevc, "x265", recording)
    samples = noise(height, width)
    for number, (subsampling, gray, alpha) in enumerate(
        (s, g, a) for s in SUBSAMPLINGS for g in (False, True) for a in (False, True)
    ):
        picture = picture_of(samples, gray, alpha)
        depth = (8, 10, 12)[number % 3]
        bpg = Bpg(number % 10 + 1, subsampling, depth, chroma_offset=number - 6)  # type: ignore[arg-type]
        streams.clear()
        data = bpg.encode(picture, 50)
        file = container.parse(data)
        assert len(streams) == 1 + alpha
        for raw, stream in zip(streams, container.streams(file), strict=False):
            assert stream is not None
            chroma = file.header.pixel_format.chroma_format if raw is streams[0] else 0
            planes = hevc.decode(stream, width, height, chroma, depth)
            whole = hevc.ffmpeg(raw)
            for plane, reference in zip(planes, whole.planes, strict=True):
                lines = np.frombuffer(reference, plane.dtype).reshape(reference.height, -1)
                assert np.array_equal(plane, lines[: plane.shape[0], : plane.shape[1]])
        back = bpg.decode(data)
        assert back.pixels.shape == picture.pixels.shape
        assert (back.alpha is None) == (not alpha)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    gray=st.booleans(),
    alpha=st.booleans(),
    bit_depth=st.sampled_from([8, 10, 12]),
    effort=st.integers(1, 10),
    seed=st.integers(0, 9),
)
@settings(max_examples=40)
def test_lossless_is_exact(
    height: int, width: int, gray: bool, alpha: bool, bit_depth: int, effort: int, seed: int
) -> None:
    picture = picture_of(noise(height, width, seed), gray, alpha)
    bpg = Bpg(effort=effort, bit_depth=bit_depth, chroma_offset=seed, lossless=True)
    assert bpg.lossless
    back = bpg.decode(bpg.encode(picture, seed))
    assert np.array_equal(back.pixels, picture.pixels)
    if alpha:
        assert back.alpha is not None
        assert picture.alpha is not None
        assert np.array_equal(back.alpha, picture.alpha)


def test_quality_is_the_quantiser_from_51_to_0() -> None:
    steps = [quantiser(quality) for quality in range(101)]
    assert (steps[0], steps[100]) == (51, 0)
    assert steps == sorted(steps, reverse=True)
    assert set(steps) == set(range(52))
    assert [quantiser(100 - n * (Bpg().quality_step or 0)) for n in range(52)] == list(range(52))


def test_more_effort_and_less_quality_make_smaller_files(photo: Picture) -> None:
    sizes = [len(Bpg(effort=1).encode(photo, quality)) for quality in (0, 20, 40, 60, 80, 100)]
    assert sizes == sorted(set(sizes))
    fast, slow = Bpg(effort=1), Bpg(effort=7)
    ratio = len(slow.encode(photo, 40)) / len(fast.encode(photo, 40))
    gain = psnr(slow.decode(slow.encode(photo, 40)).pixels, photo.pixels) - psnr(
        fast.decode(fast.encode(photo, 40)).pixels, photo.pixels
    )
    assert ratio < 1 + gain / 10  # a decibel is worth well over a tenth of the bytes


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_the_chroma_offset_moves_bits_between_luma_and_chroma(
    photo: Picture, subsampling: Any
) -> None:
    luma, chroma, sizes = [], [], []
    original = colour.ycc_planes(photo.pixels, 3, 8)
    for offset in (-8, 0, 8):
        bpg = Bpg(effort=1, subsampling=subsampling, chroma_offset=offset)
        data = bpg.encode(photo, 50)
        back = colour.ycc_planes(bpg.decode(data).pixels, 3, 8)
        errors = [
            float(((a.astype(int) - b) ** 2).mean()) for a, b in zip(back, original, strict=True)
        ]
        sizes.append(len(data))
        luma.append(errors[0])
        chroma.append(errors[1] + errors[2])
    assert sizes == sorted(set(sizes), reverse=True)
    assert chroma == sorted(set(chroma))
    assert max(luma) < 1.2 * min(luma)


def test_encoding_twice_gives_the_same_bytes(photo: Picture) -> None:
    assert Bpg().encode(photo, 37) == Bpg().encode(photo, 37)


def test_a_file_holds_nothing_but_header_and_picture(photo: Picture) -> None:
    data = Bpg(effort=1).encode(photo, 30)
    assert data[:11] == b"BPG\xfb" + bytes([0x20, 0x00, 0x82, 0x00, 0x81, 0x40]) + data[10:11]
    front, _ = container.streams(container.parse(data))
    assert [unit[0] >> 1 for unit in front.units] == [34, 20]  # PPS, IDR slice


# Colour


def test_gray_pixels_are_stored_as_they_are() -> None:
    ramp = Picture(np.arange(256, dtype=np.uint8).reshape(16, 16))
    header = container.parse(Bpg(effort=1).encode(ramp, 50)).header
    assert header.pixel_format is PixelFormat.GRAY
    for depth in (8, 10, 12):
        deep = colour.deepen(ramp.pixels, depth)
        assert deep.max() == (1 << depth) - 1
        assert np.array_equal(colour.flatten(deep, depth), ramp.pixels)
        assert np.array_equal(colour.pixels(replace(header, bit_depth=depth), [deep]), ramp.pixels)


def float_rgb(header: container.Header, planes: list[np.ndarray]) -> np.ndarray:
    """RGB by the matrices of the specification, in floating point, 0..255 and beyond."""
    top, unit = (1 << header.bit_depth) - 1, 1 << (header.bit_depth - 8)
    y, cb, cr = (plane.astype(float) for plane in planes)
    limited = header.limited_range
    black, y_scale, c_scale = (16 * unit, 219 * unit, 224 * unit) if limited else (0, top, top)

    def y_of(values: np.ndarray) -> np.ndarray:
        return np.asarray((values - black) / y_scale)

    if header.colour_space is ColourSpace.GBR:
        return 255 * np.stack([y_of(cr), y_of(y), y_of(cb)], -1)
    middle = 128 * unit
    if header.colour_space is ColourSpace.YCGCO:
        cg, co = cb - middle, cr - middle
        return 255 * np.stack([y_of(v) for v in (y - cg + co, y + cg, y - cg - co)], -1)
    red, blue = {
        ColourSpace.BT601: (0.299, 0.114),
        ColourSpace.BT709: (0.2126, 0.0722),
        ColourSpace.BT2020: (0.2627, 0.0593),
    }[header.colour_space]
    luma, pb, pr = y_of(y), (cb - middle) / c_scale, (cr - middle) / c_scale
    r, b = luma + 2 * (1 - red) * pr, luma + 2 * (1 - blue) * pb
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return 255 * np.stack([r, g, b], -1)


@pytest.mark.parametrize("space", list(ColourSpace))
@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("depth", [8, 9, 10, 12, 14])
def test_every_colour_space_follows_its_matrix(
    space: ColourSpace, limited: bool, depth: int
) -> None:
    """Over all planes, extreme ones included, to the rounding of one value."""
    kind = np.uint8 if depth == 8 else np.uint16
    rng = np.random.default_rng(depth)
    planes: list[NDArray[np.unsignedinteger]] = [
        rng.integers(0, 1 << depth, (64, 64), kind) for _ in range(3)
    ]
    corners = np.array(np.meshgrid(*3 * [[0, 1 << depth - 1, (1 << depth) - 1]])).reshape(3, -1)
    for plane, corner in zip(planes, corners, strict=True):
        plane[0, : corner.size] = corner
    header = container.Header(PixelFormat.YUV444, space, Alpha.NONE, depth, limited, False, 64, 64)
    expected = np.clip(float_rgb(header, planes), 0, 255)
    assert np.abs(colour.pixels(header, planes) - expected).max() < 0.501


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("depth", [8, 10, 12])
def test_smooth_pictures_survive_subsampling(subsampling: str, depth: int) -> None:
    rows, columns = np.mgrid[0:201, 0:63]
    smooth = 128 + 60 * np.sin([rows / 15, columns / 20, (rows + columns) / 30])
    pixels = np.ascontiguousarray(np.moveaxis(smooth, 0, 2).astype(np.uint8))
    layout = PixelFormat["YUV" + subsampling.replace(":", "")]
    planes = colour.ycc_planes(pixels, layout.chroma_format, depth)
    header = container.Header(layout, ColourSpace.BT601, Alpha.NONE, depth, False, False, 63, 201)
    assert np.abs(colour.pixels(header, planes).astype(int) - pixels).max() <= 3


@pytest.mark.parametrize(
    "layout", [PixelFormat.YUV420_MPEG2, PixelFormat.YUV422_MPEG2, PixelFormat.YUV420]
)
@pytest.mark.parametrize("depth", [8, 10])
def test_chroma_lies_where_the_pixel_format_says(layout: PixelFormat, depth: int) -> None:
    """A horizontal ramp of chroma keeps its slope and its phase."""
    unit = 1 << (depth - 8)
    ramp = np.tile(64 + 4 * np.arange(32) * unit, (32, 1)).astype(np.uint16)
    if depth == 8:
        ramp = ramp.astype(np.uint8)
    width, height = 64, 64 if layout.chroma_format == 1 else 32
    luma = np.full((height, width), 128 * unit, ramp.dtype)
    flat = np.full_like(ramp, 128 * unit)
    # Stored as G, B, R: red is the ramp itself.
    header = container.Header(
        layout, ColourSpace.GBR, Alpha.NONE, depth, False, False, width, height
    )
    red = colour.pixels(header, [luma, flat, ramp])[..., 0].astype(float)
    positions = np.arange(width) / 2 - (0 if layout.cosited else 0.25)
    expected = (64 + 4 * positions * unit) * 255 / ((1 << depth) - 1)
    inside = slice(8, width - 8)
    assert np.abs(red - expected)[:, inside].max() <= 1


def test_alpha_kinds_are_applied_as_the_reference_decoder_does() -> None:
    rng = np.random.default_rng(3)
    picture = Picture(
        rng.integers(0, 256, (24, 24, 3), dtype=np.uint8),
        np.arange(576, dtype=np.uint16).reshape(24, 24).astype(np.uint8),
    )
    assert picture.alpha is not None
    bpg = Bpg(effort=1, lossless=True)
    data = bpg.encode(picture, 0)
    divided = bpg.decode(altered(data, alpha=Alpha.PREMULTIPLIED))
    opacity = picture.alpha[..., None].astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        exact = np.where(opacity > 0, np.minimum(picture.pixels * 255.0 / opacity, 255), 255)
    assert divided.alpha is not None
    assert np.array_equal(divided.alpha, picture.alpha)
    assert np.abs(divided.pixels - exact).max() <= 0.5
    cmyk = bpg.decode(altered(data, alpha=Alpha.WHITE))
    assert cmyk.alpha is None
    assert np.abs(cmyk.pixels - picture.pixels * opacity / 255).max() < 1.5


# Metadata and extensions


@pytest.mark.parametrize("alpha", [False, True])
def test_metadata_are_carried(photo: Picture, metadata: Metadata, alpha: bool) -> None:
    small = photo.pixels[:33, :47]
    data = Bpg(effort=1).encode(
        Picture(small, np.ascontiguousarray(small[..., 1]) if alpha else None, metadata), 40
    )
    assert Bpg().decode(data).metadata == metadata
    assert metadata.exif is not None
    stored = container.extension(data, 1)
    assert stored == metadata.exif
    assert stored[:2] in (b"II", b"MM")  # a TIFF structure, without the head that JPEG has
    assert container.extension(data, 2) == metadata.icc
    assert container.extension(data, 3) == metadata.xmp


def test_exif_of_the_reference_encoder_loses_its_stray_byte(
    photo: Picture, metadata: Metadata
) -> None:
    data = Bpg(effort=1).encode(Picture(photo.pixels[:16, :16]), 40)
    assert metadata.exif is not None
    stray = container.with_extension(data, 1, b"\0" + metadata.exif)
    assert Bpg().decode(stray).metadata.exif == metadata.exif


tags = st.integers(0, 2**32 - 1)


@given(items=st.lists(st.tuples(tags, st.binary(max_size=300)), max_size=6))
@settings(max_examples=100)
def test_extensions_round_trip(small_file: bytes, items: list[tuple[int, bytes]]) -> None:
    data = small_file
    for tag, payload in items:
        data = container.with_extension(data, tag, payload)
    for tag, payload in dict(items).items():
        assert container.extension(data, tag) == payload
    assert len(container.parse(data).extensions) == len(dict(items))
    assert container.parse(data).body == container.parse(small_file).body
    assert container.extension(data, 5) == dict(items).get(5)
    assert np.array_equal(Bpg().decode(data).pixels, Bpg().decode(small_file).pixels)


@pytest.fixture(scope="module")
def small_file() -> bytes:
    return Bpg(effort=1).encode(picture_of(noise(20, 37), False, True), 30)


# Bits and headers


@given(st.integers(0, 2**32 - 1))
def test_ue7_round_trips_in_the_shortest_form(value: int) -> None:
    packed = bits.pack_ue7(value)
    assert bits.read_ue7(b"\xff" + packed + b"\0", 1) == (value, 1 + len(packed))
    assert len(packed) == max(1, -(-value.bit_length() // 7))


def test_ue7_follows_the_examples_of_the_specification() -> None:
    for packed, value in ((b"\x08", 8), (b"\x84\x1e", 542), (b"\xac\xbe\x17", 728855)):
        assert bits.read_ue7(packed, 0) == (value, len(packed))
        assert bits.pack_ue7(value) == packed


@pytest.mark.parametrize("data", [b"", b"\x80\x01", b"\x81", b"\x90\x80\x80\x80\x00"])
def test_other_forms_of_ue7_are_damage(data: bytes) -> None:
    with pytest.raises(DamagedFileError):
        bits.read_ue7(data, 0)


@given(st.lists(st.sampled_from([0, 0, 1, 2, 3, 4, 255])).map(lambda v: bytes([*v, 128])))
def test_escaped_payloads_hold_no_start_code_and_come_back(payload: bytes) -> None:
    escaped = bits.escape(payload)
    assert not any(code in escaped for code in (b"\0\0\0", b"\0\0\1", b"\0\0\2"))
    assert bits.unescape(escaped) == payload


@given(st.lists(st.integers(0, 2**32 - 1)), st.lists(st.booleans()))
def test_bits_round_trip(values: list[int], flags: list[bool]) -> None:
    writer = bits.BitWriter()
    for flag in flags:
        writer.flag(flag)
    for value in values:
        writer.golomb(value)
    reader = BitReader(writer.packed(), "BPG file")
    assert [reader.flag() for _ in flags] == flags
    assert [reader.golomb() for _ in values] == values
    with pytest.raises(DamagedFileError):
        reader.bits(8)


def test_the_usual_hevc_header_has_the_bytes_of_the_reference_encoder() -> None:
    header = parameters.unpack(bytes.fromhex("924740"))
    assert header == parameters.HevcHeader((0, 3, 0, 3), 2, True, None, True, None)
    assert header.pack().hex() == "924740"
    assert (header.smallest_block, header.implicit_rdpcm) == (8, False)


pcms = st.none() | st.tuples(
    st.integers(0, 15), st.integers(0, 15), st.integers(0, 2), st.integers(0, 2), st.integers(0, 1)
)
headers = st.builds(
    parameters.HevcHeader,
    blocks=st.sampled_from([(0, 3, 0, 3), (0, 1, 0, 2), (1, 0, 0, 2), (0, 3, 0, 1), (3, 0, 1, 2)]),
    depth=st.integers(0, 4),
    offset=st.booleans(),
    pcm=pcms,
    strong=st.booleans(),
    range_flags=st.none() | st.integers(0, 511),
)


@given(headers)
def test_hevc_headers_round_trip_and_survive_a_parameter_set(
    header: parameters.HevcHeader,
) -> None:
    assert parameters.unpack(header.pack()) == header
    for chroma_format in range(4):
        unit = parameters.sequence_parameter_set(header, 640, 64, chroma_format, 8)
        assert parameters.read_sequence(unit) == header


FULL_USABILITY = {
    "sar": r"7\:5",
    "overscan": "crop",
    "videoformat": 1,
    "range": "full",
    "colorprim": "bt709",
    "transfer": "bt709",
    "colormatrix": "bt709",
    "chromaloc": 2,
    "display-window": "0,8,0,8",
}


def test_usability_information_of_the_encoder_is_walked(
    photo: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Bpg(effort=1).encode(photo, 30)
    for name, value in FULL_USABILITY.items():
        monkeypatch.setitem(hevc._PARAMETERS, name, value)
        assert Bpg(effort=1).encode(photo, 30) == plain


def test_scaling_lists_which_bpg_cannot_express_are_refused(
    photo: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(hevc._PARAMETERS, "scaling-list", "default")
    with pytest.raises(UnsupportedPictureError, match="scaling lists"):
        Bpg(effort=1).encode(photo, 30)


@pytest.mark.parametrize("blocks", [(4, 0, 0, 0), (0, 4, 0, 0), (0, 0, 1, 0), (0, 3, 0, 4)])
def test_block_sizes_that_hevc_lacks_are_damage(blocks: tuple[int, int, int, int]) -> None:
    header = parameters.HevcHeader(blocks, 0, False, None, False, None)
    with pytest.raises(DamagedFileError, match="block sizes"):
        parameters.unpack(header.pack())


# What is refused


def test_every_truncation_is_damage(small_file: bytes) -> None:
    for length in range(4, len(small_file)):
        with pytest.raises(DamagedFileError):
            Bpg().decode(small_file[:length])
    whole = Bpg().decode(small_file)
    assert np.array_equal(Bpg().decode(small_file + b"more").pixels, whole.pixels)


def test_a_body_without_length_runs_to_the_end(small_file: bytes) -> None:
    file = container.parse(small_file)
    at = len(small_file) - len(file.body)
    assert bits.read_ue7(small_file, 8) == (len(file.body), at)
    open_ended = small_file[:8] + b"\0" + file.body
    assert container.parse(open_ended) == file


def test_an_embedded_checksum_is_checked(photo: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(hevc._PARAMETERS, "hash", 1)
    data = bytearray(Bpg(effort=1).encode(photo, 30))
    assert Bpg().decode(bytes(data)).width == photo.width
    for at in range(100, 400, 50):
        wrong = data.copy()
        wrong[at] ^= 0x55
        with pytest.raises(DamagedFileError):
            Bpg().decode(bytes(wrong))


def test_an_animation_gives_its_first_picture(photo: Picture) -> None:
    bpg = Bpg(effort=1)
    first, second = (bpg.encode(Picture(p), 50) for p in (photo.pixels, photo.pixels[::-1].copy()))
    file = container.parse(first)
    front, _ = container.streams(file)
    behind, _ = container.streams(container.parse(second))
    both = container.Stream(front.header, front.units + behind.units)
    control = (5, bytes([0, 1, 25]))
    data = replace(
        file,
        header=replace(file.header, animation=True),
        extensions=(control,),
        body=container.pack_streams(both, None),
    ).pack()
    assert len(data) > len(first) + len(second) - 20
    assert np.array_equal(bpg.decode(data).pixels, bpg.decode(first).pixels)


def test_parameter_sets_in_the_body_do_not_replace_the_headers(small_file: bytes) -> None:
    file = container.parse(small_file)
    front, behind = container.streams(file)
    larger = parameters.sequence_parameter_set(front.header, 640, 480, 3, 10)
    units = [parameters.video_parameter_set(), larger, *front.units]
    body = container.pack_streams(replace(front, units=units), behind)
    picture = Bpg().decode(replace(file, body=body).pack())
    assert np.array_equal(picture.pixels, Bpg().decode(small_file).pixels)


@pytest.mark.parametrize("depth", [11, 13, 14])
def test_bit_depths_that_ffmpeg_lacks_are_named(small_file: bytes, depth: int) -> None:
    with pytest.raises(UnsupportedPictureError, match=f"{depth} bits"):
        Bpg().decode(altered(small_file, bit_depth=depth))


def test_implicit_rdpcm_is_refused_not_decoded_wrongly(small_file: bytes) -> None:
    file = container.parse(small_file)
    front, behind = container.streams(file)
    header = replace(front.header, range_flags=0b001000010)
    body = container.pack_streams(replace(front, header=header), behind)
    with pytest.raises(UnsupportedPictureError, match="RDPCM"):
        Bpg().decode(replace(file, body=body).pack())


def test_too_many_pixels_are_refused_before_decoding(small_file: bytes) -> None:
    side = int(MAX_PIXELS**0.5) + 1
    bomb = altered(small_file, width=side, height=side)
    for use in (Bpg().decode, Bpg().header, container.parse):
        with pytest.raises(TooLargeError, match=str(side)):
            use(bomb)


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 0},
        {"height": 0},
        {"pixel_format": 6},
        {"colour_space": 5},
        {"bit_depth": 15},
        {"pixel_format": PixelFormat.GRAY, "colour_space": ColourSpace.GBR},
        {"pixel_format": PixelFormat.GRAY, "alpha": Alpha.WHITE},
    ],
)
def test_impossible_headers_are_damage(small_file: bytes, changes: dict[str, Any]) -> None:
    with pytest.raises(DamagedFileError):
        Bpg().decode(altered(small_file, **changes))


def test_other_files_are_refused_by_name(photo: Picture) -> None:
    png = codec.get("png").encode(photo, 0)
    for use in (Bpg().decode, Bpg().header):
        with pytest.raises(UnknownFormatError, match="png"):
            use(png)


@pytest.mark.parametrize(
    "options",
    [
        {"effort": 0},
        {"effort": 11},
        {"subsampling": "4:1:1"},
        {"bit_depth": 9},
        {"chroma_offset": 13},
        {"chroma_offset": -13},
        {"chroma_offset": 0.5},
    ],
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        codec.get("bpg", **options)


def test_without_pyav_the_codec_is_there_and_says_what_to_install(
    photo: Picture, small_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    bpg = codec.get("bpg")
    for use in (lambda: bpg.encode(photo, 50), lambda: bpg.decode(small_file)):
        with pytest.raises(MissingExtraError, match=r"comrec\[bpg\]"):
            use()
    assert (Bpg().header(small_file).width, Bpg().header(small_file).height) == (37, 20)


def test_long_strips_work_in_both_directions() -> None:
    for size in ((1, 70_000), (20_000, 3)):
        strip = Picture(np.full(size, 77, np.uint8))
        bpg = Bpg(effort=1)
        assert np.abs(bpg.decode(bpg.encode(strip, 80)).pixels.astype(int) - 77).max() <= 2
    with pytest.raises(UnsupportedPictureError, match="4000000"):
        Bpg(effort=1).encode(Picture(np.zeros((1, 4_000_000), np.uint8)), 50)


def altered_files(files: list[bytes]) -> st.SearchStrategy[bytes]:
    def alter(data: bytes, edits: list[tuple[int, int]], cut: int) -> bytes:
        out = bytearray(data)
        for at, value in edits:
            out[at % len(out)] = value
        return bytes(out[: len(out) - cut])

    edits = st.lists(st.tuples(st.integers(0, 40) | st.integers(0, 5000), st.integers(0, 255)))
    return st.builds(alter, st.sampled_from(files), edits, st.sampled_from([0, 0, 0, 1, 9, 60]))


@pytest.fixture(scope="module")
def files(small_file: bytes) -> list[bytes]:
    samples = noise(33, 18)
    out = [small_file, Bpg(effort=1, lossless=True).encode(picture_of(samples, False, True), 0)]
    out += [
        Bpg(effort=1, subsampling=s, bit_depth=d).encode(picture_of(samples, g, False), 40)  # type: ignore[arg-type]
        for s, d, g in (("4:2:2", 8, False), ("4:4:4", 10, False), ("4:2:0", 12, True))
    ]
    # Without a length, damage reaches the decoder.
    return out + [
        data.replace(bits.pack_ue7(len(container.parse(data).body)), b"\0", 1) for data in out
    ]


@given(data=st.data())
@settings(max_examples=400)
def test_altered_files_give_a_picture_or_our_errors(
    files: list[bytes], data: st.DataObject
) -> None:
    with contextlib.suppress(ComrecError):
        Bpg().decode(data.draw(altered_files(files)))


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_noise_behind_the_magic_gives_our_errors(noise: bytes) -> None:
    with pytest.raises(ComrecError):
        Bpg().decode(container.MAGIC + noise)


@pytest.mark.skipif(not CONFORMANCE.exists(), reason="no conformance files here")
def test_cut_files_of_the_reference_encoder_never_fail_otherwise() -> None:
    for name, _ in conformance()[::5]:
        data = (CONFORMANCE / name).read_bytes()
        for length in range(0, min(len(data), 300), 7):
            with contextlib.suppress(ComrecError):
                Bpg().decode(data[:length])

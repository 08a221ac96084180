"""The JPEG writer: exact bitstreams, the trellis, the tables, and what it all gains."""

from __future__ import annotations

import io
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from comrec import codec
from comrec.blocks import to_coefficients
from comrec.errors import UnsupportedPictureError
from comrec.jpegtuning import trellis
from comrec.jpegtuning.bitstream import Component, Packer, write_jpeg
from comrec.jpegtuning.tables import fineness
from comrec.jpegtuning.trellis import dead_zone, symbol_bits
from comrec.jpegtuning.tunings import TUNINGS, Tune
from comrec.picture import Metadata, Picture
from comrec.standard.chroma import Sampling

# T.81 figure A.6, typed off the standard: zigzag index of each raster position.
ZIGZAG_OF_RASTER = np.array(
    [
        [0, 1, 5, 6, 14, 15, 27, 28],
        [2, 4, 7, 13, 16, 26, 29, 42],
        [3, 8, 12, 17, 25, 30, 41, 43],
        [9, 11, 18, 24, 31, 40, 44, 53],
        [10, 19, 23, 32, 39, 45, 52, 54],
        [20, 22, 33, 38, 46, 51, 55, 60],
        [21, 34, 37, 47, 50, 56, 59, 61],
        [35, 36, 48, 49, 57, 58, 62, 63],
    ]
)
ONES = np.ones(64, np.int64)
PSNR = TUNINGS["psnr"]


def decode_plane(levels: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Dequantise and inverse DCT by T.81 A.3.3, in float64: (8m, 8n) samples, not clipped."""
    rows, columns = levels.shape[:2]
    raster = (levels.astype(float) * steps)[..., ZIGZAG_OF_RASTER]
    x, u = np.mgrid[0:8, 0:8]
    basis = np.cos((2 * x + 1) * u * np.pi / 16) / 2
    basis[:, 0] /= np.sqrt(2)
    blocks = basis @ raster @ basis.T
    plane = blocks.transpose(0, 2, 1, 3).reshape(rows * 8, columns * 8)
    return np.asarray(plane + 128, np.float64)


def psnr(a: Picture, b: Picture) -> float:
    error = float(np.mean((a.rgb.astype(float) - b.rgb) ** 2))
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@st.composite
def sparse_levels(draw: st.DrawFn, rows: int, columns: int) -> np.ndarray:
    """Mostly zero blocks with the largest values that baseline JPEG allows now and then."""
    levels = np.zeros((rows * columns, 64), np.int16)
    ac = st.integers(-1023, 1023) | st.sampled_from([-1023, -1, 1, 1023])
    dc = st.integers(-1023, 1024) | st.sampled_from([-1023, 0, 1024])
    block = st.integers(0, rows * columns - 1)
    entry = st.tuples(block, st.integers(1, 63) | st.sampled_from([1, 17, 33, 49, 63]), ac)
    for at, position, value in draw(st.lists(entry, max_size=40)):
        levels[at, position] = value
    levels[:, 0] = draw(st.lists(dc, min_size=rows * columns, max_size=rows * columns))
    return levels.reshape(rows, columns, 64)


def assert_stored(path: Path, data: bytes, planes: list[np.ndarray]) -> None:
    """Another library reads the same coefficients from the file."""
    jpeglib = pytest.importorskip("jpeglib")
    path.write_bytes(data)
    stored = jpeglib.read_dct(str(path))
    for found, levels in zip((stored.Y, stored.Cb, stored.Cr), planes, strict=False):
        expected = levels[..., ZIGZAG_OF_RASTER][: found.shape[0], : found.shape[1]]
        assert np.array_equal(found, expected)


@given(data=st.data(), width=st.integers(1, 40), height=st.integers(1, 40))
@settings(max_examples=60)
def test_gray_levels_are_stored_exactly(
    data: st.DataObject, width: int, height: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    levels = data.draw(sparse_levels(-(-height // 8), -(-width // 8)))
    written = write_jpeg(width, height, [Component(levels, 0, 1)], [ONES])
    assert Image.open(io.BytesIO(written)).size == (width, height)
    assert_stored(tmp_path_factory.getbasetemp() / "gray.jpg", written, [levels])


@given(data=st.data(), width=st.integers(1, 40), height=st.integers(1, 40))
@settings(max_examples=60)
def test_colour_levels_at_half_chroma_are_stored_exactly(
    data: st.DataObject, width: int, height: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows, columns = -(-height // 16), -(-width // 16)
    planes = [
        data.draw(sparse_levels(rows * 2, columns * 2)),
        data.draw(sparse_levels(rows, columns)),
        data.draw(sparse_levels(rows, columns)),
    ]
    components = [Component(plane, min(i, 1), 1 if i else 2) for i, plane in enumerate(planes)]
    written = write_jpeg(width, height, components, [ONES, ONES])
    assert_stored(tmp_path_factory.getbasetemp() / "colour.jpg", written, planes)


def test_every_run_of_zeros_is_stored_exactly(tmp_path: Path) -> None:
    levels = np.zeros((8, 8, 64), np.int16)
    for position in range(1, 64):
        levels[position // 8, position % 8, position] = 1 - 2 * (position % 2)
    written = write_jpeg(64, 64, [Component(levels, 0, 1)], [ONES])
    assert_stored(tmp_path / "runs.jpg", written, [levels])


def test_full_blocks_of_extreme_values_are_stored_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    levels = rng.choice(np.array([-1023, 1023], np.int16), (4, 4, 64))
    levels[:, :, 0] = np.where(np.indices((4, 4)).sum(axis=0) % 2, -1023, 1024)  # differ by 2047
    written = write_jpeg(32, 32, [Component(levels, 0, 1)], [ONES])
    assert_stored(tmp_path / "extreme.jpg", written, [levels])


@given(data=st.data(), width=st.integers(1, 40), height=st.integers(1, 40))
@settings(max_examples=40)
def test_pillow_shows_the_inverse_dct_of_the_levels(
    data: st.DataObject, width: int, height: int
) -> None:
    rows, columns = -(-height // 8), -(-width // 8)
    levels = np.clip(data.draw(sparse_levels(rows, columns)), -12, 12)
    steps = np.array(data.draw(st.lists(st.integers(1, 4), min_size=64, max_size=64)))
    written = write_jpeg(width, height, [Component(levels, 0, 1)], [steps])
    shown = np.asarray(Image.open(io.BytesIO(written))).astype(float)
    expected = np.clip(decode_plane(levels, steps), 0, 255)[:height, :width]
    assert np.abs(shown - expected).max() <= 1


def test_pillow_shows_each_colour_plane_in_its_place() -> None:
    rng = np.random.default_rng(1)
    planes = []
    for rows, columns in ((4, 6), (2, 3), (2, 3)):
        levels = np.zeros((rows, columns, 64), np.int16)
        levels[..., 0] = rng.integers(-300, 300, (rows, columns))
        planes.append(levels)
    components = [Component(plane, min(i, 1), 1 if i else 2) for i, plane in enumerate(planes)]
    image = Image.open(io.BytesIO(write_jpeg(48, 32, components, [ONES, ONES])))
    image.draft("YCbCr", image.size)
    shown = np.asarray(image).astype(float)
    assert np.abs(shown[..., 0] - decode_plane(planes[0], ONES)).max() <= 1
    for channel in (1, 2):  # libjpeg interpolates chroma: the centres of blocks are untouched
        expected = decode_plane(planes[channel], ONES)[4::8, 4::8]
        assert np.abs(shown[8::16, 8::16, channel] - expected).max() <= 1


codewords = st.integers(1, 32).flatmap(
    lambda length: st.tuples(
        st.integers(0, 2**length - 1) | st.just(2**length - 1), st.just(length)
    )
)


@given(st.lists(codewords, min_size=1, max_size=60), st.integers(1, 60))
@settings(max_examples=200)
def test_codes_are_packed_in_order_padded_with_ones_and_stuffed(
    words: list[tuple[int, int]], together: int
) -> None:
    bits = "".join(f"{code:0{length}b}" for code, length in words)
    bits += "1" * (-len(bits) % 8)
    expected = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    packer = Packer()
    for start in range(0, len(words), together):
        packer.add(*np.array(words[start : start + together], np.uint64).T)
    assert packer.finish() == expected


def photo_blocks(picture: Picture) -> np.ndarray:
    """(N, 64) DCT coefficients in zigzag order, by the forward transform of T.81 A.3.3."""
    plane = picture.pixels.astype(float) - 128
    blocks = plane.reshape(plane.shape[0] // 8, 8, -1, 8).transpose(0, 2, 1, 3)
    x, u = np.mgrid[0:8, 0:8]
    basis = np.cos((2 * x + 1) * u * np.pi / 16) / 2
    basis[:, 0] /= np.sqrt(2)
    out = np.zeros((blocks.shape[0] * blocks.shape[1], 64), np.float32)
    out[:, ZIGZAG_OF_RASTER] = (basis.T @ blocks @ basis).reshape(-1, 8, 8)
    return out


def quantise(coefficients: np.ndarray, steps: np.ndarray, lmbda: float | np.ndarray) -> np.ndarray:
    """By the trellis, with the bits of what the dead zone gives."""
    bits = symbol_bits(dead_zone(coefficients, steps))
    return trellis.quantise(coefficients, steps, lmbda, *bits)


def plain_rounding(coefficients: np.ndarray, steps: np.ndarray) -> np.ndarray:
    return np.asarray(np.round(coefficients / steps), np.int16)


def costs(
    levels: np.ndarray,
    coefficients: np.ndarray,
    steps: np.ndarray,
    lmbda: float,
    bits: np.ndarray,
    end_bits: float,
) -> np.ndarray:
    """Squared error of the AC coefficients + lmbda * bits, a block, counted one by one."""
    errors = (coefficients - levels * steps)[:, 1:].astype(float)
    out = np.asarray((errors**2).sum(axis=1))
    for block, row in enumerate(levels):
        last, rate = 0, 0.0
        for position in (np.flatnonzero(row[1:]) + 1).tolist():
            rate += bits[position - last - 1, int(abs(int(row[position]))).bit_length()]
            last = position
        out[block] += lmbda * (rate + (end_bits if last != 63 else 0.0))
    return out


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("quality", [5, 30, 70, 95])
def test_where_bits_are_free_the_trellis_rounds_to_nearest(
    quality: float, gray_photo: Picture
) -> None:
    coefficients = photo_blocks(gray_photo)
    steps = PSNR.tables(quality, "4:2:0")[0]
    off = np.abs(coefficients / steps - quantise(coefficients, steps, lmbda=0))
    assert off.max() < 0.501  # float32 leaves ties open


@pytest.mark.parametrize("quality", [5, 40, 90])
@pytest.mark.parametrize("factor", [0.05, 0.17, 1.0])
def test_the_trellis_never_costs_more_than_simpler_roundings(
    quality: float, factor: float, gray_photo: Picture
) -> None:
    coefficients = photo_blocks(gray_photo)[::3]
    steps = PSNR.tables(quality, "4:2:0")[0]
    lmbda = factor * PSNR.luma_step(quality) ** 2
    bits, end_bits = symbol_bits(dead_zone(coefficients, steps))
    trellis, rounded, dead, zero = (
        costs(levels, coefficients, steps, lmbda, bits, end_bits)
        for levels in (
            quantise(coefficients, steps, lmbda),
            plain_rounding(coefficients, steps),
            dead_zone(coefficients, steps),
            np.zeros(coefficients.shape, np.int16),
        )
    )
    slack = 1e-4 * zero + 1e-2  # sums in float32
    assert (trellis <= rounded + slack).all()
    assert (trellis <= dead + slack).all()
    assert (trellis <= zero + slack).all()
    assert trellis.sum() < min(rounded.sum(), dead.sum(), zero.sum())


@given(
    values=st.lists(st.floats(-3, 3), min_size=4, max_size=4),
    places=st.sets(st.integers(1, 63), min_size=4, max_size=4),
    lmbda=st.floats(0.001, 0.5),
)
@settings(max_examples=60)
def test_the_trellis_finds_the_best_of_all_choices(
    values: list[float], places: set[int], lmbda: float
) -> None:
    block = np.zeros((1, 64), np.float32)
    block[0, sorted(places)] = values
    steps = np.ones(64, np.float32)
    bits, end_bits = symbol_bits(dead_zone(block, steps))
    choices = np.zeros((7**4, 64), np.int16)
    choices[:, sorted(places)] = np.indices((7,) * 4).reshape(4, -1).T - 3
    # The trellis weighs 0, rounded and rounded towards zero by one.
    high = np.floor(np.abs(block) + 0.5)
    magnitude = np.abs(choices)
    same_sign = choices * block >= 0
    allowed = same_sign & ((magnitude == 0) | (magnitude == high) | (magnitude == high - 1))
    choices = choices[allowed.all(axis=1)]
    best = costs(choices, block, steps, lmbda, bits, end_bits).min()
    found = costs(quantise(block, steps, lmbda), block, steps, lmbda, bits, end_bits)[0]
    assert found <= best + 1e-3


def test_a_larger_lambda_keeps_fewer_coefficients(gray_photo: Picture) -> None:
    coefficients = photo_blocks(gray_photo)
    steps = PSNR.tables(50, "4:2:0")[0]
    kept = [
        np.count_nonzero(quantise(coefficients, steps, lmbda)) for lmbda in (0.0, 5.0, 50.0, 500.0)
    ]
    assert kept == sorted(set(kept), reverse=True)


@pytest.mark.parametrize("tune", TUNINGS)
@pytest.mark.parametrize("subsampling", get_args(Sampling))
def test_steps_fall_as_quality_rises(tune: Tune, subsampling: Sampling) -> None:
    tuning = TUNINGS[tune]
    for coarse, fine in zip(range(100), range(1, 101), strict=True):
        tables = (tuning.tables(quality, subsampling) for quality in (coarse, fine))
        for before, after in zip(*tables, strict=True):
            assert (after <= before).all()
            assert after.min() >= 1
            assert before.max() <= 255
            assert (after == np.round(after)).all()
    assert tuning.luma_step(0) > 2.5 * tuning.luma_step(30) > 9 * tuning.luma_step(95)


def test_fineness_tells_the_step_of_our_tables() -> None:
    for quality in range(0, 96, 5):
        step = PSNR.luma_step(quality)
        told = 100 ** (1 - fineness(PSNR.tables(quality, "4:2:0")[0].astype(np.int64)))
        assert told == pytest.approx(step, rel=0.12), quality


@pytest.mark.parametrize("quality", [20, 50, 80])
def test_tuned_files_save_15_percent_at_no_less_psnr(quality: int, photo: Picture) -> None:
    standard, tuned = codec.get("jpeg"), codec.get("jpeg-tuned")
    reference = standard.encode(photo, quality)
    fit = tuned.encode_within(photo, int(0.85 * len(reference)))
    assert psnr(tuned.decode(fit.data), photo) >= psnr(standard.decode(reference), photo)


def bytes_at(one: codec.Codec, picture: Picture, level: float) -> float:
    """The bytes that a PSNR costs, between neighbouring qualities."""
    files = [one.encode(picture, quality) for quality in range(5, 96, 10)]
    levels = [psnr(one.decode(data), picture) for data in files]
    return float(np.exp(np.interp(level, levels, np.log([len(data) for data in files]))))


@pytest.mark.parametrize("level", [30, 33, 36])
def test_the_dead_zone_beats_standard_jpeg_and_the_trellis_beats_both(
    level: float, photo: Picture
) -> None:
    slow, fast = (codec.get("jpeg-tuned", effort=effort) for effort in (4, 3))
    best, good = bytes_at(slow, photo, level), bytes_at(fast, photo, level)
    assert best < 0.99 * good
    assert good < 0.85 * bytes_at(codec.get("jpeg"), photo, level)


def test_more_quality_means_more_bytes_and_more_psnr(photo: Picture) -> None:
    tuned = codec.get("jpeg-tuned")
    files = [tuned.encode(photo, quality) for quality in (0, 5, 10, 40, 70, 100)]
    sizes, levels = [len(f) for f in files], [psnr(tuned.decode(f), photo) for f in files]
    assert sizes == sorted(set(sizes))
    assert levels == sorted(set(levels))
    assert levels[-1] > 40


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 7), (7, 1), (17, 16), (33, 47)])
@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("effort", [1, 7])
@pytest.mark.parametrize("quality", [0, 90, 100])
def test_every_size_comes_back(
    width: int, height: int, gray: bool, effort: int, quality: int, photo: Picture
) -> None:
    pixels = photo.pixels[30 : 30 + height, 50 : 50 + width]
    picture = Picture(np.ascontiguousarray(pixels[..., 1] if gray else pixels))
    tuned = codec.get("jpeg-tuned", effort=effort)
    back = tuned.decode(tuned.encode(picture, quality))
    assert back.pixels.shape == picture.pixels.shape
    if quality > 50:
        assert psnr(back, picture) > 25


@pytest.mark.parametrize("effort", [1, 7])
def test_noise_black_and_white_survive_the_finest_tables(effort: int) -> None:
    rng = np.random.default_rng(2)
    tuned = codec.get("jpeg-tuned", effort=effort)
    extreme = Picture(rng.choice(np.array([0, 255], np.uint8), (64, 64)))
    assert psnr(tuned.decode(tuned.encode(extreme, 100)), extreme) > 40


def test_a_tuned_file_is_a_progressive_jpeg_of_half_chroma(photo: Picture) -> None:
    image = Image.open(io.BytesIO(codec.get("jpeg-tuned").encode(photo, 50)))
    assert image.format == "JPEG"
    assert image.info.get("progressive")
    assert [layer[1:3] for layer in image.layer] == [(2, 2), (1, 1), (1, 1)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("gray", [False, True])
def test_metadata_survives(gray: bool, photo: Picture, metadata: Metadata) -> None:
    pixels = photo.pixels[..., 0].copy() if gray else photo.pixels
    tuned = codec.get("jpeg-tuned")
    picture = Picture(pixels, None, metadata)
    assert tuned.decode(tuned.encode(picture, 40)).metadata == metadata


def test_a_profile_of_several_segments_is_read_back_by_pillow(photo: Picture) -> None:
    icc = np.random.default_rng(3).bytes(200_000)
    data = codec.get("jpeg-tuned").encode(Picture(photo.pixels, None, Metadata(icc=icc)), 40)
    assert data.count(b"ICC_PROFILE\0") == 4
    assert Image.open(io.BytesIO(data)).info["icc_profile"] == icc


@pytest.mark.parametrize(
    ("metadata_too_long", "name"),
    [
        (Metadata(exif=bytes(70_000)), "EXIF"),
        (Metadata(xmp=bytes(70_000)), "XMP"),
        (Metadata(icc=bytes(255 * 65_519 + 1)), "ICC"),
    ],
)
def test_metadata_that_fits_no_jpeg_is_refused_by_name(
    metadata_too_long: Metadata, name: str
) -> None:
    picture = Picture(np.zeros((8, 8), np.uint8), None, metadata_too_long)
    with pytest.raises(UnsupportedPictureError, match=name):
        codec.get("jpeg-tuned").encode(picture, 40)


def test_each_block_is_quantised_by_its_own_lambda(gray_photo: Picture) -> None:
    coefficients = to_coefficients(gray_photo.pixels.astype(np.float32)).reshape(-1, 64)
    steps = PSNR.tables(30, "4:2:0")[0]
    lmbda = np.where(np.arange(len(coefficients)) % 2, 200.0, 2.0).astype(np.float32)
    mixed = quantise(coefficients, steps, lmbda)
    kept = (mixed[:, 1:] != 0).mean(axis=1)
    assert kept[0::2].mean() > 1.5 * kept[1::2].mean()
    same = quantise(coefficients, steps, np.full(len(coefficients), 30.0, np.float32))
    assert np.array_equal(same, quantise(coefficients, steps, 30.0))

"""The codec `liu2018`: files of any picture, qualities, metrics, targets, tiles."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numcodecs
import numpy as np
import pytest
import roundtrip
from hypothesis import given, settings
from hypothesis import strategies as st
from liu2018 import (
    METRICS,
    PLAIN,
    assert_same_but_for_ties,
    large,
    network,
    of_each_metric,
    photograph,
    same_symbols,
    symbols,
    tiled,
)
from PIL import Image

import comrec
from comrec import codec, files, metrics
from comrec.errors import OptionError, TargetError, WeightsError
from comrec.formats import cmr
from comrec.inference import session as runtime
from comrec.inference import store
from comrec.inference.store import Network
from comrec.learned.hyperprior import ALIGN, Networks
from comrec.learned.liu2018 import Liu2018, Metric
from comrec.learned.pixels import planes_of
from comrec.numcodecs_plugin import Comrec
from comrec.picture import Metadata, Picture

# --- round trips ------------------------------------------------------------------------------


def test_there_are_networks() -> None:
    assert METRICS[:1] == ["mse"]
    assert "liu2018" in comrec.codecs()


@given(data=st.data(), metric=st.sampled_from(METRICS), hundredths=st.integers(0, 10_000))
@settings(max_examples=15)
def test_any_picture_comes_back_in_its_size(
    photo: Picture, data: st.DataObject, metric: Metric, hundredths: int
) -> None:
    picture = data.draw(roundtrip.pictures(photo, 150))
    roundtrip.check(Liu2018(metric=metric), picture, hundredths)


@of_each_metric
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 150), (150, 1), (16, 16), (65, 17)])
def test_small_and_narrow_pictures(metric: str, height: int, width: int, photo: Picture) -> None:
    for pixels in (photo.pixels[:height, :width], photo.pixels[:height, :width, 0]):
        data = comrec.encode(np.ascontiguousarray(pixels), "liu2018", metric=metric)
        assert np.asarray(comrec.decode(data)).shape == pixels.shape


@of_each_metric
def test_the_picture_is_that_picture_in_its_place(metric: str, odd: Picture) -> None:
    """However little the networks learned, errors grow where the picture is moved."""
    decoded = np.asarray(comrec.decode(comrec.encode(odd, "liu2018", 90, metric=metric)))
    here = metrics.psnr(decoded, odd.pixels)
    assert here > 18
    for axis in (0, 1):
        for by in (-16, -3, 3, 16):
            assert metrics.psnr(np.roll(decoded, by, axis), odd.pixels) < here - 0.5


@of_each_metric
def test_metadata_and_alpha_are_kept(metric: str, odd: Picture, metadata: Metadata) -> None:
    alpha = np.arange(odd.width * odd.height, dtype=np.uint8).reshape(odd.height, odd.width)
    picture = Picture(odd.pixels, alpha, metadata)
    data = comrec.encode(picture, "liu2018", 40, metric=metric, exact=True)
    decoded = files.decode(data)
    assert decoded.metadata == metadata
    assert decoded.alpha is not None
    assert np.array_equal(decoded.alpha, alpha)
    opaque = comrec.encode(odd, "liu2018", 40, metric=metric)
    assert np.array_equal(decoded.pixels, files.decode(opaque).pixels)
    assert cmr.parse(data).payloads == cmr.parse(opaque).payloads


@of_each_metric
def test_gray_is_coded_as_three_equal_channels(metric: Metric, gray_photo: Picture) -> None:
    coder = Liu2018(metric=metric)
    gray = Picture(gray_photo.pixels[:77, :90].copy())
    data = coder.encode(gray, 60)
    colour = coder.encode(Picture(gray.rgb), 60)
    assert cmr.parse(data).payloads == cmr.parse(colour).payloads
    luma = np.rint(metrics.luma(coder.decode(colour).pixels))
    assert np.array_equal(coder.decode(data).pixels, luma)
    assert comrec.decode(data).mode == "L"


@of_each_metric
def test_pictures_are_extended_by_their_edges(metric: Metric, odd: Picture) -> None:
    coder = Liu2018(metric=metric)
    pad = ((0, -odd.height % 16), (0, -odd.width % 16), (0, 0))
    extended = coder.encode(Picture(np.pad(odd.pixels, pad, mode="edge")), 55)
    data = coder.encode(odd, 55)
    assert cmr.parse(data).payloads == cmr.parse(extended).payloads
    larger = coder.decode(extended).pixels
    assert np.array_equal(coder.decode(data).pixels, larger[: odd.height, : odd.width])


@of_each_metric
def test_a_file_says_which_networks_decode_it(metric: Metric, odd: Picture) -> None:
    data = Liu2018(metric=metric).encode(odd, 50)
    h_s = network(metric, "h_s")
    assert cmr.header(data).network == h_s.id
    assert comrec.info(data).network == h_s.name
    expected = np.asarray(comrec.decode(data))
    for other in METRICS:
        assert np.array_equal(Liu2018(metric=other).decode(data).pixels, expected)
    assert len({network(m, "h_s").id for m in METRICS}) == len(METRICS)


@of_each_metric
def test_sizes_and_descriptions_need_no_network(
    metric: Metric, odd: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Liu2018(metric=metric).encode(odd, 12.34)

    def refuse(*_: Any) -> None:
        raise AssertionError("a network was asked for")

    monkeypatch.setattr(Network, "load", refuse)
    runtime.forget()
    assert (Liu2018().header(data).width, Liu2018().header(data).height) == (187, 121)
    found = comrec.info(data)
    assert (found.container, found.codec) == ("cmr", "liu2018")
    assert (found.width, found.height, found.quality) == (187, 121, 12.34)
    assert found.bpp == 8 * len(data) / (187 * 121)
    assert found.shown == "nothing"


@pytest.mark.usefixtures("pillow")
def test_pillow_opens_the_files(odd: Picture, metadata: Metadata, tmp_path: Path) -> None:
    alpha = np.full((odd.height, odd.width), 77, np.uint8)
    path = tmp_path / "picture.cmr"
    path.write_bytes(comrec.encode(Picture(odd.pixels, alpha, metadata), "liu2018", 30))
    with Image.open(path) as image:
        assert image.mode == "RGBA"
        assert image.info["icc_profile"] == metadata.icc
        assert image.tobytes() == comrec.decode(path.read_bytes()).tobytes()


@of_each_metric
@pytest.mark.parametrize("gray", [True, False])
def test_numcodecs_arrays_come_back(metric: str, gray: bool, odd: Picture) -> None:
    numcodecs.register_codec(Comrec)
    text = str(codec.get("liu2018", metric=metric))
    config = {"id": "comrec", "codec": text, "quality": 44.5}
    coder = numcodecs.get_codec(config)
    assert coder.get_config() == config
    samples = odd.pixels[..., 0].copy() if gray else odd.pixels
    data = coder.encode(samples)
    assert data == comrec.encode(samples, "liu2018", 44.5, metric=metric)
    out = np.empty_like(samples)
    coder.decode(data, out)
    assert np.array_equal(out, np.asarray(comrec.decode(data)))


def test_neither_coding_nor_describing_needs_torch(odd: Picture, tmp_path: Path) -> None:
    pixels, path = tmp_path / "pixels.npy", tmp_path / "picture.cmr"
    path.write_bytes(comrec.encode(odd, "liu2018", 45))
    np.save(pixels, odd.pixels)
    script = f"""
import sys
for name in ("torch", "onnx", "scipy", "skimage"):
    sys.modules[name] = None  # so that importing it fails
import comrec, numpy as np
data = open({str(path)!r}, "rb").read()
assert comrec.info(data).codec == "liu2018"
assert "onnxruntime" not in sys.modules
np.save({str(tmp_path / "decoded.npy")!r}, np.asarray(comrec.decode(data)))
comrec.decode(comrec.encode(np.load({str(pixels)!r}), "liu2018", 45))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    difference = np.load(tmp_path / "decoded.npy").astype(int) - comrec.decode(path.read_bytes())
    assert np.abs(difference).max() <= 1


# --- qualities and metrics --------------------------------------------------------------------


@of_each_metric
def test_files_grow_with_quality(metric: str) -> None:
    picture = Picture(photograph("astronaut")[:192, 100:300].copy())
    sizes = [
        len(comrec.encode(picture, "liu2018", q, metric=metric, effort=1))
        for q in range(0, 101, 10)
    ]
    assert sizes == sorted(set(sizes))


@of_each_metric
def test_quality_is_continuous(metric: str) -> None:
    """No jump, not even where the networks' own gains were learned: at sevenths of 100."""
    picture = Picture(photograph("astronaut")[:128, 140:300].copy())
    for quality in (0.0, 14.28, 33.33, 57.14, 99.98):
        datas = [
            comrec.encode(picture, "liu2018", quality + away, metric=metric, effort=1)
            for away in (0, 0.01, 0.02)
        ]
        found = [cmr.header(data).quality for data in datas]
        assert found == pytest.approx([quality, quality + 0.01, quality + 0.02], abs=1e-9)
        sizes = [len(data) for data in datas]
        assert max(sizes) - min(sizes) <= 8 + 0.01 * max(sizes)
    payloads = {
        cmr.parse(comrec.encode(picture, "liu2018", q, metric=metric, effort=1)).payloads
        for q in (50, 50.25, 50.5, 50.75)
    }
    assert len(payloads) == 4


@pytest.mark.parametrize("metric", METRICS)
def test_the_tables_of_hyper_latents_fit(metric: str) -> None:
    """Their cost is near their entropy. With tables that training had left behind it was 2.4 times
    as much."""
    networks = Networks.trained_for("liu2018", metric)
    found = []
    for name in ("astronaut", "coffee", "chelsea"):
        planes = planes_of(Picture(photograph(name)), ALIGN)
        for quality in (20, 50, 80):
            z = networks.analysed(planes, quality)[1]
            found.append(z.reshape(len(z), -1))
    cost = entropy = 0.0
    for values, table in zip(
        np.concatenate(found, 1).astype(np.int64), networks.tables, strict=True
    ):
        counts = np.unique(values, return_counts=True)[1]
        cost += float(table.bits(values).sum())
        entropy -= float((counts * np.log2(counts / counts.sum())).sum())
    assert cost < 1.15 * entropy


def test_a_quality_is_taken_to_the_nearest_hundredth(odd: Picture) -> None:
    expected = comrec.encode(odd, "liu2018", 33.34)
    assert comrec.encode(odd, "liu2018", 33.337) == expected
    assert comrec.encode(odd, "liu2018", np.float64(33.3421)) == expected
    assert comrec.encode(odd, "liu2018", 33.33) != expected


@pytest.mark.parametrize("quality", [-0.01, 100.01, math.nan, math.inf])
def test_qualities_out_of_range_are_refused(quality: float, odd: Picture) -> None:
    with pytest.raises(OptionError, match=r"0\.\.100"):
        comrec.encode(odd, "liu2018", quality)


@pytest.mark.parametrize("metric", ["psnr", "", "MSE", None, 3])
def test_unknown_metrics_are_refused(metric: Any, odd: Picture) -> None:
    with pytest.raises(OptionError, match="metric must be mse, ms-ssim or perceptual, not"):
        comrec.encode(odd, "liu2018", metric=metric)


@pytest.mark.parametrize("metric", get_args(Metric))
def test_metrics_without_networks_are_named(
    metric: Metric, odd: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tuple(n for n in store.networks() if (n.family, n.variant) != ("liu2018", metric))
    monkeypatch.setattr(store, "networks", lambda: left)
    with pytest.raises(WeightsError, match=rf"liu2018.* {metric}$"):
        codec.get("liu2018", metric=metric).encode(odd, 50)


# --- targets ----------------------------------------------------------------------------------


@of_each_metric
@pytest.mark.parametrize("near", [20, 80])
def test_sizes_are_met(metric: str, near: float, photo: Picture) -> None:
    aim = len(comrec.encode(photo, "liu2018", near, metric=metric)) + 17
    data = comrec.encode(photo, "liu2018", target_size=aim, metric=metric)
    assert 0.94 * aim <= len(data) <= aim
    bpp = 8 * aim / (photo.width * photo.height)
    assert comrec.encode(photo, "liu2018", target_bpp=bpp, metric=metric) == data


@of_each_metric
def test_fidelities_are_met(metric: str, photo: Picture) -> None:
    low, high = (
        metrics.psnr(np.asarray(comrec.decode(data)), photo.pixels)
        for data in (comrec.encode(photo, "liu2018", q, metric=metric) for q in (20, 60))
    )
    aim = (low + high) / 2
    data = comrec.encode(photo, "liu2018", target_psnr=aim, metric=metric)
    assert aim <= metrics.psnr(np.asarray(comrec.decode(data)), photo.pixels) <= aim + 0.2
    assert 20 < cmr.header(data).quality < 60


def test_targets_out_of_reach_are_told(photo: Picture) -> None:
    coder = Liu2018(effort=PLAIN)  # whose smallest file is that of quality 0, exactly
    smallest = len(coder.encode(photo, 0))
    with pytest.raises(TargetError, match=rf"liu2018.*{smallest:,} bytes"):
        comrec.encode(photo, "liu2018", target_size=smallest - 1, effort=PLAIN)
    assert len(comrec.encode(photo, "liu2018", target_size=smallest, effort=PLAIN)) == smallest
    with pytest.raises(TargetError, match="PSNR of at least 80 dB cannot be met: liu2018 reaches"):
        comrec.encode(photo, "liu2018", target_psnr=80)


# --- tiles ------------------------------------------------------------------------------------


WHOLE = dict.fromkeys(("g_a", "h_a", "h_s", "g_s"), 1 << 20)


@of_each_metric
def test_small_tiles_give_the_symbols_and_the_pixels_of_one_piece(
    metric: Metric,
) -> None:
    picture = large(301, 403)
    coder = Liu2018(metric=metric, effort=PLAIN)
    with tiled(**WHOLE):
        data = coder.encode(picture, 80)
        whole = coder.decode(data).pixels
        expected = symbols(data)
    with tiled(g_a=128, h_a=8, h_s=2, g_s=6):
        assert same_symbols(symbols(data), expected)
        cut = coder.decode(data).pixels  # an error where one symbol was another
        again = coder.encode(picture, 80)
    difference = np.abs(whole.astype(int) - cut)
    assert difference.max() <= 1
    assert difference.mean() < 0.01
    assert_same_but_for_ties(symbols(again), expected)


@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    h_s=st.integers(1, 3),
    g_s=st.integers(1, 8),
    metric=st.sampled_from(METRICS),
)
@settings(max_examples=8)
def test_any_size_and_tile_decodes_to_the_same(
    height: int, width: int, h_s: int, g_s: int, metric: Metric
) -> None:
    picture = large(height, width)
    coder = Liu2018(metric=metric)
    data = coder.encode(picture, 70)
    expected = coder.decode(data).pixels.astype(int)
    with tiled(**{**WHOLE, "h_s": h_s, "g_s": g_s}):
        assert np.abs(coder.decode(data).pixels - expected).max() <= 1


def test_a_large_picture_has_no_seams() -> None:
    """More than a tile of every network."""
    picture = large(1200, 1500)
    coder = Liu2018(effort=PLAIN)
    data = coder.encode(picture, 50)
    decoded = coder.decode(data).pixels
    with tiled(**WHOLE):
        whole = coder.decode(data).pixels
        in_one_piece = coder.encode(picture, 50)
    difference = np.abs(whole.astype(int) - decoded)
    assert difference.max() <= 1
    assert difference.mean() < 0.01
    assert_same_but_for_ties(symbols(data), symbols(in_one_piece))

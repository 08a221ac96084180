"""Metrics and curves against the packages that the field uses."""

import io
import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from comrec import metrics
from comrec.errors import MissingExtraError, OptionError
from comrec.measure import curves

data = pytest.importorskip("skimage.data")
skimage_metrics = pytest.importorskip("skimage.metrics")


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def colour_pictures() -> list[np.ndarray]:
    """Sides even, odd, odd at deeper scales, and the shortest that MS-SSIM takes."""
    astronaut, chelsea = data.astronaut(), data.chelsea()
    return [astronaut, chelsea, astronaut[:227, :346], astronaut[100:261, 200:361]]


@pytest.mark.parametrize("picture", colour_pictures(), ids=lambda p: str(p.shape))
@pytest.mark.parametrize("quality", [5, 50, 95])
def test_psnr_and_ssim_are_scikit_images(picture: np.ndarray, quality: int) -> None:
    damaged = jpeg(picture, quality)
    expected = skimage_metrics.peak_signal_noise_ratio(picture, damaged)
    assert metrics.psnr(picture, damaged) == pytest.approx(expected, abs=1e-9)
    luma = metrics.luma(picture), metrics.luma(damaged)
    expected = skimage_metrics.peak_signal_noise_ratio(*luma, data_range=255)
    assert metrics.psnr(*luma) == pytest.approx(expected, abs=1e-5)
    gray, damaged = picture[..., 1], jpeg(picture[..., 1], quality)
    expected = skimage_metrics.structural_similarity(
        gray, damaged, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert metrics.ssim(gray, damaged) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("picture", colour_pictures(), ids=lambda p: str(p.shape))
@pytest.mark.parametrize("quality", [5, 50, 95])
def test_ms_ssim_is_pytorch_msssims(picture: np.ndarray, quality: int) -> None:
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("pytorch_msssim")

    def expected(*pair: np.ndarray) -> float:
        planes = [np.atleast_3d(p).transpose(2, 0, 1)[None].astype(np.float64) for p in pair]
        return float(reference.ms_ssim(*map(torch.from_numpy, planes), data_range=255))

    damaged = jpeg(picture, quality)
    assert metrics.ms_ssim(picture, damaged) == pytest.approx(expected(picture, damaged), abs=5e-6)
    pair = picture[..., 0], damaged[..., 0]
    assert metrics.ms_ssim(*pair) == pytest.approx(expected(*pair), abs=5e-6)


def test_ms_ssim_of_opposites_is_zero_not_nan() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (170, 170), np.uint8)
    assert metrics.ms_ssim(noise, 255 - noise) == 0


def test_luma_weighs_the_primaries() -> None:
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    luma = metrics.luma(primaries)
    assert luma.dtype == np.float32
    np.testing.assert_allclose(luma, [[76.245, 149.685, 29.07, 255]], rtol=1e-6)


def test_psnr_takes_luma() -> None:
    black = np.zeros((4, 5, 3), np.uint8)
    reddish = black + np.array([10, 0, 0], np.uint8)
    expected = 20 * math.log10(255 / 2.99)
    assert metrics.psnr(metrics.luma(black), metrics.luma(reddish)) == pytest.approx(expected)


def test_metrics_know_the_same_picture_and_order_does_not_matter() -> None:
    picture = data.astronaut()
    damaged = jpeg(picture, 20)
    assert metrics.psnr(picture, picture) == math.inf
    assert metrics.ms_ssim(picture, picture) == pytest.approx(1)
    assert metrics.ssim(picture[..., 0], picture[..., 0]) == pytest.approx(1)
    assert metrics.psnr(picture, damaged) == metrics.psnr(damaged, picture)
    assert metrics.ms_ssim(picture, damaged) == pytest.approx(metrics.ms_ssim(damaged, picture))


def test_metrics_refuse_what_they_cannot_compare() -> None:
    gray, colour = np.zeros((160, 300), np.uint8), np.zeros((300, 300, 3), np.uint8)
    for metric in (metrics.psnr, metrics.ssim, metrics.ms_ssim):
        with pytest.raises(OptionError, match="one shape"):
            metric(gray, gray[1:])
    with pytest.raises(OptionError, match="at least 161 pixels; this picture is 300x160"):
        metrics.ms_ssim(gray, gray)
    with pytest.raises(OptionError, match="at least 11"):
        metrics.ssim(gray[:10], gray[:10])
    with pytest.raises(OptionError, match="gray"):
        metrics.ssim(colour, colour)
    with pytest.raises(OptionError, match="RGB"):
        metrics.luma(gray)


ANCHOR = [(0.15, 23.9), (0.27, 26.7), (0.43, 28.8), (0.77, 31.6), (1.31, 34.4)]
TEST = [(0.11, 25.7), (0.25, 28.6), (0.53, 31.7), (0.82, 34.1)]


def test_bd_rate_is_bjontegaards() -> None:
    reference = pytest.importorskip("bjontegaard")
    expected = reference.bd_rate(
        *np.transpose(ANCHOR), *np.transpose(TEST), method="pchip", require_matching_points=False
    )
    assert curves.bd_rate(ANCHOR, TEST) == pytest.approx(expected, abs=1e-6)
    assert curves.bd_rate(ANCHOR[::-1], TEST[::-1]) == pytest.approx(expected, abs=1e-6)


STEPS = st.lists(st.tuples(st.floats(0.05, 1.0), st.floats(0.3, 3.0)), min_size=3, max_size=8)


@given(STEPS, STEPS)
def test_bd_rate_is_bjontegaards_on_any_rising_curves(
    anchor: list[tuple[float, float]], test: list[tuple[float, float]]
) -> None:
    reference = pytest.importorskip("bjontegaard")
    # Steps of log rate and of dB, summed; from 25 dB, so that the curves overlap.
    rising = [np.cumsum(steps, axis=0) + np.array([-2.0, 25.0]) for steps in (anchor, test)]
    one, other = ([(math.exp(log), float(db)) for log, db in curve] for curve in rising)
    low, high = max(one[0][1], other[0][1]), min(one[-1][1], other[-1][1])
    if high - low < 0.1:
        return
    expected = reference.bd_rate(
        *np.transpose(one),
        *np.transpose(other),
        method="pchip",
        require_matching_points=False,
        min_overlap=0,
    )
    assert curves.bd_rate(one, other) == pytest.approx(expected, rel=1e-8, abs=1e-6)


def test_bd_rate_of_a_fifth_less_is_minus_20_percent_and_back_plus_25() -> None:
    smaller = [(0.8 * rate, metric) for rate, metric in ANCHOR]
    assert curves.bd_rate(ANCHOR, smaller) == pytest.approx(-20)
    assert curves.bd_rate(smaller, ANCHOR) == pytest.approx(25)


def test_bd_rate_takes_the_cheapest_of_equal_metrics() -> None:
    assert curves.bd_rate(ANCHOR, [*ANCHOR, (9.0, 28.8)]) == pytest.approx(0)


@pytest.mark.parametrize(
    "bad",
    [
        [],
        ANCHOR[:1],
        [(0.1, 25.0), (0.2, 25.0)],
        [(0.1, 40.0), (0.2, 50.0)],
        [(0.0, 25.0), (0.2, 30.0)],
        [(0.1, 25.0), (0.2, math.inf)],
    ],
)
def test_bd_rate_refuses_curves_that_do_not_compare(bad: list[tuple[float, float]]) -> None:
    with pytest.raises(OptionError):
        curves.bd_rate(ANCHOR, bad)


def test_bd_rate_without_scipy_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.interpolate", None)
    with pytest.raises(MissingExtraError, match=r"comrec\[bench\]"):
        curves.bd_rate(ANCHOR, TEST)


def test_best_of_keeps_what_nothing_beats() -> None:
    low = [(0.1, 20.0), (0.5, 30.0), (1.0, 32.0)]
    high = [(0.2, 19.0), (0.5, 29.0), (0.9, 33.0)]
    best = curves.best_of([low, high])
    assert best == [(0.1, 20.0), (0.5, 30.0), (0.9, 33.0)]
    assert curves.best_of([best, low]) == best
    assert curves.best_of([]) == []


def test_best_of_is_no_worse_than_either() -> None:
    """A point just under a curve, between its points, is not among the best."""
    under = [(1.05 * rate, metric) for rate, metric in ANCHOR]
    assert curves.best_of([ANCHOR, under])[:-1] == ANCHOR[:-1]
    assert curves.bd_rate(curves.best_of([ANCHOR, under]), ANCHOR) == pytest.approx(0, abs=0.1)


def test_within_keeps_one_point_beyond_either_end() -> None:
    curve = [(rate, 10 * rate) for rate in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)]
    assert curves.within(curve[::-1], 0.25, 0.45) == curve[1:5]
    assert curves.within(curve, 0.0, 9.0) == curve
    assert curves.within(curve, 7.0, 9.0) == []

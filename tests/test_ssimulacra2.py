"""SSIMULACRA2 against the numbers of other implementations, and what it promises at its edges."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from comrec import fidelity, ssimulacra2
from comrec.errors import OptionError
from comrec.picture import Picture

Pixels = NDArray[np.uint8]


def as_levels(values: NDArray[np.float64]) -> Pixels:
    levels: Pixels = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return levels


def scene(height: int, width: int) -> Pixels:
    """Smooth colours, edges, texture and a dark part."""
    down, across = np.mgrid[0:height, 0:width] / 64
    waves = [np.sin(3 * down + 2 * across**2), np.cos(5 * across), np.sin(across * down)]
    colours = np.stack(waves, axis=2) * 60 + 120
    colours[(down % 1 < 0.3) & (across % 1 < 0.5)] += (80, -60, 30)
    colours[height // 2 :, : width // 3] /= 8
    colours[: height // 3, width // 2 :] += (
        9 * np.sin(90 * down + 70 * across)[: height // 3, width // 2 :, None]
    )
    return as_levels(colours)


def noisy(pixels: Pixels, by: float) -> Pixels:
    """With pseudo-random errors that do not depend on the version of NumPy."""
    index = np.arange(pixels.size, dtype=np.uint64).reshape(pixels.shape)
    mixed = (index * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    uniform = mixed / 2**23 - 1
    return as_levels(pixels + by * uniform)


def blurred(pixels: Pixels) -> Pixels:
    wide = np.pad(pixels.astype(float), ((1, 1), (1, 1), (0, 0)), "edge")
    rows = (wide[:-2] + wide[1:-1] + wide[2:]) / 3
    return as_levels((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 3)


def coarse(pixels: Pixels) -> Pixels:
    """With few levels, and the blue of 8x8 squares."""
    result = pixels // 24 * 24 + 12
    for top in range(0, pixels.shape[0], 8):
        for left in range(0, pixels.shape[1], 8):
            square = result[top : top + 8, left : left + 8, 2]
            square[...] = int(square.mean())
    return result


DAMAGES = {
    "faint": lambda pixels: noisy(pixels, 2),
    "noisy": lambda pixels: noisy(pixels, 20),
    "blurred": blurred,
    "coarse": coarse,
}

# The reference, version 2.1, with the recursive filter of libjxl 0.7 in 32-bit floats, whose
# rounding lowers high scores; and the package ssimulacra2 0.3.0, in 64-bit floats, with the
# reference's filter and borders instead of its own. The package stops a scale earlier where sides
# are below 256.
MEASURED = [
    ((256, 320), "faint", 95.9328, 96.24621),
    ((256, 320), "noisy", 60.6173, 60.62330),
    ((256, 320), "blurred", 69.0299, 69.05706),
    ((256, 320), "coarse", 29.3145, 29.31119),
    ((131, 167), "noisy", 63.8921, None),
    ((131, 167), "blurred", 62.8151, None),
    ((131, 167), "coarse", 41.2961, None),
    ((33, 50), "faint", 82.8278, None),
    ((33, 50), "noisy", -52.0820, None),
    ((600, 15), "noisy", 63.2711, None),
    ((600, 15), "coarse", 28.7737, None),
]


@pytest.mark.parametrize(("shape", "damage", "reference", "package"), MEASURED)
def test_scores_are_those_of_other_implementations(
    shape: tuple[int, int], damage: str, reference: float, package: float | None
) -> None:
    original = scene(*shape)
    found = ssimulacra2.score(DAMAGES[damage](original), original)
    assert found == pytest.approx(reference, abs=0.35 if damage == "faint" else 0.05)
    if package is not None:
        assert found == pytest.approx(package, abs=0.002)


@pytest.mark.parametrize("shape", [(8, 8), (64, 90), (131, 167)])
def test_only_an_identical_picture_scores_100(shape: tuple[int, int]) -> None:
    original = scene(*shape)
    assert ssimulacra2.score(original.copy(), original) == ssimulacra2.BEST
    changed = original.copy()
    changed[3, 4, 1] ^= 4
    assert 90 < ssimulacra2.score(changed, original) < ssimulacra2.BEST


def test_contrast_that_is_added_and_that_is_lost_differ() -> None:
    sharp = scene(160, 200)
    smooth = blurred(blurred(sharp))
    assert abs(ssimulacra2.score(smooth, sharp) - ssimulacra2.score(sharp, smooth)) > 0.5


def test_gray_is_equal_red_green_and_blue() -> None:
    gray = scene(70, 81)[..., 1]
    damaged = noisy(gray, 12)
    colours = [np.repeat(plane[..., None], 3, axis=2) for plane in (damaged, gray)]
    assert ssimulacra2.score(damaged, gray) == ssimulacra2.score(*colours)


def test_weights_leave_out_what_they_hide() -> None:
    original = scene(160, 200)
    damaged = noisy(original, 25)
    half = damaged.copy()
    half[:, :100] = original[:, :100]
    weights = np.zeros((160, 200), np.uint8)
    assert ssimulacra2.score(damaged, original, weights) == ssimulacra2.BEST
    weights[:, :60] = 255
    assert ssimulacra2.score(half, original, weights) > ssimulacra2.score(half, original) + 15
    equal = np.full_like(weights, 77)
    # At the borders the filter does not see all of the weights.
    assert ssimulacra2.score(half, original, equal) == pytest.approx(
        ssimulacra2.score(half, original), abs=1
    )


def test_what_cannot_be_compared_is_refused() -> None:
    original = scene(8, 40)
    with pytest.raises(OptionError, match="one shape"):
        ssimulacra2.score(original[:, 1:], original)
    with pytest.raises(OptionError, match="at least 8 pixels; this picture is 40x7"):
        ssimulacra2.score(original[:7], original[:7])


def test_what_alpha_hides_does_not_count() -> None:
    rgb = scene(160, 200)
    alpha = np.zeros((160, 200), np.uint8)
    alpha[40:120, 50:150] = 255
    original = Picture(rgb, alpha)
    hidden = np.where(alpha[..., None] > 0, rgb, noisy(rgb, 60))
    assert fidelity.ssimulacra2(original.with_pixels(hidden), original) == ssimulacra2.BEST
    shown = np.where(alpha[..., None] > 0, noisy(rgb, 60), rgb)
    assert fidelity.ssimulacra2(original.with_pixels(shown), original) < 70
    faded = Picture(rgb, alpha // 2)
    assert fidelity.ssimulacra2(faded, original) < 70
    plain = fidelity.ssimulacra2(Picture(shown), Picture(rgb))
    assert plain == ssimulacra2.score(shown, rgb)

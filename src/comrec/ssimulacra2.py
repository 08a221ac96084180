"""SSIMULACRA2, a metric fitted to how people rate compressed pictures.

J. Sneyers, "SSIMULACRA 2", version 2.1, 2023 (github.com/cloudinary/ssimulacra2). About 30 is low
quality, 50 medium, 70 high, and from 90 on the two can hardly be told apart.

Both pictures are converted to XYB, a space of opponent colours, at six scales. At each scale and in
each channel there are three maps of errors: structural dissimilarity, artifacts (local contrast
that only the decoded picture has) and lost detail (that only the original has). A weighted sum of
the mean and the 4-norm of each gives the score.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from comrec.errors import OptionError

Pixels = NDArray[np.uint8]
Planes = NDArray[np.float32]
Level = NDArray[Any]  # a picture, (C, H, W): uint8 in sRGB, or float32 in linear light

BEST = 100.0
"""The score of identical pictures."""
SIDE = 8
"""Shortest side, in pixels, of the pictures that the metric is defined for."""

_SCALES = 6
_C = 0.0009  # keeps the dissimilarity of flat areas finite

_CONES = np.array(
    [
        [0.3, 0.622, 0.078],
        [0.23, 0.692, 0.078],
        [0.24342268924547819, 0.20476744424496821, 0.5518098665095536],
    ],
    np.float32,
)
_BIAS = np.float32(0.0037930732552754493)
"""Linear RGB to the responses of the cones, as in JPEG XL; their cube roots are perceived."""

_OPPONENT = np.array([[7, -7, 0], [0.5, 0.5, 0], [-0.5, -0.5, 1]], np.float32)
_OFFSETS = np.array([0.42, 0.01, 0.55], np.float32) - _OPPONENT.sum(axis=1) * np.cbrt(_BIAS)
"""Cube roots to X, Y and B - Y, all in about 0..1 for sRGB."""

_LEVELS = np.arange(256) / 255
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(
    np.float32
)
"""Linear light, 0..1, of the samples of sRGB."""

_HALF = [0.009414367809653464, 0.03601111465836417, 0.10933537277746015, 0.21292859201042205]
_TAPS = np.array([*_HALF, 0.2646211054881984, *_HALF[::-1]], np.float32)
"""The impulse response of the reference's recursive filter: three cosines that add up to nearly a
Gaussian of sigma 1.5 (D. Charalampidis, "Recursive Implementation of the Gaussian Filter Using
Truncated Cosine Functions", IEEE TSP 64(14), 2016). What is outside of the picture is 0."""
_RADIUS = len(_HALF)

_STRIP = 32
"""Rows that are processed at a time: memory is bounded, and the caches suffice. Even."""

_WEIGHTS = np.array(
    [
        [0, 0.0007376606707406586, 0],
        [0, 0.0007793481682867309, 0],
        [0, 0.0004371155730107379, 0],
        [1.1041726426657346, 0.00066284834129271, 0.00015231632783718752],
        [0, 0.0016406437456599754, 0],
        [1.8422455520539298, 11.441172603757666, 0],
        [0.0007989109436015163, 0.000176816438078653, 0],
        [1.8787594979546387, 10.94906990605142, 0],
        [0.0007289346991508072, 0.9677937080626833, 0],
        [0.00014003424285435884, 0.9981766977854967, 0.00031949755934435053],
        [0.0004550992113792063, 0, 0],
        [0.0013648766163243398, 0, 0],
        [0, 0, 0],
        [7.466890328078848, 0, 17.445833984131262],
        [0.0006235601634041466, 0, 0],
        [6.683678146179332, 0.00037724407979611296, 1.027889937768264],
        [225.20515300849274, 0, 0],
        [19.213238186143016, 0.0011401524586618361, 0.001237755635509985],
        [176.39317598450694, 0, 0],
        [24.43300999870476, 0.28520802612117757, 0.0004485436923833408],
        [0, 0, 0],
        [34.77906344483772, 44.835625328877896, 0],
        [0, 0, 0],
        [0, 0, 0],
        [0, 0.0008680556573291698, 0],
        [0, 0, 0],
        [0, 0.0005313191874358747, 0],
        [0.00016533814161379112, 0, 0],
        [0, 0, 0],
        [0.0004179171803251336, 0.0017290828234722833, 0],
        [0.0020827005846636437, 0, 0],
        [8.826982764996862, 23.19243343998926, 0],
        [95.1080498811086, 0.9863978034400682, 0.9834382792465353],
        [0.0012286405048278493, 171.2667255897307, 0.9807858872435379],
        [0, 0, 0],
        [0.0005130064588990679, 0, 0.00010854057858411537],
    ]
).ravel()
"""By channel, scale, norm (mean, 4-norm) and map (dissimilarity, artifacts, lost detail)."""


def score(decoded: Pixels, original: Pixels, weights: Pixels | None = None) -> float:
    """SSIMULACRA2 of a decoded picture, both in sRGB.

    The order matters: contrast that is added counts otherwise than contrast that is lost.

    Args:
        decoded, original: equal shapes, (H, W, 3), or (H, W) for R = G = B; sides of at least 8.
            Below 113 there are fewer scales, as in the reference.
        weights: (H, W), such as alpha: errors are weighted by their mean in the same window, at
            coarser scales averaged over 2x2 squares. By default all are equal.
    Returns:
        At most 100, for identical pictures and where all weights are 0; negative for very bad ones.
    Raises:
        OptionError: the shapes differ, or the pictures are too small.
    """
    if decoded.shape != original.shape:
        raise OptionError(
            f"both pictures must have one shape; these are {decoded.shape} and {original.shape}"
        )
    height, width = original.shape[:2]
    if min(height, width) < SIDE:
        raise OptionError(
            f"ssimulacra2 needs sides of at least {SIDE} pixels; this picture is {width}x{height}"
        )
    if weights is not None and not weights.any():
        return BEST
    levels = zip(
        range(_SCALES),
        _pyramid(_planes(decoded)),
        _pyramid(_planes(original)),
        repeat(None) if weights is None else _pyramid(weights[None].astype(np.float32)),
        strict=False,
    )
    norms = np.stack([_norms(ours, theirs, shares) for _, ours, theirs, shares in levels], axis=1)
    # With fewer scales, the weights of the later channels move up, as in the reference.
    error = 0.9562382616834844 * float(norms.ravel() @ _WEIGHTS[: norms.size])
    error *= 2.326765642916932 - 0.020884521182843837 * error + 6.248496625763138e-05 * error**2
    return BEST - 10 * math.pow(max(error, 0.0), 0.6276336467831387)


def _planes(picture: Pixels) -> Pixels:
    """(3, H, W)."""
    if picture.ndim == 2:
        return np.broadcast_to(picture, (3, *picture.shape))
    return picture.transpose(2, 0, 1)


def _pyramid(level: Level) -> Iterator[Level]:
    """A picture (C, H, W), and in linear light halves of it until a side is below 8."""
    yield level
    while min(level.shape[1:]) >= SIDE:
        level = _halved(level)
        yield level


def _halved(level: Level) -> Planes:
    """Means of 2x2 squares; odd sides are padded with their last line."""
    channels, height, width = level.shape
    halves = np.empty((channels, -(-height // 2), -(-width // 2)), np.float32)
    for top in range(0, height, _STRIP):
        rows = _linear(level[:, top : top + _STRIP])
        rows = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2), (0, width % 2)), "edge")
        pairs = rows[:, ::2] + rows[:, 1::2]
        halves[:, top // 2 : (top + _STRIP) // 2] = (pairs[..., ::2] + pairs[..., 1::2]) / 4
    return halves


def _linear(level: Level) -> Planes:
    """A picture, or rows of it, in linear light."""
    return np.take(_LINEAR, level) if level.dtype == np.uint8 else level


def _norms(decoded: Level, original: Level, weights: Planes | None) -> NDArray[np.float64]:
    """(3, 2, 3): by channel, norm and map, at one scale."""
    height, width = original.shape[1:]
    sums = np.zeros((3, 2, 3))
    total = 0.0
    for top in range(0, height, _STRIP):
        bottom = min(top + _STRIP, height)
        rows = slice(max(top - _RADIUS, 0), bottom + _RADIUS)
        down = _vertical(top, bottom, rows.start, min(rows.stop, height))
        maps = _errors(_xyb(decoded[:, rows]), _xyb(original[:, rows]), down, top - rows.start)
        shares = np.ones((1, bottom - top, width), np.float32)
        if weights is not None:
            shares = _blurred(_padded(weights[:, rows]), down)
        total += float(shares.sum())
        for index, values in enumerate(maps):
            sums[:, 0, index] += np.sum(values * shares, axis=(1, 2))
            sums[:, 1, index] += np.sum(np.square(np.square(values)) * shares, axis=(1, 2))
    means = sums / total
    means[:, 1] **= 1 / 4
    return means


def _errors(a: Planes, b: Planes, down: Planes, margin: int) -> tuple[Planes, Planes, Planes]:
    """Maps of dissimilarity, artifacts and lost detail: (3, rows of a strip, W) each, from 0.

    Args:
        a, b: the decoded picture and the original as of `_xyb`, with rows around the strip.
        down: see `_vertical`.
        margin: number of rows above the strip.
    """
    mean_a, mean_b = _blurred(a, down), _blurred(b, down)
    # 1 - (1 - shift) (2 covariance + C) / (variances + C), written without the difference of
    # nearly equal terms; unlike SSIM, the luminance term has no denominator.
    shift = (mean_a - mean_b) ** 2
    spread = _blurred((a - b) ** 2, down) - shift  # variances - 2 covariance
    variances = _blurred(a**2 + b**2, down) - mean_a**2 - mean_b**2
    dissimilarity = shift + (1 - shift) * spread / (variances + _C)
    strip = np.s_[:, margin : margin + down.shape[0], : mean_a.shape[2]]
    contrast_a, contrast_b = np.abs(a[strip] - mean_a), np.abs(b[strip] - mean_b)
    gain = (contrast_a - contrast_b) / (1 + contrast_b)
    return dissimilarity, np.maximum(gain, 0), np.maximum(-gain, 0)


def _xyb(rows: Level) -> Planes:
    """Rows of a picture as of `_padded`, in X, Y and B - Y."""
    linear = _linear(rows)
    cones = _CONES @ linear.reshape(3, -1) + _BIAS
    roots = np.exp(np.log(cones) / 3)  # several times as fast as np.cbrt
    return _padded((_OPPONENT @ roots + _OFFSETS[:, None]).reshape(linear.shape))


def _padded(planes: Planes) -> Planes:
    """With zeros to the right of each row, for `_blurred`."""
    return np.pad(planes, ((0, 0), (0, 0), (0, _RADIUS)))


def _blurred(padded: Planes, down: Planes) -> Planes:
    """(C, rows of a strip, W), filtered with `_TAPS`.

    Args:
        padded: (C, rows, W + 4), 4 rows more above and below where there are any, as of `_padded`.
        down: see `_vertical`.
    """
    # All rows are one sequence: the zeros after each keep them apart.
    across = np.correlate(padded.ravel(), _TAPS, "same").reshape(padded.shape)
    return (down @ across)[..., :-_RADIUS]


def _vertical(top: int, bottom: int, first: int, last: int) -> Planes:
    """The matrix that filters the rows first..last vertically, to the rows top..bottom."""
    offsets = np.arange(first, last) - np.arange(top, bottom)[:, None]
    taps = np.take(_TAPS, offsets + _RADIUS, mode="clip")
    return np.where(np.abs(offsets) <= _RADIUS, taps, np.float32(0))

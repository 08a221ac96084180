"""Tone mapping of PQ and HLG (ITU-R BT.2100) to sRGB.

1. Samples become light of a display: PQ by its EOTF; HLG by its inverse OETF and the OOTF of a
   display of 1000 cd/m2 (system gamma 1.2).
2. The largest of R, G and B of each pixel is compressed by the EETF of ITU-R BT.2390-11, section
   5.4.1, from the brightest sample of the picture to the reference white, 203 cd/m2 (ITU-R
   BT.2408). R, G and B are multiplied by the same factor, which keeps hue and saturation. Below
   the knee nothing changes; a picture that has nothing brighter than reference white is not
   changed at all.
3. A matrix converts to the primaries of sRGB; what lies outside is clipped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from comrec.formats.cicp import Encoding
from comrec.picture import Pixels
from comrec.preparation import profiles

_WHITE = 203.0  # cd/m2
_HLG_PEAK = 1000.0
_ROWS = 64  # of a band

_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_A = 0.17883277
_B, _C = 1 - 4 * _A, 0.5 - _A * np.log(4 * _A)

Light = NDArray[np.float32]


def tone_mapped(samples: NDArray[np.floating[Any]], encoding: Encoding) -> Pixels:
    """sRGB pixels of PQ or HLG samples.

    Args:
        samples: (H, W) or (H, W, 3) in 0..1.
        encoding: its `hdr` is not None.
    Raises:
        ValueError: its primaries are impossible.
    """
    matrix = profiles.to_srgb(encoding.primaries).astype(np.float32)
    weights = profiles.luminance(encoding.primaries).astype(np.float32)
    gray = samples.ndim == 2
    brightest = np.asarray(samples.max(keepdims=True), np.float32).reshape(1, 1, 1).repeat(3, 2)
    peak = max(float(_display(brightest, encoding.hdr, weights).max()), _WHITE)
    out: Pixels = np.empty(samples.shape, np.uint8)
    for top in range(0, len(samples), _ROWS):
        band = np.asarray(samples[top : top + _ROWS], np.float32)
        light = _display(np.dstack([band] * 3) if gray else band, encoding.hdr, weights)
        largest = np.maximum(light.max(axis=2, keepdims=True), np.float32(1e-6))
        light *= _compressed(largest, peak) / (largest * np.float32(_WHITE))
        light = (light @ matrix.T).clip(0, 1)
        shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        eight = np.rint(shown * 255).astype(np.uint8)
        out[top : top + _ROWS] = eight[..., 1] if gray else eight
    return out


def _display(samples: Light, hdr: str | None, weights: Light) -> Light:
    """Light of a display, cd/m2."""
    if hdr == "PQ":
        return np.asarray(_pq_light(samples), np.float32)
    scene = np.where(samples <= 0.5, samples**2 / 3, (np.exp((samples - _C) / _A) + _B) / 12)
    bright = np.maximum(scene @ weights, np.float32(1e-9))[..., None] ** 0.2
    return np.asarray(_HLG_PEAK * bright * scene, np.float32)


def _pq_light(samples: NDArray[Any]) -> NDArray[Any]:
    """cd/m2 of PQ samples (EOTF, SMPTE ST 2084)."""
    root = samples ** (1 / _M2)
    ratio = np.maximum(root - _C1, 0) / (_C2 - _C3 * root)
    return np.asarray(10_000 * ratio ** (1 / _M1))


def _pq(light: NDArray[Any] | float) -> NDArray[Any]:
    """The inverse of `_pq_light`."""
    root = (np.asarray(light) / 10_000) ** _M1
    return np.asarray(((_C1 + _C2 * root) / (1 + _C3 * root)) ** _M2)


def _compressed(light: Light, peak: float) -> Light:
    """Light in 0..``peak`` compressed to 0..203 cd/m2, by the EETF of BT.2390 for black 0."""
    top = float(_pq(peak))
    relative = _pq(light) / top
    target = float(_pq(_WHITE)) / top
    knee = 1.5 * target - 0.5
    if knee >= 1:
        return light
    along = ((relative - knee) / (1 - knee)).clip(0, 1)
    # Hermite spline with slope 1 at the knee and 0 at the end.
    spline = (
        (2 * along**3 - 3 * along**2 + 1) * knee
        + (along**3 - 2 * along**2 + along) * (1 - knee)
        + (3 * along**2 - 2 * along**3) * target
    )
    return np.asarray(_pq_light(np.where(relative < knee, relative, spline) * top), np.float32)

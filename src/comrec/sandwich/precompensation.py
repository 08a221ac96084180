"""Pictures coded in a loop with RecCNN: what it will not restore is added beforehand.

Jiang et al.'s equation 6, with the real codec in it, solved for one picture instead of learned for
all, as in `aware`; but nothing of the codec is known here. Each round codes, decodes and applies
RecCNN, as comrec will, and adds a share of what is missing to the picture that is coded:

    y + A * (x - R(decode(encode(y))))        x: the picture, y: what is coded, x at first

The file is the best of all rounds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from comrec import fidelity
from comrec.blocks import RGB_TO_YCC
from comrec.formats import coding
from comrec.picture import Picture, Pixels
from comrec.sandwich.contest import Sources

_DOUBLING = 3.0
"""dB that twice the bytes are worth: files of different rounds are compared by it."""

_ROWS = 512  # at a time

_Float = NDArray[np.float32]


class _Shares(NamedTuple):
    """Of what is missing, how much a round adds, by component."""

    luma: float
    chroma: float


_SHARES = _Shares(0.12, 0.12)
"""About the best on validation photographs, of all codecs; larger ones cost too many bits."""

_HALVED = _Shares(0.12, 0.2)
"""The same where the codec halves chroma."""


class Precompensating:
    """The encoder of one picture at scale 1.

    Args:
        sources: of the picture.
        rounds: each takes as long as coding, decoding and RecCNN.
    """

    def __init__(self, sources: Sources, rounds: int) -> None:
        self._sources = sources
        self._picture = sources.picture
        self._rounds = rounds

    def __call__(self, quality: float) -> bytes:
        """The best file of all rounds."""
        coded = self._picture
        data = self._sources.rough(quality)
        halved = coding.of(self._sources.base, data).sampling == "4:2:0"
        best, most = data, -math.inf
        for left in range(self._rounds, -1, -1):
            shown = self._sources.shown(data, quality)
            worth = fidelity.psnr(shown, self._picture) - _DOUBLING * math.log2(len(data))
            if worth > most:
                best, most = data, worth
            if left:
                shares = _HALVED if halved else _SHARES
                coded = coded.with_pixels(self._moved(coded.pixels, shown, shares))
                data = self._sources.payload.encode(coded, quality)
        return best

    def _moved(self, coded: Pixels, shown: Picture, shares: _Shares) -> Pixels:
        """What the next round codes."""
        original, alpha = self._picture.pixels, self._picture.alpha
        pixels = shown.rgb if original.ndim == 3 else _gray(shown)
        moved = np.empty_like(coded)
        for top in range(0, len(coded), _ROWS):
            inner = slice(top, top + _ROWS)
            outer = slice(max(0, top - 1), top + _ROWS + 1)
            missing = np.subtract(original[outer], pixels[outer], dtype=np.float32)
            if alpha is not None:  # what is hidden is not missing
                seen = alpha[outer].astype(np.float32) / 255
                missing *= seen[..., None] if missing.ndim == 3 else seen
            missing = _smoothed(missing)[top - outer.start :][:_ROWS]
            sums = coded[inner] + _weighted(missing, shares)
            moved[inner] = np.clip(np.rint(sums), 0, 255)
        return moved


def _gray(picture: Picture) -> Pixels:
    """(H, W); some codecs give gray with alpha back as RGB."""
    return picture.pixels if picture.is_gray else picture.pixels[..., 1]


def _weighted(rgb: _Float, shares: _Shares) -> _Float:
    """(H, W) gray or (H, W, 3) RGB, its luma and the rest weighted by the shares."""
    if rgb.ndim == 2:
        return shares.luma * rgb
    luma = (rgb @ RGB_TO_YCC[0])[..., None]
    weighted: _Float = shares.chroma * rgb + (shares.luma - shares.chroma) * luma
    return weighted


def _smoothed(planes: _Float) -> _Float:
    """A little along rows and columns: the finest differences cost most. Edges are repeated."""
    for axis in (0, 1):
        ends = [(1, 1) if axis == each else (0, 0) for each in range(planes.ndim)]
        padded = np.moveaxis(np.pad(planes, ends, mode="edge"), axis, 0)
        mixed = 0.8 * padded[1:-1] + 0.1 * (padded[:-2] + padded[2:])
        planes = np.moveaxis(mixed, 0, axis)
    return planes

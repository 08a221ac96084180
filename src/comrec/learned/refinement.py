"""Latents moved to where fewer bits do for the same picture, while it is encoded.

g_a was trained to be good on all pictures; for one picture better latents are found by descending
on its own cost, bits + price * distortion, as in Y. Yang, R. Bamler, S. Mandt, "Improving Inference
for Neural Image Compression" (NeurIPS 2020). A latent is held between its two nearest whole
distances, softly at first and harder in every step (their stochastic Gumbel annealing, without the
draws): so both what g_s makes of it and its bits have gradients. Decoders do not change.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from comrec.entropy.contexts import MEAN_STEPS, ContextModel, Integers
from comrec.inference import tiles
from comrec.inference.session import session
from comrec.inference.store import Network

Floats = NDArray[np.float32]

_WAY = 0.6  # how far, in steps of the quantiser, Adam may move a latent in all
_MOMENTS = 0.9, 0.99
_TINY = np.float32(1e-16)
_HARDEST = 2.5  # softness falls from 1 to exp(-2.5)
_EDGE = np.float32(1e-4)  # nearer to a whole distance, nothing changes any more

_log = logging.getLogger(__name__)


def refined(
    network: Network,
    contexts: ContextModel,
    y: Floats,
    pixels: NDArray[np.uint8],
    index: Integers,
    mean: Integers,
    quality: float,
    steps: int,
) -> Floats:
    """Better latents of a picture; to be coded under the same index and mean.

    Large pictures are cut into tiles, and each is refined with what lies around it.

    Args:
        network: of role "gradient": of price * distortion, in bits, with respect to latents.
        y: (M, h, w), as g_a gives them.
        pixels: (3, 16h, 16w).
        index, mean: (M, h, w), see `ContextModel.encode`.
        quality: 0..100.
        steps: how many; each, and two more, cost about as much as decoding three times.
    """
    scale = network.scale
    better = np.empty_like(y)
    windows = list(tiles.windows(y.shape[1], y.shape[2], network))
    for done, (outer, inner, place) in enumerate(windows, 1):
        rows, columns = (slice(scale * side.start, scale * side.stop) for side in outer)
        picture = tiles.of_pixels(pixels[:, rows, columns])
        descent = _Descent(network, contexts, picture, index[:, *outer], mean[:, *outer], quality)
        better[:, *place] = descent.run(y[:, *outer], steps)[:, *inner]
        if len(windows) > 1:
            _log.info("quality %g: %d of %d tiles refined", quality, done, len(windows))
    return better


@dataclass(frozen=True)
class _Descent:
    """The refinement of one tile; as `refined`, but for the picture: (3, 16h, 16w) in 0..1."""

    network: Network
    contexts: ContextModel
    picture: Floats
    index: Integers
    mean: Integers
    quality: float

    def run(self, y: Floats, steps: int) -> Floats:
        """Adam, with a rate that falls with the root of what is left.

        Latents that end up dearer than they were (rarely: when the contexts of many tip over) are
        given back as they were.
        """
        start, before = y, self._cost(y)
        first, second = np.zeros_like(y), np.zeros_like(y)
        keep, spread = _MOMENTS
        for step in range(steps):
            slope = self._slope(y, math.exp(-_HARDEST * step / steps))
            first += np.float32(1 - keep) * (slope - first)
            second += np.float32(1 - spread) * (slope * slope - second)
            even, size = 1 - keep ** (step + 1), 1 - spread ** (step + 1)
            rate = _WAY / steps * math.sqrt(1 - step / steps)
            y = y - np.float32(rate / even) * first / np.sqrt(second / np.float32(size) + _TINY)
        return y if self._cost(y) < before else start

    def _slope(self, y: Floats, softness: float) -> Floats:
        """The gradient of the cost, in bits a step of the quantiser."""
        predicted, table = self._surroundings(y)
        away = y - predicted
        lower = np.floor(away)
        part = np.clip(away - lower, _EDGE, 1 - _EDGE)
        # From 0 to 1, as the distances to the two tell; they are stretched to infinity.
        stretched = (np.arctanh(part) - np.arctanh(1 - part)) / np.float32(softness)
        upper = 1 / (1 + np.exp(-np.clip(stretched, -80, 80)))
        change = 1 / (1 - part * part) + 1 / (part * (2 - part))
        change *= upper * (1 - upper) / np.float32(softness)
        slope, _ = self._distortion(predicted + lower + upper)
        dearer = self.contexts.bits(table, lower + 1) - self.contexts.bits(table, lower)
        descent: Floats = (slope + dearer) * change
        return descent

    def _cost(self, y: Floats) -> float:
        """In bits, once coded."""
        predicted, table = self._surroundings(y)
        distances = np.rint(y - predicted)
        _, distortion = self._distortion(predicted + distances)
        return float(self.contexts.bits(table, distances).sum(dtype=np.float64)) + distortion

    def _surroundings(self, y: Floats) -> tuple[Floats, NDArray[np.uint8]]:
        """Predicted means, and the numbers of tables."""
        predicted, table = self.contexts.surroundings(y, self.index, self.mean)
        return predicted.astype(np.float32) * np.float32(1 / MEAN_STEPS), table

    def _distortion(self, latents: Floats) -> tuple[Floats, float]:
        """What it is worth in bits: its gradient, and itself."""
        feed = {
            "latents": latents[None],
            "quality": np.array([self.quality / 100], np.float32),
            "picture": self.picture[None],
        }
        gradient, cost = session(self.network).run(None, feed)
        return np.asarray(gradient)[0], float(np.asarray(cost).sum())

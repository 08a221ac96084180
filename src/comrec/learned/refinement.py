"""Encoder-side optimisation of the latents of one picture.

g_a was trained on all pictures. For a single one, gradient descent on its own rate-distortion cost,
bits + lambda * distortion, finds better latents, as in Y. Yang, R. Bamler, S. Mandt, "Improving
Inference for Neural Image Compression" (NeurIPS 2020). Each residual is replaced by a soft rounding
between its two nearest integers, whose temperature falls in every step (their stochastic Gumbel
annealing, without sampling). So both the reconstruction and the code length have gradients.
Decoders do not change.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from comrec.entropy.contexts import MEAN_STEPS, ContextModel, Integers
from comrec.inference import session, tiles
from comrec.inference.store import Network

Floats = NDArray[np.float32]

_RATE = 0.6  # Adam's first learning rate times the number of steps, in quantisation steps
_MOMENTS = 0.9, 0.99  # Adam's betas
_TINY = np.float32(1e-16)
_ANNEALING = 2.5  # the temperature falls from 1 to exp(-2.5)
_EDGE = np.float32(1e-4)  # fractional parts are clipped to _EDGE..1 - _EDGE

_log = logging.getLogger(__name__)


def refined(
    network: Network,
    contexts: ContextModel,
    y: Floats,
    pixels: NDArray[np.uint8],
    scale_index: Integers,
    mean: Integers,
    quality: float,
    steps: int,
) -> Floats:
    """Refined latents of a picture, to be coded with the same scale index and mean.

    Large pictures are cut into tiles; each is refined together with its surroundings.

    Args:
        network: of role "gradient": gradient of lambda * distortion, in bits, with respect to
            latents.
        y: (M, h, w), the output of g_a.
        pixels: (3, 16h, 16w).
        scale_index, mean: (M, h, w), see `ContextModel.encode`.
        quality: 0..100.
        steps: of Adam. The time is about that of decoding 3 * (steps + 2) times.
    Returns:
        (M, h, w).
    """
    better = np.empty_like(y)
    scale = pixels.shape[1] // y.shape[1]
    windows = list(tiles.windows(y.shape[1], y.shape[2], network))
    for done, (outer, inner, place) in enumerate(windows, 1):
        rows, columns = (slice(scale * side.start, scale * side.stop) for side in outer)
        picture = tiles.from_pixels(pixels[:, rows, columns])
        parameters = scale_index[:, *outer], mean[:, *outer]
        descent = _Descent(network, contexts, picture, *parameters, quality)
        better[:, *place] = descent.run(y[:, *outer], steps)[:, *inner]
        if len(windows) > 1:
            _log.info("quality %g: %d of %d tiles refined", quality, done, len(windows))
    return better


@dataclass(frozen=True)
class _Descent:
    """The refinement of one tile; as the arguments of `refined`, but picture is in 0..1."""

    network: Network
    contexts: ContextModel
    picture: Floats
    scale_index: Integers
    mean: Integers
    quality: float

    def run(self, y: Floats, steps: int) -> Floats:
        """Adam, with a learning rate in proportion to sqrt(1 - step / steps).

        Returns y unchanged if that did not reduce its cost. This is rare; it happens when many
        latents change their contexts.
        """
        start, before = y, self._cost(y)
        first, second = np.zeros_like(y), np.zeros_like(y)
        keep, spread = _MOMENTS
        for step in range(steps):
            slope = self._slope(y, math.exp(-_ANNEALING * step / steps))
            first += np.float32(1 - keep) * (slope - first)
            second += np.float32(1 - spread) * (slope * slope - second)
            even, size = 1 - keep ** (step + 1), 1 - spread ** (step + 1)
            rate = _RATE / steps * math.sqrt(1 - step / steps)
            y = y - np.float32(rate / even) * first / np.sqrt(second / np.float32(size) + _TINY)
        return y if self._cost(y) < before else start

    def _slope(self, y: Floats, temperature: float) -> Floats:
        """The gradient of the cost, in bits per quantisation step."""
        mean, table = self._surroundings(y)
        residuals = y - mean
        lower = np.floor(residuals)
        part = np.clip(residuals - lower, _EDGE, 1 - _EDGE)
        # Weight of the upper integer: softmax of -arctanh(distance) / temperature over the two.
        logits = (np.arctanh(part) - np.arctanh(1 - part)) / np.float32(temperature)
        upper = 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
        derivative = 1 / (1 - part * part) + 1 / (part * (2 - part))
        derivative *= upper * (1 - upper) / np.float32(temperature)
        slope, _ = self._distortion(mean + lower + upper)
        more_bits = self.contexts.bits(table, lower + 1) - self.contexts.bits(table, lower)
        gradient: Floats = (slope + more_bits) * derivative
        return gradient

    def _cost(self, y: Floats) -> float:
        """Bits + lambda * distortion of the rounded latents, in bits."""
        mean, table = self._surroundings(y)
        residuals = np.rint(y - mean)
        _, distortion = self._distortion(mean + residuals)
        return float(self.contexts.bits(table, residuals).sum(dtype=np.float64)) + distortion

    def _surroundings(self, y: Floats) -> tuple[Floats, NDArray[np.uint8]]:
        """Corrected means, in quantisation steps, and numbers of tables."""
        mean, table = self.contexts.surroundings(y, self.scale_index, self.mean)
        return mean.astype(np.float32) * np.float32(1 / MEAN_STEPS), table

    def _distortion(self, latents: Floats) -> tuple[Floats, float]:
        """Lambda * distortion in bits: its gradient and its value."""
        feed = {
            "latents": latents[None],
            "quality": np.array([self.quality / 100], np.float32),
            "picture": self.picture[None],
        }
        gradient, cost = session.run(self.network, feed)
        return gradient[0], float(cost.sum())

"""Encoder-side optimisation of the latents of one picture.

g_a was trained on all pictures. For a single one, gradient descent on its own rate-distortion cost,
bits + lambda * distortion, finds better latents, as in Y. Yang, R. Bamler, S. Mandt, "Improving
Inference for Neural Image Compression" (NeurIPS 2020). Each latent is replaced by a soft rounding
between its two nearest values, whose temperature falls in every step (their stochastic Gumbel
annealing, without sampling). So both the reconstruction and the code length have gradients.
Decoders do not change.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from comrec.inference import session, tiles
from comrec.inference.store import Network

Floats = NDArray[np.float32]

STEPS = (0, 0, 0, 0, 0, 4, 8, 16, 32, 64)
"""Of a descent, by effort from 1."""

_RATE = 0.53  # Adam's first learning rate times the root of the number of steps, in units of places
_MOMENTS = 0.5, 0.99  # Adam's betas
_TINY = np.float32(1e-16)
_ANNEALING = 2.5  # the temperature falls from 1 to exp(-2.5)
_EDGE = np.float32(1e-4)  # fractional parts are clipped to _EDGE..1 - _EDGE

_log = logging.getLogger(__name__)


class Values(Protocol):
    """The values that latents (M, h, w) can take, by number: integers, as float32."""

    @property
    def place(self) -> Floats:
        """Where each latent is among the numbers; coding rounds it."""
        ...

    def between(self, lower: Floats, share: Floats | float) -> Floats:
        """The decoded latent at a share, 0..1, of the way from a number to the next."""
        ...

    def gap(self, lower: Floats) -> Floats | float:
        """By how much the decoded latents of a number and the next differ."""
        ...

    def rise(self, lower: Floats) -> Floats:
        """The bits that the next number costs more."""
        ...

    def bits(self, number: Floats) -> float:
        """What numbers cost together, from any zero that stays."""
        ...


class Coding(Protocol):
    """How latents are coded."""

    def inside(self, window: tiles.Window) -> Coding:
        """That of a window of the latents."""
        ...

    def values(self, y: Floats) -> Values:
        """Where latents are; a step of 1 in one of them is a step of 1 in its place."""
        ...


class Refined(NamedTuple):
    """Latents after a descent.

    Attributes:
        y: (M, h, w).
        saved: by how much lambda * distortion, weighted, is less than before, in bits; of large
            pictures roughly.
    """

    y: Floats
    saved: float


def refined(
    network: Network,
    coding: Coding,
    y: Floats,
    pixels: NDArray[np.uint8],
    quality: float,
    steps: int,
    weights: Floats | None = None,
) -> Refined:
    """Refined latents of a picture.

    Large pictures are cut into tiles; each is refined together with its surroundings.

    Args:
        network: of role "gradient": gradient of lambda * distortion, in bits, with respect to
            latents.
        y: (M, h, w), as ``coding`` takes them.
        pixels: (3, 16h, 16w).
        quality: 0..100.
        steps: of Adam. The time is about that of decoding 3 * (steps + 2) times.
        weights: (h, w), 0 or more: how much the distortion counts at each place; by default 1.
    """
    better, saved = np.empty_like(y), 0.0
    scale = pixels.shape[1] // y.shape[1]
    windows = list(tiles.windows(y.shape[1], y.shape[2], network))
    for done, (outer, inner, place) in enumerate(windows, 1):
        rows, columns = (slice(scale * side.start, scale * side.stop) for side in outer)
        picture = tiles.from_pixels(pixels[:, rows, columns])
        weight = np.float32(1) if weights is None else weights[outer]
        descent = _Descent(network, coding.inside(outer), picture, quality, weight)
        found = descent.run(y[:, *outer], steps)
        better[:, *place] = found.y[:, *inner]
        saved += found.saved
        if len(windows) > 1:
            _log.info("quality %g: %d of %d tiles refined", quality, done, len(windows))
    return Refined(better, saved)


class _Cost(NamedTuple):
    """What latents cost.

    Attributes:
        bits: of their code.
        latents: (M, h, w), decoded.
        slope: (M, h, w), the gradient of the distortion by them.
        distortion: lambda * distortion, in bits; without weights.
    """

    bits: float
    latents: Floats
    slope: Floats
    distortion: float


@dataclass(frozen=True)
class _Descent:
    """The refinement of one tile; as the arguments of `refined`, but picture is in 0..1, and weight
    can be one for all places."""

    network: Network
    coding: Coding
    picture: Floats
    quality: float
    weight: Floats | np.float32

    def run(self, y: Floats, steps: int) -> Refined:
        """Adam, with a learning rate in proportion to 1 - step / steps.

        Gives y unchanged if that did not reduce its cost. This is rare; it happens when many
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
            rate = _RATE / math.sqrt(steps) * (1 - step / steps)
            y = y - np.float32(rate / even) * first / np.sqrt(second / np.float32(size) + _TINY)
        after = self._cost(y)
        saved = self._saved(before, after)
        if saved > after.bits - before.bits:
            return Refined(y, saved)
        return Refined(start, 0.0)

    def _saved(self, before: _Cost, after: _Cost) -> float:
        """By how much the weighted distortion is less, in bits.

        Exact where all weights are 1. What other weights change is taken along the straight way
        between the two, with the mean of the slopes at its ends (the trapezoidal rule).
        """
        way = (before.latents - after.latents) * (before.slope + after.slope)
        change = float(((self.weight - 1) * way).sum(dtype=np.float64)) / 2
        return before.distortion - after.distortion + change

    def _slope(self, y: Floats, temperature: float) -> Floats:
        """The gradient of the cost, in bits, by the latents' places."""
        values = self.coding.values(y)
        lower = np.floor(values.place)
        part = np.clip(values.place - lower, _EDGE, 1 - _EDGE)
        # Weight of the upper value: softmax of -arctanh(distance) / temperature over the two.
        logits = (np.arctanh(part) - np.arctanh(1 - part)) / np.float32(temperature)
        upper = np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))), np.float32)
        derivative = 1 / (1 - part * part) + 1 / (part * (2 - part))
        derivative *= upper * (1 - upper) / np.float32(temperature)
        slope, _ = self._distortion(values.between(lower, upper))
        gradient = (self.weight * slope * values.gap(lower) + values.rise(lower)) * derivative
        return np.asarray(gradient, np.float32)

    def _cost(self, y: Floats) -> _Cost:
        """Of the rounded latents."""
        values = self.coding.values(y)
        number = np.rint(values.place)
        latents = values.between(number, 0.0)
        return _Cost(values.bits(number), latents, *self._distortion(latents))

    def _distortion(self, latents: Floats) -> tuple[Floats, float]:
        """Lambda * distortion in bits: its gradient and its value."""
        feed = {
            "latents": latents[None],
            "quality": np.array([self.quality / 100], np.float32),
            "picture": self.picture[None],
        }
        gradient, cost = session.run(self.network, feed)
        return gradient[0], float(cost.sum())

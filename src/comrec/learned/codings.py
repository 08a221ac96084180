"""How latents are coded, as their refinement takes it (`refinement.Coding`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from comrec.entropy.contexts import MEAN_STEPS, ContextModel, Integers
from comrec.entropy.plane_costs import Costs
from comrec.inference.tiles import Window
from comrec.learned.refinement import Floats

_SHORT = np.float32(1 / 64)  # of the end of an interval; float32 has it at all magnitudes


@dataclass(frozen=True)
class Residuals:
    """Latents of which the residuals are coded, by a context model.

    Attributes:
        contexts: the context model.
        scale_index, mean: (M, h, w), see `ContextModel.encode`.
    """

    contexts: ContextModel
    scale_index: Integers
    mean: Integers

    def inside(self, window: Window) -> Residuals:
        return Residuals(self.contexts, self.scale_index[:, *window], self.mean[:, *window])

    def values(self, y: Floats) -> _Residuals:
        """Their places are the residuals before they are rounded."""
        mean, table = self.contexts.surroundings(y, self.scale_index, self.mean)
        means = mean.astype(np.float32) * np.float32(1 / MEAN_STEPS)
        return _Residuals(self.contexts, y - means, means, table)


class _Residuals(NamedTuple):
    contexts: ContextModel
    place: Floats
    mean: Floats
    table: NDArray[np.uint8]

    def between(self, lower: Floats, share: Floats | float) -> Floats:
        return self.mean + lower + share

    def gap(self, lower: Floats) -> float:
        return 1.0

    def rise(self, lower: Floats) -> Floats:
        return self.contexts.bits(self.table, lower + 1) - self.contexts.bits(self.table, lower)

    def bits(self, number: Floats) -> float:
        return float(self.contexts.bits(self.table, number).sum(dtype=np.float64))


class Intervals(NamedTuple):
    """Latents that are known down to a step each, all of them of equal intervals but for zero's,
    which is twice as wide; values are decoded as the middles.

    What descends is their places, where each interval has the width 1: -3/2 and 3/2 steps are -1
    and 1. Costs are those of the values that they had at first, and of both neighbours.

    Attributes:
        step: (M, h, w), in finest steps; 0 where nothing is known, which stays so.
        number: (M, h, w), the values that they had at first.
        above, below: (M, h, w), see `Costs`.
    """

    step: Floats
    number: Floats
    above: Floats
    below: Floats

    @classmethod
    def of(cls, y: Floats, costs: Costs) -> tuple[Intervals, Floats]:
        """The intervals of latents (M, h, w), and the places in them."""
        known = costs.step > 0
        steps = np.where(known, y / np.where(known, costs.step, 1), np.float32(0))
        size = np.abs(steps)
        place = np.sign(steps) * np.where(size < 1, size / 2, size - np.float32(0.5))
        return cls(costs.step, np.trunc(steps), costs.above, costs.below), place

    def inside(self, window: Window) -> Intervals:
        return Intervals(*(part[:, *window] for part in self))

    def values(self, y: Floats) -> _Intervals:
        return _Intervals(self, y)

    def moved(self, y: Floats, place: Floats) -> Floats:
        """Latents at new places: those whose value is another, just into its interval.

        The others, and so their finer planes, stay as they are.
        """
        number = np.rint(place)
        least = np.abs(number) * self.step
        most = least + (1 - _SHORT) * self.step
        same_side = np.where(number * y > 0, np.abs(y), 0)
        inside = np.sign(number) * np.clip(same_side, least, most)
        zero = np.clip(y, -most, most)
        found = np.where(number == 0, zero, inside)
        return np.where(number == self.number, y, found).astype(np.float32)


class _Intervals(NamedTuple):
    intervals: Intervals
    place: Floats

    def between(self, lower: Floats, share: Floats | float) -> Floats:
        found: Floats = self._decoded(lower) + share * self.gap(lower)
        return found

    def gap(self, lower: Floats) -> Floats:
        return self._decoded(lower + 1) - self._decoded(lower)

    def rise(self, lower: Floats) -> Floats:
        parts = self.intervals
        found: Floats = np.where(lower >= parts.number, parts.above, parts.below)
        return found

    def bits(self, number: Floats) -> float:
        """More than those of the values that they had at first."""
        parts = self.intervals
        away = number - parts.number
        each = np.where(away > 0, away * parts.above, away * parts.below)
        return float(each.sum(dtype=np.float64))

    def _decoded(self, number: Floats) -> Floats:
        middle = number + np.float32(0.5) * np.sign(number)
        return np.asarray(middle * self.intervals.step, np.float32)

"""Searches for the quality that meets a target, in few encodes.

File size and fidelity are taken to grow with quality. A search keeps the highest quality known
to lie below the target and the lowest above it, and tries between them where a line through
both meets the target (regula falsi, in the Illinois variant): in the logarithm of bytes, or in
decibels, the curves are nearly straight. Where a curve is not monotone, the answer still meets
the target.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from comrec.errors import TargetError

TOLERANCE = 0.02
"""Below the budget, as a part of it: there a search by size stops."""

# What the first tries assume, from validation photographs around all codecs.
_BPP = 0.4  # at quality 50
_LOG_BYTES = 0.035  # a quality step of 1 adds so much to the natural logarithm
_DECIBELS = 0.15  # and so much to PSNR, or to -10 log10(1 - similarity)

_SPARE = 3  # tries beyond those of bisection; interpolation that goes wrong costs no more

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fit:
    """A file that meets a target.

    Attributes:
        data: the file.
        quality: that gave it, 0..100.
        encodes: how many files were made on the way.
    """

    data: bytes
    quality: float
    encodes: int


class Trials:
    """The files of one picture by quality, each made once.

    Several searches share them: what one has tried narrows the next.

    Args:
        encode: the file of a quality in 0..100.
        step: see `comrec.codec.Codec`.
        pixels: how many the picture has.
    """

    def __init__(self, encode: Callable[[float], bytes], step: float, pixels: int) -> None:
        self._encode = encode
        self._step = step
        self._pixels = pixels
        self._files: dict[float, bytes] = {}

    @property
    def encodes(self) -> int:
        """How many files were made."""
        return len(self._files)

    @property
    def smallest(self) -> int:
        """Bytes of the smallest file that was made."""
        return min(map(len, self._files.values()))

    def at(self, quality: float) -> Fit:
        """The file of a quality."""
        if quality not in self._files:
            self._files[quality] = self._encode(quality)
            _log.info("quality %g: %s bytes", quality, f"{len(self._files[quality]):,}")
        return Fit(self._files[quality], quality, self.encodes)

    def largest_within(
        self, budget: int, start: float | None = None, thorough: bool = False
    ) -> Fit | None:
        """The file of the highest quality that has at most ``budget`` bytes.

        Args:
            start: a quality to try first, where it is likely near the answer.
            thorough: go on to the last whole quality that fits, or the last step of the codec if
                that is longer, instead of stopping at `TOLERANCE`.
        Returns:
            None if even quality 0 is too large.
        """
        limit = max(budget, 0) + 0.5  # no file's size, so that each is below or above

        def excess(quality: float) -> float:
            return math.log(len(self.at(quality).data) / limit)

        if start is None:
            start = 50 + math.log(limit / (self._pixels * _BPP / 8)) / _LOG_BYTES
        window = (0.0 if thorough else math.log(1 - TOLERANCE), 0.0)
        known = {quality: excess(quality) for quality in self._files}
        grid = [
            quality
            for quality in _grid(max(self._step, 1.0) if thorough else self._step)
            # What lies so near above a file off the grid is the same file.
            if not any(0 < quality - tried < self._step / 2 for tried in known)
        ]
        _search(excess, known, grid, start, _LOG_BYTES, window)
        fitting = [quality for quality, value in known.items() if value < 0]
        return self.at(max(fitting)) if fitting else None

    def smallest_reaching(
        self, fidelity: Callable[[bytes], float], target: float, usual: float, close: float
    ) -> Fit | None:
        """The smallest file found whose fidelity is at least ``target``.

        Args:
            fidelity: of a file, in decibels; called once a file.
            usual: what quality 50 gives, roughly.
            close: so many decibels above the target will do.
        Returns:
            None if not even quality 100 reaches it.
        """

        def excess(quality: float) -> float:
            return fidelity(self.at(quality).data) - target

        start = 50 + (target - usual) / _DECIBELS
        known: dict[float, float] = {}
        _search(excess, known, _grid(self._step), start, _DECIBELS, (0.0, close))
        reaching = [quality for quality, value in known.items() if value >= 0]
        return min(map(self.at, reaching), key=lambda fit: len(fit.data), default=None)


def met(trials: Trials, budget: int, codec_id: str) -> Fit:
    """The file of the highest quality that has at most ``budget`` bytes.

    Raises:
        TargetError: even quality 0 is too large.
    """
    fit = trials.largest_within(budget)
    if fit is None:
        raise too_small(budget, codec_id, trials.smallest)
    return fit


def too_small(budget: int, codec_id: str, smallest: int) -> TargetError:
    """The error of a budget that not even the smallest file of a picture meets."""
    return TargetError(
        f"at most {budget:,} bytes cannot be met: "
        f"{codec_id}'s smallest file of this picture has {smallest:,} bytes"
    )


def _grid(step: float) -> list[float]:
    """The qualities worth trying, rising; only the best where quality changes nothing."""
    if math.isinf(step):
        return [100.0]
    count = math.ceil(round(100 / step, 6))
    return [max(0.0, round(100 - index * step, 2)) for index in range(count, -1, -1)]


def _search(
    excess: Callable[[float], float],
    known: dict[float, float],
    grid: list[float],
    start: float,
    slope: float,
    window: tuple[float, float],
) -> None:
    """Add to ``known`` until an excess is in the window, or no quality is left to try.

    Needs at most `_SPARE` tries more than bisection of the grid.

    Args:
        excess: over the target; grows with quality.
        slope: how much by a quality step of 1, on average.
    """
    aim = sum(window) / 2
    left = math.ceil(math.log2(len(grid) + 1)) + _SPARE
    while not any(window[0] <= value <= window[1] for value in known.values()):
        low = max((q for q, value in known.items() if value < 0), default=-math.inf)
        above = (q for q, value in known.items() if value >= 0 and q > low)
        high = min(above, default=math.inf)
        first, last = bisect_right(grid, low), bisect_left(grid, high) - 1
        if first > last:
            return
        wanted = _crossing(known, low, high, aim, slope) if known else start
        index = min(range(len(grid)), key=lambda i: abs(grid[i] - wanted))
        # Whichever side the answer is on, bisection must be able to finish in the tries left.
        left -= 1
        index = max(index, first, last + 1 - 2**left)
        index = min(index, last, first - 1 + 2**left)
        known[grid[index]] = excess(grid[index])


def _crossing(
    known: dict[float, float], low: float, high: float, aim: float, slope: float
) -> float:
    """Where the excess is expected to be ``aim``."""
    if low not in known or high not in known:
        nearest, *others = sorted(known, key=lambda quality: abs(known[quality] - aim))
        rise = slope
        if others:
            rise = (known[others[0]] - known[nearest]) / (others[0] - nearest)
            rise = min(max(rise, slope / 6), slope * 6)  # plateaus and steps say little
        return nearest + (aim - known[nearest]) / rise
    # The Illinois method: an end that stays weighs half as much with every try.
    below, above = known[low] - aim, known[high] - aim
    sides = [value < 0 for value in reversed(known.values())]
    stays = sides.index(not sides[0])
    if sides[0]:
        above /= 2 ** (stays - 1)
    else:
        below /= 2 ** (stays - 1)
    return low - (high - low) * below / (above - below)

"""Rate control: the quality that meets a target, found in few encodes.

File size and fidelity are assumed to increase with quality. A search keeps a bracket: the highest
quality known to be below the target and the lowest above it. The next quality is where a line
through both ends crosses the target (regula falsi, Illinois variant); the curves are nearly
linear in the logarithm of bytes, or in decibels. Where a curve is not monotone, the result still
meets the target.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from comrec.errors import TargetError
from comrec.picture import Picture

TOLERANCE = 0.02
"""A search by size stops within this fraction below the budget."""

# Priors of the first encodes, from validation photographs and all codecs.
_BPP = 0.4  # at quality 50
LOG_BYTES = 0.035  # slope of the natural logarithm of bytes per quality step of 1
_DRIFT = LOG_BYTES / 2  # of an estimate's logarithm, at most
_DECIBELS = 0.15  # slope of PSNR, or of -10 log10(1 - similarity)

Guess = Callable[[dict[float, float], float], float]
"""Excesses known so far by quality, and the excess aimed at, to the quality to try next."""

_NEARLY = 0.97  # of a budget: files so large may be better than one of higher quality
_SPARE = 3  # encodes allowed beyond those of plain bisection

_log = logging.getLogger(__name__)


@runtime_checkable
class Estimating(Protocol):
    """An encoder of one picture that can guess the size of a file without making it."""

    def __call__(self, quality: float, /) -> bytes:
        """The file of a quality."""

    def estimate(self, quality: float, /) -> float:
        """Roughly its bytes, up to a factor that changes little between near qualities."""


@runtime_checkable
class Decoding(Protocol):
    """An encoder of one picture that knows what decoding a file gives, since it had to try."""

    def __call__(self, quality: float, /) -> bytes:
        """The file of a quality."""

    def decoded(self, data: bytes, /) -> Picture:
        """The picture, without metadata, of a file that it made."""


@dataclass(frozen=True)
class OperatingPoint:
    """One file on a codec's rate-distortion curve.

    Attributes:
        data: the file.
        quality: 0..100.
        encodes: number of encodes of the search so far.
    """

    data: bytes
    quality: float
    encodes: int


class QualitySearch:
    """Searches over the quality of one picture. Each quality is encoded once.

    Several searches share the encodes: those of one narrow the bracket of the next.

    Args:
        encode: returns the file at a quality in 0..100; `Estimating` encoders need fewer tries.
        quality_step: spacing of the qualities to try, see `comrec.codec.Codec.quality_step`.
        pixels: number of pixels of the picture.
    """

    def __init__(
        self, encode: Callable[[float], bytes], quality_step: float | None, pixels: int
    ) -> None:
        self.encode = encode
        self._step = quality_step
        self._pixels = pixels
        self._files: dict[float, bytes] = {}
        self._estimate = encode.estimate if isinstance(encode, Estimating) else None

    @property
    def encodes(self) -> int:
        """Number of encodes so far."""
        return len(self._files)

    @property
    def smallest(self) -> int:
        """Bytes of the smallest file so far."""
        return min(map(len, self._files.values()))

    def at(self, quality: float) -> OperatingPoint:
        """The file at a quality, encoded or from the cache."""
        if quality not in self._files:
            self._files[quality] = self.encode(quality)
            _log.info("quality %g: %s bytes", quality, f"{len(self._files[quality]):,}")
        return OperatingPoint(self._files[quality], quality, self.encodes)

    def largest_within(
        self,
        budget: int,
        start: float | None = None,
        thorough: bool = False,
        tolerance: float = TOLERANCE,
        tries: int | None = None,
    ) -> OperatingPoint | None:
        """The file of the highest quality that has at most ``budget`` bytes.

        Args:
            start: first quality to try, if a good guess is known.
            thorough: search down to the codec's quality step instead of stopping within the
                tolerance.
            tolerance: stop within this fraction below the budget.
            tries: stop after so many more files.
        Returns:
            None if even quality 0 is too large, or none of the tries fits.
        """
        limit = max(budget, 0) + 0.5  # not an integer: every size is either below or above

        def excess(quality: float) -> float:
            return math.log(len(self.at(quality).data) / limit)

        usual = 50 + math.log(limit / (self._pixels * _BPP / 8)) / LOG_BYTES
        window = (0.0 if thorough else math.log(1 - tolerance), 0.0)
        known = {quality: excess(quality) for quality in self._files}
        steps = [self._step]
        if thorough and self._step is not None and self._step < 1:
            # First over whole qualities: where sizes are not monotone, people ask for these.
            steps = [1.0, self._step]
        for step in steps:
            grid = _grid(step)
            if step is not None:  # less than half a step above a tried quality: the same file
                grid = [q for q in grid if not any(0 < q - tried < step / 2 for tried in known)]
            guess = self._guess(limit, grid, start) if self._estimate else None
            first = usual if start is None else start
            _search(excess, known, grid, first, LOG_BYTES, window, guess, tries)
        fitting = [quality for quality, value in known.items() if value < 0]
        return self.at(max(fitting)) if fitting else None

    def contenders(self, budget: int, start: float | None = None) -> list[OperatingPoint]:
        """The files within ``budget`` bytes that may be the best: that of the highest quality, and
        those made at whole qualities that are nearly as large, or the highest of these. Neither
        sizes nor fidelity need be monotone, least at finer steps.

        Args:
            start: first quality to try, if a good guess is known.
        """
        highest = self.largest_within(budget, start, thorough=True)
        if highest is None:
            return []
        whole = {q: data for q, data in self._files.items() if len(data) <= budget and q % 1 == 0}
        best = max(whole, default=highest.quality)
        near = [q for q, data in whole.items() if q == best or len(data) > _NEARLY * budget]
        points = (highest, *map(self.at, near))
        return list({point.data: point for point in points}.values())

    def _guess(self, limit: float, grid: list[float], start: float | None) -> Guess:
        """The quality at which a file is expected to have a size, by estimates and by files made.

        Estimates tell the ratio of two files' sizes well: that of the nearest file made is exact.
        How this error drifts is known once two files are made. Before the first, ``start`` is
        better than an estimate alone.
        """
        estimate = self._estimate
        assert estimate is not None
        estimates: dict[float, float] = {}

        def logarithm(quality: float) -> float:
            if quality not in estimates:
                estimates[quality] = math.log(estimate(quality))
            return estimates[quality]

        def guess(known: dict[float, float], aim: float) -> float:
            if not known and start is not None:
                return start
            wanted = math.log(limit) + aim
            errors = {q: math.log(limit) + known[q] - logarithm(q) for q in known}
            nearest, *others = sorted(known, key=lambda q: abs(known[q] - aim)) or [0.0]
            error, drift = errors.get(nearest, 0.0), 0.0
            if others:
                drift = (errors[others[0]] - error) / (others[0] - nearest)
                drift = min(max(drift, -_DRIFT), _DRIFT)  # plateaus and jumps mislead

            def expected(quality: float) -> float:
                return logarithm(quality) + error + drift * (quality - nearest)

            # Files grow with quality, but for trifles.
            return grid[min(bisect_left(grid, wanted, key=expected), len(grid) - 1)]

        return guess

    def expected(self, budget: int) -> float:
        """The quality on the grid whose file is expected to have ``budget`` bytes, by those made.

        One file at least must have been made.
        """
        sizes = {quality: math.log(len(data) / budget) for quality, data in self._files.items()}
        low = max((q for q, value in sizes.items() if value < 0), default=-math.inf)
        high = min((q for q, value in sizes.items() if value >= 0 and q > low), default=math.inf)
        wanted = _crossing(sizes, low, high, 0.0, LOG_BYTES)
        return min(_grid(self._step), key=lambda quality: abs(quality - wanted))

    def within(self, budget: int, codec_id: str, tolerance: float = TOLERANCE) -> OperatingPoint:
        """As `largest_within`.

        Raises:
            TargetError: even quality 0 is too large.
        """
        found = self.largest_within(budget, tolerance=tolerance)
        if found is None:
            raise too_small(budget, codec_id, self.smallest)
        return found

    def smallest_reaching(
        self, fidelity: Callable[[bytes], float], target: float, usual: float, close: float
    ) -> OperatingPoint | None:
        """The smallest file found whose fidelity is at least ``target``.

        Args:
            fidelity: of a file, in decibels; called once per file.
            usual: typical fidelity at quality 50, decibels.
            close: stop within this many decibels above the target.
        Returns:
            None if even quality 100 does not reach it.
        """

        def excess(quality: float) -> float:
            return fidelity(self.at(quality).data) - target

        start = 50 + (target - usual) / _DECIBELS
        known: dict[float, float] = {}
        _search(excess, known, _grid(self._step), start, _DECIBELS, (0.0, close))
        reaching = [quality for quality, value in known.items() if value >= 0]
        return min(map(self.at, reaching), key=lambda point: len(point.data), default=None)


def too_small(budget: int, codec_id: str, smallest: int) -> TargetError:
    """The error for a budget below the smallest file of a picture."""
    error = TargetError(
        f"at most {budget:,} bytes cannot be met: "
        f"{codec_id}'s smallest file of this picture has {smallest:,} bytes"
    )
    error.smallest = smallest
    return error


def _grid(step: float | None) -> list[float]:
    """Qualities to try, ascending; only 100 where quality has no effect."""
    if step is None:
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
    guess: Guess | None = None,
    tries: int | None = None,
) -> None:
    """Add to ``known`` until an excess is within the window, or the bracket has no quality left.

    Makes at most `_SPARE` evaluations more than bisection of the grid.

    Args:
        excess: value minus target at a quality; increases with quality.
        known: excess by quality, extended in place.
        grid: the qualities to try, ascending.
        start: first quality to try if ``known`` is empty.
        slope: typical increase of the excess per quality step of 1.
        window: (low, high); an excess in it ends the search.
        guess: the quality to try next; interpolated by default.
        tries: evaluations at most.
    """
    aim = sum(window) / 2
    left = math.ceil(math.log2(len(grid) + 1)) + _SPARE
    enough = math.inf if tries is None else len(known) + tries
    while not any(window[0] <= value <= window[1] for value in known.values()):
        if len(known) >= enough:
            return
        low = max((q for q, value in known.items() if value < 0), default=-math.inf)
        above = (q for q, value in known.items() if value >= 0 and q > low)
        high = min(above, default=math.inf)
        first, last = bisect_right(grid, low), bisect_left(grid, high) - 1
        if first > last:
            return
        if guess is not None and (not known or left > len(grid).bit_length()):
            wanted = guess(known, aim)
        else:
            wanted = _crossing(known, low, high, aim, slope) if known else start
        index = min(range(len(grid)), key=lambda i: abs(grid[i] - wanted))
        # Stay within what bisection can still resolve in the evaluations left.
        left -= 1
        index = max(index, first, last + 1 - 2**left)
        index = min(index, last, first - 1 + 2**left)
        known[grid[index]] = excess(grid[index])


def _crossing(
    known: dict[float, float], low: float, high: float, aim: float, slope: float
) -> float:
    """The quality where the excess is expected to equal ``aim``."""
    if low not in known or high not in known:
        nearest, *others = sorted(known, key=lambda quality: abs(known[quality] - aim))
        rise = slope
        if others:
            rise = (known[others[0]] - known[nearest]) / (others[0] - nearest)
            rise = min(max(rise, slope / 6), slope * 6)  # plateaus and jumps mislead
        return nearest + (aim - known[nearest]) / rise
    # Illinois: halve the weight of an end each time that it is retained.
    below, above = known[low] - aim, known[high] - aim
    sides = [value < 0 for value in reversed(known.values())]
    stays = sides.index(not sides[0])
    if sides[0]:
        above /= 2 ** (stays - 1)
    else:
        below /= 2 ** (stays - 1)
    return low - (high - low) * below / (above - below)

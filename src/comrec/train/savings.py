"""Curves of agreement against bytes compared, with bootstrap intervals over pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from comrec.train import classifier
from comrec.train.accuracy import Curve, Judged

Float = NDArray[np.float64]

FULL = "jpeg QF 100"
"""Label of the baseline that the paper's factor is against."""
_RESAMPLES = 2000
_LEVELS = 41
"""Agreements, over the range that two curves share, at which their bytes are compared."""
_AT = (0.75, 0.8, 0.85, 0.9, 0.95)
_LOST = (0.0, 0.005, 0.01)
"""Top-1 that may be lost against quality 100, as a share of the pictures."""


@dataclass(frozen=True)
class Interval:
    """A number, and where 95 % of the resamples have it."""

    value: float
    low: float
    high: float

    def to_json(self) -> list[float | None]:
        return [None if np.isnan(x) else round(x, 4) for x in (self.value, self.low, self.high)]


@dataclass(frozen=True)
class _Means:
    """Of a curve in each resample, the first being all pictures: (resamples, columns)."""

    bytes: Float
    agrees: Float
    correct: Float


class Comparison:
    """All curves of a folder, on the same resamples of its pictures.

    Args:
        seed: of the resamples.
    """

    def __init__(self, judged: Judged, seed: int = 0) -> None:
        self.judged = judged
        count = len(judged.examples)
        drawn = np.random.default_rng(seed).multinomial(count, [1 / count] * count, _RESAMPLES)
        shares = np.vstack([np.ones(count), drawn]) / count
        self._means = {curve.label: _means(curve, shares) for curve in judged.curves}

    def points(self, label: str) -> list[dict[str, Any]]:
        """Of each quality: mean bytes, agreement, and top-1 where there are labels."""
        curve = next(curve for curve in self.judged.curves if curve.label == label)
        means = self._means[label]
        return [
            {
                "quality": column.quality,
                "bytes": round(float(column.bytes.mean()), 1),
                "agreement": _interval(means.agrees[:, at]).to_json(),
                "top-1": _interval(means.correct[:, at]).to_json(),
            }
            for at, column in enumerate(curve.columns)
        ]

    def saved(self, label: str, against: str) -> Interval:
        """Bytes at equal agreement relative to another curve's, minus 1: negative is fewer.

        The mean of log ratios over the range of agreement that both reach.
        """
        return _interval(_ratios(self._means[label], self._means[against], None))

    def saved_at(self, label: str, against: str) -> dict[float, Interval]:
        """As `saved`, at single agreements that both curves reach."""
        pairs = self._means[label], self._means[against]
        found = {level: _interval(_ratios(*pairs, level)) for level in _AT}
        return {level: one for level, one in found.items() if not np.isnan(one.value)}

    def gained(self, label: str, against: str) -> list[tuple[float, Interval]]:
        """At the mean bytes of each of another curve's points: by how much more is agreed."""
        mine, theirs = self._means[label], self._means[against]
        found = []
        for at in range(theirs.bytes.shape[1]):
            rows = zip(mine.bytes, mine.agrees, theirs.bytes[:, at], strict=True)
            level = np.array([_inside(np.log(b), a, np.log(x)) for b, a, x in rows])
            found.append((float(theirs.bytes[0, at]), _interval(level - theirs.agrees[:, at])))
        return [(at, one) for at, one in found if not np.isnan(one.value)]

    def factors(self, label: str) -> dict[float, float | None]:
        """How many times fewer bytes than JPEG at quality 100 for at most so much less top-1.

        None where the curve has no such point. Of agreement where there are no labels.
        """
        full, mine = self._means[FULL], self._means[label]
        labelled = not np.isnan(full.correct[0, 0])
        level = full.correct[0, 0] if labelled else full.agrees[0, 0]
        reached = mine.correct[0] if labelled else mine.agrees[0]
        found: dict[float, float | None] = {}
        for lost in _LOST:
            enough = mine.bytes[0][reached >= level - lost - 1e-9]
            found[lost] = float(full.bytes[0, 0] / enough.min()) if len(enough) else None
        return found

    def to_json(self, against: str) -> dict[str, Any]:
        """Everything, with what it means."""
        labels = list(self._means)
        clean = self.judged.clean
        return {
            "definition": (
                "agreement: share of pictures whose most likely class is that of the uncompressed "
                "picture; numbers in threes: the value, and its 95 % bootstrap interval over the "
                f"pictures ({_RESAMPLES} resamples); saved: bytes at equal agreement relative to "
                f"{against}, minus 1 (negative: fewer), mean of log ratios over the agreements "
                "that both reach, linear between points in log bytes; gained: difference in "
                f"agreement at the mean bytes of {against}'s points; fewer_than_qf100: bytes of "
                "JPEG at quality 100 over those of the smallest point that loses at most so much "
                "top-1"
            ),
            "classifier": classifier.NAME,
            "pictures": len(self.judged.examples),
            "labelled": int((~np.isnan(clean)).sum()),
            "top-1 of the originals": None if np.isnan(clean).any() else float(clean.mean()),
            "runs": self.judged.runs,
            "curves": {
                label: {
                    "points": self.points(label),
                    **(self._against(label, against) if label != against else {}),
                    **({"fewer_than_qf100": self._factors(label)} if FULL in labels else {}),
                }
                for label in labels
            },
        }

    def _factors(self, label: str) -> dict[str, float | None]:
        return {
            f"{lost:g}": None if found is None else round(found, 2)
            for lost, found in self.factors(label).items()
        }

    def _against(self, label: str, against: str) -> dict[str, Any]:
        return {
            "saved": self.saved(label, against).to_json(),
            "saved_at": {
                f"{level:g}": one.to_json() for level, one in self.saved_at(label, against).items()
            },
            "gained": [[round(at), one.to_json()] for at, one in self.gained(label, against)],
        }


def _means(curve: Curve, shares: Float) -> _Means:
    """Columns without labels have NaN for top-1."""
    bytes_, agrees, correct = (
        shares @ np.stack([getattr(column, name) for column in curve.columns], axis=1)
        for name in ("bytes", "agrees", "correct")
    )
    return _Means(bytes_, agrees, correct)


def _interval(values: Float) -> Interval:
    """Of a value and those of resamples; undefined ones are left out of the interval."""
    others = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or not len(others):
        return Interval(np.nan, np.nan, np.nan)
    low, high = np.quantile(others, [0.025, 0.975])
    return Interval(float(values[0]), float(low), float(high))


def _ratios(mine: _Means, theirs: _Means, level: float | None) -> Float:
    """Relative bytes minus 1 in each resample."""
    rows = zip(mine.agrees, mine.bytes, theirs.agrees, theirs.bytes, strict=True)
    return np.array([_ratio(_rising(a, b), _rising(c, d), level) for a, b, c, d in rows])


def _rising(agrees: Float, bytes_: Float) -> tuple[Float, Float]:
    """Agreement, strictly rising with bytes, and their logarithm: a point below one of fewer bytes
    is of no use."""
    best = np.maximum.accumulate(agrees)
    first = np.concatenate([[True], np.diff(best) > 0])
    return best[first], np.log(bytes_[first])


def _ratio(mine: tuple[Float, Float], theirs: tuple[Float, Float], level: float | None) -> float:
    low = max(mine[0][0], theirs[0][0])
    high = min(mine[0][-1], theirs[0][-1])
    if level is not None:
        low, high = (level, level) if low <= level <= high else (1.0, 0.0)
    if low > high:
        return np.nan
    at = np.linspace(low, high, _LEVELS)
    return float(np.expm1((np.interp(at, *mine) - np.interp(at, *theirs)).mean()))


def _inside(x: Float, y: Float, at: float) -> float:
    return float(np.interp(at, x, y)) if x[0] <= at <= x[-1] else np.nan

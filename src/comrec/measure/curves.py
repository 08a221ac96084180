"""Rate-distortion curves: Bjøntegaard rate difference, and the upper envelope of curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from comrec.errors import MissingExtraError, OptionError

Curve = Sequence[tuple[float, float]]
"""Points (bits per pixel, metric); higher metrics are better."""


def bd_rate(anchor: Curve, test: Curve) -> float:
    """Bjøntegaard rate difference of ``test`` against ``anchor``, in percent.

    The mean difference of log rate, interpolated by PCHIP, over the range of the metric that both
    curves cover. G. Bjøntegaard, "Calculation of Average PSNR Differences between RD-curves",
    ITU-T VCEG-M33, 2001; PCHIP as in JCTVC-L1100.

    Args:
        anchor, test: at least two points each, in any order. Rates are positive. Metrics are
            finite and should be about linear in log rate: dB, not raw MS-SSIM. Of points with
            equal metrics the one of lowest rate is used.
    Returns:
        Percent; negative if ``test`` needs fewer bits.
    Raises:
        OptionError: fewer than two points, a rate or metric out of range, or no overlap.
        MissingExtraError: scipy is not installed.
    """
    curves = [_by_metric(curve) for curve in (anchor, test)]
    low = max(metrics[0] for metrics, _ in curves)
    high = min(metrics[-1] for metrics, _ in curves)
    if not low < high:
        raise OptionError(
            "BD-rate needs curves that overlap in the metric; these range from "
            + " and from ".join(f"{metrics[0]:g} to {metrics[-1]:g}" for metrics, _ in curves)
        )
    areas = [
        float(_pchip(metrics, log_rates).integrate(low, high)) for metrics, log_rates in curves
    ]
    return 100 * math.expm1((areas[1] - areas[0]) / (high - low))


def best_of(curves: Sequence[Curve]) -> list[tuple[float, float]]:
    """The upper envelope of several curves, such as JPEG 4:2:0 and 4:4:4.

    A point is dropped if another has a lower or equal rate and a metric at least as high, or if
    another curve, interpolated, has a higher metric at its rate. Without the second rule, such
    points would lower the interpolation between points of the better curve: the envelope would
    be worse than one of the curves.

    Returns:
        Points by ascending rate; the metric is strictly increasing.
    Raises:
        MissingExtraError: scipy is not installed.
    """
    fronts = [_front(curve) for curve in curves]
    return _front(
        [
            point
            for front in fronts
            for point in front
            if not any(_passes_above(point, other) for other in fronts if other is not front)
        ]
    )


def within(curve: Curve, low: float, high: float) -> list[tuple[float, float]]:
    """The points with rates in low..high, and one beyond each end for interpolation.

    Returns:
        Points by ascending rate; empty if none is in the range.
    """
    points = sorted(curve)
    inside = [index for index, (rate, _) in enumerate(points) if low <= rate <= high]
    if not inside:
        return []
    return points[max(0, inside[0] - 1) : inside[-1] + 2]


def _front(points: Curve) -> list[tuple[float, float]]:
    """The Pareto-optimal points, by ascending rate."""
    best: list[tuple[float, float]] = []
    for rate, metric in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or metric > best[-1][1]:
            best.append((rate, metric))
    return best


def _passes_above(point: tuple[float, float], front: Curve) -> bool:
    """Whether a curve, interpolated over log rate, has a higher metric at the rate of a point."""
    rate, metric = point
    if len(front) < 2 or not front[0][0] <= rate <= front[-1][0]:
        return False
    log_rates = [math.log(r) for r, _ in front]
    return float(_pchip(log_rates, [m for _, m in front])(math.log(rate))) > metric


def _by_metric(curve: Curve) -> tuple[list[float], list[float]]:
    """Metrics, strictly increasing, and the natural logarithms of their rates."""
    if any(rate <= 0 or not np.isfinite((rate, metric)).all() for rate, metric in curve):
        raise OptionError(
            "BD-rate needs positive rates and finite metrics (lossless points have none)"
        )
    cheapest: dict[float, float] = {}
    for rate, metric in curve:
        cheapest[metric] = min(rate, cheapest.get(metric, math.inf))
    if len(cheapest) < 2:
        raise OptionError(
            f"BD-rate needs two points of different metric per curve, not {len(cheapest)}"
        )
    metrics = sorted(cheapest)
    return metrics, [math.log(cheapest[metric]) for metric in metrics]


def _pchip(x: list[float], y: list[float]) -> Any:
    try:
        from scipy.interpolate import PchipInterpolator
    except ImportError:
        raise MissingExtraError("BD-rate", "bench") from None
    return PchipInterpolator(x, y)

"""Results as CSV, as CompressAI's JSON, and as BD-rates."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean
from typing import Any

import numpy as np

from comrec.errors import OptionError
from comrec.measure import curves
from comrec.measure.bench import Measured, Point, Series
from comrec.measure.curves import Curve
from comrec.ssimulacra2 import BEST
from comrec.text import cell

BPP_RANGE = 0.1, 1.5
"""Rates of the points used for BD-rates, plus one beyond each end for interpolation."""


def decibels(similarity: float) -> float:
    """-10 log10(1 - similarity), dB: about linear in log rate; infinity at 1."""
    return -10 * math.log10(1 - similarity) if similarity < 1 else math.inf


METRICS = ("psnr-rgb", "psnr-y", "ms-ssim-rgb", "ssimulacra2")
"""The metrics of BD-rates and curves."""
REGION_METRICS = ("psnr-inside", "psnr-outside")
"""Those of BD-rates beside them, where a region was asked for."""

_MEANS: dict[str, Callable[[Point], float | None]] = {
    "bpp": lambda point: point.bpp,
    "psnr-rgb": lambda point: point.psnr_rgb,
    "psnr-y": lambda point: point.psnr_y,
    "ssim-y": lambda point: point.ssim_y,
    "ms-ssim-rgb": lambda point: point.ms_ssim_rgb,
    "ssimulacra2": lambda point: point.ssimulacra2,
    "encoding_time": lambda point: point.encode_s,
    "decoding_time": lambda point: point.decode_s,
    "encoding_peak_bytes": lambda point: point.encode_peak,
    "decoding_peak_bytes": lambda point: point.decode_peak,
    "psnr-inside": lambda point: point.psnr_inside,
    "psnr-outside": lambda point: point.psnr_outside,
}
"""By CompressAI's names, and by our own where it has none."""
_REGION_FIELDS = ("psnr_inside", "psnr_outside")


@dataclass(frozen=True)
class Comparison:
    """BD-rates of a variant against an anchor.

    Attributes:
        label: of the variant.
        anchor: labels of the anchor; of several, the best at each rate.
        rates: BD-rates by metric and picture, percent; pictures whose curves do not overlap have
            none.
    """

    label: str
    anchor: tuple[str, ...]
    rates: dict[str, dict[str, float]]

    def mean(self, metric: str) -> float | None:
        """Mean BD-rate over pictures, percent; None without pictures."""
        values = self.rates[metric].values()
        return fmean(values) if values else None


def metrics_of(measured: Measured) -> tuple[str, ...]:
    """The metrics of its BD-rates."""
    return METRICS if measured.region is None else METRICS + REGION_METRICS


def to_csv(measured: Measured) -> str:
    """One row per point, with a header. Names are made safe (`comrec.text.cell`)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [field.name for field in fields(Point)]
    if measured.region is None:
        names = [name for name in names if name not in _REGION_FIELDS]
    writer.writerow(["codec", "picture", "quality", *names])
    for (label, picture, quality), point in measured.points.items():
        values = (getattr(point, name) for name in names)
        writer.writerow([cell(label), cell(picture), f"{quality:g}", *values])
    return out.getvalue()


def to_compressai(measured: Measured, series: Series) -> dict[str, Any]:
    """Means over pictures of a variant, in the schema of CompressAI's result files.

    Returns:
        ``results`` maps names to lists with one value per quality; None where a mean is undefined
        or infinite.
    """
    columns = list(zip(*(measured.points_of(series, s) for s in measured.complete), strict=True))
    return {
        "name": series.variant.label,
        "description": series.variant.codec.summary,
        "results": {
            "quality": list(series.qualities),
            **{
                name: [_mean(value, points) for points in columns]
                for name, value in _MEANS.items()
                if name not in REGION_METRICS or series.region is not None
            },
        },
    }


def _mean(value: Callable[[Point], float | None], points: Sequence[Point]) -> float | None:
    values = [found for point in points if (found := value(point)) is not None]
    mean = fmean(values) if len(values) == len(points) else math.inf
    return round(mean, 6) if math.isfinite(mean) else None


def comparisons(measured: Measured, anchor: Sequence[str]) -> list[Comparison]:
    """BD-rates of every variant against the anchor, and of comrec-X and jiang2017-X against X.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    labels = {one.variant.label for one in measured.series}
    pairs = [(one, tuple(anchor)) for one in measured.series if [one.variant.label] != [*anchor]]
    for one in measured.series:
        options = one.variant.label.removeprefix(one.variant.codec.id)
        bases = [base for base in (one.variant.base + options, one.variant.base) if base in labels]
        if bases and one.variant.base != one.variant.codec.id and bases[:1] != [*anchor]:
            pairs.append((one, (bases[0],)))
    return [_comparison(measured, one, against) for one, against in pairs]


def _comparison(measured: Measured, series: Series, anchor: tuple[str, ...]) -> Comparison:
    against = [one for one in measured.series if one.variant.label in anchor]
    rates: dict[str, dict[str, float]] = {metric: {} for metric in metrics_of(measured)}
    for metric, found in rates.items():
        for source in measured.complete:
            best = curves.best_of(
                [curve(measured.points_of(one, source), metric) for one in against]
            )
            test = curve(measured.points_of(series, source), metric)
            try:
                found[source.name] = curves.bd_rate(
                    curves.within(best, *BPP_RANGE), curves.within(test, *BPP_RANGE)
                )
            except OptionError:  # no overlap on this picture
                continue
    return Comparison(series.variant.label, anchor, rates)


def curve(points: Sequence[Point], metric: str) -> Curve:
    """(Bits per pixel, `_linear` of the metric) of the points that are defined and finite."""
    return _curve(((point.bpp, _MEANS[metric](point)) for point in points), metric)


def mean_curve(results: Mapping[str, Sequence[float | None]], metric: str) -> Curve:
    """As `curve`, of the lists of a result file in CompressAI's schema."""
    return _curve(zip(results["bpp"], results.get(metric, ()), strict=False), metric)


def _curve(pairs: Iterable[tuple[float | None, float | None]], metric: str) -> Curve:
    known = [
        (bpp, _linear(value, metric))
        for bpp, value in pairs
        if bpp is not None and value is not None
    ]
    return [(bpp, value) for bpp, value in known if math.isfinite(value)]


def _linear(value: float, metric: str) -> float:
    """A metric on a scale that is about linear in log rate: dB, or SSIMULACRA2 as it is.

    Infinity for a lossless picture, which is a point of no curve.
    """
    if metric == "ms-ssim-rgb":
        return decibels(value)
    return math.inf if metric == "ssimulacra2" and value == BEST else value


def at_rate(results: Mapping[str, Sequence[float | None]], metric: str, bpp: float) -> float | None:
    """A metric interpolated at a rate, linear in log rate; None outside the range of rates."""
    pairs = zip(results["bpp"], results[metric], strict=True)
    known = sorted((math.log(r), v) for r, v in pairs if r is not None and v is not None)
    if not known or not known[0][0] <= math.log(bpp) <= known[-1][0]:
        return None
    return float(np.interp(math.log(bpp), [r for r, _ in known], [v for _, v in known]))


def to_json(comparisons: list[Comparison], measured: Measured) -> dict[str, Any]:
    """BD-rates with their definition, the pictures and the runs."""
    return {
        "definition": (
            "Bjontegaard rate difference in percent, negative means fewer bits: PCHIP of log rate "
            "over dB or the score, points within bpp_range and one beyond each end, computed per "
            "picture, then averaged; MS-SSIM as -10 log10(1 - MS-SSIM); with several anchors, the "
            "best at each rate"
        ),
        "bpp_range": list(BPP_RANGE),
        "region": None if measured.region is None else asdict(measured.region),
        "pictures": [source.name for source in measured.complete],
        "runs": measured.runs,
        "rows": [
            {
                "codec": one.label,
                "anchor": list(one.anchor),
                **{
                    metric: {"percent": one.mean(metric), "pictures": of_picture}
                    for metric, of_picture in one.rates.items()
                },
            }
            for one in comparisons
        ],
    }

"""The report: one self-contained HTML file; it loads nothing from the network."""

from __future__ import annotations

import html as markup
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from comrec.measure.bench import Measured, Region
from comrec.measure.crops import Row
from comrec.measure.plots import AXES, GROUND, INK
from comrec.measure.published import Published
from comrec.measure.results import BPP_RANGE, Comparison, at_rate, metrics_of
from comrec.text import printable

_STYLE = Path(__file__).with_name("report.css")
_RATES = (0.25, 0.5, 1.0)
_SHORT = {
    "psnr-rgb": "PSNR",
    "psnr-y": "PSNR-Y",
    "ms-ssim-rgb": "MS-SSIM",
    "ssimulacra2": "SSIMULACRA2",
    "psnr-inside": "PSNR inside",
    "psnr-outside": "PSNR outside",
}
_MEANS = {
    "psnr-rgb": ("PSNR (RGB), dB", 2),
    "psnr-y": ("PSNR (luma), dB", 2),
    "ms-ssim-rgb": ("MS-SSIM (RGB)", 4),
    "ssimulacra2": ("SSIMULACRA2", 1),
}
"""Heading and decimals by metric."""
_NONE = "–"


@dataclass(frozen=True)
class Content:
    """The content of the report.

    Attributes:
        title: of the page.
        measured: all points.
        means: means over pictures by the variant's label, in CompressAI's schema.
        comparisons: BD-rates.
        plots: SVG files by metric.
        rows: crops at equal file size.
        published: the published curves in the plots.
    """

    title: str
    measured: Measured
    means: dict[str, dict[str, Any]]
    comparisons: list[Comparison]
    plots: dict[str, bytes]
    rows: list[Row]
    published: list[Published]


def html(content: Content) -> str:
    """The HTML page."""
    measured = content.measured
    last = measured.runs[-1] if measured.runs else {}
    count = len(measured.complete)
    head = (
        f"{count} picture{'' if count == 1 else 's'}, {len(measured.series)} codecs; "
        f"comrec {last.get('comrec', '')}, {last.get('date', '')[:10]}"
    )
    parts = [
        f"<h1>{escape(content.title)}</h1>",
        f'<p class="quiet">{escape(head)}</p>',
        _failures(measured),
        "<h2>BD-rate</h2>",
        _bd_rates(content.comparisons, measured),
        "<h2>Quality at equal rate</h2>",
        _at_rates(content.means),
        "<h2>Rate-distortion curves</h2>",
        *[_plot(metric, svg) for metric, svg in content.plots.items()],
        _published(content.published),
        "<h2>Crops at equal file size</h2>",
        '<p class="quiet">The same crop of each decoded picture, enlarged by 2; '
        "bytes and PSNR (RGB) are those of the whole picture.</p>",
        *[_crops(row) for row in content.rows],
        "<h2>All means</h2>",
        *[_all_means(label, means) for label, means in content.means.items()],
        "<h2>Method</h2>",
        _method(measured.region),
        *[_run(run) for run in measured.runs],
    ]
    style = _STYLE.read_text(encoding="utf-8")
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(content.title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def escape(text: str) -> str:
    """Text for HTML; what has no glyph or changes the direction of writing is made visible."""
    return markup.escape(printable(text))


def _failures(measured: Measured) -> str:
    if not measured.failures:
        return ""
    rows = [[one.picture, one.message, ", ".join(one.labels)] for one in measured.failures]
    return (
        "<h2>Failures</h2>\n<p>These pictures are left out of all means and tables below.</p>\n"
        + _table(["picture", "error", "codecs"], rows, text=True)
    )


def _bd_rates(comparisons: list[Comparison], measured: Measured) -> str:
    anchor = comparisons[0].anchor if comparisons else ("",)
    own = {one.label: one for one in comparisons if one.anchor != anchor}
    metrics = metrics_of(measured)
    rows = []
    for one in comparisons:
        if one.anchor != anchor:
            continue
        cells = [one.label, *_percent(one)]
        against = own.get(one.label)
        cells += _percent(against) if against else [""] * len(metrics)
        rows.append([*cells, *_costs(measured, one.label)])
    low, high = BPP_RANGE
    names = anchor[0] if len(anchor) == 1 else f"the best of {', '.join(anchor)}"
    groups = [
        ("", 1),
        (f"against {names}", len(metrics)),
        ("against its own codec", len(metrics)),
        ("mean seconds", 2),
        ("peak memory, MB", 2),
    ]
    heads = ["codec", *[_SHORT[metric] for _ in range(2) for metric in metrics]]
    heads += ["encode", "decode"] * 2
    return (
        "<p>Bjøntegaard rate difference at equal quality; negative means fewer bits. "
        f"Mean over pictures, points from {low} to {high} bits per pixel.</p>\n"
        + _table(heads, rows, groups)
    )


def _percent(comparison: Comparison) -> list[str]:
    means = [comparison.mean(metric) for metric in comparison.rates]
    return [_NONE if mean is None else f"{mean:+.1f} %".replace("-", "−") for mean in means]


def _costs(measured: Measured, label: str) -> list[str]:
    """Mean seconds and peak memory, of encoding and of decoding."""
    points = [point for (name, _, _), point in measured.points.items() if name == label]
    if not points:
        return [_NONE] * 4
    return [
        f"{fmean(point.encode_s for point in points):.3f}",
        f"{fmean(point.decode_s for point in points):.3f}",
        _megabytes([point.encode_peak for point in points]),
        _megabytes([point.decode_peak for point in points]),
    ]


def _megabytes(peaks: list[int | None]) -> str:
    known = [peak for peak in peaks if peak is not None]
    return f"{max(known) / 1e6:.0f}" if known else _NONE


def _at_rates(means: dict[str, dict[str, Any]]) -> str:
    rows = []
    for label, entry in means.items():
        cells = [label]
        for metric, (_, digits) in _MEANS.items():
            values = [at_rate(entry["results"], metric, rate) for rate in _RATES]
            cells += [_NONE if value is None else f"{value:.{digits}f}" for value in values]
        rows.append(cells)
    groups = [("", 1), *[(name, len(_RATES)) for name, _ in _MEANS.values()]]
    heads = ["bits per pixel", *[f"{rate:g}" for _ in _MEANS for rate in _RATES]]
    return (
        "<p>Interpolated between the means over pictures at each quality, linear in log rate. "
        "Codecs whose quality sets a PSNR (JPEG 2000) spend a different rate on each picture; "
        "this table understates them, the BD-rates (per picture) do not.</p>\n"
        + _table(heads, rows, groups)
    )


def _plot(metric: str, svg: bytes) -> str:
    """An SVG inlined in the page, with unique identifiers and the page's colours."""
    text = svg.decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(id="|url\(#|href="#)', rf"\1{metric}-", text)
    text = text.replace(INK, "currentColor").replace(f"fill: {GROUND}", "fill: none")
    label = escape(f"{AXES[metric]} over bits per pixel")
    return f"<h3>{escape(AXES[metric])}</h3>\n" + text.replace(
        "<svg", f'<svg role="img" aria-label="{label}"', 1
    )


def _published(published: list[Published]) -> str:
    if not published:
        return ""
    rows = [[one.name, one.description, one.source] for one in published]
    return (
        "<h3>Published curves</h3>\n<p>Published means over the 24 Kodak pictures (RGB); "
        "comparable only with measurements on Kodak.</p>\n"
        + _table(["curve", "description", "source"], rows, text=True)
    )


def _crops(row: Row) -> str:
    figures = [_figure("original", "", row.original)]
    if row.region is not None:
        figures.append(_figure("what matters", "in the whole picture: red most", row.region))
    for crop in row.crops:
        fidelity = f"{crop.psnr:.2f} dB" if math.isfinite(crop.psnr) else "lossless"
        figures.append(_figure(crop.label, f"{crop.bytes:,} bytes, {fidelity}", crop.png))
    return (
        f"<h3>{escape(row.picture)}, at most {row.budget:,} bytes</h3>\n"
        f'<div class="crops">\n{"".join(figures)}</div>'
    )


def _figure(label: str, rest: str, png: str) -> str:
    name = escape(label)
    return (
        f'<figure><img src="data:image/png;base64,{png}" alt="{name}">'
        f"<figcaption><b>{name}</b> {escape(rest)}</figcaption></figure>\n"
    )


def _all_means(label: str, entry: dict[str, Any]) -> str:
    results = entry["results"]
    rows = [
        [_NONE if value is None else f"{value:g}" for value in values]
        for values in zip(*results.values(), strict=True)
    ]
    return (
        f"<details><summary><code>{escape(label)}</code> "
        f'<span class="quiet">{escape(entry["description"])}</span></summary>\n'
        + _table(list(results), rows)
        + "</details>"
    )


def _method(region: Region | None) -> str:
    low, high = BPP_RANGE
    lines = [
        "Rate: 8 × bytes of the whole file / pixels, headers and mark included; the metadata of "
        "the pictures is left out. All files are decoded by comrec.",
        "PSNR (RGB), MS-SSIM and SSIMULACRA2 (version 2.1, 100 for identical pictures): 8-bit RGB. "
        "PSNR (luma): unrounded BT.601 luma. SSIM: 8-bit BT.601 luma. Means are arithmetic means "
        "of the values per picture. MS-SSIM in dB is −10 log₁₀(1 − MS-SSIM).",
        "BD-rate: PCHIP of log rate over dB or the score, over the common range of both curves; "
        f"points from {low} to {high} bits per pixel and one beyond each end. With several "
        "anchors, the best at each rate. Computed per picture, then averaged.",
        "Times are wall-clock times with networks loaded. Memory is the peak resident set size of "
        "the process, including the interpreter and the libraries.",
    ]
    if region is not None:
        lines.append(
            f"What matters (--roi {region.source}): PSNR inside is PSNR (RGB) with squared errors "
            "weighted by the map m in 0..1, PSNR outside by 1 − m. Codecs that make use of it got "
            f"the map at a strength of {region.strength:g} dB; times are without its making."
        )
    return "\n".join(f"<p>{escape(line)}</p>" for line in lines)


def _run(run: dict[str, Any]) -> str:
    versions = run["packages"] | run["libraries"]
    known = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    jobs = run["jobs"]
    rows = [
        ["date", run["date"]],
        ["comrec", f"{run['comrec']}, commit {run['commit'] or 'unknown'}"],
        ["machine", f"{run['cpu']}, {run['cores']} cores, {run['system']}"],
        ["processes", "1" if jobs == 1 else f"{jobs} in parallel: times are longer than with one"],
        ["versions", f"Python {run['python']}, {known}"],
    ]
    return _table(["run", ""], rows, text=True)


def _table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    groups: Sequence[tuple[str, int]] = (),
    text: bool = False,
) -> str:
    """An HTML table of numbers, with names in the first column; or of text.

    Args:
        groups: a second header row above ``heads``: text and number of columns.
    """
    kind = ' class="text"' if text else ""
    over = "".join(f'<th colspan="{span}">{escape(name)}</th>' for name, span in groups)
    upper = f'<tr class="groups">{over}</tr>\n' if groups else ""
    names = "".join(f"<th{kind}>{escape(head)}</th>" for head in heads)
    lines = [
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    ]
    return (
        f'<div class="wide"><table>\n<thead>\n{upper}<tr>{names}</tr>\n</thead>\n<tbody>\n'
        + "\n".join(lines)
        + "\n</tbody>\n</table></div>\n"
    )

"""comrec bench: measure codecs on a folder of pictures: BD-rates, rate-distortion curves, a report.

An interrupted run continues when started again with the same OUT.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from comrec import codec as registry
from comrec import roi
from comrec.cli import region, terminal, writing
from comrec.cli.typed import as_typed
from comrec.codec import Codec
from comrec.errors import ComrecError, MissingExtraError, OptionError, UnknownCodecError
from comrec.measure import bench, crops, plots, published, report, results, variants
from comrec.measure.bench import Measured, Region, Series
from comrec.measure.plots import Line
from comrec.measure.published import Published
from comrec.measure.report import Content
from comrec.measure.results import Comparison
from comrec.measure.store import Store
from comrec.measure.variants import Variant
from comrec.text import as_json, printable

ANCHOR = "jpeg:subsampling=4:2:0,jpeg:subsampling=4:4:4"
_NAMES = {
    "psnr-rgb": "PSNR RGB",
    "psnr-y": "PSNR Y",
    "ms-ssim-rgb": "MS-SSIM",
    "ssimulacra2": "SSIMULACRA2",
    "psnr-inside": "inside",
    "psnr-outside": "outside",
}


def add(verbs: Any) -> None:
    """Declare the command."""
    verb = verbs.add_parser("bench", help="measure codecs on a folder", description=__doc__)
    verb.add_argument("folder", metavar="DIR", type=Path, help="folder of pictures")
    verb.add_argument(
        "--codecs",
        metavar="LIST",
        help="comma-separated ids (see `comrec codecs`), options after colons: "
        "jpeg,jpeg:subsampling=4:4:4; by default every lossy codec that is installed",
    )
    verb.add_argument(
        "--qualities",
        action="append",
        default=[],
        metavar="[CODEC=]LIST",
        help="comma-separated qualities, 0..100, for all codecs or for one; repeatable",
    )
    verb.add_argument(
        "-e",
        "--effort",
        type=int,
        help="1 (fastest) to 10 (smallest files), for codecs with this option; 7 by default",
    )
    verb.add_argument(
        "--anchor",
        default=ANCHOR,
        metavar="LIST",
        help=f"anchor of the BD-rates: the best of these codecs at each rate; by default {ANCHOR}",
    )
    verb.add_argument(
        "--anchors",
        default="",
        metavar="LIST",
        help="published curves to add to the plots: files in CompressAI's JSON schema, or any of "
        + ", ".join(published.names()),
    )
    verb.add_argument(
        "-j", "--jobs", type=int, default=1, help="processes; only 1 (default) gives valid times"
    )
    verb.add_argument(
        "-o", "--output", required=True, type=Path, metavar="OUT", help="folder for the results"
    )
    verb.add_argument(
        "--roi",
        choices=(roi.AUTO, roi.CENTRE),
        help="which part of the pictures matters: auto (the network) or centre; PSNR is also given "
        "inside and outside of it, and codecs that can make it better",
    )
    region.add_strength(verb)
    verb.add_argument("--quiet", action="store_true", help="no progress bar")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.jobs < 1:
        raise OptionError(f"--jobs must be 1 or more, not {options.jobs}")
    region.check_values(options)
    if not all(map(importlib.util.find_spec, ("matplotlib", "scipy"))):
        raise MissingExtraError("comrec bench", "bench")  # before the measurements, not after
    anchor = variants_of(options.anchor, options.effort)
    series = _series(options, anchor)
    overlaid = [published.load(name) for name in _items(options.anchors)]
    sources = bench.sources_in(options.folder)
    out: Path = options.output
    with closing(Store(out / "points.jsonl")) as store:
        measured = bench.measure(series, sources, store, options.jobs, options.quiet)
    for failed in measured.failures:
        labels = ", ".join(failed.labels)
        terminal.failed(ComrecError(f"{failed.picture}: {failed.message} ({labels})"))
    with closing(Store(out / "crops.jsonl")) as store:
        rows = crops.rows(measured, store, options.jobs, options.quiet)
    compared = results.comparisons(measured, [variant.label for variant in anchor])
    means = {one.variant.label: results.to_compressai(measured, one) for one in series}
    drawn = {m: plots.draw(_lines(measured, means, overlaid, m), m) for m in plots.AXES}
    content = Content(
        title=f"Image codecs on {options.folder.resolve().name}",
        measured=measured,
        means=means,
        comparisons=compared,
        plots={metric: files["svg"] for metric, files in drawn.items()},
        rows=rows,
        published=overlaid,
    )
    _write_all(out, content, drawn)
    terminal.show(*_text(compared, means, results.metrics_of(measured)).split("\n"))
    return 1 if measured.failures else 0


def _write_all(out: Path, content: Content, drawn: dict[str, dict[str, bytes]]) -> None:
    measured = content.measured
    _write(out / "points.csv", results.to_csv(measured))
    _write(out / "bd_rate.json", _json(results.to_json(content.comparisons, measured)))
    for one in measured.series:
        _write(out / "codecs" / f"{one.variant.slug}.json", _json(content.means[one.variant.label]))
    for metric, files in drawn.items():
        for file_format, data in files.items():
            _write(out / f"{metric}.{file_format}", data)
    _write(out / "report.html", report.html(content))


def _lines(
    measured: Measured, means: dict[str, Any], overlaid: list[Published], metric: str
) -> list[Line]:
    drawn = [
        plots.line(one.variant, results.mean_curve(means[one.variant.label]["results"], metric), i)
        for i, one in enumerate(measured.series)
    ]
    overlays = [
        plots.published_line(one.name, results.mean_curve(one.results, metric), i)
        for i, one in enumerate(overlaid)
    ]
    lines = [*drawn, *(line for line in overlays if line.points)]
    # Matplotlib takes text between two dollar signs for a formula.
    return [replace(line, label=printable(line.label).replace("$", r"\$")) for line in lines]


def _text(compared: list[Comparison], means: dict[str, Any], metrics: Sequence[str]) -> str:
    """BD-rates and mean seconds as a table."""
    rows = []
    for one in compared:
        rates = [one.mean(metric) for metric in metrics]
        seconds = [
            fmean(means[one.label]["results"][name]) if means[one.label]["results"][name] else None
            for name in ("encoding_time", "decoding_time")
        ]
        rows.append(
            (
                one.label,
                " + ".join(one.anchor),
                *("-" if rate is None else f"{rate:+.1f} %" for rate in rates),
                *("-" if mean is None else f"{mean:.3f}" for mean in seconds),
            )
        )
    head = ("codec", "against", *(_NAMES[metric] for metric in metrics), "encode s", "decode s")
    return terminal.table(head, rows)


def _json(content: Any) -> str:
    return as_json(content, indent=1) + "\n"


def _write(path: Path, content: str | bytes) -> None:
    data = content.encode("utf-8") if isinstance(content, str) else content
    writing.write(str(path), data)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _series(options: argparse.Namespace, anchor: list[Variant]) -> list[Series]:
    """The anchor and the codecs, each with its qualities.

    Raises:
        MissingExtraError: a named codec needs an extra that is not installed.
    """
    if options.codecs is None:
        wanted = [*anchor, *_installed(options.effort)]
    else:
        wanted = [*anchor, *variants_of(options.codecs, options.effort)]
    unique = {variant.label: variant for variant in wanted}.values()
    asked = qualities(options.qualities)
    matters = None
    if region.given(options):
        matters = Region(str(region.source(options)), region.strength(options))
    return [Series(one, variants.qualities_of(one, asked), matters) for one in unique]


def variants_of(text: str, effort: int | None) -> list[Variant]:
    with as_typed():
        found = [variants.parse(item, effort) for item in _items(text)]
    for variant in found:
        if not variant.codec.available:
            raise _missing(variant.codec)
    return found


def _installed(effort: int | None) -> list[Variant]:
    """Every installed lossy codec; codecs that need a missing extra are reported on stderr."""
    lossy = []
    for codec_id in registry.names():
        try:
            with as_typed():
                variant = variants.parse(codec_id, effort)
        except UnknownCodecError as error:  # of another package, and cannot be loaded
            terminal.failed(error.naming(f"{codec_id} is left out"))
            continue
        if variant.codec.quality_step is None:
            continue
        if variant.codec.available:
            lossy.append(variant)
        else:
            terminal.failed(_missing(variant.codec).naming(f"{variant.label} is left out"))
    return lossy


def _missing(coder: Codec) -> MissingExtraError:
    return MissingExtraError(coder.id, coder.extra or coder.id)


def qualities(asked: list[str]) -> dict[str, list[float]]:
    """Qualities by codec; the key "" applies to all codecs."""
    lists = {}
    for text in asked:
        name, _, values = text.rpartition("=")
        try:
            lists[name] = [float(value) for value in values.split(",")]
        except ValueError:
            raise OptionError(
                f"--qualities {text}: expected comma-separated numbers, such as 10,30,50 or "
                "webp=10,30,50"
            ) from None
    return lists

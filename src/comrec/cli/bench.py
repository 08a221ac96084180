"""comrec bench: codecs over a folder of pictures, at many rates: tables, curves, a report.

Interrupted, it goes on where it was when it is run again with the same OUT.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import sys
from contextlib import closing
from pathlib import Path
from statistics import fmean
from typing import Any

from comrec import codec as registry
from comrec.cli import paths, terminal
from comrec.errors import ComrecError, MissingExtraError, OptionError
from comrec.measure import bench, crops, machine, paper, plots, published, report, results, variants
from comrec.measure.bench import Measured, Series
from comrec.measure.plots import Line
from comrec.measure.published import Published
from comrec.measure.report import Content
from comrec.measure.results import Comparison
from comrec.measure.store import Store
from comrec.measure.variants import Variant

ANCHOR = "jpeg,jpeg:subsampling=4:4:4"


def add(verbs: Any) -> None:
    """Declare the verb."""
    verb = verbs.add_parser("bench", help="codecs over a folder", description=__doc__)
    verb.add_argument("folder", metavar="DIR", type=Path, nargs="?", help="pictures")
    verb.add_argument(
        "--codecs",
        metavar="LIST",
        help="comma-separated, options after colons: jpeg,jpeg:subsampling=4:4:4; "
        "by default every lossy codec that is installed",
    )
    verb.add_argument(
        "--qualities",
        action="append",
        default=[],
        metavar="[CODEC=]LIST",
        help="comma-separated, 0..100, for all or for one codec; repeatable",
    )
    verb.add_argument(
        "-e",
        "--effort",
        type=int,
        help="of codecs that have one: 1 (fast) to 10 (small); 7 by default",
    )
    verb.add_argument(
        "--anchor",
        default=ANCHOR,
        metavar="LIST",
        help=f"BD-rates are against the best of these at each rate ({ANCHOR})",
    )
    verb.add_argument(
        "--anchors",
        default="",
        metavar="LIST",
        help="published curves to draw beside, by name, or files in CompressAI's schema: "
        + ", ".join(published.names()),
    )
    verb.add_argument(
        "-j", "--jobs", type=int, default=1, help="processes; times are true for 1 (default)"
    )
    verb.add_argument("-o", "--output", type=Path, metavar="OUT", help="folder for results")
    verb.add_argument(
        "--paper",
        choices=("jiang2017",),
        help="instead: the paper's tables beside our numbers on its pictures below --data; "
        "with -o, each picture's too",
    )
    verb.add_argument("--data", metavar="DIR", type=Path, help="test pictures, in any layout")
    verb.add_argument("--quiet", action="store_true", help="no progress bar")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.jobs < 1:
        raise OptionError(f"--jobs must be 1 or more, not {options.jobs}")
    if options.paper is not None:
        return _paper(options)
    if options.folder is None or options.output is None:
        raise OptionError("bench needs a folder of pictures and -o OUT (or --paper and --data)")
    if not all(map(importlib.util.find_spec, ("matplotlib", "scipy"))):
        raise MissingExtraError("comrec bench", "bench")  # now, not after hours of work
    anchor = _variants(options.anchor, options.effort)
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
    print(_text(compared, means))
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
    ours = [
        plots.line(one.variant, results.mean_curve(means[one.variant.label]["results"], metric), i)
        for i, one in enumerate(measured.series)
    ]
    theirs = [
        plots.published_line(one.name, results.mean_curve(one.results, metric), i)
        for i, one in enumerate(overlaid)
    ]
    return [*ours, *(line for line in theirs if line.points)]


def _text(compared: list[Comparison], means: dict[str, Any]) -> str:
    """BD-rates and mean seconds, for people."""
    rows = []
    for one in compared:
        rates = [one.mean(metric) for metric in results.METRICS]
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
    head = ("codec", "against", "PSNR RGB", "PSNR Y", "MS-SSIM", "encode s", "decode s")
    return terminal.table(head, rows)


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _write(path: Path, content: str | bytes) -> None:
    data = content.encode("utf-8") if isinstance(content, str) else content
    paths.write(str(path), data, paths.STREAM, overwrite=True)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _paper(options: argparse.Namespace) -> int:
    if options.data is None:
        raise OptionError(f"--paper {options.paper} needs --data, a folder of its pictures")
    outcome = paper.compare(options.data, options.jobs, options.quiet)
    for table in outcome.tables:
        print(table.title)
        print(terminal.table(table.head, table.rows), end="\n\n")
    for note in outcome.notes:
        print(note, file=sys.stderr)
    if options.output is not None:
        content = {"machine": machine.facts(), "pictures": outcome.scores}
        _write(options.output / f"{options.paper}.json", _json(content))
    return 0 if outcome.complete else 1


def _series(options: argparse.Namespace, anchor: list[Variant]) -> list[Series]:
    """The anchor and the codecs, each at its qualities.

    Raises:
        MissingExtraError: of a codec that was named.
    """
    if options.codecs is None:
        wanted = [*anchor, *_installed(options.effort)]
    else:
        wanted = [*anchor, *_variants(options.codecs, options.effort)]
    unique = {variant.label: variant for variant in wanted}.values()
    asked = _qualities(options.qualities)
    return [Series(variant, variants.qualities_of(variant, asked)) for variant in unique]


def _variants(text: str, effort: int | None) -> list[Variant]:
    found = [variants.parse(item, effort) for item in _items(text)]
    for variant in found:
        variant.warmed((50,))  # what is missing shows when it codes
    return found


def _installed(effort: int | None) -> list[Variant]:
    """Every lossy codec but those whose extra is missing, which are told of."""
    found = []
    for codec_id in registry.names():
        try:
            found += _variants(codec_id, effort)
        except MissingExtraError as error:
            terminal.failed(error.naming(f"{codec_id} is left out"))
    return [variant for variant in found if math.isfinite(variant.make().step)]


def _qualities(asked: list[str]) -> dict[str, list[float]]:
    """Lists by codec, "" for all."""
    lists = {}
    for text in asked:
        name, _, values = text.rpartition("=")
        try:
            lists[name] = [float(value) for value in values.split(",")]
        except ValueError:
            raise OptionError(
                f"--qualities {text}: expected numbers with commas, such as 10,30,50 or "
                "webp=10,30,50"
            ) from None
    return lists

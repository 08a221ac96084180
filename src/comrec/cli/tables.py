"""comrec tables: quantisation tables for networks that look at pictures, and what these recognise.

An interrupted run continues when started again with the same output.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from comrec.cli import terminal, writing
from comrec.cli.bench import qualities, variants_of
from comrec.cli.typed import as_typed
from comrec.errors import ComrecError, MissingExtraError, OptionError
from comrec.jpegtuning import statistics, tableset
from comrec.jpegtuning.statistics import Constants
from comrec.jpegtuning.tableset import Tables
from comrec.measure import bench, plots, variants
from comrec.measure.bench import Series
from comrec.measure.plots import Line
from comrec.measure.store import Store
from comrec.picture import Picture
from comrec.progress import progress
from comrec.text import as_json

if TYPE_CHECKING:
    from comrec.train.savings import Comparison

CODECS = "jpeg,deepn-jpeg,jpeg-tuned,jpegli"
_PICTURES = 400
_KEPT = (0.9, 0.95, 0.98)


def add(verbs: Any) -> None:
    """Declare the command."""
    verb = verbs.add_parser(
        "tables", help="quantisation tables for classifiers", description=__doc__
    )
    actions = verb.add_subparsers(metavar="ACTION", required=True)
    _add_design(actions)
    _add_evaluate(actions)


def _add_design(actions: Any) -> None:
    action = actions.add_parser(
        "design",
        help="make tables for a data set",
        description="Make quantisation tables for `-c deepn-jpeg:tables=FILE`.",
    )
    action.add_argument("--data", required=True, type=Path, metavar="DIR", help="pictures")
    action.add_argument("-o", "--output", required=True, metavar="FILE", help="the tables, JSON")
    action.add_argument(
        "--method",
        choices=("statistics", "sensitivity", "search"),
        default="statistics",
        help="by the deviations of DCT coefficients (default); by a classifier's gradients; by "
        "trying tables on a classifier. The last two need the extra train",
    )
    action.add_argument(
        "--constants",
        default="fitted",
        metavar="LIST",
        help="of the map from deviations to steps: fitted (default), published, or changes to the "
        "latter, such as a=255,b=80,c=240,k1=9.75,k2=1,k3=3,t1=20,t2=60,least=5",
    )
    action.add_argument(
        "--blend",
        type=float,
        default=0.5,
        help="with sensitivity: 0 (steps of equal harm by the gradients) to 1 (Annex K); 0.5",
    )
    action.add_argument(
        "--shared",
        action="store_true",
        help="with sensitivity: luma's table for all components, which files hold once",
    )
    action.add_argument(
        "--from",
        dest="start",
        metavar="TABLES",
        help="tables that the search begins with: a name or a file; by default by sensitivity",
    )
    action.add_argument(
        "--evaluations", type=int, default=60, help="tables that the search tries; 60 by default"
    )
    action.add_argument(
        "--quality", type=float, default=30, help="at which the search compares; 30 by default"
    )
    action.add_argument(
        "--limit", type=int, default=_PICTURES, help=f"pictures at most; {_PICTURES} by default"
    )
    action.add_argument("--quiet", action="store_true", help="no progress bar")
    action.set_defaults(run=design)


def _add_evaluate(actions: Any) -> None:
    action = actions.add_parser(
        "evaluate",
        help="what a classifier still recognises, against bytes",
        description="Measure what EfficientNet-Lite0 still recognises in coded pictures.",
    )
    action.add_argument(
        "--data",
        required=True,
        type=Path,
        metavar="DIR",
        help="pictures; labelled where names begin with a class of ImageNet (007_….jpg), or "
        "folders are classes",
    )
    action.add_argument(
        "-o", "--output", required=True, type=Path, metavar="OUT", help="folder for the results"
    )
    action.add_argument(
        "--codecs",
        default=CODECS,
        metavar="LIST",
        help=f"as of `comrec bench`; by default {CODECS} where installed",
    )
    action.add_argument(
        "--qualities",
        action="append",
        default=[],
        metavar="[CODEC=]LIST",
        help="comma-separated qualities, 0..100, for all codecs or for one; repeatable",
    )
    action.add_argument(
        "--no-baselines",
        action="store_true",
        help="without JPEG at quality 100, one step for all frequencies, and removed frequencies",
    )
    action.add_argument("--limit", type=int, help="pictures at most, spread evenly")
    action.add_argument("-j", "--jobs", type=int, default=1, help="processes; 1 by default")
    action.add_argument("--quiet", action="store_true", help="no progress bar")
    action.set_defaults(run=evaluate)


def design(options: argparse.Namespace) -> int:
    if options.limit < 1:
        raise OptionError(f"--limit must be 1 or more, not {options.limit}")
    constants = _constants(options.constants)
    if not 0 <= options.blend <= 1:
        raise OptionError(f"--blend must be in 0..1, not {options.blend:g}")
    paths = [source.path for source in bench.sources_in(options.data)]
    if len(paths) > options.limit:
        paths = [paths[at * len(paths) // options.limit] for at in range(options.limit)]
    if options.method == "statistics":
        made = _by_statistics(paths, constants, options)
    else:
        made = _by_classifier(paths, options)
    writing.write(options.output, made.to_json().encode())
    return 0


def _by_statistics(
    paths: list[Path], constants: Constants | None, options: argparse.Namespace
) -> Tables:
    read = (bench.read(path) for path in progress(paths, len(paths), "pictures", options.quiet))
    sample = statistics.coefficients(read)
    deviations = statistics.deviations(sample)
    how = f"DeepN-JPEG's map of the deviations of {len(paths)} pictures, constants "
    if constants is not None:
        return tableset.of_zigzag(how + repr(constants), constants.steps(deviations))
    constants = statistics.fitted(deviations, tableset.load("imagenet").zigzag.astype(float))
    steps = statistics.as_costly_as_annex_k(sample, constants.steps(deviations))
    return tableset.of_zigzag(f"{how}fitted, at the bytes of Annex K: {constants!r}", steps)


def _by_classifier(paths: list[Path], options: argparse.Namespace) -> Tables:
    with _training():
        from comrec.train import classifier, tables
    pixels = np.stack([*tables.squares(progress(paths, len(paths), "pictures", options.quiet))])
    if options.start is None:
        steps = tables.of_sensitivity(
            tables.sensitivity(pixels, options.quiet), options.blend, options.shared
        )
        sample = statistics.coefficients(map(Picture, pixels))
        steps = statistics.as_costly_as_annex_k(sample, steps)
        how = f"a classifier's gradients on {len(paths)} pictures, blend {options.blend:g}"
        start = tableset.of_zigzag(how, steps)
    else:
        start = tableset.load(options.start)
    if options.method == "sensitivity":
        return start
    output = Path(options.output)
    look = classifier.export(output.with_suffix(".onnx"))
    with closing(Store(output.with_suffix(".jsonl"))) as store:
        search = tables.Search(start, pixels, look, store, options.quality)
        found = search.run(options.evaluations, options.quiet)
    how = f"{options.evaluations} tables tried on {len(paths)} pictures, from: {start.description}"
    return replace(found, description=how)


def _constants(text: str) -> Constants | None:
    """None for those that are to be fitted."""
    if text in ("fitted", "published"):
        return None if text == "fitted" else statistics.PUBLISHED
    names = [field.name for field in fields(Constants)]
    given = {}
    for item in text.split(","):
        name, _, value = item.partition("=")
        try:
            given[name.strip()] = float(value)
        except ValueError:
            given = {"": 0.0}
        if not set(given) <= set(names) or not np.isfinite(list(given.values())).all():
            raise OptionError(
                f"--constants {text}: expected fitted, published, or numbers for any of "
                f"{', '.join(names)}, such as a=255,k1=9.75"
            )
    return replace(statistics.PUBLISHED, **given)


def evaluate(options: argparse.Namespace) -> int:
    if options.jobs < 1:
        raise OptionError(f"--jobs must be 1 or more, not {options.jobs}")
    if options.limit is not None and options.limit < 1:
        raise OptionError(f"--limit must be 1 or more, not {options.limit}")
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("comrec tables evaluate", "bench")  # before the measurements
    with _training():
        from comrec.train import accuracy, classifier, savings
    asked = qualities(options.qualities)
    chosen = _codecs(options.codecs)
    curves = {v.label: [Series(v, variants.qualities_of(v, asked))] for v in chosen}
    if not options.no_baselines:
        curves |= accuracy.baselines()
    examples = accuracy.examples_in(options.data, options.limit)
    out: Path = options.output
    network = out / "classifier.onnx"
    classifier.export(network)
    with closing(Store(out / "points.jsonl")) as store:
        judged = accuracy.judge(curves, examples, store, network, options.jobs, options.quiet)
    for failed in judged.failures:
        labels = ", ".join(failed.labels)
        terminal.failed(ComrecError(f"{failed.picture}: {failed.message} ({labels})"))
    compared = savings.Comparison(judged)
    against = chosen[0].label
    _write(out / "accuracy.json", as_json(compared.to_json(against), indent=1) + "\n")
    for kind, data in _drawn(compared, curves).items():
        writing.write(str(out / f"agreement.{kind}"), data)
    terminal.show(*_text(compared, against).split("\n"))
    return 1 if judged.failures else 0


def _codecs(text: str) -> list[variants.Variant]:
    """The codecs asked for; of those by default, the installed ones."""
    if text != CODECS:
        return variants_of(text, None)
    with as_typed():
        found = [variants.parse(name) for name in text.split(",")]
    return [variant for variant in found if variant.codec.available]


@contextmanager
def _training() -> Iterator[None]:
    """Of imports from `comrec.train`.

    Raises:
        MissingExtraError: PyTorch is not installed.
    """
    try:
        yield
    except ImportError as error:
        if error.name not in ("torch", "onnx"):
            raise
        raise MissingExtraError("the classifier", "train") from None


def _drawn(compared: Comparison, curves: dict[str, list[Series]]) -> dict[str, bytes]:
    """Agreement against bytes per picture, without JPEG at quality 100, which is far off."""
    lines: list[Line] = []
    for order, (label, several) in enumerate(curves.items()):
        points = [(p["bytes"] / 1000, 100 * p["agreement"][0]) for p in compared.points(label)]
        if len(several) > 1:
            lines.append(plots.baseline(label, points, order))
        elif len(points) > 1:
            lines.append(plots.line(several[0].variant, points, order))
    most = 1.5 * float(np.median([rate for line in lines for rate, _ in line.points] or [1.0]))
    up = "top-1 agreement with the originals, %"
    return plots.plotted(lines, "agreement", "kilobytes per picture", up, most)


def _text(compared: Comparison, against: str) -> str:
    """Points; bytes at equal agreement; and the smallest points of a few agreements."""
    rows, smallest = [], []
    for curve in compared.judged.curves:
        points = compared.points(curve.label)
        rows += [
            (
                curve.label,
                f"{point['quality']:g}",
                f"{point['bytes']:.0f}",
                _share(point["agreement"]),
                _share(point["top-1"]),
            )
            for point in points
        ]
        saved = (
            "" if curve.label == against else _share(compared.saved(curve.label, against).to_json())
        )
        least = [next((p for p in points if p["agreement"][0] >= kept), None) for kept in _KEPT]
        cells = [f"{p['quality']:g}: {p['bytes']:.0f}" if p else "-" for p in least]
        smallest.append((curve.label, saved, *cells))
    head = ("codec", "quality", "bytes", "agreement %", "top-1 %")
    kept = [f"from {100 * share:g} %" for share in _KEPT]
    more = ("codec", f"bytes against {against} %", *kept)
    return "\n".join([terminal.table(head, rows), "", terminal.table(more, smallest)])


def _share(found: list[float | None]) -> str:
    """In percent, with its interval."""
    if None in found:
        return "-"
    value, low, high = (100 * number for number in found if number is not None)
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


def _write(path: Path, text: str) -> None:
    writing.write(str(path), text.encode())

"""comrec batch: compress all pictures of a folder, and go on where an earlier run ended."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from comrec.api import DEFAULT_CODEC
from comrec.batch.order import Engine, Order, Result
from comrec.batch.places import place
from comrec.batch.plan import Patterns
from comrec.batch.run import Batch
from comrec.cli import jobs, recipes, targeting, terminal, writing
from comrec.cli.process import Ended
from comrec.errors import OptionError
from comrec.progress import progress
from comrec.targets import parse_size
from comrec.text import as_json

_SLOWEST = 5


def add(verbs: Any) -> None:
    """Declare the command."""
    verb = verbs.add_parser("batch", help="compress all pictures of a folder", description=__doc__)
    verb.add_argument("source", metavar="SRC", help="folder, or fsspec URL such as s3://bucket/in")
    verb.add_argument("target", metavar="DST", nargs="?", help="the same, for the results")
    verb.add_argument("-r", "--recursive", action="store_true", help="folders below SRC too")
    verb.add_argument(
        "--in-place",
        action="store_true",
        help="without DST: each result replaces its source, under the codec's extension",
    )
    verb.add_argument(
        "--only-if-smaller",
        nargs="?",
        const=0.0,
        type=targeting.value(float),
        metavar="PERCENT",
        help="keep, or copy, a source whose result is not smaller, by so much (default: by a byte)",
    )
    verb.add_argument(
        "--preserve",
        action="store_true",
        help="give results the times and permissions of their sources",
    )
    for name, what in (
        ("include", "only files that match, whatever their extension"),
        ("exclude", "no files that match"),
    ):
        verb.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar="GLOB",
            help=f"{what}: *.png; with a slash, of the path below SRC: raw/*; can be repeated",
        )
    verb.add_argument("-j", "--jobs", type=int, metavar="N", help="processes; by default, cores")
    verb.add_argument(
        "--engine",
        choices=get_args(Engine),
        default="local",
        help="local: processes of this machine; ray: workers on a Ray cluster",
    )
    verb.add_argument(
        "--address",
        metavar="ADDR",
        help="with --engine ray: the cluster, host:port, ray://host:port or auto; by default one "
        "of this machine alone is started",
    )
    verb.add_argument(
        "--memory",
        type=targeting.value(parse_size),
        metavar="SIZE",
        help="largest sum of what the running encoders of a machine take, by estimate: 4GB, "
        "800MB; three quarters of the machine's by default",
    )
    verb.add_argument(
        "--state",
        metavar="FILE",
        help="the record of what is done, by default .comrec-batch.jsonl among the results",
    )
    verb.add_argument("--json", metavar="FILE", help="write the summary, and all files, as JSON")
    verb.add_argument("--quiet", action="store_true", help="no progress bar, no summary, no notes")
    jobs.add_untrusted(verb)
    recipes.add_arguments(verb, DEFAULT_CODEC)
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    started = time.perf_counter()
    order = _order(options)
    with closing(Batch(order)) as batch:
        for name, other in batch.renamed.items():
            told = f"{order.source.label(name)}: becomes {order.target.label(other)}"
            terminal.tell(f"comrec: {told}, since the shorter name is another's")
        try:
            with closing(batch.run()) as results:
                for result in progress(results, batch.todo, "batch", options.quiet):
                    _tell(result, options.quiet)
        except (KeyboardInterrupt, Ended):
            done = sum(result.status != "failed" for result in batch.results)
            terminal.tell(
                f"comrec: {done} of {batch.total} files are done; the same command does the others"
            )
            raise
    facts = _facts(batch, str(order.recipe.coder), time.perf_counter() - started)
    if options.json is not None:
        text = as_json(facts | {"results": list(map(asdict, batch.results))}, indent=2)
        writing.write(options.json, f"{text}\n".encode())
    if not options.quiet:
        terminal.show(*_lines(facts))
    return 1 if facts["failed"] else 0


def _order(options: argparse.Namespace) -> Order:
    if options.in_place == (options.target is not None):
        raise OptionError("give either DST or --in-place")
    if options.jobs is not None and options.jobs < 1:
        raise OptionError(f"--jobs must be 1 or more, not {options.jobs}")
    saving = options.only_if_smaller
    if saving is not None and not 0 <= saving < 100:
        raise OptionError(f"--only-if-smaller must be at least 0 and below 100, not {saving:g}")
    recipe = recipes.from_options(options, "")
    source = place(options.source)
    return Order(
        source,
        source if options.in_place else place(options.target),
        recipe,
        Patterns(tuple(options.include), tuple(options.exclude)),
        recursive=options.recursive,
        saving=saving,
        preserve=options.preserve,
        jobs=options.jobs,
        memory=options.memory,
        engine=options.engine,
        address=options.address,
        state=None if options.state is None else Path(options.state),
        untrusted=options.untrusted,
    )


def _tell(result: Result, quiet: bool) -> None:
    if result.error is not None:
        terminal.tell(f"comrec: {result.error}")
    elif not quiet:
        terminal.noted(result.source, result.notes)


def _facts(batch: Batch, coder: str, seconds: float) -> dict[str, Any]:
    """The summary. Bytes are of what this run encoded or kept."""
    results = batch.results
    counts = Counter(result.status for result in results)
    done = [result for result in results if result.status in ("encoded", "kept")]
    before = sum(result.bytes for result in done)
    after = sum(result.output_bytes for result in done)
    slowest = sorted(done, key=lambda result: result.seconds, reverse=True)[:_SLOWEST]
    return {
        "codec": coder,
        "files": batch.total,
        **{status: counts[status] for status in ("encoded", "kept", "skipped", "failed")},
        "left_out": batch.left_out,
        "bytes": before,
        "output_bytes": after,
        "saved_bytes": before - after,
        "seconds": round(seconds, 3),
        "slowest": [
            {"source": result.source, "seconds": round(result.seconds, 3)} for result in slowest
        ],
        "record": batch.record,
    }


def _lines(facts: dict[str, Any]) -> list[str]:
    counts = [f"{facts['encoded']} encoded"]
    for status, words in (
        ("kept", "kept as they were"),
        ("skipped", "done before"),
        ("failed", "failed"),
        ("left_out", "other files left out"),
    ):
        if facts[status]:
            counts.append(f"{facts[status]} {words}")
    lines = [f"{facts['files']} pictures: {', '.join(counts)}; {facts['seconds']:.1f} s"]
    if before := facts["bytes"]:
        saved = facts["saved_bytes"]
        lines.append(
            f"{before:,} to {facts['output_bytes']:,} bytes: {saved:,} saved ({saved / before:.1%})"
        )
    if facts["slowest"]:
        slow = ", ".join(f"{each['source']} {each['seconds']:.2f} s" for each in facts["slowest"])
        lines.append(f"slowest: {slow}")
    return lines

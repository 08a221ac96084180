"""comrec encode: compress pictures."""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict
from typing import Any

from comrec import files, targets
from comrec.cli import coding, jobs, paths, preparing, region, targeting, terminal, writing
from comrec.cli.paths import Job
from comrec.cli.writing import Taken
from comrec.codec import Codec
from comrec.errors import ComrecError, OptionError
from comrec.preparation import Preparation
from comrec.targets import Match, Target, Wanted


def add(verbs: Any) -> None:
    """Declare the command."""
    verb = verbs.add_parser("encode", help="compress pictures", description=__doc__)
    verb.add_argument("inputs", nargs="+", metavar="IN", help="picture files; - for standard input")
    verb.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="output file, folder, or - for standard output",
    )
    targeting.add_arguments(verb)
    region.add_arguments(verb)
    coding.add_arguments(verb)
    preparing.add_arguments(verb)
    jobs.add_arguments(verb, quiet="no progress bar, no report")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    wanted = targeting.from_options(options)
    coder = coding.from_options(options, options.output)
    region.check(options, coder)
    how = preparing.from_options(options)
    plan = paths.plan(options.inputs, options.output, coder.extension)
    _check_extension(options.output, coder)
    taken = Taken(options.inputs)

    def encode(job: Job) -> dict[str, Any]:
        return _encode_one(coder, wanted, how, job, taken, options)

    return jobs.run(plan, encode, lambda report: _show(report, options), "encode", options.quiet)


def _check_extension(output: str, coder: Codec) -> None:
    suffix = paths.suffix(output)
    if suffix is not None and suffix not in (coder.extension, *coder.aliases):
        hint = "" if suffix else paths.hint(output)
        raise OptionError(f"{output}: {coder.id} writes {coder.extension} files{hint}")


def _encode_one(
    coder: Codec,
    wanted: Wanted,
    how: Preparation,
    job: Job,
    taken: Taken,
    options: argparse.Namespace,
) -> dict[str, Any]:
    source, output, name = job.source, job.output, paths.label(job.source)
    writing.check(output, taken, not options.no_overwrite)
    times = writing.times(source) if options.preserve else None
    given = paths.read(source)
    picture = files.read(given, name, how)
    started = time.perf_counter()
    try:
        picture = region.marked(options, picture)
        outcome = targets.encode(coder, picture, wanted)
        data, quality, target = outcome.point.data, outcome.point.quality, None
        if isinstance(wanted, Target):
            # JSON has no infinity: null stands for a lossless result.
            reached = None if math.isinf(outcome.value) else round(outcome.value, 5)
            target = asdict(wanted) | {"met": reached, "encodes": outcome.point.encodes}
        elif isinstance(wanted, Match):
            target = {"kind": "match", "value": str(wanted), "met": outcome.value}
            target["encodes"] = outcome.point.encodes
    except ComrecError as error:
        raise error.naming(name) from None
    seconds = time.perf_counter() - started
    writing.write(output, data, taken, overwrite=not options.no_overwrite, keep=times)
    if not options.quiet:
        terminal.noted(name, picture.notes)
        if len(data) > len(given):
            terminal.noted(name, ["the output is larger than the input"])
    return {
        "input": source,
        "output": output,
        "codec": coder.id,
        "quality": quality,
        "target": target,
        "width": picture.width,
        "height": picture.height,
        "input_bytes": len(given),
        "bytes": len(data),
        "bpp": round(8 * len(data) / (picture.width * picture.height), 4),
        "encode_s": round(seconds, 3),
    }


def _show(report: dict[str, Any], options: argparse.Namespace) -> None:
    if options.json:
        terminal.report(report, aside=writing.is_stdout(report["output"]))
    elif not options.quiet:
        terminal.tell(_line(report))


def _line(report: dict[str, Any]) -> str:
    """The report as one line of text."""
    size = f"{report['input_bytes']:,} to {report['bytes']:,} bytes"
    rate = f"{report['bpp']:.3f} bpp"
    parts = [f"{report['output']}: {report['width']}x{report['height']}", size, rate]
    if report["target"] is not None:
        kind, value, met = (report["target"][key] for key in ("kind", "value", "met"))
        if kind == "size":
            parts[1] += f" (target {value:,})"
        elif kind == "match":
            parts[1] += f" (match {value})"
        elif kind == "bpp":
            parts[2] += f" (target {value:g})"
        else:
            parts.append(f"{kind} {'lossless' if met is None else met} (target {value:g})")
        parts.append(f"quality {report['quality']:g}")
    return ", ".join(parts)

"""comrec encode: compress pictures."""

from __future__ import annotations

import argparse
from typing import Any

from comrec.batch.encoding import Recipe
from comrec.cli import jobs, paths, recipes, terminal, writing
from comrec.cli.paths import Job
from comrec.cli.writing import Taken
from comrec.codec import Codec
from comrec.errors import OptionError


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
    recipes.add_arguments(verb)
    jobs.add_arguments(verb, quiet="no progress bar, no report")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    recipe = recipes.from_options(options, options.output)
    coder = recipe.coder
    plan = paths.plan(options.inputs, options.output, coder.extension)
    _check_extension(options.output, coder)
    taken = Taken(options.inputs)

    def encode(job: Job) -> dict[str, Any]:
        return _encode_one(recipe, job, taken, options)

    return jobs.run(plan, encode, lambda report: _show(report, options), "encode", options.quiet)


def _check_extension(output: str, coder: Codec) -> None:
    suffix = paths.suffix(output)
    if suffix is not None and suffix not in (coder.extension, *coder.aliases):
        hint = "" if suffix else paths.hint(output)
        raise OptionError(f"{output}: {coder.id} writes {coder.extension} files{hint}")


def _encode_one(
    recipe: Recipe, job: Job, taken: Taken, options: argparse.Namespace
) -> dict[str, Any]:
    source, output, name = job.source, job.output, paths.label(job.source)
    writing.check(output, taken, not options.no_overwrite)
    times = writing.times(source) if options.preserve else None
    given = paths.read(source)
    made = recipe.encode(given, name)
    data = made.data
    writing.write(output, data, taken, overwrite=not options.no_overwrite, keep=times)
    if not options.quiet:
        terminal.noted(name, made.notes)
        if len(data) > len(given):
            terminal.noted(name, ["the output is larger than the input"])
    return {
        "input": source,
        "output": output,
        "codec": recipe.coder.id,
        "quality": made.quality,
        "target": made.target,
        "width": made.width,
        "height": made.height,
        "input_bytes": len(given),
        "bytes": len(data),
        "bpp": round(8 * len(data) / (made.width * made.height), 4),
        "encode_s": round(made.seconds, 3),
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

"""comrec encode: compress pictures."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from typing import Any

from comrec.batch import memory, pool, work
from comrec.batch.atomic import Times
from comrec.batch.encoding import Recipe
from comrec.batch.pool import Bound, Failure
from comrec.batch.work import Made, Task
from comrec.cli import jobs, paths, recipes, terminal, writing
from comrec.cli.paths import Job, Plan
from comrec.cli.writing import Taken
from comrec.codec import Codec
from comrec.errors import ComrecError, OptionError

_WORTH = 8_000_000
"""Pixels that plain codecs take about as long for as processes take to start."""
_WORTH_SLOW = 2_000_000
"""The same of codecs with networks, and of searches."""


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
    verb.add_argument(
        "-j",
        "--jobs",
        type=int,
        metavar="N",
        help="processes for several files; by default, cores, and one for few small pictures",
    )
    recipes.add_arguments(verb)
    jobs.add_untrusted(verb)
    jobs.add_arguments(verb, quiet="no progress bar, no report")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.jobs is not None and options.jobs < 1:
        raise OptionError(f"--jobs must be 1 or more, not {options.jobs}")
    recipe = recipes.from_options(options, options.output)
    plan = paths.plan(options.inputs, options.output, recipe.coder.extension)
    _check_extension(options.output, recipe.coder)
    taken = Taken(options.inputs)
    processes = _processes(plan, recipe, options)
    if processes > 1:
        return _encode_together(plan, recipe, processes, taken, options)

    def encode(job: Job) -> dict[str, Any]:
        times = _check(job, taken, options)
        stream = job.source == writing.STREAM
        source = paths.read(job.source) if stream else Path(job.source)
        label = paths.label(job.source)
        made = work.encode(Task(job.source, source, label, recipe, untrusted=options.untrusted))
        return _write(recipe, job, made, times, taken, options)

    return jobs.run(plan, encode, lambda report: _show(report, options), "encode", options.quiet)


def _processes(plan: Plan, recipe: Recipe, options: argparse.Namespace) -> int:
    """How many processes encode; 1 is this one alone.

    Others take about a second to start: by default they do where the pictures are many or large
    (`_WORTH`). They cannot read pipes and streams of this process.
    """
    sources, asked = [job.source for job in plan.jobs], options.jobs
    if len(sources) < 2 or asked == 1 or any(map(_is_ours_alone, sources)):
        return 1
    if asked is not None:
        return min(int(asked), len(sources))
    pixels = [memory.pixels(Path(source), untrusted=options.untrusted) for source in sources]
    slow = recipe.coder.networks or not isinstance(recipe.wanted, float | int)
    if sum(pixels) < (_WORTH_SLOW if slow else _WORTH):
        return 1
    costs = [memory.of_pixels(count, recipe.coder) for count in pixels]
    return memory.processes(len(sources), costs, memory.available())


def _is_ours_alone(source: str) -> bool:
    return writing.status(source) is not None and writing.is_special(source)


def _encode_together(
    plan: Plan, recipe: Recipe, processes: int, taken: Taken, options: argparse.Namespace
) -> int:
    """The exit code, as of `jobs.run`."""
    todo: dict[str, tuple[Job, Times | None]] = {}

    def check(job: Job) -> None:
        todo[job.source] = job, _check(job, taken, options)

    def write(answer: tuple[Task, Made | Failure]) -> dict[str, Any]:
        task, made = answer
        if isinstance(made, Failure):
            raise ComrecError(made.naming(task.label))
        job, times = todo[task.name]
        return _write(recipe, job, made, times, taken, options)

    failures = jobs.refused(plan) + jobs.each(plan.jobs, check, lambda job: job.source)
    most = memory.available()
    bound = None
    if most is not None:
        bound = Bound(
            lambda task: memory.estimate(task.source, recipe.coder, untrusted=task.untrusted), most
        )
    tasks = (
        Task(source, Path(source), source, recipe, untrusted=options.untrusted) for source in todo
    )
    with closing(pool.run(work.encode, tasks, processes, bound)) as answers:
        failures += jobs.each(
            answers,
            write,
            lambda answer: answer[0].label,
            lambda report: _show(report, options),
            total=len(todo),
            label="encode",
            quiet=options.quiet,
        )
    return 1 if failures else 0


def _check_extension(output: str, coder: Codec) -> None:
    suffix = paths.suffix(output)
    if suffix is not None and suffix not in (coder.extension, *coder.aliases):
        hint = "" if suffix else paths.hint(output)
        raise OptionError(f"{output}: {coder.id} writes {coder.extension} files{hint}")


def _check(job: Job, taken: Taken, options: argparse.Namespace) -> Times | None:
    """Refuse what must not be written; the times that the output gets, None: now."""
    writing.check(job.output, taken, not options.no_overwrite)
    return writing.times(job.source) if options.preserve else None


def _write(
    recipe: Recipe,
    job: Job,
    made: Made,
    times: Times | None,
    taken: Taken,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Write a file; its report."""
    name, encoded, size = paths.label(job.source), made.encoded, len(made.data)
    writing.write(job.output, made.data, taken, overwrite=not options.no_overwrite, keep=times)
    if not options.quiet:
        terminal.noted(name, encoded.notes)
        if size > made.source_size:
            terminal.noted(name, ["the output is larger than the input"])
    return {
        "input": job.source,
        "output": job.output,
        "codec": recipe.coder.id,
        "quality": encoded.quality,
        "target": encoded.target,
        "width": encoded.width,
        "height": encoded.height,
        "input_bytes": made.source_size,
        "bytes": size,
        "bpp": round(8 * size / (encoded.width * encoded.height), 4),
        "encode_s": round(encoded.seconds, 3),
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

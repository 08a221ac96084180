"""comrec encode: compress pictures."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from comrec import files, targets
from comrec.cli import coding, paths, preparing, targeting, terminal
from comrec.codec import Codec
from comrec.errors import ComrecError, OptionError
from comrec.progress import progress
from comrec.targets import Target


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
    coding.add_arguments(verb)
    preparing.add_arguments(verb)
    verb.add_argument(
        "--no-overwrite", action="store_true", help="fail where the output file exists"
    )
    verb.add_argument(
        "--json", action="store_true", help="print one JSON object per file on stdout"
    )
    verb.add_argument("--quiet", action="store_true", help="no progress bar, no report")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    wanted = targeting.from_options(options)
    coder = coding.from_options(options, options.output)
    outputs = paths.outputs(options.inputs, options.output, coder.extension)
    _check_extension(outputs[0], coder)
    failures = 0
    jobs = list(zip(options.inputs, outputs, strict=True))
    for source, output in progress(jobs, len(jobs), "encode", options.quiet):
        try:
            report = _encode_one(coder, wanted, source, output, options)
        except OptionError:
            raise
        except ComrecError as error:
            failures += 1
            terminal.failed(error)
        else:
            _show(report, options, to_stdout=output != paths.STREAM)
    return 1 if failures else 0


def _check_extension(output: str, coder: Codec) -> None:
    suffix = Path(output).suffix.lower()
    if output != paths.STREAM and suffix not in (coder.extension, *coder.aliases):
        raise OptionError(f"{output}: {coder.id} writes {coder.extension} files")


def _encode_one(
    coder: Codec, wanted: Target | float, source: str, output: str, options: argparse.Namespace
) -> dict[str, Any]:
    given = paths.read(source)
    name = paths.label(source)
    picture = files.read(given, name, preparing.from_options(options))
    started = time.perf_counter()
    try:
        outcome = targets.encode(coder, picture, wanted)
        data, quality, target = outcome.point.data, outcome.point.quality, None
        if isinstance(wanted, Target):
            # JSON has no infinity: null stands for a lossless result.
            reached = None if math.isinf(outcome.value) else round(outcome.value, 5)
            target = asdict(wanted) | {"met": reached, "encodes": outcome.point.encodes}
    except OptionError:
        raise
    except ComrecError as error:
        raise error.naming(name) from None
    seconds = time.perf_counter() - started
    paths.write(output, data, source, not options.no_overwrite)
    if not options.quiet:
        terminal.noted(name, picture.notes)
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


def _show(report: dict[str, Any], options: argparse.Namespace, to_stdout: bool) -> None:
    if options.json:
        print(json.dumps(report), file=sys.stdout if to_stdout else sys.stderr)
    elif not options.quiet:
        print(_line(report), file=sys.stderr)


def _line(report: dict[str, Any]) -> str:
    """The report as one line of text."""
    size = f"{report['input_bytes']:,} to {report['bytes']:,} bytes"
    rate = f"{report['bpp']:.3f} bpp"
    parts = [f"{report['output']}: {report['width']}x{report['height']}", size, rate]
    if report["target"] is not None:
        kind, value, met = (report["target"][key] for key in ("kind", "value", "met"))
        if kind == "size":
            parts[1] += f" (target {value:,})"
        elif kind == "bpp":
            parts[2] += f" (target {value:g})"
        else:
            parts.append(f"{kind} {'lossless' if met is None else met} (target {value:g})")
        parts.append(f"quality {report['quality']:g}")
    return ", ".join(parts)

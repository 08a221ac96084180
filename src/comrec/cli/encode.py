"""comrec encode: pictures to files."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from comrec import codec as registry
from comrec.api import DEFAULT_CODEC
from comrec.cli import paths, preparing, targeting, terminal
from comrec.codec import Codec
from comrec.errors import ComrecError, OptionError
from comrec.progress import progress
from comrec.targets import Target, meet
from comrec.wrapped import files

BY_EXTENSION = {
    ".jpg": "comrec-jpeg",
    ".jpeg": "comrec-jpeg",
    ".webp": "comrec-webp",
    ".jp2": "comrec-jpeg2000",
    ".avif": "comrec-avif",
    ".bpg": "comrec-bpg",
    ".jxl": "comrec-jpegxl",
    ".heic": "comrec-heic",
    ".heif": "comrec-heic",
    ".png": "png",
    ".cmr": "liu2018",
}
"""The codec that an output's extension asks for, where -c does not."""
_SAME = {".jpeg": ".jpg", ".heif": ".heic"}


def add(verbs: Any) -> None:
    """Declare the verb."""
    verb = verbs.add_parser("encode", help="pictures to files", description=__doc__)
    verb.add_argument("inputs", nargs="+", metavar="IN", help="picture files; - for standard input")
    verb.add_argument("-o", "--output", required=True, metavar="OUT", help="file, folder or -")
    verb.add_argument("-c", "--codec", help="see `comrec codecs`; by default from OUT's extension")
    targeting.add_arguments(verb)
    verb.add_argument("-e", "--effort", type=int, help="1 (fast) to 10 (small); 7 by default")
    verb.add_argument(
        "--scale",
        choices=("auto", "1", "1/2"),
        help="comrec codecs: store the picture at full or half size; other viewers show it so",
    )
    verb.add_argument(
        "--metric",
        choices=("mse", "ms-ssim", "perceptual"),
        help="liu2018: what its networks were trained for; mse by default",
    )
    preparing.add_arguments(verb)
    verb.add_argument("--no-overwrite", action="store_true", help="keep files that exist")
    verb.add_argument("--json", action="store_true", help="one JSON object a file on stdout")
    verb.add_argument("--quiet", action="store_true", help="no progress, no report")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    wanted = targeting.from_options(options)
    coder = _codec(options)
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


def _codec(options: argparse.Namespace) -> Codec:
    codec_id = options.codec
    if codec_id is None:
        codec_id = BY_EXTENSION.get(Path(options.output).suffix.lower(), DEFAULT_CODEC)
    asked = {"effort": options.effort, "scale": options.scale, "metric": options.metric}
    return registry.get(codec_id, **{k: v for k, v in asked.items() if v is not None})


def _check_extension(output: str, coder: Codec) -> None:
    suffix = Path(output).suffix.lower()
    if output != paths.STREAM and _SAME.get(suffix, suffix) != coder.extension:
        raise OptionError(f"{output}: {coder.id} writes {coder.extension} files")


def _encode_one(
    coder: Codec, wanted: Target | float, source: str, output: str, options: argparse.Namespace
) -> dict[str, Any]:
    given = paths.read(source)
    name = paths.label(source)
    picture = files.read(given, name, preparing.from_options(options))
    started = time.perf_counter()
    try:
        if isinstance(wanted, Target):
            met = meet(coder, picture, wanted)
            data, quality = met.fit.data, met.fit.quality
            reached = None if math.isinf(met.value) else round(met.value, 5)  # as JSON has it
            target = asdict(wanted) | {"met": reached, "encodes": met.fit.encodes}
        else:
            data, quality, target = coder.encode(picture, wanted), wanted, None
    except OptionError:
        raise
    except ComrecError as error:
        raise error.naming(name) from None
    seconds = time.perf_counter() - started
    paths.write(output, data, source, not options.no_overwrite)
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
    """The report for people."""
    size = f"{report['input_bytes']:,} to {report['bytes']:,} bytes"
    rate = f"{report['bpp']:.3f} bpp"
    parts = [f"{report['output']}: {report['width']}x{report['height']}", size, rate]
    if report["target"] is not None:
        kind, value, met = (report["target"][key] for key in ("kind", "value", "met"))
        if kind == "size":
            parts[1] += f" of {value:,}"
        elif kind == "bpp":
            parts[2] += f" of {value:g}"
        else:
            parts.append(f"{kind} {'without loss' if met is None else met} of {value:g}")
        parts.append(f"quality {report['quality']:g}")
    return ", ".join(parts)

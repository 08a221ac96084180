"""comrec encode: pictures to files."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from comrec import codec as registry
from comrec.api import DEFAULT_CODEC, DEFAULT_QUALITY
from comrec.cli import paths, terminal
from comrec.codec import Codec
from comrec.errors import ComrecError, OptionError
from comrec.progress import progress
from comrec.wrapped import files

BY_EXTENSION = {
    ".jpg": "comrec-jpeg",
    ".jpeg": "comrec-jpeg",
    ".webp": "comrec-webp",
    ".jp2": "comrec-jpeg2000",
    ".avif": "comrec-avif",
    ".png": "png",
}
"""The codec that an output's extension asks for, where -c does not."""
_SAME = {".jpeg": ".jpg"}


def add(verbs: Any) -> None:
    """Declare the verb."""
    verb = verbs.add_parser("encode", help="pictures to files", description=__doc__)
    verb.add_argument("inputs", nargs="+", metavar="IN", help="picture files; - for standard input")
    verb.add_argument("-o", "--output", required=True, metavar="OUT", help="file, folder or -")
    verb.add_argument("-c", "--codec", help="see `comrec codecs`; by default from OUT's extension")
    verb.add_argument(
        "-q", "--quality", type=float, default=DEFAULT_QUALITY, help="0 (smallest) to 100 (best)"
    )
    verb.add_argument("-e", "--effort", type=int, help="1 (fast) to 10 (small); 7 by default")
    verb.add_argument(
        "--scale",
        choices=("auto", "1", "1/2"),
        help="comrec codecs: store the picture at full or half size; other viewers show it so",
    )
    verb.add_argument("--no-overwrite", action="store_true", help="keep files that exist")
    verb.add_argument("--json", action="store_true", help="one JSON object a file on stdout")
    verb.add_argument("--quiet", action="store_true", help="no progress, no report")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    coder = _codec(options)
    targets = paths.outputs(options.inputs, options.output, coder.extension)
    _check_extension(targets[0], coder)
    failures = 0
    jobs = list(zip(options.inputs, targets, strict=True))
    for source, target in progress(jobs, len(jobs), "encode", options.quiet):
        try:
            report = _encode_one(coder, source, target, options)
        except OptionError:
            raise
        except ComrecError as error:
            failures += 1
            terminal.failed(error)
        else:
            _show(report, options, to_stdout=target != paths.STREAM)
    return 1 if failures else 0


def _codec(options: argparse.Namespace) -> Codec:
    codec_id = options.codec
    if codec_id is None:
        codec_id = BY_EXTENSION.get(Path(options.output).suffix.lower(), DEFAULT_CODEC)
    registry.check_quality(options.quality)
    asked = {"effort": options.effort, "scale": options.scale}
    return registry.get(codec_id, **{k: v for k, v in asked.items() if v is not None})


def _check_extension(target: str, coder: Codec) -> None:
    suffix = Path(target).suffix.lower()
    if target != paths.STREAM and _SAME.get(suffix, suffix) != coder.extension:
        raise OptionError(f"{target}: {coder.id} writes {coder.extension} files")


def _encode_one(
    coder: Codec, source: str, target: str, options: argparse.Namespace
) -> dict[str, Any]:
    given = paths.read(source)
    name = paths.label(source)
    picture = files.read(given, name)
    started = time.perf_counter()
    try:
        data = coder.encode(picture, options.quality)
    except OptionError:
        raise
    except ComrecError as error:
        raise error.naming(name) from None
    seconds = time.perf_counter() - started
    paths.write(target, data, source, not options.no_overwrite)
    return {
        "input": source,
        "output": target,
        "codec": coder.id,
        "quality": options.quality,
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
        print(
            f"{report['output']}: {report['width']}x{report['height']}, "
            f"{report['input_bytes']:,} to {report['bytes']:,} bytes, {report['bpp']:.3f} bpp",
            file=sys.stderr,
        )

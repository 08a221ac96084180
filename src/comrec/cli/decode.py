"""comrec decode: files to pictures."""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from pathlib import Path
from typing import Any

from comrec import api
from comrec.cli import paths, terminal
from comrec.errors import ComrecError, OptionError
from comrec.progress import progress

_FORMATS = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP", ".ppm": "PPM"}


def add(verbs: Any) -> None:
    """Declare the verb."""
    verb = verbs.add_parser("decode", help="files to pictures", description=__doc__)
    verb.add_argument("inputs", nargs="+", metavar="IN", help="files; - for standard input")
    verb.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="file, folder, or - for a PNG"
    )
    how = verb.add_mutually_exclusive_group()
    how.add_argument(
        "--enhance", action="store_true", help="remove the artefacts of plain files too"
    )
    how.add_argument("--plain", action="store_true", help="what other viewers show; no network")
    verb.add_argument("--no-overwrite", action="store_true", help="keep files that exist")
    verb.add_argument("--json", action="store_true", help="one JSON object a file on stdout")
    verb.add_argument("--quiet", action="store_true", help="no progress, no report")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    targets = paths.outputs(options.inputs, options.output, ".png")
    suffix = ".png" if targets[0] == paths.STREAM else Path(targets[0]).suffix.lower()
    if suffix not in _FORMATS:
        raise OptionError(f"{targets[0]}: decode writes lossless pictures: {', '.join(_FORMATS)}")
    failures = 0
    jobs = list(zip(options.inputs, targets, strict=True))
    for source, target in progress(jobs, len(jobs), "decode", options.quiet):
        try:
            report = _decode_one(source, target, _FORMATS[suffix], options)
        except ComrecError as error:
            failures += 1
            terminal.failed(error)
        else:
            if options.json:
                out = sys.stderr if target == paths.STREAM else sys.stdout
                print(json.dumps(report), file=out)
    return 1 if failures else 0


def _decode_one(
    source: str, target: str, pillow_format: str, options: argparse.Namespace
) -> dict[str, Any]:
    data = paths.read(source)
    started = time.perf_counter()
    image = api.decode(data, enhance=options.enhance, plain=options.plain, name=paths.label(source))
    seconds = time.perf_counter() - started
    if pillow_format in ("BMP", "PPM") and image.mode in ("LA", "RGBA"):
        raise OptionError(f"{target}: {pillow_format} carries no transparency; use .png")
    buffer = io.BytesIO()
    kept = {key: image.info[key] for key in ("exif", "icc_profile") if key in image.info}
    image.save(buffer, pillow_format, **kept)
    paths.write(target, buffer.getvalue(), source, not options.no_overwrite)
    return {
        "input": source,
        "output": target,
        "width": image.width,
        "height": image.height,
        "bytes": len(data),
        "bpp": round(8 * len(data) / (image.width * image.height), 4),
        "decode_s": round(seconds, 3),
    }

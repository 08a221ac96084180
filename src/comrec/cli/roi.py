"""comrec roi: draw which part of a picture matters."""

from __future__ import annotations

import argparse
import io
from typing import Any

from comrec import files, roi
from comrec.cli import paths, preparing, region, writing
from comrec.cli.writing import Taken
from comrec.errors import ComrecError, OptionError


def add(verbs: Any) -> None:
    """Declare the command."""
    verb = verbs.add_parser("roi", help="draw which part of a picture matters", description=__doc__)
    verb.add_argument("photo", metavar="PHOTO", help="a picture file; - for standard input")
    verb.add_argument("-o", "--output", required=True, metavar="PNG", help="the drawing")
    verb.add_argument(
        "--roi", metavar="REGION", default=roi.AUTO, help=f"{region.SOURCES}; auto by default"
    )
    verb.add_argument(
        "--gray",
        action="store_true",
        help="the map alone, white where the picture matters: a mask for --roi, to be edited",
    )
    preparing.add_arguments(verb)
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if not options.output.endswith(".png"):
        raise OptionError(f"{options.output}: the drawing must be a .png file")
    roi.check(options.roi)
    name = paths.label(options.photo)
    picture = files.read(paths.read(options.photo), name, preparing.from_options(options))
    try:
        drawn = roi.shown(picture, options.roi, plain=options.gray)
    except ComrecError as error:
        raise error.naming(name) from None
    buffer = io.BytesIO()
    drawn.to_pil().save(buffer, "PNG")
    writing.write(options.output, buffer.getvalue(), Taken([options.photo]))
    return 0

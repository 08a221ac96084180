"""comrec demo: codecs on a photograph, at the file sizes of plain JPEG at three qualities."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

from comrec.cli import terminal, writing
from comrec.cli.compare import text
from comrec.codec import get
from comrec.errors import MissingExtraError
from comrec.measure.comparison import at_equal_bytes, sheet
from comrec.measure.variants import parse
from comrec.picture import Picture

QUALITIES = (10, 25, 50)
CODECS = ("jpeg", "webp", "avif", "comrec-jpeg", "liu2018:metric=perceptual")


def add(verbs: Any) -> None:
    """Declare the command."""
    verb = verbs.add_parser(
        "demo", help="compare codecs on a sample photograph", description=__doc__
    )
    verb.add_argument(
        "-o", "--output", default="demo", metavar="DIR", help="output folder; by default demo"
    )
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    picture = photograph()
    folder = Path(options.output)
    compared = [parse(name) for name in CODECS]
    for quality in QUALITIES:
        budget = len(get("jpeg").encode(picture, quality))
        found = list(at_equal_bytes(picture, compared, budget))
        entries = [entry for entry in found if not isinstance(entry, str)]
        terminal.show(
            f"photograph of {picture.width}x{picture.height}, at most {budget:,} bytes",
            *text(picture, found).split("\n"),
            "",
        )
        marked = next(entry for entry in entries if entry.codec == "comrec-jpeg")
        writing.write(str(folder / f"photo-{quality}.jpg"), marked.data)
        buffer = io.BytesIO()
        sheet(picture, entries).save(buffer, "PNG")
        writing.write(str(folder / f"crops-{quality}.png"), buffer.getvalue())
    terminal.show(
        f"Compare the crops in {folder}/crops-{QUALITIES[0]}.png.",
        f"Any viewer opens {folder}/photo-*.jpg. For the full quality, decode with comrec:",
        f"comrec decode {folder}/photo-{QUALITIES[0]}.jpg -o out.png",
    )
    return 0


def photograph() -> Picture:
    """The photograph "coffee" of scikit-image, 600x400 RGB.

    Raises:
        MissingExtraError: scikit-image is not installed.
    """
    try:
        from skimage import data
    except ImportError:
        raise MissingExtraError("the demo's photograph", "demo") from None
    return Picture(data.coffee())

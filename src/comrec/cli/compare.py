"""comrec compare: codecs at equal file size on one picture, as a table and as crops."""

from __future__ import annotations

import argparse
import io
from typing import Any

from comrec import codec as registry
from comrec import files
from comrec.cli import paths, preparing, targeting, terminal, writing
from comrec.cli.writing import Taken
from comrec.errors import OptionError
from comrec.measure.comparison import Entry, at_equal_bytes, sheet
from comrec.measure.variants import parse
from comrec.picture import Picture
from comrec.progress import progress
from comrec.targets import parse_size

CODECS = "jpeg,jpeg2000,webp,avif,comrec-jpeg,comrec-webp"


def add(verbs: Any) -> None:
    """Declare the command."""
    verb = verbs.add_parser(
        "compare", help="compare codecs at equal file size", description=__doc__
    )
    verb.add_argument("photo", metavar="PHOTO", help="a picture file; - for standard input")
    size = verb.add_mutually_exclusive_group()
    size.add_argument(
        "--bytes", type=targeting.value(parse_size), help="largest file size: 40000, 40kB"
    )
    size.add_argument(
        "-q",
        "--quality",
        type=float,
        default=25,
        help="use the size of plain JPEG at this quality (default 25)",
    )
    verb.add_argument(
        "--codecs",
        default=CODECS,
        help=f"comma-separated, options after colons: liu2018:metric=ms-ssim; by default {CODECS}",
    )
    verb.add_argument("-o", "--output", metavar="PNG", help="write a sheet of crops, side by side")
    preparing.add_arguments(verb)
    verb.add_argument("--json", action="store_true", help="print one JSON object per codec")
    verb.add_argument("--quiet", action="store_true", help="no progress bar")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    asked = [parse(text) for text in options.codecs.split(",") if text.strip()]
    if options.output and not options.output.endswith(".png"):
        raise OptionError(f"{options.output}: the sheet of crops must be a .png file")
    how = preparing.from_options(options)
    picture = files.read(paths.read(options.photo), paths.label(options.photo), how)
    budget = options.bytes
    if budget is None:
        budget = len(registry.get("jpeg").encode(picture, options.quality))
    results = at_equal_bytes(picture, asked, budget)
    found = list(progress(results, len(asked), "compare", options.quiet))
    entries = [entry for entry in found if isinstance(entry, Entry)]
    if options.json:
        for entry in entries:
            terminal.report(_row(picture, entry))
    else:
        terminal.show(
            f"{options.photo}: {picture.width}x{picture.height}, at most {budget:,} bytes",
            *text(picture, found).split("\n"),
        )
    if options.output:
        buffer = io.BytesIO()
        sheet(picture, entries).save(buffer, "PNG")
        writing.write(options.output, buffer.getvalue(), Taken([options.photo]))
    return 0


def text(picture: Picture, found: list[Entry | str]) -> str:
    """The results as a table."""
    rows = []
    for entry in found:
        if isinstance(entry, str):
            rows.append((entry, "too large", "", "", "", "", "", ""))
            continue
        row = _row(picture, entry)
        similarity = "" if entry.ms_ssim is None else f"{entry.ms_ssim:.4f}"
        score = "" if entry.ssimulacra2 is None else f"{entry.ssimulacra2:.1f}"
        rows.append(
            (
                entry.codec,
                f"{entry.quality:g}",
                f"{row['bytes']:,}",
                f"{row['bpp']:.3f}",
                f"{entry.psnr:.2f}",
                similarity,
                score,
                f"{entry.decode_seconds:.2f}",
            )
        )
    head = ("codec", "quality", "bytes", "bpp", "PSNR dB", "MS-SSIM", "SSIMULACRA2", "decode s")
    return terminal.table(head, rows)


def _row(picture: Picture, entry: Entry) -> dict[str, Any]:
    size = len(entry.data)
    return {
        "codec": entry.codec,
        "quality": entry.quality,
        "bytes": size,
        "bpp": round(8 * size / (picture.width * picture.height), 4),
        "psnr": round(entry.psnr, 3),
        "ms_ssim": None if entry.ms_ssim is None else round(entry.ms_ssim, 5),
        "ssimulacra2": None if entry.ssimulacra2 is None else round(entry.ssimulacra2, 3),
        "decode_s": round(entry.decode_seconds, 3),
    }

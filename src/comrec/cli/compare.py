"""comrec compare: codecs at equal file size on one picture, as a table and as crops; or what the
first bytes of a progressive file show."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from comrec import codec as registry
from comrec import fidelity, files, roi, targets
from comrec.cli import paths, preparing, region, targeting, terminal, writing
from comrec.cli.writing import Taken
from comrec.errors import OptionError
from comrec.formats import cmr, detection
from comrec.learned.progressive import ProgressiveCodec
from comrec.measure import prefixes
from comrec.measure.comparison import Entry, Scores, at_equal_bytes, sheet
from comrec.measure.prefixes import Prefix
from comrec.measure.variants import parse
from comrec.picture import Picture
from comrec.progress import progress
from comrec.targets import parse_size

Plane = NDArray[np.float32]

CODECS = "jpeg,jpeg2000,webp,avif,comrec-jpeg,comrec-webp"
PROGRESSIVE = "rippel2017"
"""With --prefixes."""

_SCORES = ("PSNR dB", "MS-SSIM", "SSIMULACRA2")
_REGION_SCORES = ("inside dB", "outside dB")
"""With --roi."""
_PERCENT = ", ".join(map(str, prefixes.PERCENT))


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
    size.add_argument(
        "--prefixes",
        action="store_true",
        help=f"show what {_PERCENT} %% of the bytes of a progressive file show: of PHOTO if it is "
        "a .cmr file and --codecs is not given, else of PHOTO encoded at quality 100",
    )
    verb.add_argument(
        "--codecs",
        help="comma-separated, options after colons: liu2018:metric=ms-ssim; by default "
        f"{CODECS}; with --prefixes one, by default {PROGRESSIVE}",
    )
    verb.add_argument("-o", "--output", metavar="PNG", help="write a sheet of crops, side by side")
    region.add_arguments(
        verb,
        "for codecs that can, which part of the picture matters; PSNR is also given inside and "
        "outside of it",
    )
    preparing.add_arguments(verb)
    verb.add_argument("--json", action="store_true", help="print one JSON object per codec")
    verb.add_argument("--quiet", action="store_true", help="no progress bar")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.output and not options.output.endswith(".png"):
        raise OptionError(f"{options.output}: the sheet of crops must be a .png file")
    region.check_values(options)
    if options.prefixes:
        return _prefixes(options)
    given = CODECS if options.codecs is None else options.codecs
    asked = [parse(text) for text in given.split(",") if text.strip()]
    how = preparing.from_options(options)
    picture = files.read(paths.read(options.photo), paths.label(options.photo), how)
    budget = options.bytes
    if budget is None:
        budget = len(registry.get("jpeg").encode(picture, options.quality))
    results = at_equal_bytes(region.marked(options, picture), asked, budget)
    found = list(progress(results, len(asked), "compare", options.quiet))
    plane = roi.stored(picture, region.source(options)) if region.given(options) else None
    entries = [entry for entry in found if isinstance(entry, Entry)]
    if options.json:
        for entry in entries:
            terminal.report(_row(picture, entry, plane))
    else:
        terminal.show(
            f"{options.photo}: {picture.width}x{picture.height}, at most {budget:,} bytes",
            *text(picture, found, plane).split("\n"),
        )
    if options.output:
        _write(sheet(picture, entries, plane), options)
    return 0


def text(picture: Picture, found: list[Entry | str], plane: Plane | None = None) -> str:
    """The results as a table.

    Args:
        plane: which part of the picture matters, (H, W) in 0..1.
    """
    rows: list[Sequence[str]] = []
    heads = () if plane is None else _REGION_SCORES
    for entry in found:
        if isinstance(entry, str):
            rows.append((entry, "too large", *[""] * (len(_SCORES) + len(heads) + 3)))
            continue
        size = len(entry.data)
        rows.append(
            (
                entry.codec,
                f"{entry.quality:g}",
                f"{size:,}",
                f"{_bpp(size, picture):.3f}",
                *_cells(entry.scores),
                *(f"{value:.2f}" for value in _region_psnr(picture, entry, plane).values()),
                f"{entry.decode_seconds:.2f}",
            )
        )
    return terminal.table(("codec", "quality", "bytes", "bpp", *_SCORES, *heads, "decode s"), rows)


def _row(picture: Picture, entry: Entry, plane: Plane | None) -> dict[str, Any]:
    size = len(entry.data)
    within = _region_psnr(picture, entry, plane)
    return {
        "codec": entry.codec,
        "quality": entry.quality,
        "bytes": size,
        "bpp": round(_bpp(size, picture), 4),
        **_facts(entry.scores),
        **{name: round(value, 3) for name, value in within.items()},
        "decode_s": round(entry.decode_seconds, 3),
    }


def _region_psnr(picture: Picture, entry: Entry, plane: Plane | None) -> dict[str, float]:
    """PSNR weighted by what matters, and by what does not."""
    if plane is None:
        return {}
    return {
        "psnr_inside": fidelity.weighted_psnr(entry.decoded, picture, plane),
        "psnr_outside": fidelity.weighted_psnr(entry.decoded, picture, 1 - plane),
    }


def _prefixes(options: argparse.Namespace) -> int:
    name = paths.label(options.photo)
    label, coder, data, original = _progressive(options)
    results = prefixes.of(coder, data, original)
    try:
        found = list(progress(results, len(prefixes.PERCENT), "compare", options.quiet))
    except files.UNUSABLE as error:
        raise error.naming(name) from None
    if options.json:
        for prefix in found:
            if prefix.decoded is not None:
                terminal.report(_prefix_row(label, prefix))
    else:
        head = coder.header(data)
        terminal.show(
            f"{options.photo}: {head.width}x{head.height}, {label}, {len(data):,} bytes",
            *_prefix_text(found, original is not None).split("\n"),
        )
    if options.output:
        _write(prefixes.sheet(found, original), options)
    return 0


def _progressive(
    options: argparse.Namespace,
) -> tuple[str, ProgressiveCodec, bytes, Picture | None]:
    """The label of a progressive codec, the codec, a file of it, and the original, if it is known.

    Raises:
        OptionError: the codec is not progressive.
    """
    given = paths.read(options.photo)
    if options.codecs is None and detection.find(given) == cmr.FORMAT:
        try:
            coder = files.parse(given).codec
        except files.UNUSABLE as error:
            raise error.naming(paths.label(options.photo)) from None
        if not isinstance(coder, ProgressiveCodec):
            raise OptionError(
                f"{paths.label(options.photo)}: a file of {coder.id}, which is not progressive; "
                f"--codecs {PROGRESSIVE} encodes its picture"
            )
        return coder.id, coder, given, None
    variant = parse(PROGRESSIVE if options.codecs is None else options.codecs)
    coder = variant.codec
    if not isinstance(coder, ProgressiveCodec):
        raise OptionError(
            f"--prefixes needs a progressive codec; {variant.label} is not: --codecs {PROGRESSIVE}"
        )
    how = preparing.from_options(options)
    original = files.read(given, paths.label(options.photo), how)
    return variant.label, coder, targets.encode(coder, original, 100).point.data, original


def _prefix_text(found: list[Prefix], scored: bool) -> str:
    """What prefixes show as a table, with scores if the original is known."""
    rows = []
    for prefix in found:
        row = [f"{prefix.percent} %", f"{prefix.bytes:,}", f"{prefix.bpp:.3f}"]
        if prefix.decoded is None:
            row += ["too short", *[""] * (len(_SCORES) if scored else 0)]
        else:
            row += [*_cells(prefix.scores), f"{prefix.decode_seconds:.2f}"]
        rows.append(row)
    scores = _SCORES if scored else ()
    return terminal.table(("prefix", "bytes", "bpp", *scores, "decode s"), rows)


def _prefix_row(label: str, prefix: Prefix) -> dict[str, Any]:
    return {
        "codec": label,
        "percent": prefix.percent,
        "bytes": prefix.bytes,
        "bpp": round(prefix.bpp, 4),
        **_facts(prefix.scores),
        "decode_s": round(prefix.decode_seconds, 3),
    }


def _cells(scores: Scores | None) -> list[str]:
    """Scores in a table, under `_SCORES`; none where the original is not known."""
    if scores is None:
        return []
    similarity = "" if scores.ms_ssim is None else f"{scores.ms_ssim:.4f}"
    score = "" if scores.ssimulacra2 is None else f"{scores.ssimulacra2:.1f}"
    return [f"{scores.psnr:.2f}", similarity, score]


def _facts(scores: Scores | None) -> dict[str, float | None]:
    """Scores in JSON."""
    if scores is None:
        return dict.fromkeys(Scores._fields)
    digits = zip(scores._asdict().items(), (3, 5, 3), strict=True)
    return {name: None if found is None else round(found, n) for (name, found), n in digits}


def _bpp(size: int, picture: Picture) -> float:
    return 8 * size / (picture.width * picture.height)


def _write(sheet: Image.Image, options: argparse.Namespace) -> None:
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    writing.write(options.output, buffer.getvalue(), Taken([options.photo]))

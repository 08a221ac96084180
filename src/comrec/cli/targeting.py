"""The options that say how large or how good a file is to be."""

from __future__ import annotations

import argparse
import re
from typing import Any, get_args

from comrec.api import DEFAULT_QUALITY
from comrec.codec import check_quality
from comrec.targets import Kind, Target, only_one

_UNITS = {
    "": 1, "b": 1,
    "k": 1000, "kb": 1000, "m": 1000**2, "mb": 1000**2,
    "kib": 1024, "mib": 1024**2,
}  # fmt: skip
_SIZE = re.compile(rf"(\d+\.?\d*|\.\d+) ?({'|'.join(_UNITS)})", re.IGNORECASE)


def add_arguments(verb: Any) -> None:
    """Declare quality and the targets, of which one can be given."""
    one = verb.add_mutually_exclusive_group()
    one.add_argument(
        "-q",
        "--quality",
        type=float,
        help=f"0 (smallest) to 100 (best); {DEFAULT_QUALITY:g} by default",
    )
    one.add_argument(
        "--target-size",
        type=parse_size,
        metavar="SIZE",
        help="the best file of at most so many bytes: 40000, 40kB, 40KiB (1024), 1.5MB",
    )
    one.add_argument(
        "--target-bpp", type=float, metavar="BITS", help="or of at most so many bits a pixel"
    )
    one.add_argument(
        "--target-psnr",
        type=float,
        metavar="DB",
        help="a small file that comrec decodes to at least this PSNR (RGB)",
    )
    one.add_argument("--target-ssim", type=float, metavar="X", help="or this SSIM (luma)")
    one.add_argument("--target-msssim", type=float, metavar="X", help="or this MS-SSIM (RGB)")


def from_options(options: argparse.Namespace) -> Target | float:
    """The target that was given; otherwise the quality.

    Raises:
        OptionError: a value is out of range.
    """
    targets = {kind: getattr(options, f"target_{kind}") for kind in get_args(Kind)}
    target = only_one(options.quality, targets)
    if target is not None:
        return target
    return check_quality(DEFAULT_QUALITY if options.quality is None else options.quality)


def parse_size(text: str) -> int:
    """Bytes of a size such as "40000", "40kB", "1.5 MB" or "40KiB", rounded down.

    k and M are thousand and million, Ki and Mi their binary neighbours; upper and lower case
    are the same.

    Raises:
        argparse.ArgumentTypeError: not a size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 40000, 40kB, 40KiB or 1.5MB")
    number, unit = found.groups()
    return int(float(number) * _UNITS[unit.lower()])

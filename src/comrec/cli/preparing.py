"""The options that say how sources become pictures; every verb that reads sources has them."""

from __future__ import annotations

import argparse

from comrec.preparation import Preparation


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Declare them."""
    group = verb.add_argument_group("pictures that cannot be carried as they are are refused, but")
    group.add_argument(
        "--background", metavar="COLOUR", help="lays transparent ones over it: white, #ff8000"
    )
    group.add_argument("--depth", type=int, choices=(8,), help="rounds deeper samples to 8 bits")
    group.add_argument("--colorspace", choices=("srgb",), help="converts CMYK and Lab")
    group.add_argument(
        "--frame",
        type=int,
        metavar="N",
        help="takes one of an animation, or one page; 0 is the first",
    )
    add_metadata(verb)


def add_metadata(verb: argparse.ArgumentParser) -> None:
    """Declare --metadata alone."""
    verb.add_argument(
        "--metadata",
        default=Preparation.metadata,
        metavar="KINDS",
        help="all (the default), none, or some of exif,icc,xmp; the picture looks the same",
    )


def from_options(options: argparse.Namespace) -> Preparation:
    """What was asked for.

    Raises:
        OptionError: a value is none of those allowed.
    """
    return Preparation(
        options.background, options.depth, options.colorspace, options.frame, options.metadata
    )

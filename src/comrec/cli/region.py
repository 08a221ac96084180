"""The arguments that say which part of pictures matters."""

from __future__ import annotations

import argparse
from typing import Any

from comrec import roi
from comrec.cli.typed import as_typed
from comrec.codec import Codec
from comrec.picture import Picture

SOURCES = (
    "auto (the network), centre, a mask's file (white matters; any size), or rectangles as "
    "LEFT,TOP,WIDTHxHEIGHT, joined by semicolons"
)


def add_arguments(verb: Any, help: str = "which part of the picture matters") -> None:
    """Declare --roi and --roi-strength."""
    verb.add_argument("--roi", metavar="REGION", help=f"{help}: {SOURCES}")
    add_strength(verb)


def add_strength(verb: Any) -> None:
    """Declare --roi-strength."""
    least, greatest = roi.STRENGTHS
    verb.add_argument(
        "--roi-strength",
        type=float,
        metavar="DB",
        help=f"by how many dB errors count less where it matters least, {least:g} to {greatest:g}; "
        f"{roi.DEFAULT_STRENGTH:g} by default; alone it implies --roi auto",
    )


def check(options: argparse.Namespace, coder: Codec) -> None:
    """Check these arguments before any work.

    Raises:
        OptionError: a value is not allowed.
        UnsupportedPictureError: the codec cannot make one part of a picture better.
    """
    check_values(options)
    if given(options):
        coder.check_importance()


def check_values(options: argparse.Namespace) -> None:
    """Check these arguments where no codec is known.

    Raises:
        OptionError: a value is not allowed.
    """
    with as_typed():
        roi.check(source(options))
        roi.check_strength(strength(options))


def given(options: argparse.Namespace) -> bool:
    return options.roi is not None or options.roi_strength is not None


def source(options: argparse.Namespace) -> roi.Given:
    return roi.AUTO if options.roi is None else str(options.roi)


def strength(options: argparse.Namespace) -> float:
    return roi.DEFAULT_STRENGTH if options.roi_strength is None else float(options.roi_strength)


def marked(options: argparse.Namespace, picture: Picture) -> Picture:
    """The picture with the importance that was asked for, if any.

    Raises:
        OptionError, InputError, WeightsError: see `comrec.roi.marked`.
    """
    if not given(options):
        return picture
    return roi.marked(picture, source(options), strength(options))

"""The arguments for quality and targets."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from comrec import targets
from comrec.cli.typed import as_typed
from comrec.errors import OptionError
from comrec.targets import DEFAULT_QUALITY, Match, Wanted


def add_arguments(verb: Any) -> None:
    """Declare --quality and the targets; at most one of them can be given."""
    one = verb.add_mutually_exclusive_group()
    one.add_argument(
        "-q",
        "--quality",
        type=float,
        help=f"0 (smallest) to 100 (best); {DEFAULT_QUALITY:g} by default",
    )
    for kind, unit in targets.KINDS.items():
        one.add_argument(
            f"--target-{kind}", type=value(unit.parse), metavar=unit.metavar, help=unit.help
        )
    one.add_argument("--match", type=value(Match.parse), metavar="CODEC:Q", help=targets.MATCH)


def from_options(options: argparse.Namespace) -> Wanted:
    """The target that was given; otherwise the quality.

    Raises:
        OptionError: a value is out of range.
    """
    with as_typed():
        return targets.choose(options.quality, vars(options))


def value(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A ``type`` for argparse that shows the message of an OptionError."""

    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except OptionError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None

    return parsed

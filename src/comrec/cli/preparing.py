"""The arguments for pictures that must be converted, shared by all commands that read pictures."""

from __future__ import annotations

import argparse

from comrec.cli.typed import as_typed
from comrec.preparation import Preparation

_METAVARS = {"background": "COLOUR", "frame": "N", "metadata": "KINDS"}


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Declare all options of `Preparation`."""
    group = verb.add_argument_group(
        "conversions", "pictures that the codec cannot store are refused without these"
    )
    for option in Preparation().options:
        if option.name == "exact":
            verb.add_argument("--exact", action="store_true", help=option.help)
        elif option.name != "metadata":
            group.add_argument(
                f"--{option.name}",
                type=option.type,
                choices=option.allowed,
                metavar=_METAVARS.get(option.name),
                help=option.help,
            )
    add_metadata(verb)


def add_metadata(verb: argparse.ArgumentParser) -> None:
    """Declare --metadata only."""
    (option,) = (option for option in Preparation().options if option.name == "metadata")
    verb.add_argument(
        "--metadata", default=option.default, metavar=_METAVARS["metadata"], help=option.help
    )


def from_options(options: argparse.Namespace) -> Preparation:
    """The conversions that were given.

    Raises:
        OptionError: a value is not allowed.
    """
    names = (option.name for option in Preparation().options)
    with as_typed():
        return Preparation(**{name: getattr(options, name) for name in names})


def check_metadata(options: argparse.Namespace) -> None:
    """Check --metadata before any work.

    Raises:
        OptionError: the value is not allowed.
    """
    with as_typed():
        Preparation(metadata=options.metadata)

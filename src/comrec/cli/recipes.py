"""The arguments that say how pictures are encoded, shared by encode and batch."""

from __future__ import annotations

import argparse

from comrec.batch.encoding import Recipe
from comrec.cli import coding, preparing, region, targeting


def add_arguments(verb: argparse.ArgumentParser, otherwise: str = coding.BY_EXTENSION) -> None:
    """Declare quality, targets, regions, codecs with their options, and conversions.

    Args:
        otherwise: help: the codec where none is given.
    """
    targeting.add_arguments(verb)
    region.add_arguments(verb)
    coding.add_arguments(verb, otherwise)
    preparing.add_arguments(verb)


def from_options(options: argparse.Namespace, output: str) -> Recipe:
    """How pictures are to be encoded.

    Args:
        output: its extension decides where no codec is given.
    Raises:
        OptionError, UnknownCodecError: a value is not allowed.
        UnsupportedPictureError: the codec cannot make one part of a picture better.
    """
    wanted = targeting.from_options(options)
    coder = coding.from_options(options, output)
    region.check(options, coder)
    how = preparing.from_options(options)
    if not region.given(options):
        return Recipe(coder, wanted, how)
    return Recipe(coder, wanted, how, str(region.source(options)), region.strength(options))

"""The arguments that choose a codec and its options.

Every option that a codec declares is also an argument: ``--metric ms-ssim`` is the same as
``-c liu2018:metric=ms-ssim``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from comrec import codec as registry
from comrec.api import DEFAULT_CODEC
from comrec.cli.typed import as_typed, flag
from comrec.codec import Codec
from comrec.errors import OptionError
from comrec.options import Option
from comrec.sandwich.base import Sandwich

BY_EXTENSION = "chosen by OUT's extension"


def add_arguments(verb: argparse.ArgumentParser, otherwise: str = BY_EXTENSION) -> None:
    """Declare --codec and the options of all codecs.

    Args:
        otherwise: help: the codec where none is given.
    """
    verb.add_argument(
        "-c",
        "--codec",
        help="id of a codec (see `comrec codecs`), options after colons: liu2018:metric=ms-ssim; "
        f"by default {otherwise}",
    )
    group = verb.add_argument_group(
        "codec options", "see `comrec codecs ID`; each can also be given in --codec"
    )
    for name, (option, owners) in _declared().items():
        flags = [flag(name), *(["-e"] if name == "effort" else [])]
        of = "" if name == "effort" else f"{', '.join(owners)}: "
        switch: dict[str, Any] = {"nargs": "?", "const": "true"} if option.type is bool else {}
        group.add_argument(
            *flags,
            dest=f"option_{name}",
            metavar=name.upper(),
            help=f"{of}{option.help}",
            **switch,
        )


def from_options(options: argparse.Namespace, output: str) -> Codec:
    """The codec that was given; otherwise the default for the output's extension.

    Raises:
        UnknownCodecError, OptionError.
    """
    text = options.codec or by_extension(output)
    coder = registry.parse(text)
    known = {option.name: option for option in coder.options}
    given: dict[str, Any] = {}
    for name in _declared():
        value = getattr(options, f"option_{name}")
        if value is None:
            continue
        if name not in known:
            has = ", ".join(f"{flag(each)} ({option.values})" for each, option in known.items())
            raise OptionError(
                f"{coder.id} has no option {flag(name)}; it has: {has or 'none'}"
                f"{registry.others(name)}"
            )
        with as_typed():
            given[name] = known[name].parse(value)
    return registry.parse(text, **given)


def by_extension(output: str) -> str:
    """Id of the default codec for an output's extension.

    It is the comrec codec that writes such files, otherwise a codec that writes them,
    otherwise `DEFAULT_CODEC`.
    """
    suffix = Path(output).suffix.lower()
    writing = [
        coder.id
        for coder in map(registry.get, registry.registered())
        if suffix in (coder.extension, *coder.aliases)
    ]
    networks = (codec_id for codec_id in writing if codec_id.startswith("comrec-"))
    return next(networks, writing[0] if writing else DEFAULT_CODEC)


def _declared() -> dict[str, tuple[Option, list[str]]]:
    """Options by name, each with the names (for help texts) of the codecs that have it."""
    found: dict[str, tuple[Option, list[str]]] = {}
    for coder in map(registry.get, registry.registered()):
        family = f"{coder.family}-..." if isinstance(coder, Sandwich) else coder.id
        for option in coder.options:
            owners = found.setdefault(option.name, (option, []))[1]
            if family not in owners:
                owners.append(family)
    return found

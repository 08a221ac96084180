"""What the page offers: codecs with their options, conversions, regions; as JSON."""

from __future__ import annotations

from functools import cache
from typing import Any

from comrec import codec as registry
from comrec import roi
from comrec.api import DEFAULT_CODEC
from comrec.codec import Codec
from comrec.errors import UnknownCodecError
from comrec.learned.progressive import ProgressiveCodec
from comrec.options import Option
from comrec.preparation import Preparation
from comrec.targets import DEFAULT_QUALITY
from comrec.web import limits
from comrec.web.settings import is_closed


@cache
def catalogue() -> dict[str, Any]:
    """All that is offered."""
    return {
        "codecs": [_codec(coder) for coder in _installed()],
        "codec": DEFAULT_CODEC,
        "quality": DEFAULT_QUALITY,
        "strength": roi.DEFAULT_STRENGTH,
        "conversions": [_option(option) for option in Preparation().options],
        "upload": limits.UPLOAD,
    }


def _installed() -> list[Codec]:
    found = []
    for name in registry.names():
        try:
            coder = registry.get(name)
        except UnknownCodecError:  # of another package, which does not work
            continue
        if coder.available:
            found.append(coder)
    return found


def _codec(coder: Codec) -> dict[str, Any]:
    return {
        "id": coder.id,
        "summary": coder.summary,
        "extension": coder.extension,
        "lossless": coder.lossless,
        "networks": bool(coder.networks),
        "region": coder.uses_importance,
        "progressive": isinstance(coder, ProgressiveCodec),
        "options": [_option(option) for option in coder.options if is_closed(option)],
    }


def _option(option: Option) -> dict[str, Any]:
    values = None if option.allowed is None else [option.format(each) for each in option.allowed]
    return {
        "name": option.name,
        "type": option.type.__name__,
        "default": option.default,
        "values": values,
        "help": option.help,
    }

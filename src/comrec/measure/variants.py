"""Variants: codecs with options, as given on the command line."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import comrec
from comrec import codec as registry
from comrec.codec import Codec, check_quality
from comrec.picture import Picture
from comrec.sandwich.base import Sandwich


@dataclass(frozen=True)
class Variant:
    """A codec with options.

    Attributes:
        label: text form, such as "jpeg:subsampling=4:4:4"; the key of results.
        codec: the codec.
    """

    label: str
    codec: Codec

    def warm(self, qualities: Sequence[float]) -> None:
        """Encode and decode a small picture, so that networks are loaded.

        Raises:
            MissingExtraError: an extra that the codec needs is not installed.
        """
        small = Picture(np.zeros((64, 64, 3), np.uint8))
        for quality in qualities:
            self.codec.decode(self.codec.encode(small, quality))

    @property
    def slug(self) -> str:
        """The label in a form that is valid in file names."""
        return re.sub(r"[^A-Za-z0-9.]+", "-", self.label)

    @property
    def base(self) -> str:
        """Id of the standard codec inside ("webp" of "comrec-webp"), otherwise of the codec."""
        return self.codec.base if isinstance(self.codec, Sandwich) else self.codec.id

    @property
    def settings(self) -> str:
        """Hash of all that determines the files of this variant: codec, options, versions."""
        versions = [importlib.metadata.version(package) for package in self.codec.packages]
        parts = [comrec.__version__, repr(self.codec), self.codec.networks, versions]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def parse(text: str, effort: int | None = None) -> Variant:
    """A variant from the text form of a codec (see `comrec.codec.parse`).

    Args:
        effort: used where the text has none, by codecs that have this option.
    Raises:
        UnknownCodecError, OptionError.
    """
    defaults = {} if effort is None else {"effort": effort}
    return Variant(text.strip(), registry.parse(text, defaults))


def qualities_of(variant: Variant, asked: Mapping[str, list[float]]) -> tuple[float, ...]:
    """The qualities of a variant, ascending.

    Args:
        asked: qualities by label, by codec id, or by "" for all codecs; looked up in that order.
            By default `Codec.bench_qualities`.
    Raises:
        OptionError: a quality is outside 0..100.
    """
    if variant.codec.quality_step is None:
        return (100,)
    for name in (variant.label, variant.codec.id, ""):
        if name in asked:
            return tuple(sorted({check_quality(quality) for quality in asked[name]}))
    return variant.codec.bench_qualities

"""What is measured: codecs with options, at their qualities.

jpeg                            a codec
jpeg:subsampling=4:4:4          with an option
comrec-webp:scale=1:effort=9    with two
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

import numpy as np

import comrec
from comrec import codec as registry
from comrec.codec import Codec, check_quality
from comrec.errors import OptionError
from comrec.inference import store
from comrec.picture import Picture

QUALITIES: dict[str, tuple[float, ...]] = {
    "jpeg": (2, 6, 11, 20, 35, 58, 78, 90),
    "jpeg-tuned": (3, 7, 13, 22, 36, 52, 70, 86),
    "jpeg2000": (15, 21, 27, 34, 41, 49, 58, 68),
    "webp": (0, 4, 14, 32, 58, 78, 88, 94),
    "avif": (8, 18, 28, 39, 50, 62, 74, 88),
    "bpg": (13, 20, 28, 36, 44, 52, 60, 68),
    "heic": (8, 16, 24, 31, 39, 47, 56, 66),
    "jpegxl": (0, 20, 36, 52, 66, 78, 87, 93),
    "jiang2017-jpeg": (7, 14, 24, 38, 55, 72, 86, 95),
    "jiang2017-jpeg2000": (13, 20, 27, 35, 45, 57, 70, 88),
    "jiang2017-webp": (2, 8, 20, 45, 70, 82, 90, 97),
    "jiang2017-avif": (30, 42, 54, 63, 71, 79, 87, 95),
    "jiang2017-bpg": (22, 30, 38, 46, 54, 62, 71, 82),
    "jiang2017-heic": (18, 26, 34, 42, 50, 59, 70, 84),
    "jiang2017-jpegxl": (0, 20, 45, 60, 72, 82, 91, 97),
    "liu2018": (0, 14, 28, 43, 57, 72, 86, 100),
}
"""What spans about 0.1 to 2 bits a pixel on photographs, where the codec reaches so far: the
compact pictures of jiang2017-* hold a quarter of the samples, and liu2018 ends at about 1."""
EVEN = (5.0, 15.0, 27.0, 40.0, 53.0, 66.0, 79.0, 92.0)
"""Of codecs that are not named above."""

_PACKAGES = ("Pillow", "onnxruntime", "mozjpeg-lossless-optimization")
_PACKAGES_OF = {
    "bpg": "av",
    "heic": "pillow-heif",
    "jpegxl": "pyjpegxl",
    "liu2018": "constriction",
}
"""What decides, beside comrec itself, which bytes and pixels come out: for all, and by codec."""


@dataclass(frozen=True)
class Variant:
    """A codec with options.

    Attributes:
        label: as asked for, such as "jpeg:subsampling=4:4:4"; results go by it.
        codec: id.
        options: the codec's.
    """

    label: str
    codec: str
    options: tuple[tuple[str, Any], ...] = ()

    def make(self) -> Codec:
        """The codec.

        Raises:
            UnknownCodecError, OptionError.
            MissingExtraError: what it needs is not installed.
        """
        return registry.get(self.codec, **dict(self.options))

    def warmed(self, qualities: Sequence[float]) -> Codec:
        """The codec, after it has coded a small picture: its networks are loaded.

        Raises:
            MissingExtraError: what it needs is not installed.
        """
        coder = self.make()
        small = Picture(np.zeros((64, 64, 3), np.uint8))
        for quality in qualities:
            coder.decode(coder.encode(small, quality))
        return coder

    @property
    def slug(self) -> str:
        """The label as part of a file name."""
        return re.sub(r"[^A-Za-z0-9.]+", "-", self.label)

    @property
    def base(self) -> str:
        """The standard codec inside: "webp" of "comrec-webp"; otherwise the codec itself."""
        return self.codec.removeprefix("comrec-").removeprefix("jiang2017-")

    @property
    def settings(self) -> str:
        """Short name of all that decides what this variant writes: codec, options, versions."""
        family = self.codec.partition("-")[0]
        is_wrapped = self.base != self.codec
        networks = [
            network.sha256
            for network in store.networks()
            if network.family == family and (not is_wrapped or network.codec in (self.base, "jpeg"))
        ]
        packages = (*_PACKAGES, *filter(None, [_PACKAGES_OF.get(self.base)]))
        versions = [importlib.metadata.version(package) for package in packages]
        content = json.dumps([comrec.__version__, self.codec, self.options, networks, versions])
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def parse(text: str, effort: int | None = None) -> Variant:
    """A variant from ``codec`` or ``codec:option=value:option=value``.

    Args:
        effort: where the text names none; codecs without that option go without.
    Raises:
        UnknownCodecError, OptionError, MissingExtraError.
    """
    codec_id, *rest = re.split(r":(?=\w+=)", text.strip())
    kind = type(registry.get(codec_id))
    types = get_type_hints(kind.__init__)
    options: dict[str, Any] = {}
    for item in rest:
        name, _, value = item.partition("=")
        options[name] = _converted(value, types.get(name), text)
    if effort is not None and "effort" in inspect.signature(kind).parameters:
        options.setdefault("effort", effort)
    variant = Variant(text.strip(), codec_id, tuple(sorted(options.items())))
    variant.make()  # an unknown option fails before the work
    return variant


def _converted(value: str, kind: Any, text: str) -> Any:
    """An option's value as what the codec's signature declares; text by default."""
    if kind is bool and value in ("true", "false"):
        return value == "true"
    if kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            raise OptionError(f"{text}: {value!r} is not a number") from None
    return value


def qualities_of(variant: Variant, asked: dict[str, list[float]]) -> tuple[float, ...]:
    """The qualities of a variant: as asked for by its label, its id or "" (all), or its default.

    Raises:
        OptionError: one is out of 0..100.
    """
    if math.isinf(variant.make().step):  # quality changes nothing
        return (100,)
    for name in (variant.label, variant.codec, ""):
        if name in asked:
            return tuple(sorted({check_quality(quality) for quality in asked[name]}))
    for name in (variant.codec, "jpeg-tuned" if variant.codec == "comrec-jpeg" else variant.base):
        if name in QUALITIES:
            return QUALITIES[name]
    return EVEN

"""Files of a quality, or that meet a target: a largest size, or a least fidelity."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from comrec import codec as registry
from comrec import fidelity, options, ssimulacra2
from comrec.codec import Codec, check_quality
from comrec.errors import OptionError, TargetError
from comrec.picture import Picture
from comrec.preparation import hidden
from comrec.ratecontrol import TOLERANCE, Decoding, OperatingPoint

DEFAULT_QUALITY = 50.0
"""Where neither a quality nor a target is given."""

Kind = Literal["size", "bpp", "psnr", "ssim", "msssim", "ssimulacra2"]

_UNITS = {
    "": 1, "b": 1,
    "k": 1000, "kb": 1000, "m": 1000**2, "mb": 1000**2,
    "kib": 1024, "mib": 1024**2,
}  # fmt: skip
_SIZE = re.compile(rf"(\d+\.?\d*|\.\d+) ?({'|'.join(_UNITS)})", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes of a size such as "40000", "40kB", "1.5 MB" or "40KiB", rounded down.

    k and M are 1000 and 1000**2, Ki and Mi are 1024 and 1024**2; case does not matter.

    Raises:
        OptionError: not a size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise OptionError(f"{text!r} is not a size such as 40000, 40kB, 40KiB or 1.5MB")
    number, unit = found.groups()
    return int(float(number) * _UNITS[unit.lower()])


class Unit(NamedTuple):
    """How the value of a kind of target is given.

    Attributes:
        parse: converts text to a value.
        allowed: whether a value is in range.
        wanted: the range, for error messages.
        metavar: placeholder of the value in the help of the command line.
        help: one line for the help of the command line.
    """

    parse: Callable[[str], float]
    allowed: Callable[[float], bool]
    wanted: str
    metavar: str
    help: str


def _positive(value: float) -> bool:
    return 0 < value < math.inf


def _similarity(value: float) -> bool:
    return 0 < value <= 1


def _score(value: float) -> bool:
    return 0 < value <= ssimulacra2.BEST


KINDS: dict[Kind, Unit] = {
    "size": Unit(
        parse_size,
        lambda value: value > 0 and float(value).is_integer(),
        "a whole number of bytes, 1 or more",
        "SIZE",
        "best file of at most this size: 40000, 40kB, 40KiB, 1.5MB",
    ),
    "bpp": Unit(
        float, _positive, "above 0", "BITS", "best file of at most this rate in bits per pixel"
    ),
    "psnr": Unit(
        float,
        _positive,
        "above 0",
        "DB",
        "smallest file with at least this PSNR in dB (RGB)",
    ),
    "ssim": Unit(
        float,
        _similarity,
        "above 0 and at most 1",
        "X",
        "smallest file with at least this SSIM (luma)",
    ),
    "msssim": Unit(
        float,
        _similarity,
        "above 0 and at most 1",
        "X",
        "smallest file with at least this MS-SSIM (RGB)",
    ),
    "ssimulacra2": Unit(
        float,
        _score,
        "above 0 and at most 100",
        "X",
        "smallest file with at least this SSIMULACRA2: 50 is medium quality, 70 high, 90 very high",
    ),
}
"""All kinds of target. `comrec.encode` and the command line take each as ``target_KIND``."""


@dataclass(frozen=True)
class Target:
    """A limit that a file has to meet.

    Attributes:
        kind: "size": at most ``value`` bytes. "bpp": at most ``value`` bits per pixel. The others:
            a fidelity of at least ``value``, of the picture as comrec decodes it (networks
            included), of what alpha shows of it (see `comrec.fidelity`); "psnr": dB, RGB; "ssim":
            BT.601 luma rounded to 8 bits; "msssim": RGB; "ssimulacra2": see `comrec.ssimulacra2`.
        value: above 0; whole for "size", at most 1 for "ssim" and "msssim", 100 for "ssimulacra2".
    Raises:
        OptionError: there is no such kind, or the value is no number or out of range.
    """

    kind: Kind
    value: float

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            raise OptionError(
                f"the kind of a target must be one of {', '.join(KINDS)}, "
                f"not {options.shown(self.kind)}"
            )
        unit, found = KINDS[self.kind], options.number(self.value)
        if found is None or not unit.allowed(found):
            raise OptionError(
                f"target {self.kind} must be {unit.wanted}, not {options.shown(self.value)}"
            )
        object.__setattr__(self, "value", int(found) if self.kind == "size" else found)


@dataclass(frozen=True)
class Match:
    """A limit of bytes: those of another codec's file of the same picture.

    Attributes:
        codec: the other codec. It knows nothing of importance.
        quality: its quality, 0..100.
    Raises:
        OptionError: the quality is out of range.
    """

    codec: Codec
    quality: float

    def __post_init__(self) -> None:
        check_quality(self.quality)

    def __str__(self) -> str:
        return f"{self.codec}:{self.quality:g}"

    @classmethod
    def parse(cls, text: str) -> Match:
        """Of the text form of a codec, a colon and a quality: "jpeg:50".

        Raises:
            OptionError: the text is none.
            UnknownCodecError: there is no such codec.
        """
        spec, colon, quality = text.rpartition(":") if isinstance(text, str) else ("", "", "")
        try:
            number = float(quality)
        except ValueError:
            colon = ""
        if not colon:
            raise OptionError(
                f"match must be a codec and a quality such as jpeg:50, not {options.shown(text)}"
            )
        return cls(registry.parse(spec), number)

    def bytes(self, picture: Picture) -> int:
        """The size of the other codec's file of a picture."""
        return len(self.codec.encode(replace(picture, importance=None), self.quality))


MATCH = "largest file of at most the size of another codec's at a quality: jpeg:50; within 1 %%"
"""Help of the command line."""
_MATCHED = 0.01


@dataclass(frozen=True)
class Outcome:
    """A file as it was wanted.

    Attributes:
        point: the file, its quality, and the number of encodes.
        value: what the file reaches, in the target's unit; the quality, where that was wanted; its
            bytes, where another codec's were.
    """

    point: OperatingPoint
    value: float


class _Fidelity(NamedTuple):
    """A metric of `comrec.fidelity`; higher is better."""

    name: str
    measure: Callable[[Picture, Picture], float]
    usual: float  # typical decibels at quality 50
    close: float  # a search stops within this many decibels above the target


Wanted = Target | Match | float
"""What a file is to be: of a target, as large as another, or of a quality, 0..100."""


def choose(quality: float | None, given: Mapping[str, Any]) -> Wanted:
    """The target that was given as ``target_KIND``, or as ``match``; otherwise the quality.

    Args:
        quality: 0..100; `DEFAULT_QUALITY` where neither it nor a target is given.
        given: values by name; None where not given. Other names are ignored.
    Raises:
        OptionError: more than one was given, or a value is out of range.
        UnknownCodecError: there is no codec to match.
    """
    found = {kind: given.get(f"target_{kind}") for kind in KINDS}
    asked: list[Target | Match] = [
        Target(kind, value) for kind, value in found.items() if value is not None
    ]
    names = ", ".join(f"target_{kind}" for kind, value in found.items() if value is not None)
    match = given.get("match")
    if match is not None:
        asked.append(match if isinstance(match, Match) else Match.parse(match))
        names = ", ".join(filter(None, (names, "match")))
    if len(asked) + (quality is not None) > 1:
        raise OptionError(f"give either quality or one target; given: {names}")
    return asked[0] if asked else check_quality(DEFAULT_QUALITY if quality is None else quality)


def encode(coder: Codec, picture: Picture, wanted: Wanted) -> Outcome:
    """The file of a quality; the best file within a size; the smallest one found of a fidelity.

    Lossy codecs get other samples where alpha is 0 (see `comrec.preparation.hidden`), unless the
    picture is ``exact``.

    Args:
        wanted: a target, another codec's file to match, or a quality, 0..100.
    Raises:
        TargetError: no file of this picture meets the target, or the picture is too small for
            its metric.
        OptionError: the quality is out of range.
        UnsupportedPictureError: the codec cannot store this picture.
    """
    if not (picture.exact or coder.lossless):
        picture = hidden.cleaned(picture)
    if isinstance(wanted, Match):
        point = _within(coder, picture, wanted.bytes(picture), _MATCHED)
        return Outcome(point, len(point.data))
    if not isinstance(wanted, Target):
        return Outcome(OperatingPoint(coder.encode(picture, wanted), wanted, 1), wanted)
    pixels = picture.width * picture.height
    if wanted.kind == "size":
        point = _within(coder, picture, int(wanted.value))
        return Outcome(point, len(point.data))
    if wanted.kind == "bpp":
        point = _within(coder, picture, int(min(wanted.value * pixels / 8, sys.maxsize)))
        return Outcome(point, 8 * len(point.data) / pixels)
    return _reach(coder, picture, wanted)


def _within(
    coder: Codec, picture: Picture, budget: int, tolerance: float = TOLERANCE
) -> OperatingPoint:
    try:
        return coder.encode_within(picture, budget, tolerance)
    except TargetError as error:
        carried = picture.metadata.size
        if not carried:
            raise
        raise TargetError(
            f"{error}, of which metadata is about {carried:,}: --metadata none leaves it out"
        ) from None


def _reach(coder: Codec, picture: Picture, target: Target) -> Outcome:
    wanted = _FIDELITIES[target.kind]
    search = coder.search(picture)
    decode = search.encode.decoded if isinstance(search.encode, Decoding) else coder.decode
    values: dict[bytes, float] = {}

    def decibels(data: bytes) -> float:
        try:
            values[data] = wanted.measure(decode(data), picture)
        except OptionError as error:  # the picture is too small for the metric
            raise TargetError(str(error)) from None
        return _decibels(target.kind, values[data])

    aim = _decibels(target.kind, target.value)
    point = search.smallest_reaching(decibels, aim, wanted.usual, wanted.close)
    if point is None:
        unit = " dB" if target.kind == "psnr" else ""
        raise TargetError(
            f"{wanted.name} of at least {target.value:g}{unit} cannot be met: "
            f"{coder.id} reaches {max(values.values()):.6g}{unit} on this picture"
        )
    return Outcome(point, values[point.data])


def _decibels(kind: Kind, value: float) -> float:
    """A fidelity on a scale about linear in quality; 200 stands for identical pictures."""
    if kind == "ssimulacra2":
        value /= ssimulacra2.BEST
    if kind != "psnr":
        value = -10 * math.log10(max(1 - value, 1e-20))
    return min(value, 200.0)


_FIDELITIES = {
    "psnr": _Fidelity("PSNR", fidelity.psnr, 34, 0.05),
    "ssim": _Fidelity("SSIM", fidelity.ssim, 11, 0.1),
    "msssim": _Fidelity("MS-SSIM", fidelity.ms_ssim, 17, 0.1),
    "ssimulacra2": _Fidelity("SSIMULACRA2", fidelity.ssimulacra2, 5, 0.1),
}

"""What is asked of the encoder on the page: checked, and as the command that does the same."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from comrec import codec as registry
from comrec import roi, targets
from comrec.codec import Codec, check_quality
from comrec.errors import OptionError
from comrec.options import Option, shown
from comrec.preparation import Preparation
from comrec.records import record
from comrec.targets import Kind, Match, Target, Wanted

_NAMES: dict[str, Kind] = {
    "ssimulacra2": "ssimulacra2",
    "msssim": "msssim",
    "ssim": "ssim",
    "psnr": "psnr",
    "bpp": "bpp",
    "db": "psnr",
}
"""Names of targets as people write them; of two that begin alike, the longer first."""
_RECTANGLES = re.compile(r"\d{1,9},\d{1,9},\d{1,9}x\d{1,9}(;\d{1,9},\d{1,9},\d{1,9}x\d{1,9}){0,99}")


@dataclass(frozen=True)
class Request:
    """As the page sends it.

    Attributes:
        codec: text form.
        wanted: a quality, or a typed target: "40 kB", "38 dB", "SSIMULACRA2 70", "jpeg:50".
        region: "auto", "centre" or rectangles (`comrec.roi.Given`); None for none.
        strength: of that, dB.
        conversions: options of `Preparation`.
    """

    codec: str
    wanted: str | float
    region: str | None = None
    strength: float | None = None
    conversions: dict[str, Any] | None = None


@dataclass(frozen=True)
class Settings:
    """What a file is to be made with.

    Attributes:
        coder: the codec.
        wanted: a quality, or a target.
        how: conversions.
        region: which part matters; None for none.
        strength: of that, dB.
    """

    coder: Codec
    wanted: Wanted
    how: Preparation
    region: str | None
    strength: float

    @classmethod
    def of(cls, values: Any) -> Settings:
        """Of a `Request` in JSON.

        Raises:
            OptionError, UnknownCodecError, UnsupportedPictureError: it cannot be done.
        """
        try:
            asked = record(Request, values)
        except ValueError as error:
            raise OptionError(f"settings: {error}") from None
        coder = coder_of(asked.codec)
        given = asked.wanted
        wanted = check_quality(given) if isinstance(given, float) else parse(given)
        if asked.region is not None:
            check_region(asked.region)
            coder.check_importance()
        strength = roi.DEFAULT_STRENGTH if asked.strength is None else asked.strength
        how = conversions(asked.conversions or {})
        return cls(coder, wanted, how, asked.region, roi.check_strength(strength))

    def output(self, name: str) -> str:
        """The name of the file that is made of a photograph's."""
        stem = PurePosixPath(name).stem or "photo"
        made = f"{stem}{self.coder.extension}"
        return made if made != name else f"{stem}-comrec{self.coder.extension}"

    def command(self, name: str) -> str:
        """The line for a shell that makes the same file."""
        words = ["comrec", "encode", _path(name), "-o", _path(self.output(name))]
        words += ["-c", str(self.coder), *_flags(self.wanted)]
        if self.region is not None:
            words += ["--roi", self.region]
            if self.strength != roi.DEFAULT_STRENGTH:
                words += ["--roi-strength", f"{self.strength:g}"]
        for option in self.how.options:
            value = getattr(self.how, option.name)
            if value != option.default:
                words.append(f"--{option.name}")
                words += [] if option.type is bool else [option.format(value)]
        return shlex.join(words)


def coder_of(text: str) -> Codec:
    """A codec, without options that name files: those are the server's.

    Raises:
        UnknownCodecError, OptionError.
    """
    _check_options(text)
    return registry.parse(text)


def _check_options(text: str) -> None:
    """Before the codec is made, which may read the file."""
    usual = registry.get(text.strip().partition(":")[0])
    for option in usual.options:
        if not is_closed(option) and f":{option.name}=" in text:
            raise OptionError(
                f"{usual.id}: {option.name} names a file, which the command line alone reads"
            )


def is_closed(option: Option) -> bool:
    """Whether an option is no free text, such as a file's name."""
    return option.type is not str or option.allowed is not None


def check_region(text: str) -> str:
    """A region of interest that names no file.

    Raises:
        OptionError: it is none.
    """
    if text not in (roi.AUTO, roi.CENTRE) and not _RECTANGLES.fullmatch(text):
        raise OptionError(
            "a region of interest must be auto, centre or rectangles such as "
            f"120,80,400x300;600,80,90x90, not {shown(text)}"
        )
    roi.check(text)
    return text


def conversions(values: dict[str, Any]) -> Preparation:
    """The conversions that were chosen.

    Raises:
        OptionError: there is no such conversion, or not with that value.
    """
    known = {option.name for option in Preparation().options}
    for name in values:
        if name not in known:
            raise OptionError(f"there is no conversion {shown(name)}")
    return Preparation(**values)


def parse(text: str) -> Wanted:
    """A target as people type it.

    Raises:
        OptionError: it is none, or out of range.
        UnknownCodecError: there is no codec to match.
    """
    word = re.sub(r"[\s_=>≥]|-(?=\D)", "", text.lower())
    for name, kind in _NAMES.items():
        if word.startswith(name) or word.endswith(name):
            number = word.removeprefix(name) if word.startswith(name) else word.removesuffix(name)
            try:
                return Target(kind, float(number))
            except ValueError as error:
                if isinstance(error, OptionError):
                    raise
                break
    if ":" in word:
        _check_options(text)
        return Match.parse(text.strip())
    try:
        return Target("size", targets.parse_size(text))
    except OptionError:
        raise OptionError(
            f"{shown(text)} is no target such as 40 kB, 0.5 bpp, 38 dB, MS-SSIM 0.98, "
            "SSIMULACRA2 70 or jpeg:50"
        ) from None


def _flags(wanted: Wanted) -> list[str]:
    if isinstance(wanted, Match):
        return ["--match", str(wanted)]
    if isinstance(wanted, Target):
        return [f"--target-{wanted.kind}", f"{wanted.value:.12g}"]
    return ["-q", f"{wanted:.12g}"]


def _path(name: str) -> str:
    """A name that no command takes for an option."""
    return f"./{name}" if name.startswith("-") else name

"""Files that meet a target: at most so many bytes, or at least so near the picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from comrec import metrics
from comrec.codec import Codec
from comrec.errors import OptionError, TargetError
from comrec.metrics import Pixels
from comrec.picture import Picture
from comrec.ratecontrol import Fit, Trials

Kind = Literal["size", "bpp", "psnr", "ssim", "msssim"]


@dataclass(frozen=True)
class Target:
    """What a file has to meet.

    Attributes:
        kind: "size": at most so many bytes. "bpp": at most so many bits a pixel. The others: at
            least so much fidelity of what decoding gives, networks included and transparency
            aside; "psnr": dB, RGB; "ssim": of BT.601 luma rounded to 8 bits; "msssim": RGB.
        value: above 0; whole for "size", at most 1 for "ssim" and "msssim".
    Raises:
        OptionError: the value is out of range.
    """

    kind: Kind
    value: float

    def __post_init__(self) -> None:
        if self.kind == "size":
            right = self.value > 0 and float(self.value).is_integer()
            wanted = "a whole number of bytes, 1 or more"
        elif self.kind in ("ssim", "msssim"):
            right, wanted = 0 < self.value <= 1, "above 0 and at most 1"
        else:
            right, wanted = 0 < self.value < math.inf, "above 0"
        if not right:
            raise OptionError(f"a target {self.kind} is {wanted}; {self.value:g} is not")


@dataclass(frozen=True)
class Met:
    """A file that meets a target.

    Attributes:
        fit: the file, the quality that gave it, and how many files that took.
        value: of the file, in the target's unit.
    """

    fit: Fit
    value: float


class _Fidelity(NamedTuple):
    """A measure of RGB pixels against RGB pixels, higher is better."""

    name: str
    measure: Callable[[Pixels, Pixels], float]
    usual: float  # decibels at quality 50, roughly
    close: float  # a search stops so many decibels above the target


def only_one(quality: float | None, targets: Mapping[Kind, float | None]) -> Target | None:
    """The target among what a user gave; None if that is a quality, or nothing.

    Raises:
        OptionError: more than one thing was given, or one out of range.
    """
    given = {kind: value for kind, value in targets.items() if value is not None}
    if len(given) + (quality is not None) > 1:
        names = ", ".join(f"target_{kind}" for kind in given)
        raise OptionError(f"give one of quality and targets; there are {names}")
    return next((Target(kind, value) for kind, value in given.items()), None)


def meet(coder: Codec, picture: Picture, target: Target) -> Met:
    """The best file within a size, or the smallest that is found of a fidelity.

    Raises:
        TargetError: no file of this picture meets the target, or its measure is not defined for
            so small a picture.
        UnsupportedPictureError: the codec cannot carry this picture.
    """
    pixels = picture.width * picture.height
    if target.kind == "size":
        fit = coder.encode_within(picture, int(target.value))
        return Met(fit, len(fit.data))
    if target.kind == "bpp":
        fit = coder.encode_within(picture, int(target.value * pixels / 8))
        return Met(fit, 8 * len(fit.data) / pixels)
    return _reach(coder, picture, target)


def _reach(coder: Codec, picture: Picture, target: Target) -> Met:
    fidelity = _FIDELITIES[target.kind]
    values: dict[bytes, float] = {}

    def decibels(data: bytes) -> float:
        decoded = coder.decode(data)
        try:
            values[data] = fidelity.measure(decoded.rgb, picture.rgb)
        except OptionError as error:  # the picture is too small for it
            raise TargetError(str(error)) from None
        return _decibels(target.kind, values[data])

    pixels = picture.width * picture.height
    trials = Trials(lambda quality: coder.encode(picture, quality), coder.step, pixels)
    wanted = _decibels(target.kind, target.value)
    fit = trials.smallest_reaching(decibels, wanted, fidelity.usual, fidelity.close)
    if fit is None:
        unit = " dB" if target.kind == "psnr" else ""
        raise TargetError(
            f"{fidelity.name} of at least {target.value:g}{unit} cannot be met: "
            f"{coder.id} reaches {max(values.values()):.6g}{unit} of this picture"
        )
    return Met(fit, values[fit.data])


def _decibels(kind: Kind, value: float) -> float:
    """A fidelity on a scale that grows evenly with quality; 200 stands for the same picture."""
    if kind != "psnr":
        value = -10 * math.log10(max(1 - value, 1e-20))
    return min(value, 200.0)


def _luma_ssim(a: Pixels, b: Pixels) -> float:
    planes = (np.rint(metrics.luma(rgb)).astype(np.uint8) for rgb in (a, b))
    return metrics.ssim(*planes)


_FIDELITIES = {
    "psnr": _Fidelity("PSNR", metrics.psnr, 34, 0.05),
    "ssim": _Fidelity("SSIM", _luma_ssim, 11, 0.1),
    "msssim": _Fidelity("MS-SSIM", metrics.ms_ssim, 17, 0.1),
}

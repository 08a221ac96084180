"""Recipes: everything that decides a training run, in a TOML file."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from comrec.errors import OptionError
from comrec.inference.store import DEFAULT, Size

Scheme = Literal[
    "filter",
    "quantised",
    "alternating",
    "joint",
    "curriculum",
    "perceptual",
    "bit-planes",
    "adaptive",
    "finer",
    "paired",
    "imitation",
    "binary",
    "synthesis",
    "recurrent",
]
Optimiser = Literal["adam", "muon", "soap"]
Quantiser = Literal["none", "noise", "rounding"]

FOLDER = Path(__file__).parent / "recipes"

_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
_PLAIN = re.compile(r"[A-Za-z0-9][\w.+-]*", re.ASCII)  # what can be a part of a file's name
_NAMES = ("name", "codec", "start")
_POSITIVE = {
    *("scale", "crop", "batch", "steps", "quality_bins", "period", "width", "validate_every"),
    "iterations",
}


@dataclass(frozen=True)
class Recipe:
    """One training run.

    Raises:
        OptionError: a value is out of range, or a name could not be part of a file's name.

    Attributes:
        name: of the run; exported networks are named after it.
        family: "jiang2017", "comrec", "liu2018", "rippel2017", "toderici2017" or "roi".
        codec: the standard codec, by id; of the learned codecs what they are optimised for: "mse",
            "ms-ssim" or "perceptual", and in the scheme "recurrent" "l1" or "ssim"; of "roi" what
            is imitated: "activation".
        scheme: "filter": RecCNN on the real codec's output, ComCNN as the package has it.
            "quantised": a trained RecCNN brought to 8 bits, on the same pictures; by `in_8_bits`
            alone, not in files.
            "alternating": ComCNN and RecCNN in turn, real codec in the forward pass. "joint":
            both at once, the JPEG proxy for the gradient, with a rate term. "curriculum": one stage
            of the learned codec's curriculum, each run starting from the one before. "perceptual":
            its last stage. "bit-planes": rippel2017 at all rates. "adaptive": at one, as published.
            "finer": one plane more for it. "paired": its decoder against a discriminator that sees
            pairs. "imitation": the network of importance maps, taught by a classifier. "binary":
            toderici2017 as shipped. "recurrent": as published. "synthesis": g_s of liu2018 alone,
            on the latents of files.
        scale: 1 or 2; 16 for the learned codec, whose latents' sides are so much smaller.
        channels: 1 (luma) or 3 (RGB).
        crop: side of the training crops of the full picture, pixels.
        batch: crops per step.
        steps: optimiser steps; none in the scheme "synthesis" for tables alone.
        rate: highest learning rate.
        optimiser: of convolutions' weights: "adam", "muon" or "soap"; the rest learns by Adam.
        quality: lowest and highest quality of the codec.
        size: of our RecCNN at scale 1 (`train.networks.BLOCKS`).
        quality_bins: at so many qualities, one in each equal part of the range, each photograph is
            coded beforehand ("filter", "quantised").
        plain_quality_bins: the same with the standard codec as other programs use it, so that
            third-party files can be enhanced.
        improved_quality_bins: the same with files that the package improves for its own RecCNN
            (`comrec.sandwich.ours.Comrec.improved`), JPEG with either tuning; not of JPEG XL. In
            the scheme "synthesis", with files of which the latents are refined.
        full_chroma: whether each is coded with 4:4:4 chroma too.
        fine_share: how often qualities in the upper third are drawn, relative to the others.
        photos: use at most so many photographs (0: all).
        patch: side of the one patch that is used of each photograph (0: all of it), so that slow
            codecs see many photographs.
        enlarged: share of the photographs that are enlarged 1.2 to 1.9 times first: what people
            compress is often softer than photographs made smaller for the web.
        start: name of a network in the package to start from ("" for none).
        period, com_steps: the alternating scheme's period, and how much of it trains ComCNN.
        com_rate: ComCNN's learning rate relative to RecCNN's.
        lmbda: lambda, the weight of the rate in the joint scheme: root mean squared error (pixels
            in 0..1) per bit per pixel, for a luma step of the whole range; proportional to the
            step.
        width: N, channels of the learned codec's networks.
        finest_blocks: of g_s of liu2018, at 1/2.
        quantiser: of the learned codec's latents: "none"; "noise", uniform; or "rounding", with
            the gradient of the identity.
        lambdas: lambda, the weight of the distortion in bits per pixel, at the lowest and the
            highest quality; evenly spaced in the logarithm between; (0, 0) for no rate term.
            Distortion is the mean squared error in grey levels, or 1 - MS-SSIM.
        bpp: bits per pixel that the scheme "adaptive" is to reach.
        unit: of a recurrent codec (`train.recurrent`).
        reconstruction: how the scheme "recurrent" makes a picture of what its iterations give
            (`train.residuals`).
        iterations: of the scheme "recurrent", 1/8 bit per pixel each.
        priming: how often its encoder and decoder run before the first iteration, without bits;
            diffusion: the same before each later one.
        tiles: learned codecs' crops are these so many of each photograph: those that PNG compresses
            worst (0: any).
        validate_every: steps between validations and checkpoints.
    """

    name: str
    family: Literal["jiang2017", "comrec", "liu2018", "rippel2017", "toderici2017", "roi"]
    codec: str
    scheme: Scheme
    scale: int
    channels: int
    crop: int
    batch: int
    steps: int
    rate: float
    quality: tuple[float, float]
    size: Size = DEFAULT
    quality_bins: int = 8
    plain_quality_bins: int = 0
    improved_quality_bins: int = 0
    full_chroma: bool = False
    fine_share: float = 1.0
    photos: int = 0
    patch: int = 0
    enlarged: float = 0.0
    optimiser: Optimiser = "adam"
    start: str = ""
    period: int = 4
    com_steps: int = 1
    com_rate: float = 1.0
    lmbda: float = 0.0
    width: int = 128
    finest_blocks: int = 3
    quantiser: Quantiser = "none"
    lambdas: tuple[float, float] = (0.0, 0.0)
    bpp: float = 0.0
    unit: Literal["lstm", "gru", "residual-gru", "associative-lstm"] = "gru"
    reconstruction: Literal["one-shot", "additive", "scaling"] = "additive"
    iterations: int = 16
    priming: int = 0
    diffusion: int = 0
    tiles: int = 0
    validate_every: int = 500

    def __post_init__(self) -> None:
        synthesis = self.scheme == "synthesis"
        positive = _POSITIVE - {"steps"} if synthesis else _POSITIVE
        for field, value in vars(self).items():
            nothing = field == "start" and value == ""
            if field in _NAMES and not nothing and not _PLAIN.fullmatch(value):
                raise OptionError(
                    f"recipe: {field} {value!r} must be letters, digits and . _ + -, and begin "
                    "with a letter or digit"
                )
            least = 1 if field in positive else 0
            if isinstance(value, int | float) and value < least:
                raise OptionError(f"{self.name}: {field} must be at least {least}, not {value}")
        if self.channels not in (1, 3):
            raise OptionError(f"{self.name}: channels must be 1 or 3")
        if self.size != DEFAULT and (self.family, self.scale) != ("comrec", 1):
            raise OptionError(f"{self.name}: only RecCNNs of comrec-… at scale 1 have a size")
        sandwich = (self.family, self.scale) == ("comrec", 1)
        if self.improved_quality_bins and not (sandwich or synthesis):
            raise OptionError(f"{self.name}: only files of comrec-… at scale 1 are improved")
        if synthesis and (self.patch != self.crop or not self.improved_quality_bins):
            raise OptionError(
                f"{self.name}: wants improved_quality_bins, and a patch of the side of the crop"
            )
        if self.improved_quality_bins and self.codec == "jpegxl":
            raise OptionError(f"{self.name}: comrec-jpegxl's files hold coefficients of JPEG")
        low, high = self.quality
        if not 0 <= low <= high <= 100:
            raise OptionError(f"{self.name}: quality must be two numbers 0..100 in ascending order")
        if min(self.lambdas) < 0 or (min(self.lambdas) == 0) != (max(self.lambdas) == 0):
            raise OptionError(f"{self.name}: lambdas must be two positive numbers, or both 0")


def load(name: str) -> Recipe:
    """The recipe of a TOML file, or of a name among those shipped.

    Raises:
        OptionError: no such recipe, or a field is missing, unknown or has a wrong value.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not _is_file(path) or not (name.endswith(".toml") or _PLAIN.fullmatch(name)):
        raise OptionError(f"no recipe {name!r}; shipped are: {', '.join(shipped())}")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise OptionError(f"{path.name}: nested too deeply") from None
    except (OSError, ValueError) as error:
        raise OptionError(f"{path.name}: {error}") from None
    kinds = get_type_hints(Recipe)
    if unknown := set(values) - set(kinds):
        raise OptionError(f"{path.name}: unknown fields {', '.join(sorted(unknown))}")
    for field, value in values.items():
        try:
            values[field] = _converted(value, kinds[field])
        except ValueError as error:
            raise OptionError(f"{path.name}: {field} must be {error}, not {value!r}") from None
    if values.get("scheme") == "quantised":
        raise OptionError(
            f"{path.name}: 8 bits have no recipe; use --int8 with that of the float run"
        )
    try:
        return Recipe(**values)
    except TypeError as error:  # a field is missing
        raise OptionError(f"{path.name}: {error}") from None


def in_8_bits(recipe: Recipe) -> Recipe:
    """The recipe that brings a network of another one to 8 bits.

    Raises:
        OptionError: that does not train our RecCNN alone.
    """
    if (recipe.family, recipe.scheme) != ("comrec", "filter"):
        raise OptionError(f"{recipe.name}: only RecCNNs of comrec-… can be brought to 8 bits")
    return replace(
        recipe,
        scheme="quantised",
        batch=8,
        steps=400,
        rate=4e-5,
        optimiser="adam",
        start="",
        validate_every=100,
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # no name of a file
        return False


def _converted(value: object, kind: Any) -> Any:
    """A value of a TOML file as a field of that type.

    Raises:
        ValueError: it is of another type; says what it must be.
    """
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"one of {', '.join(get_args(kind))}")
        return value
    if get_origin(kind) is tuple:
        if not isinstance(value, list) or len(value) != 2:
            raise ValueError("two numbers")
        return tuple(_converted(item, float) for item in value)
    if kind is float and type(value) is int:
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
    if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(_KINDS[kind])
    return value


def shipped() -> list[str]:
    """Names of the recipes in the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))

"""Recipes: everything that decides a training run, in a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from comrec.errors import OptionError

Scheme = Literal["filter", "alternating", "joint", "ladder", "perceptual"]
Quantiser = Literal["none", "noise", "rounding"]

FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Recipe:
    """One training run.

    Attributes:
        name: of the run; exported networks are named after it.
        family: "jiang2017", "comrec" or "liu2018".
        codec: the standard codec, by id; of "liu2018" what it is optimised for: "mse", "ms-ssim"
            or "perceptual".
        scheme: "filter": RecCNN on the real codec's output, ComCNN as the package has it.
            "alternating": ComCNN and RecCNN in turn, real codec in the forward pass. "joint":
            both at once, the JPEG proxy for the gradient, with a rate term. "ladder": one rung of
            the learned codec's, each run starting from the one before. "perceptual": the last one.
        scale: 1 or 2; 16 for the learned codec, whose latents' sides are so much smaller.
        channels: 1 (luma) or 3 (RGB).
        crop: side of the training crops of the full picture, pixels.
        batch: crops a step.
        steps: optimiser steps.
        rate: highest learning rate.
        muon: whether convolutions learn by Muon, not by Adam.
        quality: lowest and highest quality of the codec.
        slots: qualities at which each photograph is coded beforehand ("filter").
        foreign_slots: the same with the codec's plain files, for enhancing them.
        fine_share: how often qualities in the upper third are drawn, relative to the others.
        photos: use at most so many photographs (0: all).
        patch: side of the one patch that is used of each photograph (0: all of it), so that slow
            codecs see many photographs.
        enlarged: share of the photographs that are enlarged 1.2 to 1.9 times first: what people
            compress is often softer than photographs made smaller for the web.
        start: name of a network in the package to start from ("" for none).
        period, com_steps: the alternating scheme's period, and how much of it trains ComCNN.
        com_rate: ComCNN's learning rate relative to RecCNN's.
        trade: the joint scheme's root mean squared error (pixels in 0..1) a bit a pixel, for a
            luma step of the whole range; smaller steps make it proportionally smaller.
        width: N, channels of the learned codec's networks.
        quantiser: of the learned codec's latents: "none"; "noise", uniform; or "rounding", with
            the gradient of the identity.
        lambdas: what distortion costs in bits a pixel at the lowest and the highest quality, and
            evenly in the logarithm between; (0, 0) for no rate term. Distortion is the squared
            error in grey levels, or 1 - MS-SSIM.
        validate_every: steps between validations and checkpoints.
    """

    name: str
    family: Literal["jiang2017", "comrec", "liu2018"]
    codec: str
    scheme: Scheme
    scale: int
    channels: int
    crop: int
    batch: int
    steps: int
    rate: float
    quality: tuple[float, float]
    slots: int = 8
    foreign_slots: int = 0
    fine_share: float = 1.0
    photos: int = 0
    patch: int = 0
    enlarged: float = 0.0
    muon: bool = False
    start: str = ""
    period: int = 4
    com_steps: int = 1
    com_rate: float = 1.0
    trade: float = 0.0
    width: int = 128
    quantiser: Quantiser = "none"
    lambdas: tuple[float, float] = (0.0, 0.0)
    validate_every: int = 500


def load(name: str) -> Recipe:
    """The recipe of a TOML file, or of a name among those shipped.

    Raises:
        OptionError: no such recipe, or a field is missing or unknown.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.exists():
        raise OptionError(f"no recipe {name!r}; shipped are: {', '.join(shipped())}")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OptionError(f"{path.name}: {error}") from None
    for pair in ("quality", "lambdas"):
        if pair in values:
            values[pair] = tuple(values[pair])
    known = {field.name for field in fields(Recipe)}
    if unknown := set(values) - known:
        raise OptionError(f"{path.name}: unknown fields {', '.join(sorted(unknown))}")
    if values.get("scheme") not in get_args(Scheme):
        raise OptionError(f"{path.name}: scheme must be one of {', '.join(get_args(Scheme))}")
    if values.get("quantiser", "none") not in get_args(Quantiser):
        raise OptionError(f"{path.name}: quantiser must be one of {', '.join(get_args(Quantiser))}")
    try:
        return Recipe(**values)
    except TypeError as error:
        raise OptionError(f"{path.name}: {error}") from None


def shipped() -> list[str]:
    """Names of the recipes in the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))

"""What codecs make of photographs, in processes that do not need PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from comrec import codec
from comrec.codec import Codec
from comrec.entropy.contexts import MEAN_STEPS
from comrec.formats import cmr
from comrec.learned.liu2018 import Liu2018
from comrec.picture import Picture, Pixels
from comrec.sandwich import conditions, contest, jiang2017
from comrec.sandwich.base import Sandwich

Degraded = tuple[Pixels, list[float]]
"""What the decoder returns, (H/s, W/s, C), and the two conditions 0..1 for the networks."""
Degradation = Callable[[Pixels, float], Degraded]
"""Of (H, W, C) uint8, at a fraction 0..1 of the quality range."""

LATENT = np.dtype("<i2")
"""Of a latent in a store, in 1 / MEAN_STEPS."""

Files = Literal["payload", "plain", "improved"]
"""As the sandwich codec codes without rounds; as others use the standard codec; as the sandwich
codec codes with rounds, by the package's RecCNN (`comrec.sandwich.ours.Comrec.improved`)."""


@dataclass(frozen=True)
class RealCodec:
    """A real codec's degradation of a photograph: what RecCNN learns to undo.

    Attributes:
        family, base: name the sandwich codec, "FAMILY-BASE".
        scale: 2 halves the picture first, through the package's ComCNN.
        lowest, highest: range of the codec's quality.
        files: how they are made; improved ones at scale 1.
        subsampling: "4:2:0" or "4:4:4"; "" for codecs without that option.
        tune: of improved files; "" for codecs without that option.
    """

    family: str
    base: str
    scale: int
    lowest: float
    highest: float
    files: Files = "payload"
    subsampling: str = ""
    tune: str = ""

    def __call__(self, pixels: Pixels, fraction: float) -> Degraded:
        """Code and decode at a fraction 0..1 of the quality range.

        Returns:
            the decoded pixels and the condition that the networks will be given: quality and full
            chroma, in 0..1.
        """
        picture = Picture(pixels if pixels.shape[2] == 3 else pixels[..., 0])
        quality = self.lowest + fraction * (self.highest - self.lowest)
        own = payload(self.family, self.base)
        if self.scale == 2:
            picture = _compact(self.family, own, picture, quality)
        data = self._encoder(own).encode(picture, quality)
        decoded = own.decode(data)
        condition = conditions.from_file(self.base, data, quality)
        coded = decoded.rgb if pixels.shape[2] == 3 else decoded.pixels[..., None]
        return coded, [condition.quality / 100, float(condition.full_chroma)]

    def _encoder(self, own: Codec) -> Codec:
        given: dict[str, Any] = {"subsampling": self.subsampling} if self.subsampling else {}
        if self.files == "improved":
            if self.tune:
                given["tune"] = self.tune
            return codec.get(f"{self.family}-{self.base}", scale="1", **given)
        if self.files == "plain":
            return codec.parse(self.base, {"subsampling": "4:2:0"}, **given)
        return codec.parse(str(own), **given)


def _compact(family: str, own: Codec, picture: Picture, quality: float) -> Picture:
    """The picture at half the size, by the ComCNN that the package has for a codec."""
    if family == "jiang2017":
        return jiang2017.compact(own.container, picture)
    return contest.halved(own, picture, quality)


def payload(family: str, base: str) -> Codec:
    """The standard codec inside a sandwich codec, with the options that it has there."""
    sandwich = codec.get(f"{family}-{base}")
    assert isinstance(sandwich, Sandwich)
    return sandwich.payload


@dataclass(frozen=True)
class LatentsOf:
    """What a file of `liu2018` holds of a patch, refined for it as the package does.

    Attributes:
        metric: of the networks.
        lowest, highest: range of the quality.
    """

    metric: str
    lowest: float
    highest: float

    def __call__(self, pixels: Pixels, fraction: float) -> Degraded:
        """Latents as bytes; the first condition is the quality in 0..1, the other nothing."""
        coder = codec.get("liu2018", metric=self.metric)
        assert isinstance(coder, Liu2018)
        quality = self.lowest + fraction * (self.highest - self.lowest)
        file = cmr.parse(coder.encode(Picture(pixels), quality))
        _, latents = coder.latents(file)
        limits = np.iinfo(LATENT)
        steps = np.clip(MEAN_STEPS * latents, limits.min, limits.max).astype(LATENT)
        places = np.ascontiguousarray(steps.transpose(1, 2, 0)).view(np.uint8)
        return places, [file.header.quality / 100, 0.0]


@dataclass(frozen=True)
class Job:
    """One photograph to code; numbers tell the order."""

    number: int
    degradation: Degradation
    pixels: Pixels
    fraction: float


def degrade(job: Job) -> Degraded:
    """What becomes of the photograph of a job."""
    return job.degradation(job.pixels, job.fraction)

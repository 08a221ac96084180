"""Real codecs inside the training loop and for the data made beforehand."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from comrec import codec
from comrec.codec import Codec
from comrec.picture import Picture
from comrec.sandwich import conditions
from comrec.sandwich.base import Sandwich
from comrec.train.families import FAMILIES

Pixels = NDArray[np.uint8]

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

    def __call__(self, pixels: Pixels, fraction: float) -> tuple[Pixels, list[float]]:
        """Code and decode at a fraction 0..1 of the quality range.

        Returns:
            the decoded pixels and the condition that the networks will be given: quality and full
            chroma, in 0..1.
        """
        picture = Picture(pixels if pixels.shape[2] == 3 else pixels[..., 0])
        quality = self.lowest + fraction * (self.highest - self.lowest)
        own = payload(self.family, self.base)
        if self.scale == 2:
            picture = FAMILIES[self.family].compact(own, picture, quality)
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


def payload(family: str, base: str) -> Codec:
    """The standard codec inside a sandwich codec, with the options that it has there."""
    sandwich = codec.get(f"{family}-{base}")
    assert isinstance(sandwich, Sandwich)
    return sandwich.payload


def through_codec(coder: Codec, compact: Tensor, quality: float) -> tuple[Tensor, float]:
    """Code a batch of RGB crops with a real codec, as one tall picture.

    Args:
        compact: (N, 3, h, w) in 0..1; h and w multiples of 16 keep the crops apart, but for the
            chroma filter at their borders.
    Returns:
        decoded, as compact; and the file's bits.
    """
    n, channels, height, width = compact.shape
    pixels = compact.detach().mul(255).round().clamp(0, 255).to(torch.uint8)
    tall = pixels.permute(0, 2, 3, 1).reshape(n * height, width, channels).cpu().numpy()
    data = coder.encode(Picture(np.ascontiguousarray(tall)), quality)
    decoded = torch.from_numpy(coder.decode(data).rgb.copy())
    back = decoded.view(n, height, width, channels).permute(0, 3, 1, 2)
    return back.to(compact.device).float().div(255), 8.0 * len(data)


def jpeg_mosaic(compact: Tensor, quality: int) -> Tensor:
    """Code a batch of gray crops with real JPEG, as one tall picture.

    JPEG's blocks are independent, so crops with sides in multiples of 8 come back as they
    would alone.

    Args:
        compact: (N, 1, h, w) in 0..1, h and w multiples of 8.
        quality: libjpeg quality, 1..100.
    """
    n, _, height, width = compact.shape
    pixels = compact.detach().mul(255).round().clamp(0, 255).to(torch.uint8)
    buffer = io.BytesIO()
    tall = pixels.reshape(n * height, width).cpu().numpy()
    Image.fromarray(tall).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        decoded = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return decoded.view(n, 1, height, width).to(compact.device).float().div(255)

"""An auto-encoder trained end to end, from easy to hard: `liu2018`.

H. Liu, T. Chen, Q. Shen, T. Yue, Z. Ma, "Deep Image Compression via End-to-End Learning", CVPR
Workshops (CLIC) 2018.

    picture ─► g_a ─► y ─► round(y - mean) ─► entropy coder ─► + mean ─► g_s ─► picture
                      │             ▲ scale index, mean
                      └─► h_a ─► z ─┴─ h_s (in integers)

The entropy model is the mean and scale hyperprior of Minnen, Ballé, Toderici (NeurIPS 2018), with
contexts (`entropy.contexts`): z is coded under one table per channel; h_s computes from it a scale
index and a mean for each latent, whose table depends on the scale index and on the latents coded
before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from comrec.codec import Codec, Encode, check_quality, effort_option
from comrec.errors import DamagedFileError, UnsupportedPictureError
from comrec.formats import cmr
from comrec.inference import store
from comrec.learned import files, refinement, steering
from comrec.learned.codings import Residuals
from comrec.learned.hyperprior import ALIGN, Networks
from comrec.learned.pixels import planes_of
from comrec.metrics import MS_SSIM_SIDE
from comrec.options import option
from comrec.picture import Picture
from comrec.preparation.header import Header
from comrec.ratecontrol import TOLERANCE, OperatingPoint, QualitySearch, too_small
from comrec.regions import Region

Metric = Literal["mse", "ms-ssim", "perceptual"]

_LEAST = {"mse": 1, "ms-ssim": MS_SSIM_SIDE}
"""Pixels that the distortion to refine for needs, along each side."""

_REFINED = 0.87
"""Bytes after refinement relative to before, roughly."""
_PROBED = 0.4
"""Of each side: the part of a picture on which that is measured, within 3 %."""
_AIM, _FILLED = 0.975, 0.94
"""What parts of the budget a search for a size aims at first, and is content with."""
_REFINEMENTS = 4
"""At most, in a search for a size; one nearly always."""


@dataclass(frozen=True)
class Liu2018(Codec):
    """A convolutional auto-encoder, its latents coded under a hyperprior; one network, all rates.

    Attributes:
        metric: what its networks were trained for: "mse" (squared error), "ms-ssim", or
            "perceptual" (features and a discriminator), for pleasing pictures at low rates. A file
            names the networks that made it; decoding needs no choice.
        effort: from 6 on, latents are refined for the picture (`learned.refinement`), in more
            steps with more effort, and files name networks that were trained for that; but for
            "perceptual". Decoding takes no longer for it.

    An importance map weighs what refinement descends on, so that it needs that.
    """

    id = "liu2018"
    summary = "end-to-end auto-encoder of 2018, with a hyperprior"
    extension = cmr.EXTENSION
    container = cmr.FORMAT
    packages = ("onnxruntime", "constriction")
    quality_step = 0.1
    bench_qualities = (0, 14, 28, 43, 57, 72, 86, 100)

    metric: Metric = option("mse", "what its networks were trained for", get_args(Metric))
    effort: int = effort_option("from 6 on, latents are refined for the picture")

    @property
    def networks(self) -> tuple[str, ...]:
        return store.hashes(self.id, self.metric)

    @property
    def steps(self) -> int:
        """Of refinement."""
        return refinement.STEPS[self.effort - 1]

    @property
    def uses_importance(self) -> bool:
        return self.steps > 0 and self.metric in _LEAST

    def check_importance(self) -> None:
        if self.metric not in _LEAST:
            raise UnsupportedPictureError(
                f"{self.id}:metric={self.metric} makes no use of an importance map (--roi): choose "
                f"another metric ({', '.join(_LEAST)}), or leave the map out"
            )
        steering.check_steps(self.id, self.steps)

    def encode(self, picture: Picture, quality: float) -> bytes:
        return self._encoder(picture).encode(quality, self.steps)

    def encoder(self, picture: Picture) -> Encode:
        encoder = self._encoder(picture)
        return lambda quality: encoder.encode(quality, self.steps)

    def _encoder(self, picture: Picture) -> _Encoder:
        self.check(picture)
        networks = Networks.trained_for(self.id, self.metric, refined=self.steps > 0)
        planes = planes_of(picture, ALIGN)
        least = _LEAST.get(self.metric, 1)
        weights = steering.weights(picture, ALIGN, ALIGN)
        if weights is not None:
            steering.check_size(self.id, planes, least)
        large = min(planes.shape[1:]) >= least
        return _Encoder(self.id, picture, planes, networks, large, weights)

    def encode_within(
        self, picture: Picture, budget: int, tolerance: float = TOLERANCE
    ) -> OperatingPoint:
        """Searches without refinement, then refines once, at the quality that fills the budget.

        A refinement costs as much as a dozen encodes. How much smaller it makes files depends on
        the picture, and is measured on a part of it.
        """
        encoder = self._encoder(picture)
        pixels = picture.width * picture.height
        plain = QualitySearch(lambda quality: encoder.encode(quality, 0), self.quality_step, pixels)
        if not (self.steps and encoder.can_refine):
            return plain.within(budget, self.id, tolerance)
        near = plain.largest_within(round(budget / _REFINED), tolerance=0.1)
        ratio = self._refined_part(picture, 0.0 if near is None else near.quality)
        start = plain.expected(max(1, round(_AIM * budget / ratio)))
        refined = QualitySearch(
            lambda quality: encoder.encode(quality, self.steps), self.quality_step, pixels
        )
        point = refined.largest_within(
            budget, start, tolerance=1 - _FILLED, tries=_REFINEMENTS
        ) or plain.largest_within(budget)
        if point is None:
            raise too_small(budget, self.id, min(plain.smallest, refined.smallest))
        return replace(point, encodes=plain.encodes + refined.encodes)

    def _refined_part(self, picture: Picture, quality: float) -> float:
        """Bytes after refinement relative to before, of the middle of a picture."""
        sides = picture.width, picture.height
        least = min(*sides, _LEAST[self.metric])
        width, height = (max(least, round(_PROBED * side)) for side in sides)
        left, top = (sides[0] - width) // 2, (sides[1] - height) // 2
        part = picture.cropped(left, top, width, height)
        encoder = self._encoder(Picture(part.pixels, importance=part.importance))
        return len(encoder.encode(quality, self.steps)) / len(encoder.encode(quality, 0))

    def decode(self, data: bytes, *, partial: bool = False) -> Picture:
        return self._decoded(data)

    def decode_region(self, data: bytes, region: Region, *, partial: bool = False) -> Picture:
        return self._decoded(data, region)

    def _decoded(self, data: bytes, region: Region | None = None) -> Picture:
        file = cmr.parse(data)
        networks, y = self.latents(file)
        return files.synthesised(file, networks.g_s, y, file.header.quality, region)

    def latents(self, file: cmr.Container) -> tuple[Networks, NDArray[np.float32]]:
        """The networks of a file, and its latents, (M, H / `ALIGN`, W / `ALIGN`), rounded up.

        Raises:
            DamagedFileError: the file is damaged.
            UnknownFormatError: another codec wrote it.
            WeightsError: its networks are not in this version.
        """
        head = files.of_codec(file, self.id)
        if head.payloads != 1:
            raise DamagedFileError(f"input: {head.payloads} payloads, not one")
        networks = Networks.named(self.id, head.network)
        height, width = (-(-side // ALIGN) for side in (head.height, head.width))
        return networks, networks.decode(file.payloads[0], height, width)

    def header(self, data: bytes) -> Header:
        return files.header(data)


@dataclass(frozen=True)
class _Encoder:
    """The encoding of one picture.

    Attributes:
        codec_id: that the file names.
        picture: the picture.
        planes: (3, H, W) uint8, its pixels with sides in multiples of `ALIGN`.
        networks: that code it.
        large: whether it is large enough for the distortion that refinement descends on.
        weights: (h, w), of that by place, from its importance; None without a map.
    """

    codec_id: str
    picture: Picture
    planes: NDArray[np.uint8]
    networks: Networks
    large: bool
    weights: NDArray[np.float32] | None

    @property
    def can_refine(self) -> bool:
        return self.large and self.networks.gradient is not None

    def encode(self, quality: float, steps: int) -> bytes:
        """The file of a quality, its latents refined in so many steps where that is possible."""
        networks = self.networks
        quality = round(check_quality(quality), 2)  # as the file holds it
        y, z = networks.analysed(self.planes, quality)
        parameters = networks.entropy_parameters(z, y.shape[1], y.shape[2])
        if steps and self.large and networks.gradient is not None:
            coding = Residuals(networks.contexts, *parameters)
            found = refinement.refined(
                networks.gradient, coding, y, self.planes, quality, steps, self.weights
            )
            y = found.y
        payload = networks.encode(y, z, parameters)
        return files.write(self.picture, self.codec_id, networks.h_s.id, quality, [payload])

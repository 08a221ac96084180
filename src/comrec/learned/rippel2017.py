"""Features of six scales, coded by bit-planes: `rippel2017`, progressive.

O. Rippel, L. Bourdev, "Real-Time Adaptive Image Compression", ICML 2017.

    picture ─► g_a ─► y ─► bit-planes ─► entropy coder ─► y of the planes that are there ─► g_s

The coding of the bit-planes is in `entropy.planes`.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from comrec.codec import Encode, check_quality, effort_option
from comrec.entropy.plane_costs import costs
from comrec.entropy.planes import LATTICES, PLANES, Integers, Known, PlaneModel
from comrec.errors import WeightsError
from comrec.formats import cmr
from comrec.inference import session, store, tiles
from comrec.inference.store import Network
from comrec.learned import files, progressive, refinement, steering
from comrec.learned.codings import Intervals
from comrec.learned.networks import Together
from comrec.learned.pixels import grid, planes_of
from comrec.learned.progressive import ProgressiveCodec
from comrec.metrics import MS_SSIM_SIDE
from comrec.options import option
from comrec.picture import Picture
from comrec.ratecontrol import TOLERANCE, OperatingPoint
from comrec.regions import Region

Metric = Literal["ms-ssim", "perceptual"]

_ALIGN = 32
"""Sides are extended to multiples of this: a pixel of the coarsest scale."""
_PITCH = 16  # pixels per latent, along each side
_BAND = 64  # rows of a lattice that the predictors take at once
_MOST_STEPS = 8  # of refinement; more save nothing, as costs are those around the first values


@dataclass(frozen=True)
class Networks(Together):
    """The networks of the codec, and their entropy model.

    Attributes:
        planes: the predictors; files name this one.
        gradient: for refining y; None where there is none.
    """

    role, down, not_one = "planes", 2, "codes no planes"

    g_a: Network
    g_s: Network
    planes: Network
    model: PlaneModel
    gradient: Network | None

    @classmethod
    def _around(cls, named: Network) -> Self:
        told: dict[str, str] = session.session(named).get_modelmeta().custom_metadata_map
        try:
            model = _model(told["model"], int(told.get("planes", PLANES)))
            g_a, g_s = (store.by_id(told[role]) for role in ("g_a", "g_s"))
        except (KeyError, ValueError):
            raise WeightsError(f"{named.name} lacks its tables; reinstall comrec") from None
        if len(model.order) != g_s.channels:
            raise WeightsError(f"{named.name}: its tables are of other channels; reinstall comrec")
        refines = told.get("gradient")
        gradient = store.gradient_of(g_s) if refines is None else store.by_id(refines)
        return cls(g_a, g_s, named, model, gradient)

    def predict(
        self, number: int, levels: NDArray[np.uint8], channels: NDArray[np.int64]
    ) -> tuple[Integers, Integers]:
        """See `entropy.planes.Predict`; in bands of rows, so that memory is bounded."""
        rows, columns = ((side - 1) // 2 for side in levels.shape[1:])
        if not (rows and columns and len(channels)):
            nothing = np.zeros((len(channels), rows, columns), np.int32)
            return nothing, nothing
        told = {"number": np.array(number, np.int64), "channels": channels}
        parts = []
        for top in range(0, rows, _BAND):
            band = levels[None, :, 2 * top : 2 * min(top + _BAND, rows) + 1]
            feed: dict[str, Integers] = {"levels": np.ascontiguousarray(band), **told}
            parts.append(session.run(self.planes, feed))
        index, lean = (np.concatenate(found, 2)[0] for found in zip(*parts, strict=True))
        return index, lean


@dataclass(frozen=True)
class Rippel2017(ProgressiveCodec):
    """Features of six scales, coded by bit-planes: every prefix of a file is a picture.

    Attributes:
        metric: what its networks were trained for: MS-SSIM, or "perceptual", whose decoder makes
            texture that its files do not have. A file names the networks that made it; decoding
            needs no choice.
        effort: from 6 on, latents are refined for the picture (`learned.refinement`) at the quality
            asked, from 7 on in more steps. Decoding takes no longer for it.

    An importance map weighs what refinement descends on, so that it needs that. The order of a
    stream, and where it is cut, do not depend on it.
    """

    id = "rippel2017"
    summary = "features of six scales by bit-planes, progressive"
    packages = ("onnxruntime", "constriction")
    quality_step = 100 / (PLANES * len(LATTICES) * 6)
    bench_qualities = (8, 21, 33, 42, 50, 67, 83, 100)

    metric: Metric = option("ms-ssim", "what its networks were trained for", get_args(Metric))
    effort: int = effort_option("from 6 on, latents are refined for the picture")

    @property
    def networks(self) -> tuple[str, ...]:
        return store.hashes(self.id, self.metric)

    @property
    def steps(self) -> int:
        """Of refinement."""
        return min(refinement.STEPS[self.effort - 1], _MOST_STEPS)

    @property
    def uses_importance(self) -> bool:
        return self.steps > 0

    def check_importance(self) -> None:
        steering.check_steps(self.id, self.steps)

    def encode(self, picture: Picture, quality: float) -> bytes:
        return self.encoder(picture)(quality)

    def encoder(self, picture: Picture) -> Encode:
        encoder = self._encoder(picture)

        def encode(quality: float) -> bytes:
            quality = round(check_quality(quality), 2)  # as the file holds it
            return encoder.encode(encoder.refined(quality, self.steps), quality)

        return encode

    def _encoder(self, picture: Picture) -> _Encoder:
        self.check(picture)
        networks = Networks.trained_for(self.id, self.metric)
        planes = planes_of(picture, _ALIGN)
        weights = steering.weights(picture, _ALIGN, _PITCH)
        if weights is not None:
            steering.check_size(self.id, planes, MS_SSIM_SIDE)
        (y,) = tiles.apply(networks.g_a, planes, 0.0, tiles.from_pixels)
        return _Encoder(self.id, picture, planes, networks, y, weights)

    def encode_within(
        self, picture: Picture, budget: int, tolerance: float = TOLERANCE
    ) -> OperatingPoint:
        """Encodes once, and cuts; where latents are refined, once more, for the quality that fits
        before."""
        encoder = self._encoder(picture)
        plain = self.cut_within(encoder.encode(encoder.y, 100), budget)
        better = encoder.refined(plain.quality, self.steps)
        if better is encoder.y:
            return plain
        point = self.cut_within(encoder.encode(better, 100), budget)
        return OperatingPoint(point.data, point.quality, plain.encodes + point.encodes)

    def decode(self, data: bytes, *, partial: bool = False) -> Picture:
        return self._decoded(data, partial)

    def decode_region(self, data: bytes, region: Region, *, partial: bool = False) -> Picture:
        return self._decoded(data, partial, region)

    def _decoded(self, data: bytes, partial: bool, region: Region | None = None) -> Picture:
        file = cmr.parse(data, partial=partial)
        networks, known = self._known(file)
        return files.synthesised(file, networks.g_s, known.latents, 100 * known.place, region)

    def quality_of(self, data: bytes) -> float:
        file = cmr.parse(data)
        if not progressive.stream(file).cut:
            return file.header.quality
        return 100 * self._known(file)[1].place

    def _known(self, file: cmr.Container) -> tuple[Networks, Known]:
        """The latents of a file, as far as it has them."""
        head = files.of_codec(file, self.id)
        stream = progressive.sufficient(file)
        networks = Networks.named(self.id, head.network)
        height, width = grid(head, _ALIGN, _PITCH)
        known = networks.model.decode(
            stream.data, networks.predict, height, width, head.quality / 100, stream.cut
        )
        return networks, known


@dataclass(frozen=True)
class _Encoder:
    """The encoding of one picture.

    Attributes:
        codec_id: that the file names.
        picture: the picture.
        planes: (3, H, W) uint8, its pixels with sides in multiples of `_ALIGN`.
        networks: that code it.
        y: the latents, as g_a gives them.
        weights: (h, w), of the distortion by place, from its importance; None without a map.
    """

    codec_id: str
    picture: Picture
    planes: NDArray[np.uint8]
    networks: Networks
    y: NDArray[np.float32]
    weights: NDArray[np.float32] | None

    def refined(self, quality: float, steps: int) -> NDArray[np.float32]:
        """The latents for a quality, in so many steps; `y` where that costs less, or there is no
        gradient of the distortion."""
        gradient, model = self.networks.gradient, self.networks.model
        if not steps or gradient is None or min(self.planes.shape[1:]) < MS_SSIM_SIDE:
            return self.y
        before = costs(model, self.y, self.networks.predict, quality / 100)
        intervals, place = Intervals.of(self.y, before)
        found = refinement.refined(
            gradient, intervals, place, self.planes, quality, steps, self.weights
        )
        better = intervals.moved(self.y, found.y)
        after = costs(model, better, self.networks.predict, quality / 100)
        return better if after.bits - before.bits < found.saved else self.y

    def encode(self, y: NDArray[np.float32], quality: float) -> bytes:
        """The file of a quality."""
        stream = self.networks.model.encode(y, self.networks.predict, quality / 100)
        least = progressive.least_bytes(self.picture.width, self.picture.height)
        parts = progressive.payloads(stream.ljust(least, b"\0"))
        return files.write(self.picture, self.codec_id, self.networks.planes.id, quality, parts)


@cache  # so that the coder's models, which tables keep, are made once too
def _model(packed: str, planes: int) -> PlaneModel:
    return PlaneModel.unpack(base64.b64decode(packed, validate=True), planes)

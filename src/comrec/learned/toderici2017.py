"""A recurrent codec, progressive: `toderici2017`.

G. Toderici et al., "Full Resolution Image Compression with Recurrent Neural Networks", CVPR 2017.
In the last iteration only the places have bits that need them most, after N. Johnston et al.,
"Improved Lossy Image Compression with Priming and Spatially Adaptive Bit Rates for Recurrent
Networks", CVPR 2018.

    picture ─► g_a ─► y ─►(─)─► encode ─► bits ─► entropy coder ─► bits ─► decode ─► known ─► g_s
                           ▲                                               │
                           └─────────────────── known ◄────────────────────┘

The coding of the bits is in `entropy.bits`. A stream begins with the number of iterations, and the
share of the places that go on in the last one, in 1 / 256; 0 means all (1 byte each).
"""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from comrec.codec import Codec, Encode, check_quality, effort_option
from comrec.entropy.bits import ITERATIONS, SHARES, BitModel, Flags
from comrec.errors import DamagedFileError, WeightsError
from comrec.formats import cmr
from comrec.inference import session, store, tiles
from comrec.inference.store import Network
from comrec.learned import files, progressive
from comrec.learned.networks import Together
from comrec.learned.pixels import grid, planes_of
from comrec.learned.progressive import ProgressiveCodec
from comrec.learned.recurrence import Recurrence, banded
from comrec.options import option
from comrec.picture import Picture
from comrec.ratecontrol import TOLERANCE, OperatingPoint
from comrec.regions import Region

_METRIC = "ms-ssim"  # what its networks were trained for
_ALIGN = 32
"""Sides are extended to multiples of this, which g_a wants."""
_PITCH = 16  # pixels per place, along each side


@dataclass(frozen=True)
class Networks(Together):
    """The networks of the codec, and their entropy model.

    Attributes:
        bits: of the entropy model; files name this one.
    """

    role, not_one = "bits", "codes no bits"

    g_a: Network
    g_s: Network
    encode: Network
    decode: Network
    bits: Network
    model: BitModel

    @classmethod
    def _around(cls, named: Network) -> Self:
        told: dict[str, str] = session.session(named).get_modelmeta().custom_metadata_map
        try:
            model = _model(told["model"])
            g_a, g_s, encode, decode = (
                store.by_id(told[role]) for role in ("g_a", "g_s", "encode", "decode")
            )
        except (KeyError, binascii.Error):
            raise WeightsError(f"{named.name} lacks its tables; reinstall comrec") from None
        return cls(g_a, g_s, encode, decode, named, model)

    def predict(self, iteration: int, levels: NDArray[np.uint8]) -> NDArray[Any]:
        """See `entropy.bits.Predict`."""
        (base,) = banded(self.bits, iteration, {"levels": levels[None]})
        found: NDArray[Any] = base[0]
        return found


@dataclass(frozen=True)
class Toderici2017(ProgressiveCodec):
    """A recurrent network tells what is left of a picture, in up to 16 iterations.

    Attributes:
        adaptive: "on": in the last iteration only those places of 16x16 pixels have bits that need
            them most; quality says how many. "off": all have as many.
        iterations: at most so many are written, or decoded.
    """

    id = "toderici2017"
    summary = "recurrent network, progressive by iterations"
    packages = ("onnxruntime", "constriction")
    quality_step = 0.5
    bench_qualities = (0, 14, 28, 42, 56, 70, 85, 100)
    prelude = 2

    effort: int = effort_option("changes nothing")
    adaptive: str = option(
        "on", "whether in the last iteration only places that need it have bits", ("on", "off")
    )
    iterations: int = option(
        ITERATIONS, "at most so many are written, or decoded", range(1, ITERATIONS + 1)
    )

    @property
    def networks(self) -> tuple[str, ...]:
        return store.hashes(self.id, _METRIC)

    def encode(self, picture: Picture, quality: float) -> bytes:
        return self.encoder(picture)(quality)

    def encoder(self, picture: Picture) -> Encode:
        self.check(picture)
        networks = Networks.trained_for(self.id, _METRIC)
        (y,) = tiles.apply(networks.g_a, planes_of(picture, _ALIGN), 0.0, tiles.from_pixels)
        iterations = _Iterations(networks, y)
        least = progressive.least_bytes(picture.width, picture.height) + self.prelude

        def encode(quality: float) -> bytes:
            quality = round(check_quality(quality), 2)  # as the file holds it
            data = self._encoded(iterations, quality)
            stream = data.ljust(least, b"\0")
            parts = progressive.payloads(stream)
            return files.write(picture, self.id, networks.bits.id, quality, parts)

        return encode

    def _encoded(self, iterations: _Iterations, quality: float) -> bytes:
        wanted = min(1 + (ITERATIONS - 1) * quality / 100, self.iterations)
        count = math.ceil(wanted) if self.adaptive == "on" else round(wanted)
        share = round(SHARES * (wanted - count + 1)) if self.adaptive == "on" else SHARES
        share = max(1, share)

        def choose(iteration: int) -> tuple[Flags, NDArray[np.int8]]:
            bits, left = iterations.at(iteration)
            if iteration < count - 1 or share == SHARES:
                return np.ones(left.shape, np.bool_), bits
            return _most(left, share / SHARES), bits

        networks = iterations.networks
        data = networks.model.encode(iterations.shape, networks.predict, count, share, choose)
        return bytes([count, share % SHARES]) + data

    def decode(self, data: bytes, *, partial: bool = False) -> Picture:
        return self._decoded(data, partial)

    def decode_region(self, data: bytes, region: Region, *, partial: bool = False) -> Picture:
        return self._decoded(data, partial, region)

    def _decoded(self, data: bytes, partial: bool, region: Region | None = None) -> Picture:
        file = cmr.parse(data, partial=partial)
        networks, known = self._known(file)
        return files.synthesised(file, networks.g_s, known.latents, 100 * known.share, region)

    def encode_within(
        self, picture: Picture, budget: int, tolerance: float = TOLERANCE
    ) -> OperatingPoint:
        """A search by quality, where that says how many places have bits; else a cut."""
        if self.adaptive == "on":
            return Codec.encode_within(self, picture, budget, tolerance)
        return super().encode_within(picture, budget, tolerance)

    def quality_of(self, data: bytes) -> float:
        file = cmr.parse(data)
        if not progressive.stream(file).cut:
            return file.header.quality
        share = self._known(file)[1].share
        return 100 * max(0.0, (ITERATIONS * share - 1) / (ITERATIONS - 1))

    def _known(self, file: cmr.Container) -> tuple[Networks, _Known]:
        """The latents of a file, as far as it has them."""
        head = files.of_codec(file, self.id)
        stream = progressive.sufficient(file, self.prelude)
        networks = Networks.named(self.id, head.network)
        shape = grid(head, _ALIGN, _PITCH)
        known = _Known(networks, shape)
        count, share = stream.data[0], stream.data[1] or SHARES
        if not 1 <= count <= ITERATIONS:
            raise DamagedFileError(f"input: damaged: {count} iterations, not 1 to {ITERATIONS}")
        if self.iterations < count:
            count, share = self.iterations, SHARES
        networks.model.decode(
            stream.data[2:], stream.cut, shape, networks.predict, count, share, known.add
        )
        return networks, known


class _Known:
    """What is known of latents.

    Attributes:
        latents: (M, h, w), in finest steps.
        share: of all bits that there could be, 0..1.
    """

    def __init__(self, networks: Networks, shape: tuple[int, int]) -> None:
        self.latents = np.zeros((networks.model.latents, *shape), np.float32)
        self.share = 0.0
        self._iteration = 0
        self._decode = Recurrence(networks.decode, shape)

    def add(self, bits: NDArray[np.int8]) -> None:
        """The bits (BITS, h, w) of an iteration more: 1, -1, or 0 where one is not there."""
        feed = {"bits": bits.astype(np.float32), "known": self.latents}
        self.latents = self._decode.step(self._iteration, feed)
        self.share += float(np.abs(bits).mean()) / ITERATIONS
        self._iteration += 1


class _Iterations:
    """The iterations of a picture's latents, in which all places have bits; each is computed once,
    as the files of all qualities begin alike.

    Attributes:
        networks: that code it.
        shape: (h, w) of its places.
    """

    def __init__(self, networks: Networks, y: NDArray[np.float32]) -> None:
        height, width = y.shape[1:]
        self.networks, self.shape = networks, (height, width)
        self._y = y
        self._encode = Recurrence(networks.encode, self.shape)
        self._known = _Known(networks, self.shape)
        self._found: list[tuple[NDArray[np.int8], NDArray[np.float32]]] = []

    def at(self, iteration: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """The bits (BITS, h, w), and what was left of each place before, squared and summed."""
        while len(self._found) <= iteration:
            if self._found:
                self._known.add(self._found[-1][0])
            left = self._y - self._known.latents
            signs = self._encode.step(len(self._found), {"left": left})
            bits = np.where(signs >= 0, 1, -1).astype(np.int8)
            self._found.append((bits, (left * left).sum(0)))
        return self._found[iteration]


def _most(energy: NDArray[np.float32], share: float) -> Flags:
    """Which places (h, w) are those of a share that have most of it; one at least."""
    order = np.argsort(-energy, axis=None, kind="stable")
    found = np.zeros(energy.size, np.bool_)
    found[order[: max(1, round(share * energy.size))]] = True
    return found.reshape(energy.shape)


@cache  # so that the coder's models, which tables keep, are made once too
def _model(packed: str) -> BitModel:
    return BitModel.unpack(base64.b64decode(packed, validate=True))

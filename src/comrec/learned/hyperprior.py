"""Networks trained together around a mean and scale hyperprior, and the coding of latents.

Minnen, Ballé, Toderici, "Joint Autoregressive and Hierarchical Priors for Learned Image
Compression" (NeurIPS 2018), with contexts in place of the autoregressive model
(`entropy.contexts`): hyper-latents z are coded under one table per channel; h_s computes from them,
in integers, a scale index and a mean for each latent.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from comrec.entropy.coder import Decoder, Encoder
from comrec.entropy.contexts import ContextModel
from comrec.entropy.tables import Table, unpack
from comrec.errors import DamagedFileError, WeightsError
from comrec.inference import store, tiles
from comrec.inference.session import session
from comrec.inference.store import Network
from comrec.learned.networks import Together

ALIGN = 16
"""Pixels per latent, along each side."""
HYPER = 4
"""Latents per hyper-latent, along each side."""
Z_LIMIT = 63
"""Hyper-latents are -Z_LIMIT..Z_LIMIT."""

_FIRST_BYTES = 8  # the coder's state

Floats = NDArray[np.float32]
Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Networks(Together):
    """The networks of a hyperprior, and their entropy model.

    Attributes:
        tables: of z, by channel.
        contexts: the context model of y.
        gradient: for refining y; None where there is none.
    """

    role, up, not_one = "h_s", HYPER, "is no h_s"

    g_a: Network
    h_a: Network
    h_s: Network
    g_s: Network
    tables: tuple[Table, ...]
    contexts: ContextModel
    gradient: Network | None

    @classmethod
    def _around(cls, named: Network) -> Self:
        told: dict[str, str] = session(named).get_modelmeta().custom_metadata_map
        try:
            tables, contexts = _entropy_model(told["hyper_tables"], told["contexts"])
            others = {role: store.by_id(told[role]) for role in ("g_a", "h_a", "g_s")}
            gradient = store.by_id(told["gradient"]) if "gradient" in told else None
        except (KeyError, binascii.Error):
            raise WeightsError(f"{named.name} lacks its tables; reinstall comrec") from None
        if (len(tables), len(contexts.order)) != (named.channels, others["h_a"].channels):
            raise WeightsError(f"{named.name}: its tables are of other channels; reinstall comrec")
        return cls(h_s=named, tables=tables, contexts=contexts, gradient=gradient, **others)

    def entropy_parameters(self, z: Integers, height: int, width: int) -> tuple[Integers, Integers]:
        """Scale index and mean of each latent, (M, height, width) each; see `ContextModel`."""
        outputs = tiles.apply(self.h_s, z, 0.0, np.ascontiguousarray, _as_bytes, _as_short)
        scale_index, mean = (output[:, :height, :width] for output in outputs)
        return scale_index, mean

    def analysed(self, planes: NDArray[np.uint8], quality: float) -> tuple[Floats, Integers]:
        """The latents y, (M, H / `ALIGN`, W / `ALIGN`), and the hyper-latents z of a picture.

        Args:
            planes: (3, H, W), sides in multiples of `ALIGN`.
            quality: 0..100.
        """
        (y,) = tiles.apply(self.g_a, planes, quality, tiles.from_pixels)
        (hyper,) = tiles.apply(self.h_a, y)
        return y, np.clip(np.rint(hyper), -Z_LIMIT, Z_LIMIT).astype(np.int32)

    def encode(self, y: Floats, z: Integers, parameters: tuple[Integers, Integers]) -> bytes:
        """The coded latents; ``parameters`` are the `entropy_parameters` of z."""
        encoder = Encoder()
        encoder.add(z, _channels(z.shape), self.tables)
        self.contexts.encode(encoder, y, *parameters)
        return encoder.finish()

    def decode(self, payload: bytes, height: int, width: int) -> Floats:
        """The latents y, (M, height, width), of their coded bytes.

        Raises:
            DamagedFileError: the bytes are damaged.
        """
        shape = len(self.tables), -(-height // HYPER), -(-width // HYPER)
        self._check_room(payload, shape[1] * shape[2])
        decoder = Decoder(payload)
        z = decoder.take(_channels(shape), self.tables)
        if np.abs(z).max() > Z_LIMIT:
            raise DamagedFileError("input: damaged coded values (a hyper-latent is out of range)")
        y = self.contexts.decode(decoder, *self.entropy_parameters(z, height, width))
        decoder.finish()
        return y

    def _check_room(self, payload: bytes, positions: int) -> None:
        """Refuse a size that so few bytes cannot hold, before anything is made for it.

        Every hyper-latent costs at least its table's shortest code: all of them together about
        1 byte in 11,000 pixels, where the file of a picture of one colour has one in 600 or fewer.
        Half of that is asked for, and 8 bytes less: the coder's integer arithmetic can save a
        little on each value, and some on the first.
        """
        least = positions * sum(table.least_bits for table in self.tables) / 2
        if least > 8 * (len(payload) + _FIRST_BYTES):
            raise DamagedFileError(
                f"input: damaged: {len(payload):,} bytes of coded values cannot hold a picture of "
                "the size in its header"
            )


@cache  # so that the coder's models, which tables keep, are made once too
def _entropy_model(tables: str, contexts: str) -> tuple[tuple[Table, ...], ContextModel]:
    """The tables of z and the context model of y, from base64 in the metadata of h_s."""
    return (
        unpack(base64.b64decode(tables, validate=True)),
        ContextModel.unpack(base64.b64decode(contexts, validate=True)),
    )


def _as_bytes(scale_index: Integers) -> Integers:
    return scale_index.astype(np.uint8)


def _as_short(mean: Integers) -> Integers:
    return mean.astype(np.int16)


def _channels(shape: tuple[int, ...]) -> Integers:
    """The channel of each hyper-latent, which is the index of its table."""
    return np.broadcast_to(np.arange(shape[0])[:, None, None], shape)

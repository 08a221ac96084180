"""An auto-encoder trained end to end, from easy to hard: `liu2018`.

H. Liu, T. Chen, Q. Shen, T. Yue, Z. Ma, "Deep Image Compression via End-to-End Learning", CVPR
Workshops (CLIC) 2018.

    picture ─► g_a ─► y ─► round(y - mean) ─► entropy coder ─► + mean ─► g_s ─► picture
                      │             ▲ index, mean
                      └─► h_a ─► z ─┴─ h_s (in integers)

The entropy model is the mean and scale hyperprior of Minnen, Ballé, Toderici (NeurIPS 2018), with
contexts (`entropy.contexts`): z is coded under a table a channel; h_s makes of it an index and a
mean for each latent; its table is chosen by the index and by the latents coded before.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from comrec.codec import Codec, check_effort, check_quality
from comrec.entropy.coder import Decoder, Encoder
from comrec.entropy.contexts import ContextModel
from comrec.entropy.tables import Table, unpack
from comrec.errors import DamagedFileError, OptionError, UnknownFormatError, WeightsError
from comrec.inference import store, tiles
from comrec.inference.session import session
from comrec.inference.store import Network
from comrec.learned import container, refinement
from comrec.metrics import MS_SSIM_SIDE, luma
from comrec.picture import Picture

Metric = Literal["mse", "ms-ssim", "perceptual"]

ALIGN = 16
"""Pixels a latent, along each side."""
HYPER = 4
"""Latents a hyper-latent, along each side."""
Z_LIMIT = 63
"""Hyper-latents are -Z_LIMIT..Z_LIMIT."""

_STEPS = (0, 0, 0, 0, 0, 3, 4, 8, 16, 40)
"""Of refinement, by effort from 1."""
_LEAST = {"mse": 1, "ms-ssim": MS_SSIM_SIDE}
"""Pixels that the distortion to refine for needs, along each side."""

Floats = NDArray[np.float32]
Integers = NDArray[np.integer[Any]]


class Liu2018(Codec):
    """A convolutional auto-encoder, its latents coded under a hyperprior; one network, all rates.

    Args:
        metric: what its networks were trained for: "mse" (squared error), "ms-ssim", or
            "perceptual" (features and a critic), for pleasing pictures at low rates. A file says
            which made it; decoding needs no choice.
        effort: from 6 on, latents are refined for the picture (`learned.refinement`), in more
            steps with more effort; but for "perceptual". Decoding takes no longer for it.
    """

    id = "liu2018"
    summary = "end-to-end auto-encoder of 2018, with a hyperprior"
    extension = container.EXTENSION
    step = 0.1

    def __init__(self, metric: Metric = "mse", effort: int = 7) -> None:
        if metric not in get_args(Metric):
            raise OptionError(f"metric must be one of {', '.join(get_args(Metric))}, not {metric}")
        self.metric = metric
        self.steps = _STEPS[check_effort(effort) - 1]

    def encode(self, picture: Picture, quality: float) -> bytes:
        quality = round(check_quality(quality), 2)  # as the file holds it
        networks = _Networks.trained_for(self.metric)
        rows, columns = (-side % ALIGN for side in (picture.height, picture.width))
        padded = np.pad(picture.rgb, ((0, rows), (0, columns), (0, 0)), mode="edge")
        planes = padded.transpose(2, 0, 1)
        (y,) = tiles.apply(networks.g_a, planes, quality, tiles.of_pixels)
        (hyper,) = tiles.apply(networks.h_a, y)
        z = np.clip(np.rint(hyper), -Z_LIMIT, Z_LIMIT).astype(np.int32)
        index, mean = networks.conditions(z, y.shape[1], y.shape[2])
        if self.steps and networks.gradient and min(padded.shape[:2]) >= _LEAST[self.metric]:
            y = refinement.refined(
                networks.gradient, networks.contexts, y, planes, index, mean, quality, self.steps
            )
        encoder = Encoder()
        encoder.add(z, _channels(z.shape), networks.tables)
        networks.contexts.encode(encoder, y, index, mean)
        payload = encoder.finish()
        return container.write(picture, self.id, networks.h_s.id, quality, [payload])

    def decode(self, data: bytes) -> Picture:
        file = container.parse(data)
        head = file.header
        if head.codec != self.id:
            raise UnknownFormatError(f"input: a .cmr file of the codec {head.codec}, not {self.id}")
        if head.payloads != 1:
            raise DamagedFileError(f"input: {head.payloads} payloads, not one")
        networks = _Networks.named(head.network)
        height, width = (-(-side // ALIGN) for side in (head.height, head.width))
        y = _decoded(file.payloads[0], networks, height, width)
        (planes,) = tiles.apply(
            networks.g_s, y, head.quality, np.ascontiguousarray, tiles.to_pixels
        )
        pixels = np.ascontiguousarray(planes[:, : head.height, : head.width].transpose(1, 2, 0))
        if head.channels == 1:
            pixels = np.rint(luma(pixels)).astype(np.uint8)
        return file.picture(pixels)

    def size(self, data: bytes) -> tuple[int, int]:
        head = container.header(data)
        return head.width, head.height


@dataclass(frozen=True)
class _Networks:
    """Four networks that were trained together, and what of them lies in the files of weights.

    Attributes:
        tables: of z, by channel.
        contexts: how y is coded.
        gradient: for refining y; not all have one.
    """

    g_a: Network
    h_a: Network
    h_s: Network
    g_s: Network
    tables: tuple[Table, ...]
    contexts: ContextModel
    gradient: Network | None

    @classmethod
    def trained_for(cls, metric: Metric) -> Self:
        """The current ones.

        Raises:
            WeightsError: none are in the package.
        """
        h_s = store.find(Liu2018.id, metric, "h_s", HYPER)
        if h_s is None:
            raise WeightsError(f"{Liu2018.id}: this version ships no networks for {metric}")
        return cls._around(h_s)

    @classmethod
    def named(cls, network_id: str) -> Self:
        """Those that a file names.

        Raises:
            WeightsError: they are not in this version.
            DamagedFileError: the file names something else.
        """
        h_s = store.by_id(network_id)
        if (h_s.family, h_s.role) != (Liu2018.id, "h_s"):
            raise DamagedFileError(f"input: damaged: it names {h_s.name}, which is no h_s")
        return cls._around(h_s)

    @classmethod
    def _around(cls, h_s: Network) -> Self:
        named: dict[str, str] = session(h_s).get_modelmeta().custom_metadata_map
        try:
            tables = unpack(base64.b64decode(named["hyper_tables"], validate=True))
            contexts = ContextModel.unpack(base64.b64decode(named["contexts"], validate=True))
            others = {role: store.by_id(named[role]) for role in ("g_a", "h_a", "g_s")}
            gradient = store.by_id(named["gradient"]) if "gradient" in named else None
        except (KeyError, binascii.Error):
            raise WeightsError(f"{h_s.name} lacks its tables; reinstall comrec") from None
        if (len(tables), len(contexts.order)) != (h_s.channels, others["h_a"].channels):
            raise WeightsError(f"{h_s.name}: its tables are of other channels; reinstall comrec")
        return cls(h_s=h_s, tables=tables, contexts=contexts, gradient=gradient, **others)

    def conditions(self, z: Integers, height: int, width: int) -> tuple[Integers, Integers]:
        """Of each latent, (M, height, width): the index, and the mean."""
        outputs = tiles.apply(self.h_s, z, 0.0, np.ascontiguousarray, _as_bytes, _as_short)
        index, mean = (output[:, :height, :width] for output in outputs)
        return index, mean


def _as_bytes(index: Integers) -> Integers:
    return index.astype(np.uint8)


def _as_short(mean: Integers) -> Integers:
    return mean.astype(np.int16)


def _decoded(payload: bytes, networks: _Networks, height: int, width: int) -> Floats:
    """The latents y, (M, height, width), that the encoder's g_s would get."""
    shape = len(networks.tables), -(-height // HYPER), -(-width // HYPER)
    decoder = Decoder(payload)
    z = decoder.take(_channels(shape), networks.tables)
    if np.abs(z).max() > Z_LIMIT:
        raise DamagedFileError("input: damaged coded values (a hyper-latent is out of range)")
    index, mean = networks.conditions(z, height, width)
    y = networks.contexts.decode(decoder, index, mean)
    decoder.finish()
    return y


def _channels(shape: tuple[int, ...]) -> Integers:
    """The channel of each hyper-latent, which is its table's place."""
    return np.broadcast_to(np.arange(shape[0])[:, None, None], shape)

"""Latents of `liu2018` as its files hold them, made beforehand: what g_s alone learns from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from comrec import codec
from comrec.entropy.contexts import MEAN_STEPS
from comrec.formats import cmr
from comrec.learned.hyperprior import ALIGN, Networks
from comrec.learned.liu2018 import Liu2018
from comrec.picture import Picture
from comrec.train.contexts import Latents
from comrec.train.data import WORKERS, PhotoStore, Track

_KIND = np.dtype("<i2")  # of a latent in a store, in 1 / MEAN_STEPS
_CODEC = "liu2018"


@dataclass(frozen=True)
class _Filed:
    """What a file of `liu2018` holds of a patch, refined for it as the package does.

    Attributes:
        metric: of the networks.
        lowest, highest: range of the quality.
    """

    metric: str
    lowest: float
    highest: float

    def __call__(
        self, pixels: NDArray[np.uint8], fraction: float
    ) -> tuple[NDArray[np.uint8], list[float]]:
        """See `data.Degradation`; the first condition is the quality in 0..1, the other nothing."""
        coder = codec.get(_CODEC, metric=self.metric)
        assert isinstance(coder, Liu2018)
        quality = self.lowest + fraction * (self.highest - self.lowest)
        file = cmr.parse(coder.encode(Picture(pixels), quality))
        _, latents = coder.latents(file)
        limits = np.iinfo(_KIND)
        steps = np.clip(MEAN_STEPS * latents, limits.min, limits.max).astype(_KIND)
        places = np.ascontiguousarray(steps.transpose(1, 2, 0)).view(np.uint8)
        return places, [file.header.quality / 100, 0.0]


def add(
    store: PhotoStore, metric: str, qualities: tuple[float, float], count: int, track: Track
) -> None:
    """Code every patch of a store once in each of so many parts of the range of qualities."""
    channels = _KIND.itemsize * Networks.trained_for(_CODEC, metric).g_s.channels
    made = _Filed(metric, *qualities)
    store.add_quality_bins(
        "latents", made, count, ALIGN, WORKERS, track, lambda fraction: 1.0, channels
    )


def coded(store: PhotoStore, networks: Networks, count: int) -> Iterator[Latents]:
    """What so many files of a store hold, and what it is coded with."""
    random = np.random.default_rng(2018)
    for number in random.permutation(len(store.shapes) * len(store.bins))[:count]:
        patch, part = divmod(int(number), len(store.bins))
        _, y, quality = take(store, [(patch, part)])
        planes = np.ascontiguousarray(store.original[patch].transpose(2, 0, 1))
        _, z = networks.analysed(planes, round(100 * float(quality[0]), 2))
        index, mean = networks.entropy_parameters(z, *y.shape[2:])
        whole = (part.astype(np.int64) for part in (index, mean, z))
        yield Latents(y[0].numpy(), *whole)


def take(store: PhotoStore, wanted: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Whole patches of a store and their latents.

    Args:
        wanted: numbers of a patch and of a part of the range of qualities.
    Returns:
        (N, 3, H, W) in 0..1; (N, M, H / `ALIGN`, W / `ALIGN`) latents; (N,) qualities in 0..1.
    """
    originals, latents, qualities = [], [], []
    for patch, part in wanted:
        flat, conditions = store.bins[part]
        originals.append(store.original[patch])
        latents.append(flat[patch].view(_KIND))
        qualities.append(conditions[patch][0])
    pixels, steps = (torch.from_numpy(np.stack(each)).float() for each in (originals, latents))
    x, y = pixels.permute(0, 3, 1, 2) / 255, steps.permute(0, 3, 1, 2) / MEAN_STEPS
    return x, y, torch.tensor(qualities, dtype=torch.float32)

"""Latents of `liu2018` as its files hold them, made beforehand: what g_s alone learns from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from comrec.entropy.contexts import MEAN_STEPS
from comrec.learned.hyperprior import ALIGN, Networks
from comrec.train.contexts import Latents
from comrec.train.data import WORKERS, PhotoStore, QualityBins, Track
from comrec.train.degradation import LATENT, LatentsOf

_CODEC = "liu2018"


def add(
    store: PhotoStore, metric: str, qualities: tuple[float, float], count: int, track: Track
) -> None:
    """Code every patch of a store once in each of so many parts of the range of qualities."""
    channels = LATENT.itemsize * Networks.trained_for(_CODEC, metric).g_s.channels
    made = LatentsOf(metric, *qualities)
    bins = QualityBins("latents", made, count, ALIGN, lambda fraction: 1.0, channels)
    store.add_quality_bins([bins], WORKERS, track)


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
        latents.append(flat[patch].view(LATENT))
        qualities.append(conditions[patch][0])
    pixels, steps = (torch.from_numpy(np.stack(each)).float() for each in (originals, latents))
    x, y = pixels.permute(0, 3, 1, 2) / 255, steps.permute(0, 3, 1, 2) / MEAN_STEPS
    return x, y, torch.tensor(qualities, dtype=torch.float32)

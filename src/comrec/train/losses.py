"""Distortion losses. Pixels are in 0..1."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_rmse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of each sample's root mean squared error.

    Between plain MSE, where the lowest qualities drown the others, and log MSE, which flat
    crops dominate.
    """
    squares = (prediction.float() - target).square().flatten(1).mean(1)
    return torch.sqrt(squares + 1e-6).mean()


def half_mse(prediction: Tensor, target: Tensor) -> Tensor:
    """(1 / 2N) sum of squared errors: equations 3 and 6 of Jiang et al. 2017."""
    return 0.5 * (prediction.float() - target).square().mean()

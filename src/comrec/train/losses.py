"""Distortion losses. Pixels are in 0..1."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from comrec.blocks import RGB_TO_YCC

_YCBCR_WEIGHTS = (6.0, 1.0, 1.0)
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


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


def squares_255(prediction: Tensor, target: Tensor) -> Tensor:
    """(N,) mean squared errors in grey levels."""
    return (prediction.float() - target).square().flatten(1).mean(1) * 255**2


def price(quality: Tensor, lambdas: tuple[float, float]) -> Tensor:
    """(N,) lambda, in bits per pixel per unit of distortion: from the first of ``lambdas`` at
    quality 0 to the other at 1, interpolated in the logarithm."""
    low, high = (math.log(value) for value in lambdas)
    return torch.exp(low + (high - low) * quality)


def distortion(metric: str) -> Callable[[Tensor, Tensor], Tensor]:
    """What lambda weighs, by metric: a function of prediction and target, (N, C, H, W), to (N,)."""
    return {"ms-ssim": _dissimilarity, "ms-ssim-ycbcr": _dissimilarity_ycbcr}.get(
        metric, squares_255
    )


def _dissimilarity(prediction: Tensor, target: Tensor) -> Tensor:
    return 1 - ms_ssim(prediction, target).mean(1)


def _dissimilarity_ycbcr(prediction: Tensor, target: Tensor) -> Tensor:
    """Of YCbCr, weighted 6:1:1, as in Rippel and Bourdev 2017."""
    pairs = (to_ycbcr(prediction.float()), to_ycbcr(target.float()))
    weights = torch.tensor(_YCBCR_WEIGHTS, device=target.device)
    shares = weights * (len(weights) / sum(_YCBCR_WEIGHTS))
    return 1 - (ms_ssim(*pairs) * shares).mean(1)


def to_ycbcr(rgb: Tensor) -> Tensor:
    """(N, 3, H, W) in 0..1 to JFIF's YCbCr, all in 0..1."""
    weight = torch.from_numpy(RGB_TO_YCC).to(rgb)[:, :, None, None]
    return F.conv2d(rgb, weight) + rgb.new_tensor([0.0, 0.5, 0.5]).view(1, 3, 1, 1)


def ms_ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """(N, C) multi-scale structural similarities of each channel, with gradients.

    Their mean over the channels is `metrics.ms_ssim`.

    Args:
        prediction, target: (N, C, H, W), sides of at least 161, and multiples of 16.
    """
    a, b = prediction.float(), target.float()
    product = torch.ones(a.shape[:2], device=a.device)
    for scale, weight in enumerate(_SCALE_WEIGHTS):
        if scale:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        whole, contrast = _similarity(a, b)
        last = scale == len(_SCALE_WEIGHTS) - 1
        # Not to 0, where the power's gradient has no end.
        product = product * (whole if last else contrast).clamp_min(1e-4) ** weight
    return product


def ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """(N, C) structural similarities of each channel.

    Args:
        prediction, target: (N, C, H, W), sides of at least 11.
    """
    return _similarity(prediction.float(), target.float())[0]


def local_ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """The structural similarity around each sample; pictures go on mirrored beyond their edges.

    Args:
        prediction, target: (N, C, H, W), which the result has, too; sides of at least 6.
    """
    a, b = (F.pad(x.float(), (5, 5, 5, 5), "reflect") for x in (prediction, target))
    return _similarities(a, b)[0]


def _similarity(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Per picture and channel: mean SSIM, and mean of its contrast and structure term alone."""
    whole, contrast = _similarities(a, b)
    return whole.mean((2, 3)), contrast.mean((2, 3))


def _similarities(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM, and its contrast and structure term alone, by position; shapes as of `_blur`."""
    mean_a, mean_b = _blur(a), _blur(b)
    means, powers = mean_a * mean_b, mean_a**2 + mean_b**2
    variances, covariance = _blur(a * a + b * b) - powers, _blur(a * b) - means
    contrast = (2 * covariance + 0.03**2) / (variances + 0.03**2)
    return contrast * (2 * means + 0.01**2) / (powers + 0.01**2), contrast


def _blur(x: Tensor) -> Tensor:
    """11-tap Gaussian of sigma 1.5, where it fits whole; (..., H, W) to (..., H - 10, W - 10).

    By matrices: convolutions of one channel are slow.
    """
    return _band(x.shape[-2], x.device) @ x @ _band(x.shape[-1], x.device).T


def _band(side: int, device: torch.device) -> Tensor:
    """(side - 10, side): the window at each place."""
    row = torch.arange(side - 10, device=device)[:, None]
    offset = torch.arange(side, device=device) - row - 5
    weights = torch.exp(-(offset**2) / 4.5) * (offset.abs() <= 5)
    return weights / weights.sum(1, keepdim=True)

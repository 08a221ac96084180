"""What the entropy coder will ask for, as estimates to train with.

Latents y are coded as integer distances from a predicted mean, under tables that are counted when
training is done (`entropy.contexts`); Laplacians stand for them. Hyper-latents z are coded under
one table per channel. The estimates include what rare values cost: the least frequency, and
escapes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comrec.entropy.contexts import INDICES
from comrec.entropy.tables import TOTAL
from comrec.learned.hyperprior import Z_LIMIT
from comrec.train.integer import bound

# Of the scales that the indices stand for; Ballé et al. 2018 space theirs so.
_LOWEST, _HIGHEST = math.log(0.11), math.log(128)
_LOG_STEP = (_HIGHEST - _LOWEST) / (INDICES - 1)


def scale_of(index: Tensor) -> Tensor:
    """How widely a latent of this index may vary: twice the mean distance from its mean."""
    return torch.exp(_LOWEST + _LOG_STEP * index)


def laplacian_bits(distance: Tensor, scale: Tensor) -> Tensor:
    """Bits to code each distance from the mean, integer or with noise added.

    Under Laplacians, whose tails are those of latents better than Gaussians' are.
    """
    away = distance.abs()
    width = scale / 2
    near = away.clamp_max(0.5)
    inside = 1 - (torch.exp((near - 0.5) / width) + torch.exp((-near - 0.5) / width)) / 2
    outside = (0.5 - away).clamp_max(0) / width + torch.log(-torch.expm1(-1 / width) / 2)
    bits = torch.where(away < 0.5, -torch.log2(inside.clamp_min(1e-9)), -outside / math.log(2))
    # Tables end where a value would get less than the least frequency; then come escapes.
    most = math.log2(TOTAL)
    reach = width * torch.log(TOTAL / (2 * width)).clamp_min(0)
    beyond = F.relu(away - reach.clamp_min(1) - 0.5)
    return bits.clamp_max(most) + 2 * torch.log2(1 + 2 * beyond)


class Factorised(nn.Module):
    """One distribution per channel for z: a mixture of three logistics, read at the integers, and a
    little of all values alike.

    Without that, and with logistics as narrow as they like, a channel that was silent for a while
    is never again taken for one that is not: there would be no gradient.
    """

    COMPONENTS = 3
    NARROWEST = -2.5  # the logarithm of its scale

    def __init__(self, channels: int) -> None:
        super().__init__()
        shape = (self.COMPONENTS, channels, 1, 1)
        self.weight = nn.Parameter(torch.zeros(shape))
        means = torch.linspace(-2, 2, self.COMPONENTS).view(-1, 1, 1, 1)
        self.mean = nn.Parameter(means.repeat(1, channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(shape))

    def _mass(self, z: Tensor) -> Tensor:
        away = (z - self.mean[:, None]).abs()
        narrow = torch.exp(-bound(self.log_scale, self.NARROWEST, 16))[:, None]
        # On the side where both are small, so that the difference keeps its digits.
        mass = torch.sigmoid((0.5 - away) * narrow) - torch.sigmoid((-0.5 - away) * narrow)
        return (torch.softmax(self.weight, 0)[:, None] * mass).sum(0)

    def forward(self, z: Tensor) -> Tensor:
        """Bits to code each of z, (N, C, h, w), integer or with noise added."""
        values = 2 * Z_LIMIT + 1
        return -torch.log2((self._mass(z) + 1 / TOTAL) / (1 + values / TOTAL))

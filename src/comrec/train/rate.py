"""What the entropy coder will ask for, as estimates to train with.

Latents y are coded as integer distances from a mean, under one of the discretised Gaussians of
`entropy.tables`; hyper-latents z under one table a channel. The estimates include what rare
values cost there: the least frequency, and escapes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comrec.entropy.tables import SCALES, TOTAL, Table
from comrec.learned.liu2018 import Z_LIMIT

_LOWEST, _HIGHEST = (math.log(scale / 1000) for scale in (SCALES[0], SCALES[-1]))
_LOG_STEP = (_HIGHEST - _LOWEST) / (len(SCALES) - 1)


def scale_of(index: Tensor) -> Tensor:
    """Standard deviation of a table of `entropy.tables.gaussians`, by its index."""
    return torch.exp(_LOWEST + _LOG_STEP * index)


def gaussian_bits(distance: Tensor, scale: Tensor) -> Tensor:
    """Bits to code each distance from the mean, integer or with noise added."""
    away = distance.abs()
    mass = torch.special.ndtr((0.5 - away) / scale) - torch.special.ndtr((-0.5 - away) / scale)
    # Tables end where a value would get less than the least frequency; then come escapes.
    density = TOTAL / (math.sqrt(2 * math.pi) * scale)
    reach = (scale * torch.sqrt(2 * torch.log(density))).clamp_min(1)
    beyond = F.relu(away - reach - 0.5)
    return -torch.log2(mass.clamp_min(1 / TOTAL)) + 2 * torch.log2(1 + 2 * beyond)


class Factorised(nn.Module):
    """One distribution a channel for z: a mixture of three logistics, read at the integers."""

    COMPONENTS = 3

    def __init__(self, channels: int) -> None:
        super().__init__()
        shape = (self.COMPONENTS, channels, 1, 1)
        self.weight = nn.Parameter(torch.zeros(shape))
        means = torch.linspace(-2, 2, self.COMPONENTS).view(-1, 1, 1, 1)
        self.mean = nn.Parameter(means.repeat(1, channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(shape))

    def _mass(self, z: Tensor) -> Tensor:
        away = (z - self.mean[:, None]).abs()
        narrow = torch.exp(-self.log_scale)[:, None]
        # On the side where both are small, so that the difference keeps its digits.
        mass = torch.sigmoid((0.5 - away) * narrow) - torch.sigmoid((-0.5 - away) * narrow)
        return (torch.softmax(self.weight, 0)[:, None] * mass).sum(0)

    def forward(self, z: Tensor) -> Tensor:
        """Bits to code each of z, (N, C, h, w), integer or with noise added."""
        return -torch.log2(self._mass(z).clamp_min(1 / TOTAL))

    def tables(self) -> list[Table]:
        """The coder's table of each channel, over -63..63."""
        symbols = torch.arange(-Z_LIMIT, Z_LIMIT + 1.0, device=self.weight.device)
        with torch.no_grad():
            mass = self._mass(symbols.view(1, 1, -1, 1).expand(1, self.weight.shape[1], -1, 1))
        return [Table.of_pmf(row, -Z_LIMIT) for row in mass[0, :, :, 0].double().cpu().numpy()]

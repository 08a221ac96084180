"""The networks of `toderici2017` that are shipped: the paper's recurrence, on features.

Toderici et al., "Full Resolution Image Compression with Recurrent Neural Networks" (CVPR 2017),
equations 1 and 2, additive reconstruction, with the latents y of an auto-encoder in the place of
pixels:

    b_t = B(E(y - y_(t-1)))      y_t = y_(t-1) + D(b_t)      picture = g_s(y_T)

so that an encoder need not make a picture, nor a decoder more than one, in each iteration. g_a and
g_s are those of `rippel2017` (`train.rippel2017`). E and D have a linear branch of their own for
each iteration, which starts as `train.bitplan` says, and a recurrent unit, whose output starts as
zero.

Shapes: y is (B, M, h, w), bits (B, BITS, h, w): 1, -1, or 0 where a bit is not known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comrec.entropy.bits import BITS, ITERATIONS
from comrec.train.bitplan import Plan
from comrec.train.learned import convolution
from comrec.train.recurrent import UNITS, State, Unit

_LEAST = 0.25  # finest steps: what is left of a latent is not scaled up from less


class Encoder(nn.Module):
    """What is left of the latents, to the sign of each bit, in about -1..1.

    left ─ scale ─┬─ linear, by iteration ──────────+─ result
                  └─ recurrent unit ─ conv 1x1 ─────┘
    """

    def __init__(self, latents: int, hidden: int, unit: str) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(ITERATIONS, latents, 1, 1))  # its logarithm
        self.straight = nn.Parameter(torch.zeros(ITERATIONS, BITS, latents))
        self.offset = nn.Parameter(torch.zeros(ITERATIONS, BITS))
        self.unit: Unit = UNITS[unit](latents, hidden)
        self.out = convolution(hidden, BITS, size=1)
        _silence(self.out)

    def begin(self, plan: Plan) -> None:
        with torch.no_grad():
            scale = _scale_of(plan)
            self.scale.copy_(-scale.log()[:, :, None, None])
            channel = torch.from_numpy(plan.channel)
            self.straight.zero_()
            self.straight.scatter_(2, channel[:, :, None], 1.0)
            self.offset.copy_(-torch.from_numpy(plan.threshold) / scale.gather(1, channel))

    def forward(
        self, left: Tensor, iteration: Tensor, state: Sequence[Tensor]
    ) -> tuple[Tensor, State]:
        x = left * self.scale[iteration].exp()
        weight = self.straight[iteration][:, :, None, None]
        straight = F.conv2d(x, weight, self.offset[iteration])
        h, after = self.unit(x, state)
        return straight + self.out(h), after


class Decoder(nn.Module):
    """Bits of an iteration and the latents as known before, to what is known of them then.

    bits ──┬─ linear, by iteration ──────────────┐
           └─┬─ recurrent unit ─ conv 1x1 ─ scale ─+─ known ─
    known ───┴─────────────────────────────────────┘
    """

    def __init__(self, latents: int, hidden: int, unit: str) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(ITERATIONS, latents, 1, 1))  # its logarithm
        self.straight = nn.Parameter(torch.zeros(ITERATIONS, latents, 2 * BITS))
        self.unit: Unit = UNITS[unit](BITS + latents, hidden)
        self.out = convolution(hidden, latents, size=1)
        _silence(self.out)

    def begin(self, plan: Plan) -> None:
        with torch.no_grad():
            self.scale.copy_(-_scale_of(plan).log()[:, :, None, None])
            self.straight.zero_()
            off, on = torch.from_numpy(plan.off), torch.from_numpy(plan.on)
            # A known bit of 1 or -1 adds on or off.
            for first, value in ((0, (on - off) / 2), (BITS, (on + off) / 2)):
                for bit in range(BITS):
                    rows = torch.arange(ITERATIONS)
                    channel = torch.from_numpy(plan.channel[:, bit])
                    self.straight[rows, channel, first + bit] = value[:, bit]

    def forward(
        self, bits: Tensor, known: Tensor, iteration: Tensor, state: Sequence[Tensor]
    ) -> tuple[Tensor, State]:
        scale = self.scale[iteration].exp()
        both = torch.cat([bits, bits.abs()], 1)
        straight = F.conv2d(both, self.straight[iteration][:, :, None, None])
        h, after = self.unit(torch.cat([bits, known * scale], 1), state)
        return known + straight + self.out(h) / scale, after


def binary(x: Tensor) -> Tensor:
    """1 or -1, the sign, with the gradient of x where it is in -1..1."""
    sign = torch.where(x >= 0, 1.0, -1.0)
    near = x.clamp(-1, 1)
    return near + (sign - near).detach()


def _scale_of(plan: Plan) -> Tensor:
    return torch.from_numpy(np.maximum(plan.size, _LEAST))


def _silence(last: nn.Conv2d) -> None:
    with torch.no_grad():
        last.weight.zero_()
        assert last.bias is not None
        last.bias.zero_()

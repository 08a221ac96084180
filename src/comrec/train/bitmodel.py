"""The entropy model of `toderici2017`'s bits, to train with: what they cost.

The same integers as `entropy.bits` codes with.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comrec.entropy.bits import (
    BITS,
    GROUPS,
    ITERATIONS,
    MIDDLE,
    NEIGHBOURS,
    SHARES,
    STEPS,
    SYMBOLS,
    UNIT,
)
from comrec.entropy.levels import TOP
from comrec.train.bitplan import Plan
from comrec.train.integer import IntegerConv, bound, rounded, sided

_FRACTION_IN, _FRACTION, _FRACTION_OUT = 4, 4, 3  # the last: STEPS = 2 ** 3
_LARGEST = 127


class BitContexts(nn.Module):
    """Indices of flags and bits, and what these cost.

        levels ─┬─ conv 3x3 HIDDEN ─ clip ─ conv 1x1, by iteration ────────────┐
                └─ of the bit's channel: conv 3x3, by iteration and bit ───────+─ base

    Attributes:
        channel, off, on: see `entropy.bits.BitModel`.
        begun: whether `begin` was called.
    """

    HIDDEN = 48

    channel: Tensor
    off: Tensor
    on: Tensor
    begun: Tensor

    def __init__(self, latents: int) -> None:
        super().__init__()
        shape = ITERATIONS, BITS
        self.register_buffer("channel", torch.zeros(shape, dtype=torch.long))
        self.register_buffer("off", torch.zeros(shape))
        self.register_buffer("on", torch.zeros(shape))
        self.register_buffer("begun", torch.tensor(False))
        self.across = IntegerConv(2 * latents, self.HIDDEN, _FRACTION_IN, _FRACTION)
        self.out = nn.ModuleList(
            IntegerConv(self.HIDDEN, SYMBOLS, _FRACTION, _FRACTION_OUT, size=1, padding=0)
            for _ in range(ITERATIONS)
        )
        self.own = nn.ModuleList(
            IntegerConv(2 * BITS, BITS, _FRACTION_IN, _FRACTION_OUT, groups=BITS)
            for _ in range(ITERATIONS)
        )
        self.neighbours = nn.Parameter(torch.zeros(ITERATIONS, SYMBOLS, len(NEIGHBOURS)))
        self.earlier = nn.Parameter(torch.zeros(ITERATIONS, SYMBOLS, SYMBOLS))
        with torch.no_grad():
            for part in (*self.out, *self.own):
                assert isinstance(part, IntegerConv)
                part.weight.zero_()
        allowed = torch.zeros(SYMBOLS, SYMBOLS)
        for start, stop in GROUPS[1:]:
            allowed[start:stop, 1:start] = 1
        self.register_buffer("allowed", allowed, persistent=False)
        self.allowed: Tensor

    def begin(self, plan: Plan) -> None:
        with torch.no_grad():
            self.begun.fill_(True)
            self.channel.copy_(torch.from_numpy(plan.channel))
            self.off.copy_(torch.from_numpy(np.rint(UNIT * plan.off)))
            self.on.copy_(torch.from_numpy(np.rint(UNIT * plan.on)))
            chances = np.log(plan.share / (1 - plan.share))
            for out, chance in zip(self.out, chances, strict=True):
                assert isinstance(out, IntegerConv)
                assert out.bias is not None
                out.bias[1:] = torch.from_numpy(chance)

    def after(self, known: Tensor, bits: Tensor, iteration: int) -> Tensor:
        """What is known (N, M, h, w), in 1 / UNIT, with the bits (N, BITS, h, w) of one more."""
        off, on = (part[iteration].view(1, -1, 1, 1) for part in (self.off, self.on))
        added = torch.where(bits > 0, on, off) * (bits != 0)
        return known.index_add(1, self.channel[iteration], added)

    def base(self, known: Tensor, iteration: int) -> Tensor:
        """(N, SYMBOLS, h, w)"""
        levels = sided(known)
        hidden = self.across(levels.flatten(1, 2)).clamp(0, TOP)
        own = self.own[iteration](levels[:, self.channel[iteration]].flatten(1, 2))
        base: Tensor = self.out[iteration](hidden)
        return base + F.pad(own, (0, 0, 0, 0, 1, 0))

    def forward(
        self, known: Tensor, flags: Tensor, share: Tensor, bits: Tensor, iteration: int
    ) -> Tensor:
        """(N,) bits that an iteration costs.

        Args:
            known: before the iteration, in 1 / UNIT.
            flags: (N, 1, h, w) 1 where a place goes on, else -1.
            share: (N,) of the places that go on; flags are coded where it is less than 1.
            bits: with gradients; 0 where a place does not go on.
        """
        flagged = (share < 1) & (share > 0)
        share = share.clamp(1 / SHARES, 1 - 1 / SHARES)
        chance = torch.round(STEPS * torch.log(share / (1 - share))).view(-1, 1, 1, 1)
        total = torch.cat([chance.expand_as(flags), self.base(known, iteration)[:, 1:]], 1)
        symbols = torch.cat([flags * flagged.view(-1, 1, 1, 1), bits], 1)
        black = _chessboard(bits)
        # The first lattice knows nothing of its neighbours.
        total = total + black * _near(symbols, whole(self.neighbours)[iteration])
        mixed = whole(self.earlier)[iteration] * self.allowed
        total = total + F.conv2d(symbols, mixed[:, :, None, None])
        logits = bound(total, -MIDDLE, MIDDLE) / STEPS
        costs = F.softplus(-logits * symbols) / math.log(2)
        return torch.sum(costs * (symbols != 0), (1, 2, 3))


def _near(symbols: Tensor, weights: Tensor) -> Tensor:
    """What the symbols (N, SYMBOLS, h, w) of the four neighbours add."""
    padded = F.pad(symbols, (1, 1, 1, 1))
    height, width = symbols.shape[2:]
    total = torch.zeros_like(symbols)
    for number, (down, along) in enumerate(NEIGHBOURS):
        part = padded[..., 1 + down : 1 + down + height, 1 + along : 1 + along + width]
        total = total + weights[:, number].view(1, -1, 1, 1) * part
    return total


def whole(weights: Tensor) -> Tensor:
    """Weights in logits, as the integers that are added to indices."""
    return bound(rounded(weights * STEPS), -_LARGEST, _LARGEST)


def _chessboard(x: Tensor) -> Tensor:
    """(1, 1, h, w) bool: the second lattice."""
    rows, columns = (torch.arange(side, device=x.device) for side in x.shape[2:])
    return ((rows[:, None] + columns) % 2 == 1)[None, None]

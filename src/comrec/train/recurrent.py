"""Convolutional recurrent units: what Toderici et al. 2017 compare (section 3.1).

A unit takes x (B, inputs, H, W) and its state, tensors of (B, channels, H / stride, W / stride),
and gives its output, which has such a shape too, and its next state. Convolutions of x have
``size`` taps a side and the stride, those of the state ``memory`` taps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]

_BYPASS = 0.1  # the paper's alpha_h and alpha_x of the residual GRU
_COPIES = 4  # of an associative LSTM's memory


class Unit(nn.Module, ABC):
    """A recurrent unit.

    Attributes:
        parts: number of tensors of its state.
    """

    parts: ClassVar[int]

    def __init__(
        self, inputs: int, channels: int, size: int = 3, memory: int = 1, stride: int = 1
    ) -> None:
        super().__init__()
        self.channels = channels
        self.stride = stride

    def start(self, x: Tensor) -> State:
        """The state before the first x: zero."""
        height, width = (-(-side // self.stride) for side in x.shape[2:])
        return tuple(x.new_zeros(len(x), self.channels, height, width) for _ in range(self.parts))

    @abstractmethod
    def forward(self, x: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, State]:
        """The output, and the next state."""


def _of_input(inputs: int, outputs: int, size: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2)


def _of_state(channels: int, outputs: int, size: int) -> nn.Conv2d:
    return nn.Conv2d(channels, outputs, size, padding=size // 2, bias=False)


class Lstm(Unit):
    """A long short-term memory (Zaremba et al. 2014), by convolutions. State: c, h."""

    parts = 2

    def __init__(
        self, inputs: int, channels: int, size: int = 3, memory: int = 1, stride: int = 1
    ) -> None:
        super().__init__(inputs, channels, size, memory, stride)
        self.input = _of_input(inputs, 4 * channels, size, stride)
        self.memory = _of_state(channels, 4 * channels, memory)

    def forward(self, x: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, State]:
        c, h = state
        keep, take, give, new = (self.input(x) + self.memory(h)).chunk(4, 1)
        c = torch.sigmoid(keep) * c + torch.sigmoid(take) * torch.tanh(new)
        h = torch.sigmoid(give) * torch.tanh(c)
        return h, (c, h)


class Gru(Unit):
    """A gated recurrent unit (Chung et al. 2014), by convolutions. State: h."""

    parts = 1

    def __init__(
        self, inputs: int, channels: int, size: int = 3, memory: int = 1, stride: int = 1
    ) -> None:
        super().__init__(inputs, channels, size, memory, stride)
        self.input = _of_input(inputs, 3 * channels, size, stride)
        self.gates = _of_state(channels, 2 * channels, memory)
        self.memory = _of_state(channels, channels, memory)

    def forward(self, x: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, State]:
        (h,) = state
        h = self._next(x, h)
        return h, (h,)

    def _next(self, x: Tensor, h: Tensor) -> Tensor:
        update, reset, new = self.input(x).chunk(3, 1)
        more_update, more_reset = self.gates(h).chunk(2, 1)
        update = torch.sigmoid(update + more_update)
        reset = torch.sigmoid(reset + more_reset)
        return (1 - update) * h + update * torch.tanh(new + self.memory(reset * h))


class ResidualGru(Gru):
    """A GRU with bypasses, as of residual networks: the paper's equations 5 and 6. State: h."""

    def __init__(
        self, inputs: int, channels: int, size: int = 3, memory: int = 1, stride: int = 1
    ) -> None:
        super().__init__(inputs, channels, size, memory, stride)
        self.around_state = _of_state(channels, channels, memory)
        self.around = nn.Conv2d(inputs, channels, size, stride, size // 2, bias=False)

    def forward(self, x: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, State]:
        (h,) = state
        h = self._next(x, h) + _BYPASS * self.around_state(h)
        return h + _BYPASS * self.around(x), (h,)


class AssociativeLstm(Unit):
    """An LSTM whose memory is read and written under complex keys, in several copies.

    Danihelka et al. 2016, as in the paper's equation 3. Channels are complex numbers: their real
    parts, then as many imaginary ones. State: the copies of c, which stand one after the other,
    and h.
    """

    parts = 2

    def __init__(
        self, inputs: int, channels: int, size: int = 3, memory: int = 1, stride: int = 1
    ) -> None:
        super().__init__(inputs, channels, size, memory, stride)
        half = channels // 2
        outputs = 3 * half + 3 * channels  # gates of complex numbers; two keys and what is new
        self.input = _of_input(inputs, outputs, size, stride)
        self.memory = _of_state(channels, outputs, memory)
        self.orders: Tensor
        orders = [torch.randperm(half, generator=torch.Generator().manual_seed(copy))
                  for copy in range(_COPIES)]  # fmt: skip
        self.register_buffer("orders", torch.stack(orders))

    def start(self, x: Tensor) -> State:
        c, h = super().start(x)
        return c.repeat(1, _COPIES, 1, 1), h

    def forward(self, x: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, State]:
        c, h = state
        half = self.channels // 2
        gates, rest = (self.input(x) + self.memory(h)).split([3 * half, 3 * self.channels], 1)
        keep, take, give = torch.sigmoid(gates).chunk(3, 1)
        write, read, new = (_bounded(part) for part in rest.chunk(3, 1))
        copies, found = [], []
        for order, old in zip(self.orders, c.chunk(_COPIES, 1), strict=True):
            stored = _times(_ordered(write, order), new)
            copy = keep.repeat(1, 2, 1, 1) * old + take.repeat(1, 2, 1, 1) * stored
            copies.append(copy)
            found.append(_times(_ordered(read, order), copy))
        h = give.repeat(1, 2, 1, 1) * _bounded(torch.stack(found).mean(0))
        return h, (torch.cat(copies, 1), h)


def _ordered(key: Tensor, order: Tensor) -> Tensor:
    real, imaginary = key.chunk(2, 1)
    return torch.cat([real[:, order], imaginary[:, order]], 1)


def _times(a: Tensor, b: Tensor) -> Tensor:
    """Products of complex numbers."""
    (ar, ai), (br, bi) = a.chunk(2, 1), b.chunk(2, 1)
    return torch.cat([ar * br - ai * bi, ar * bi + ai * br], 1)


def _bounded(x: Tensor) -> Tensor:
    """Complex numbers, those of a modulus above 1 brought to it."""
    real, imaginary = x.chunk(2, 1)
    modulus = (real.square() + imaginary.square() + 1e-12).sqrt().clamp_min(1).repeat(1, 2, 1, 1)
    return x / modulus


UNITS: dict[str, type[Unit]] = {
    "lstm": Lstm,
    "gru": Gru,
    "residual-gru": ResidualGru,
    "associative-lstm": AssociativeLstm,
}

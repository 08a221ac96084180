"""The networks of Toderici et al. 2017 as published: iterations on what is left of a picture.

Toderici et al., "Full Resolution Image Compression with Recurrent Neural Networks" (CVPR 2017),
sections 3.1 and 3.2, with the hidden-state priming of Johnston et al., "Improved Lossy Image
Compression with Priming and Spatially Adaptive Bit Rates for Recurrent Networks" (CVPR 2018). Of a
picture x, iteration t codes what the y of the iteration before leaves:

    b_t = B(E(g_(t-1) (x - y_(t-1))))        y_0 = 0, g_0 = 1

    one-shot    y_t = D(b_t)
    additive    y_t = y_(t-1) + D(b_t)
    scaling     y_t = y_(t-1) + D(b_t) / g_(t-1),  g_t = G(y_t)

E and D are recurrent. Pictures are (B, 3, H, W), 0 in the middle of their range -.5..+.5, and H and
W multiples of 16; bits are (B, BITS, H / 16, W / 16), 1 or -1: 1/8 bit per pixel in an iteration.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comrec.errors import OptionError
from comrec.train import parallel
from comrec.train.recipe import Recipe
from comrec.train.recurrent import UNITS, State, Unit

BITS = 32
"""At a place, which is 16x16 pixels, in an iteration."""

_PLACE = 16
_GAIN_PLACE = 32  # pixels a side that share a gain
_LEAST_GAIN = 2  # added to what an ELU gives, which is above -1
_MIDDLE = 0.5


class _Recurrent(nn.Module):
    """Units one after the other. Their states, all in one tuple, are explicit."""

    units: nn.ModuleList

    def _stack(self) -> Iterator[Unit]:
        for unit in self.units:
            assert isinstance(unit, Unit)
            yield unit

    def _after(self, x: Tensor) -> Tensor:
        """What the next unit is given of a unit's output."""
        return x

    def _run(self, x: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, State]:
        left, after = tuple(state), ()
        for unit in self._stack():
            own, left = left[: unit.parts], left[unit.parts :]
            x, own = unit(x, own)
            x = self._after(x)
            after = (*after, *own)
        return x, after


class Encoder(_Recurrent):
    """What is left of a picture to features (B, width, H / 16, W / 16).

    conv 3x3/2, width/8 ─ unit/2, width/2 ─ unit/2, width ─ unit/2, width
    """

    def __init__(self, width: int, unit: str) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width // 8, 3, 2, 1, bias=False)
        # The paper: associative units help in the decoder alone.
        kind = UNITS["lstm" if unit == "associative-lstm" else unit]
        channels = (width // 8, width // 2, width, width)
        self.units = nn.ModuleList(kind(*pair, stride=2) for pair in itertools.pairwise(channels))

    def start(self, x: Tensor) -> State:
        """The state before the first x: zero."""
        state: State = ()
        for unit in self._stack():
            x = x[..., ::2, ::2]
            state += unit.start(x)
        return state

    def forward(self, x: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, State]:
        return self._run(self.first(x), state)


class Binariser(nn.Module):
    """Features to bits.

    In training, a bit is 1 with the probability (1 + p) / 2, where p is what a convolution and tanh
    give; in evaluation it is the sign of p. The gradient of p is that of the bits.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, BITS, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        p = torch.tanh(self.conv(features).float())
        threshold = torch.zeros_like(p)
        if self.training:
            threshold = 2 * parallel.drawn(p, torch.rand_like) - 1
        bits = torch.where(p >= threshold, 1.0, -1.0)
        return bits + (p - p.detach())


class Decoder(_Recurrent):
    """Bits to a picture, or what is to be added to one, in -.5..+.5.

        conv 1x1, width ─ unit, width ─ unit, width ─ unit, width/2 ─ unit, width/4 ─ conv 1x1, 3

    Behind each unit, depth goes to space (2x2). The states of the last two have 3x3 taps.
    """

    def __init__(self, width: int, unit: str) -> None:
        super().__init__()
        self.first = nn.Conv2d(BITS, width, 1, bias=False)
        channels = (width, width, width // 2, width // 4)
        inputs = [width, *(count // 4 for count in channels)]
        self.units = nn.ModuleList(
            UNITS[unit](given, made, memory=memory)
            for given, made, memory in zip(inputs, channels, (1, 1, 3, 3), strict=False)
        )
        self.last = nn.Conv2d(inputs[-1], 3, 1, bias=False)

    def start(self, bits: Tensor) -> State:
        """The state before the first bits: zero."""
        count, _, height, width = bits.shape
        state: State = ()
        for unit in self._stack():
            state += unit.start(bits.new_zeros(count, 1, height, width))
            height, width = 2 * height, 2 * width
        return state

    def _after(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(x, 2)

    def forward(self, bits: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, State]:
        x, state = self._run(self.first(bits), state)
        return torch.tanh(self.last(x)) / 2, state


class Gain(nn.Module):
    """A picture so far, to the factor (B, 1, H, W), at least 1, of what is left of it next.

    Five convolutions of stride 2; one factor for each 32x32 pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 32), (32, 32), (32, 32), (32, 32), (32, 1)):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.ELU()]
        self.body = nn.Sequential(*layers)

    def forward(self, picture: Tensor) -> Tensor:
        gain = self.body(picture) + _LEAST_GAIN
        repeated = F.interpolate(gain, scale_factor=_GAIN_PLACE, mode="nearest")
        return repeated[..., : picture.shape[2], : picture.shape[3]]


def networks(recipe: Recipe) -> nn.ModuleDict:
    """ "encoder", "binariser" and "decoder", and, for residual scaling, "gain".

    Raises:
        OptionError: the width cannot be divided as the layers need it.
    """
    if recipe.width % 16:
        raise OptionError(f"{recipe.name}: width must be a multiple of 16, not {recipe.width}")
    parts: dict[str, nn.Module] = {
        "encoder": Encoder(recipe.width, recipe.unit),
        "binariser": Binariser(recipe.width),
        "decoder": Decoder(recipe.width, recipe.unit),
    }
    if recipe.reconstruction == "scaling":
        parts["gain"] = Gain()
    return nn.ModuleDict(parts)


def code(parts: nn.ModuleDict, recipe: Recipe, picture: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The bits of each iteration, and the picture after it.

    Args:
        parts: see `networks`.
        picture: in 0..1, as those that are given, which may be a little outside.
    """
    encoder = parts["encoder"]
    assert isinstance(encoder, Encoder)
    x = picture - _MIDDLE
    receiver = _Receiver(parts, recipe)
    state = encoder.start(x)
    for number in range(recipe.iterations):
        left = receiver.gain * (x - receiver.known)
        for _ in range(_runs(recipe, number)):
            features, state = encoder(left, state)
        bits = parts["binariser"](features)
        yield bits, receiver.take(bits)


def decode(parts: nn.ModuleDict, recipe: Recipe, bits: Iterable[Tensor]) -> Iterator[Tensor]:
    """The picture after the bits of each iteration, as `code` gives it."""
    receiver = _Receiver(parts, recipe)
    for some in bits:
        yield receiver.take(some)


def _runs(recipe: Recipe, number: int) -> int:
    """How often E and D run in an iteration, on the same: what is left, and its bits.

    The last run counts. Those before it bring the states further: no bits are made of what E gives,
    and pictures of D's are not used.
    """
    return 1 + (recipe.diffusion if number else recipe.priming)


class _Receiver:
    """What follows from bits alone.

    Attributes:
        known: the picture so far, 0 in the middle.
        gain: the factor of what is left of it.
    """

    def __init__(self, parts: nn.ModuleDict, recipe: Recipe) -> None:
        self.parts = parts
        self.recipe = recipe
        self.known: Tensor | float = 0.0
        self.gain: Tensor | float = 1.0
        self.number = 0
        self.state: State = ()

    def take(self, bits: Tensor) -> Tensor:
        """The picture after some more bits, in 0..1."""
        decoder = self.parts["decoder"]
        assert isinstance(decoder, Decoder)
        state = self.state or decoder.start(bits)
        for _ in range(_runs(self.recipe, self.number)):
            out, state = decoder(bits, state)
        self.state = state
        before = 0.0 if self.recipe.reconstruction == "one-shot" else self.known
        known: Tensor = before + out.float() / self.gain
        if "gain" in self.parts:
            self.gain = self.parts["gain"](known).float()
        self.known = known
        self.number += 1
        return known + _MIDDLE

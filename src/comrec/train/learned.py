"""The networks of `liu2018`, as PyTorch modules.

    x ──► g_a ──► y ──► round(y - mean) ─── entropy coder ──► y_hat ──► g_s ──► x_hat
                  │               index, mean ▲
                  └──► h_a ──► z ──► h_s ─────┘

Liu, Chen, Shen, Yue, Ma, "Deep Image Compression via End-to-End Learning" (CLIC workshop 2018):
a residual auto-encoder. The entropy model is the mean and scale hyperprior of Minnen, Ballé,
Toderici (NeurIPS 2018), its decoder in integers. One network serves all rates, by the gains of
Cui et al., "Asymmetric Gained Deep Image Compression With Continuous Rate Adaptation" (CVPR 2021).

N is the width, M = 3N/2 the latents' channels. Pixels are (B, 3, H, W) in 0..1, H and W
multiples of 16; y is (B, M, H/16, W/16); z is (B, 3N/4, ceil(H/64), ceil(W/64)); a quality is
(B,) in 0..1.
"""

from __future__ import annotations

import itertools
import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comrec.train.contexts import Surrogate
from comrec.train.integer import HyperDecoder
from comrec.train.rate import Factorised

ANCHORS = 8
"""Gains are learned at so many qualities, evenly spaced from 0 to 1."""

BLOCKS = (2, 3, 4)  # at 1/4, 1/8, 1/16
FINEST_BLOCKS = 3  # of g_s, at 1/2, at least


class Gain(nn.Module):
    """A factor for each channel, by quality: interpolated in the logarithm between anchors.

    Args:
        lowest, highest: the factor at quality 0 and 1 before training.
        anchors: qualities at which it is learned, evenly spaced from 0 to 1.
    """

    def __init__(
        self, channels: int, lowest: float, highest: float, anchors: int = ANCHORS
    ) -> None:
        super().__init__()
        start = torch.linspace(math.log(lowest), math.log(highest), anchors)
        self.log = nn.Parameter(start.view(-1, 1).repeat(1, channels))

    def forward(self, x: Tensor, quality: Tensor) -> Tensor:
        anchors = len(self.log)
        place = quality.view(-1, 1) * (anchors - 1)
        near = F.relu(1 - (place - torch.arange(anchors, device=x.device)).abs())
        # Not a matrix product, which autocast would round to bfloat16.
        factor = torch.exp((near[:, :, None] * self.log).sum(1))
        return x * factor[:, :, None, None]


class Block(nn.Module):
    """x + conv(relu(conv(x))), the second convolution starting small."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = convolution(channels, channels)
        self.conv2 = convolution(channels, channels)
        with torch.no_grad():
            self.conv2.weight *= 0.3

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x)))


class Analysis(nn.Module):
    """g_a: picture and quality to latents, in units of the quantiser's step.

        ┌─ unshuffle 16 ─ conv 1x1 M ───────────────────────────────────────────────────┐
        ┴─ unshuffle 2 ─ conv 3N/16 ─ [conv /2, blocks] of 3N/8, 3N/4, N ─ conv M ─ + ──┴─ gain

    2 blocks are at 1/4, 3 at 1/8, 4 at 1/16; their convolutions are 3x3. The linear
    skip branch (`straight`) starts as a DCT of blocks of 16x16 pixels, the other branch as zero: so
    training starts from a transform codec.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = grids(width)
        self.straight = convolution(3 * 16**2, latents(width), size=1)
        self.head = convolution(12, channels[0])
        stages: list[nn.Module] = []
        for (inputs, outputs), blocks in zip(pairwise(channels), BLOCKS, strict=True):
            stages.append(convolution(inputs, outputs, stride=2))
            stages += [Block(outputs) for _ in range(blocks)]
        self.stages = nn.Sequential(*stages)
        self.tail = convolution(width, latents(width))
        self.gain = Gain(latents(width), *_START)
        with torch.no_grad():
            self.straight.weight.copy_(lowest_frequencies(latents(width))[:, :, None, None])
            self.tail.weight.zero_()

    def forward(self, x: Tensor, quality: Tensor) -> Tensor:
        x = x - 0.5
        y = self.straight(F.pixel_unshuffle(x, 16)).float()
        y = y + self.tail(self.stages(self.head(F.pixel_unshuffle(x, 2)))).float()
        return self.gain(y, quality)


class Synthesis(nn.Module):
    """g_s: decoded latents and quality to the picture; as `Analysis`, backwards, and with blocks
    at 1/2, which repair what quantising did to the finest.

           ┌─ conv 1x1 768 ─ shuffle 16 ───────────────────────────────────────────┐
    gain ─ ┴─ conv N ─ [blocks, conv 1x1, shuffle 2] of N, 3N/4, 3N/8 ─┐            │
                                        blocks of N/4 ─ conv 12 ─ shuffle 2 ─────── +
    """

    def __init__(self, width: int, finest_blocks: int = FINEST_BLOCKS) -> None:
        super().__init__()
        channels = [*grids(width)[:0:-1], width // 4]
        self.gain = Gain(latents(width), 1 / _START[0], 1 / _START[1])
        self.straight = convolution(latents(width), 3 * 16**2, size=1)
        self.head = convolution(latents(width), width)
        stages: list[nn.Module] = []
        for (inputs, outputs), blocks in zip(pairwise(channels), BLOCKS[::-1], strict=True):
            stages += [Block(inputs) for _ in range(blocks)]
            stages += [convolution(inputs, 4 * outputs, size=1), nn.PixelShuffle(2)]
        stages += [Block(channels[-1]) for _ in range(finest_blocks)]
        self.stages = nn.Sequential(*stages)
        self.tail = convolution(channels[-1], 12)
        with torch.no_grad():
            self.straight.weight.copy_(lowest_frequencies(latents(width)).T[:, :, None, None])
            self.tail.weight.zero_()

    @property
    def coarse_blocks(self) -> list[nn.Module]:
        """At 1/16 and 1/8: three quarters of the weights."""
        blocks = [part for part in self.stages if isinstance(part, Block)]
        return list(blocks[: BLOCKS[2] + BLOCKS[1]])

    def forward(self, y: Tensor, quality: Tensor) -> Tensor:
        y = self.gain(y, quality)
        x = F.pixel_shuffle(self.straight(y).float(), 16)
        return x + F.pixel_shuffle(self.tail(self.stages(self.head(y))).float(), 2) + 0.5


class HyperAnalysis(nn.Module):
    """h_a: latents to hyper-latents, before rounding: conv N ─ conv /2 N ─ conv /2 3N/4."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = convolution(latents(width), width)
        self.conv2 = convolution(width, width, stride=2)
        self.conv3 = convolution(width, hyper(width), stride=2)
        with torch.no_grad():
            self.conv3.weight *= 4  # so that not all is rounded to 0 at the start

    def forward(self, y: Tensor) -> Tensor:
        # Latents of hundreds occur; what tells scales apart is their logarithm.
        x = torch.sign(y) * torch.log1p(y.abs())
        return self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))


def latents(width: int) -> int:
    """Channels of y."""
    return 3 * width // 2


def hyper(width: int) -> int:
    """Channels of z."""
    return 3 * width // 4


def with_blocks_of(g_s: Synthesis, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters of one with fewer of the finest blocks; those that are new change nothing yet."""
    new = {
        key: torch.zeros_like(value) if ".conv2." in key else value
        for key, value in g_s.stages.state_dict(prefix="stages.").items()
        if key not in parameters
    }
    return parameters | new


def networks(width: int, finest_blocks: int = FINEST_BLOCKS) -> nn.ModuleDict:
    """All that `liu2018` trains: "g_a", "g_s", "h_a", "h_s", and what stands for tables in
    training: "prior" for those of z, "contexts" for those of y."""
    return nn.ModuleDict(
        {
            "g_a": Analysis(width),
            "g_s": Synthesis(width, finest_blocks),
            "h_a": HyperAnalysis(width),
            "h_s": HyperDecoder(hyper(width), latents(width)),
            "prior": Factorised(hyper(width)),
            "contexts": Surrogate(latents(width)),
        }
    )


_START = (2.0, 20.0)  # a hundred times the lambda wants a tenth of the step


def lowest_frequencies(count: int) -> Tensor:
    """(count, 768) orthonormal rows: of the DCTs of 16x16 pixels, two thirds of brightness.

    Columns are as `F.pixel_unshuffle` orders samples: channel, row, column.
    """
    place, frequency = torch.arange(16.0), torch.arange(16.0)[:, None]
    waves = torch.cos(math.pi / 16 * frequency * (place + 0.5)) / math.sqrt(8)
    waves[0] /= math.sqrt(2)
    slowest = sorted(
        itertools.product(range(16), repeat=2), key=lambda at: (at[0] + 1) * (at[1] + 1)
    )
    colours = torch.tensor([[1.0, 1, 1], [1, 0, -1], [1, -2, 1]])
    colours = F.normalize(colours, dim=1)
    rows = []
    for colour, share in zip(
        colours, (count - 2 * (count // 6), count // 6, count // 6), strict=True
    ):
        for down, along in slowest[:share]:
            pattern = colour[:, None, None] * waves[down][:, None] * waves[along]
            rows.append(pattern.flatten())
    return torch.stack(rows)


def grids(width: int) -> list[int]:
    """Channels at 1/2, 1/4, 1/8, 1/16."""
    return [3 * width // 16, 3 * width // 8, 3 * width // 4, width]


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv

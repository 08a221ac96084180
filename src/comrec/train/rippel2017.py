"""The networks of `rippel2017`, as PyTorch modules.

Rippel, Bourdev, "Real-Time Adaptive Image Compression" (ICML 2017), section 3.1: features of six
scales are brought to one grid and added.

    x ─ g_a ─► y ─► bit-planes ─► y of the planes that are there ─ g_s ─► x_hat

N is the width, M = 3N/2 the latents' channels. Pixels are (B, 3, H, W) in 0..1, H and W multiples
of 32; y is (B, M, H/16, W/16), in units of the finest step. What the papers leaves open is as in
`liu2018` (`train.learned`), whose networks these can start from.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comrec.entropy.planes import PLANES
from comrec.train.learned import (
    BLOCKS,
    FINEST_BLOCKS,
    Block,
    Gain,
    convolution,
    grids,
    latents,
    lowest_frequencies,
)

_COARSEST_BLOCKS = 2  # at 1/32
_START = 20.0  # finest steps in a grey level's amplitude, at the start


class Analysis(nn.Module):
    """g_a: a picture to its latents, in units of the finest step.

        scale 1     x                          ─ conv 16x16 /16 ──┐
        scale 1/2   conv 6x6 /2, 3N/16         ─ conv 8x8 /8 ─────┤
        scale 1/4   conv 4x4 /2, blocks, 3N/8  ─ conv 4x4 /4 ─────┤
        scale 1/8   conv 4x4 /2, blocks, 3N/4  ─ conv 2x2 /2 ─────+ ─ block ─ factor by channel
        scale 1/16  conv 4x4 /2, blocks, N     ─ conv ────────────┤
        scale 1/32  conv 4x4 /2, blocks, N     ─ conv 1x1, x2 ────┘

    Each scale is computed from the one before. The first alignment is linear and starts as a DCT,
    the others as zero.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = [*grids(width), width]
        aligned = latents(width)
        self.straight = convolution(3 * 16**2, aligned, size=1)
        self.head = convolution(12, channels[0])
        self.scales = nn.ModuleList()
        for (inputs, outputs), blocks in zip(
            pairwise(channels), (*BLOCKS, _COARSEST_BLOCKS), strict=True
        ):
            down = nn.Conv2d(inputs, outputs, 4, 2, padding=1)
            nn.init.kaiming_normal_(down.weight, nonlinearity="linear")
            self.scales.append(nn.Sequential(down, *(Block(outputs) for _ in range(blocks))))
        self.align = nn.ModuleList(
            nn.Conv2d(count, aligned, size, size)
            for count, size in zip(channels[:3], (8, 4, 2), strict=True)
        )
        self.align.append(convolution(width, aligned))
        self.coarsest = convolution(width, 4 * aligned, size=1)
        self.mix = Block(aligned)
        self.scale = nn.Parameter(torch.full((aligned, 1, 1), _START).log())
        with torch.no_grad():
            self.straight.weight.copy_(lowest_frequencies(aligned)[:, :, None, None])
            for last in (*self.align, self.coarsest, self.mix.conv2):
                last.weight.zero_()
                last.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        x = x - 0.5
        y = self.straight(F.pixel_unshuffle(x, 16))
        features = self.head(F.pixel_unshuffle(x, 2))
        for scale, align in zip(self.scales, self.align, strict=True):
            y = y + align(features)
            features = scale(features)
        y = y + F.pixel_shuffle(self.coarsest(features), 2)
        scaled: Tensor = self.mix(y).float() * self.scale.exp()
        return scaled


class Synthesis(nn.Module):
    """g_s: latents of which some planes are there, to the picture; `Analysis` backwards.

    ``quality`` (B,) in 0..1 says how many planes are there: 0 the first, 1 all.
    """

    def __init__(self, width: int, planes: int = PLANES) -> None:
        super().__init__()
        given = latents(width)
        channels = [*grids(width)[:0:-1], width // 4]
        self.gain = Gain(given, 1 / _START, 1 / _START, planes)
        self.mix = Block(given)
        self.straight = convolution(given, 3 * 16**2, size=1)
        self.head = convolution(given, width)
        self.coarsest = nn.Sequential(
            convolution(given, width, stride=2),
            *(Block(width) for _ in range(_COARSEST_BLOCKS)),
            convolution(width, 4 * width, size=1),
            nn.PixelShuffle(2),
        )
        self.scales = nn.ModuleList()
        self.align = nn.ModuleList()
        for (inputs, outputs), blocks, up in zip(
            pairwise(channels), BLOCKS[::-1], (2, 4, 8), strict=True
        ):
            self.scales.append(
                nn.Sequential(
                    *(Block(inputs) for _ in range(blocks)),
                    convolution(inputs, 4 * outputs, size=1),
                    nn.PixelShuffle(2),
                )
            )
            self.align.append(
                nn.Sequential(convolution(given, up**2 * outputs, size=1), nn.PixelShuffle(up))
            )
        self.finest = nn.Sequential(*(Block(channels[-1]) for _ in range(FINEST_BLOCKS)))
        self.tail = convolution(channels[-1], 12)
        with torch.no_grad():
            self.straight.weight.copy_(lowest_frequencies(given).T[:, :, None, None])
            lasts = [align[0] for align in self.align if isinstance(align, nn.Sequential)]
            for last in (*lasts, self.coarsest[-2], self.tail, self.mix.conv2):
                assert isinstance(last, nn.Conv2d)
                assert last.bias is not None
                last.weight.zero_()
                last.bias.zero_()

    def forward(self, y: Tensor, quality: Tensor) -> Tensor:
        y = self.mix(self.gain(y, quality))
        x = F.pixel_shuffle(self.straight(y).float(), 16)
        features = self.head(y) + self.coarsest(y)
        for scale, align in zip(self.scales, self.align, strict=True):
            features = scale(features) + align(y)
        return x + F.pixel_shuffle(self.tail(self.finest(features)).float(), 2) + 0.5


def adopt(pair: nn.ModuleDict, g_a: Mapping[str, Tensor], g_s: Mapping[str, Tensor]) -> None:
    """Take over the networks of `liu2018`: the pictures, and the latents, stay the same.

    Args:
        pair: "g_a" and "g_s", as they are initialised, are changed.
        g_a, g_s: parameters of `train.learned`'s `Analysis` and `Synthesis` of the same width.
    """
    analysis, synthesis = pair["g_a"], pair["g_s"]
    assert isinstance(analysis, Analysis)
    assert isinstance(synthesis, Synthesis)
    finest = g_a["gain.log"][-1]
    # A plane halves the step; a gain's logarithm falls with quality, a little unevenly.
    drops = (finest - g_a["gain.log"]).mean(1) / torch.log(torch.tensor(2.0))
    old = {"straight", "head", "tail"}
    own = analysis.state_dict()
    own |= {key: value for key, value in g_a.items() if key.split(".")[0] in old - {"tail"}}
    own |= {f"align.3.{part}": g_a[f"tail.{part}"] for part in ("weight", "bias")}
    at = 0
    for index, blocks in enumerate(BLOCKS):
        down = own[f"scales.{index}.0.weight"]
        down.zero_()
        down[:, :, :3, :3] = g_a[f"stages.{at}.weight"]
        own[f"scales.{index}.0.bias"] = g_a[f"stages.{at}.bias"]
        _move(own, f"scales.{index}", 1, g_a, at + 1, blocks)
        at += 1 + blocks
    own["scale"] = finest.view(-1, 1, 1)
    analysis.load_state_dict(own)

    own = synthesis.state_dict()
    own |= {key: value for key, value in g_s.items() if key.split(".")[0] in old}
    at = 0
    for index, blocks in enumerate(BLOCKS[::-1]):
        _move(own, f"scales.{index}", 0, g_s, at, blocks)
        own |= {
            f"scales.{index}.{blocks}.{part}": g_s[f"stages.{at + blocks}.{part}"]
            for part in ("weight", "bias")
        }
        at += blocks + 2
    _move(own, "finest", 0, g_s, at, FINEST_BLOCKS)
    together = g_a["gain.log"] - finest + g_s["gain.log"]
    for plane in range(PLANES):
        place = _crossing(drops.tolist(), plane) * (len(drops) - 1)
        low = min(int(place), len(drops) - 2)
        share = place - low
        own["gain.log"][PLANES - 1 - plane] = (
            together[low] * (1 - share) + together[low + 1] * share
        )
    synthesis.load_state_dict(own)


def _move(
    own: dict[str, Tensor], name: str, first: int, old: Mapping[str, Tensor], at: int, blocks: int
) -> None:
    for block in range(blocks):
        for part in ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"):
            own[f"{name}.{first + block}.{part}"] = old[f"stages.{at + block}.{part}"]


def _crossing(drops: list[float], plane: int) -> float:
    """The quality, 0..1, at which falling ``drops`` come to a value; 0 if they never do."""
    for index in range(len(drops) - 1, 0, -1):
        high, low = drops[index - 1], drops[index]
        if low <= plane <= high:
            return (index - (plane - low) / max(high - low, 1e-9)) / (len(drops) - 1)
    return 0.0

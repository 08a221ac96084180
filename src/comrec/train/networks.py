"""The networks, as PyTorch modules.

Pixels are float tensors (N, C, H, W) in 0..1; a quality is a float tensor (N,) in 0..1.

ComCNN makes the compact picture that a standard codec stores; RecCNN reconstructs the picture
from what the codec gives back:

    x ──► ComCNN ──► codec ──► RecCNN ──► x_hat
          (H/s, W/s)                      (H, W)      s = 1 or 2
"""

from __future__ import annotations

import math
import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comrec.inference.store import Size
from comrec.train import learned
from comrec.train.parallel import BatchNorm2d


class Jiang2017Com(nn.Module):
    """ComCNN of Jiang et al. 2017: three layers, the second halves the picture.

        conv 3x3 1→64, ReLU ─ conv 3x3 64→64 stride 2, ReLU ─ conv 3x3 64→1

    The paper's figure has batch normalisation in layer 2; the authors' released weights have none.
    (N, 1, H, W) to (N, 1, ceil(H/2), ceil(W/2)).
    """

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(channels, 1, 3, padding=1)
        for conv in (self.conv1, self.conv2, self.conv3):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(_bias(conv))
        self._start_as_mean()

    def _start_as_mean(self) -> None:
        """Start near the 2x2 mean, so that the first compact pictures are pictures.

        Channel 0 carries the picture through; the other channels start small at the output.
        """
        with torch.no_grad():
            self.conv1.weight[0] = 0
            self.conv1.weight[0, 0, 1, 1] = 1
            self.conv2.weight[0] = 0
            self.conv2.weight[0, 0, 1:, 1:] = 0.25
            self.conv3.weight *= 0.05
            self.conv3.weight[0, 0] = 0
            self.conv3.weight[0, 0, 1, 1] = 1

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        return self.conv3(x)


class Jiang2017Rec(nn.Module):
    """RecCNN of Jiang et al. 2017: 20 weight layers that predict what to subtract.

        conv 3x3 1→64, ReLU ─ 18 x (conv 3x3 64→64, BN, ReLU) ─ conv 3x3 64→1

    The input is the decoded compact picture, (N, 1, h, w); bicubic upsampling to (2h, 2w) is
    part of the network here. Output (N, 1, 2h, 2w).
    """

    def __init__(self, channels: int = 64, layers: int = 20) -> None:
        super().__init__()
        body: list[nn.Module] = [nn.Conv2d(1, channels, 3, padding=1), nn.ReLU()]
        for _ in range(layers - 2):
            body += [
                nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                BatchNorm2d(channels),
                nn.ReLU(),
            ]
        last = nn.Conv2d(channels, 1, 3, padding=1)
        for module in body:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(last.weight)
        nn.init.zeros_(_bias(last))
        self.body = nn.Sequential(*body, last)

    def forward(self, x: Tensor) -> Tensor:
        x = upsample(x)
        return x - self.body(x)


class _Block(nn.Module):
    """x + conv(relu(conv(x))), the second convolution starting small."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            self.conv2.weight *= 0.5

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x)))


class Body(nn.Module):
    """The body of our networks: residual blocks on one grid, told the conditions by planes.

        planes + conditions ─ head 3x3 ─ blocks of two 3x3 ─ tail 3x3, starting at zero

    At equal cost on a CPU, blocks on the half-resolution grid beat blocks on coarser grids by
    far: what codecs destroy is fine.
    """

    def __init__(
        self, inputs: int, outputs: int, channels: int, blocks: int, conditions: int = 1
    ) -> None:
        super().__init__()
        self.head = nn.Conv2d(inputs + conditions, channels, 3, padding=1)
        self.blocks = nn.Sequential(*(_Block(channels) for _ in range(blocks)))
        self.tail = nn.Conv2d(channels, outputs, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(_bias(self.tail))

    def forward(self, x: Tensor, *conditions: Tensor) -> Tensor:
        one = torch.ones_like(x[:, :1])
        planes = [one * told.to(x.dtype).view(-1, 1, 1, 1) for told in conditions]
        return self.tail(self.blocks(self.head(torch.cat([x, *planes], 1))))


BLOCKS: dict[Size, int] = {"fast": 3, "default": 8, "best": 8}
"""Of our RecCNN at scale 1: 34 and 86 thousand multiplications a pixel; four times 86 in the size
"best"."""


_MIRRORS = ((3,), (2,), (2, 3))
"""The axes along which each mirror image of a picture is turned round."""


class ComrecRec1(nn.Module):
    """Our RecCNN at scale 1: removes the codec's artefacts.

    (N, 3, H, W) decoded RGB, H and W even, to (N, 3, H, W). The body runs on the
    half-resolution grid; the last layer starts at zero, so step 0 equals the plain codec.

    In the size "best", outside training, the mean of what it makes of a picture and of its three
    mirror images (self-ensemble: Timofte, Rothe and Van Gool, "Seven ways to improve
    example-based single image super resolution", CVPR 2016).
    """

    conditions = 2  # the quality, and whether chroma is coded at full size

    def __init__(self, size: Size = "default") -> None:
        super().__init__()
        self.size = size
        self.body = Body(12, 12, channels=48, blocks=BLOCKS[size], conditions=self.conditions)

    def forward(self, x: Tensor, quality: Tensor, full_chroma: Tensor) -> Tensor:
        if self.training or self.size != "best":
            return x + self._residual(x, quality, full_chroma)
        pictures = torch.cat([x, *(x.flip(axes) for axes in _MIRRORS)])
        told = (condition.repeat(1 + len(_MIRRORS)) for condition in (quality, full_chroma))
        mean, *mirrored = self._residual(pictures, *told).chunk(1 + len(_MIRRORS))
        for residual, axes in zip(mirrored, _MIRRORS, strict=True):
            mean = mean + residual.flip(axes)
        return x + mean / (1 + len(_MIRRORS))

    def _residual(self, x: Tensor, quality: Tensor, full_chroma: Tensor) -> Tensor:
        return F.pixel_shuffle(self.body(F.pixel_unshuffle(x, 2), quality, full_chroma), 2)


_BLOCK = re.compile(r"body\.blocks\.(\d+)\.")


def resized(parameters: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Parameters of a network with other blocks, for this one; all others as they are.

    The blocks that both have are spread evenly. Of a larger network, the rest is left out; for one
    that is to be larger, blocks that change nothing yet stand between them.
    """
    if isinstance(module, learned.Synthesis):
        return learned.with_blocks_of(module, parameters)
    body = getattr(module, "body", None)
    blocks = {int(one[1]) for one in map(_BLOCK.match, parameters) if one}
    if not isinstance(body, Body) or len(blocks) == len(body.blocks):
        return parameters
    found = {key: value for key, value in parameters.items() if not _BLOCK.match(key)}
    for key, value in body.blocks.state_dict().items():
        found[f"body.blocks.{key}"] = torch.zeros_like(value) if "conv2" in key else value
    both = min(len(blocks), len(body.blocks))
    for place in range(1, both + 1):
        theirs = math.ceil(place * len(blocks) / both) - 1
        ours = math.ceil(place * len(body.blocks) / both) - 1
        for key in body.blocks[ours].state_dict():
            found[f"body.blocks.{ours}.{key}"] = parameters[f"body.blocks.{theirs}.{key}"]
    return found


class ComrecRec2(nn.Module):
    """Our RecCNN at scale 1/2: reconstructs the full picture from the decoded compact one.

    (N, 3, h, w) decoded RGB to (N, 3, 2h, 2w). Residual over bicubic.
    """

    conditions = 1

    def __init__(self) -> None:
        super().__init__()
        self.body = Body(3, 12, channels=48, blocks=4)

    def forward(self, x: Tensor, quality: Tensor) -> Tensor:
        return upsample(x) + F.pixel_shuffle(self.body(x, quality), 2)


class ComrecCom1(nn.Module):
    """Our ComCNN at scale 1: a light pre-filter. (N, 3, H, W) to (N, 3, H, W), even sides."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Body(12, 12, channels=32, blocks=2)

    def forward(self, x: Tensor, quality: Tensor) -> Tensor:
        return x + F.pixel_shuffle(self.body(F.pixel_unshuffle(x, 2), quality), 2)


class ComrecCom2(nn.Module):
    """Our ComCNN at scale 1/2. (N, 3, H, W), even sides, to (N, 3, H/2, W/2).

    Residual over the bicubic half.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = Body(12, 3, channels=32, blocks=2)

    def forward(self, x: Tensor, quality: Tensor) -> Tensor:
        return downsample(x) + self.body(F.pixel_unshuffle(x, 2), quality)


_CUBIC_DOWN = torch.tensor([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
_CUBIC_UP = torch.tensor([[-6, 58, 222, -18, 0], [0, -18, 222, 58, -6]]) / 256
_DOWN_KERNEL = torch.outer(_CUBIC_DOWN, _CUBIC_DOWN)[None, None]
_UP_KERNEL = torch.stack([torch.outer(r, c) for r in _CUBIC_UP for c in _CUBIC_UP])[:, None]


def downsample(x: Tensor) -> Tensor:
    """Antialiased bicubic (a = -0.5, as MATLAB's and Pillow's) to half the size, edges repeated."""
    n, channels, height, width = x.shape
    x = F.pad(x, (3, 3, 3, 3), mode="replicate").reshape(-1, 1, height + 6, width + 6)
    y = F.conv2d(x, _DOWN_KERNEL.to(x), stride=2)
    return y.reshape(n, channels, height // 2, width // 2)


def upsample(x: Tensor) -> Tensor:
    """Bicubic (a = -0.5) to twice the size, edges repeated.

    Written as a convolution to the four phases and a pixel shuffle, so that every runtime
    computes the same.
    """
    n, channels, height, width = x.shape
    x = F.pad(x, (2, 2, 2, 2), mode="replicate").reshape(-1, 1, height + 4, width + 4)
    y = F.pixel_shuffle(F.conv2d(x, _UP_KERNEL.to(x)), 2)
    return y.reshape(n, channels, height * 2, width * 2)


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias

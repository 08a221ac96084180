"""Perceptual losses: a feature distance, and a discriminator."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import spectral_norm

from comrec.train import classifier

_AFTER_BLOCKS = (0, 2, 4, 10)  # the last of EfficientNet-lite0's blocks at 1/2, 1/4, 1/8, 1/16


class Features(nn.Module):
    """Distance of two pictures in a frozen EfficientNet-lite0, trained on ImageNet.

    As LPIPS without learned weights (Zhang et al., "The Unreasonable Effectiveness of Deep
    Features as a Perceptual Metric", CVPR 2018): squared difference of features normalised over the
    channels, mean over places and four depths.

    Args:
        network: another EfficientNet-lite.
        after: numbers of its blocks whose features are compared.
    """

    def __init__(
        self, network: nn.Module | None = None, after: Sequence[int] = _AFTER_BLOCKS
    ) -> None:
        super().__init__()
        self.network: Any = network or classifier.load("the perceptual loss")
        self.after = after
        self.requires_grad_(False)
        self.eval()

    def _levels(self, x: Tensor) -> list[Tensor]:
        network = self.network
        x = network._swish(network._bn0(network._conv_stem(x * 2 - 1)))
        found = []
        for index, block in enumerate(network._blocks[: self.after[-1] + 1]):
            x = block(x)
            if index in self.after:
                found.append(F.normalize(x.float(), dim=1))
        return found

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, 3, H, W) twice, in 0..1, to (N,) distances, 0..4."""
        pairs = zip(self._levels(prediction), self._levels(target), strict=True)
        distances = [(a - b).square().sum(1).flatten(1).mean(1) for a, b in pairs]
        return torch.stack(distances).mean(0)


class Discriminator(nn.Module):
    """Tells originals (logits above 0) from reconstructions (below), patch by patch.

    Strided 4x4 convolutions to 1/8, spectrally normalised (Miyato et al., ICLR 2018); hinge loss.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise((3, 64, 128, 256)):
            layers += [spectral_norm(nn.Conv2d(inputs, outputs, 4, 2, 1)), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers, spectral_norm(nn.Conv2d(256, 1, 3, padding=1)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in 0..1 to (N, 1, H/8, W/8)."""
        verdict: Tensor = self.body(x * 2 - 1)
        return verdict

    def loss(self, original: Tensor, reconstruction: Tensor) -> Tensor:
        """The discriminator's hinge loss; no gradient goes into the pictures."""
        real, fake = self(original), self(reconstruction.detach())
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def generator_loss(self, reconstruction: Tensor) -> Tensor:
        """(N,), smaller where reconstructions pass for originals.

        The discriminator's parameters get no gradient.
        """
        frozen = {name: value.detach() for name, value in self.named_parameters()}
        verdict: Tensor = functional_call(self, frozen, (reconstruction,))
        return -verdict.flatten(1).mean(1)


class PairDiscriminator(nn.Module):
    """Tells which of a pair is the original, at several scales.

    Rippel and Bourdev 2017, section 4: it sees target and reconstruction together, in an order that
    is drawn, since either alone says little about how much was lost; the verdicts of all scales are
    added. Their difference, enlarged, is a third input: without it nothing is learned from
    photographs in hundreds of steps.
    """

    ENLARGED = 8.0

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        self.heads = nn.ModuleList()
        for inputs, outputs in itertools.pairwise((9, 32, 64, 128, 128)):
            conv = nn.Conv2d(inputs, outputs, 4, 2, 1)
            nn.init.kaiming_normal_(conv.weight, 0.2)
            self.stages.append(nn.Sequential(conv, nn.LeakyReLU(0.2)))
            self.heads.append(nn.Conv2d(outputs, 1, 1))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two (N, 3, H, W) in 0..1 to (N,) logits, above 0 where the first is the original."""
        difference = self.ENLARGED * (first - second)
        x = torch.cat([first * 2 - 1, second * 2 - 1, difference], 1)
        verdicts = []
        for stage, head in zip(self.stages, self.heads, strict=True):
            x = stage(x)
            verdicts.append(head(x).float().flatten(1).mean(1))
        return torch.stack(verdicts).sum(0)

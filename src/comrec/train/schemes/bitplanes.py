"""The learned codec `rippel2017`: one network for all rates, of which the planes are the rates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from comrec.entropy.planes import LATTICES, PlaneModel, Predict
from comrec.inference.store import Network
from comrec.train import export, losses, plane_tables, rippel2017
from comrec.train.learned import latents
from comrec.train.planes import Planes, truncated
from comrec.train.recipe import Recipe
from comrec.train.schemes.base import VALIDATION_SEED, Learned, psnr

_COUNTED, _COUNTED_SIDE = 300, 256
"""Crops on which tables are counted."""

_EARLIEST = 0.1  # cut

WARM_UP = 300
"""Steps at the start in which only the entropy model learns."""


class BitPlanes(Learned):
    """Every crop is cut at a random place of its file, which is its quality in the loss."""

    families = ("rippel2017",)

    @classmethod
    def networks(cls, recipe: Recipe) -> nn.ModuleDict:
        """ "g_a", "g_s", and "planes", the entropy model."""
        width = recipe.width
        return nn.ModuleDict(
            {
                "g_a": rippel2017.Analysis(width),
                "g_s": rippel2017.Synthesis(width),
                "planes": Planes(latents(width)),
            }
        )

    @classmethod
    def begin_from(cls, pair: nn.ModuleDict, found: dict[str, dict[str, Tensor]]) -> None:
        """Take over the networks of `liu2018`, or of this codec."""
        if "gain.log" in found["g_a"]:
            rippel2017.adopt(pair, found["g_a"], found["g_s"])
        else:
            super().begin_from(pair, found)

    def __post_init__(self) -> None:
        planes = self.planes
        if not planes.begun:
            random = np.random.default_rng(VALIDATION_SEED)
            with torch.no_grad():
                crops = self.training.crops(random, 32, self.recipe.crop, "cpu")
                planes.begin(self.pair["g_a"](crops))

    @property
    def planes(self) -> Planes:
        planes = self.pair["planes"]
        assert isinstance(planes, Planes)
        return planes

    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        recipe = self.recipe
        share = self.share
        original = self.training.crops(random, recipe.batch, recipe.crop, self.device, share)
        if step < WARM_UP and not recipe.start.startswith(recipe.family):
            with torch.no_grad(), self.autocast():
                y = self.pair["g_a"](original)
            return self.whole_bpp(y)
        # Cuts are spread alike in each batch, but for the first planes, which show nothing yet.
        place = (random.permutation(recipe.batch) + random.random(recipe.batch)) / recipe.batch
        place = _EARLIEST + (1 - _EARLIEST) * place[share]
        with self.autocast():
            y = self.pair["g_a"](original)
        reconstruction, bits, quality = self.cut(y, torch.from_numpy(place).to(self.device).float())
        return self.loss(original, reconstruction, bits, quality)

    def whole_bpp(self, y: Tensor) -> Tensor:
        """Bits per pixel of all planes of latents, mean over the batch."""
        everything = torch.full((len(y),), self.planes.count, device=y.device)
        bits: Tensor = self.planes(y, everything)[0]
        return bits.sum() / len(y) / self.recipe.crop**2

    def cut(self, y: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What files that are cut hold.

        Args:
            y: (N, M, h, w) latents.
            place: (N,) of the cut, 0..1: 0 after the first plane, 1 at the end.
        Returns:
            the reconstructions, (N,) bits, and (N,) the place.
        """
        count = self.planes.count
        there = 1 + place * (count - 1)
        whole = there.floor()
        bits, early = self.coded(y, (whole + 1).clamp_max(count))
        done = whole.view(-1, 1, 1, 1) + self._coded(early, there - whole)
        numbers = torch.arange(count, device=y.device).view(1, -1, 1, 1, 1)
        total = (bits * (numbers < done[:, None])).sum((1, 2, 3, 4))
        with self.autocast():
            reconstruction = self.pair["g_s"](truncated(y, count - done), place)
        return reconstruction, total, place

    def coded(self, y: Tensor, planes: Tensor) -> tuple[Tensor, Tensor]:
        """See `Planes.forward`."""
        found: tuple[Tensor, Tensor] = self.planes(y, planes)
        return found

    def _coded(self, early: Tensor, share: Tensor) -> Tensor:
        """(N, M, h, w): what is coded of a plane when a share (N,) of its parts is there; of what
        comes early, and then of the rest, by lattices and channels."""
        rank = torch.empty_like(self.planes.order)
        rank[self.planes.order] = torch.arange(len(rank), device=rank.device)
        along = (rank.float() / len(rank)).view(1, -1, 1, 1).expand_as(early).clone()
        for number, (top, left) in enumerate(LATTICES):
            along[..., top::2, left::2] += number
        reached = 2 * len(LATTICES) * share.view(-1, 1, 1, 1)
        return torch.where(early, along < reached, along + len(LATTICES) < reached)

    def validate(self) -> dict[str, float]:
        """After each plane: estimated bits per pixel, PSNR, and MS-SSIM in dB."""
        random = np.random.default_rng(VALIDATION_SEED)
        recipe = self.recipe
        original = self.validation.crops(random, 16, recipe.crop, self.device)
        scores: dict[str, float] = {}
        with torch.no_grad():
            y = self.pair["g_a"](original)
            for plane in range(self.planes.count):
                place = torch.full((len(y),), plane / (self.planes.count - 1), device=self.device)
                reconstruction, bits, _ = self.cut(y, place)
                scores[f"bpp_{plane}"] = float(bits.mean()) / recipe.crop**2
                scores[f"psnr_{plane}"] = psnr(reconstruction, original)
                similarity = losses.ms_ssim(reconstruction.clamp(0, 1), original).mean(1)
                scores[f"ms_ssim_{plane}"] = float(-10 * torch.log10(1 - similarity).mean())
                scores["loss"] = scores.get("loss", 0.0) + float(
                    self.loss(original, reconstruction, bits, place)
                )
        return scores

    def export(self, folder: Path, training: dict[str, Any]) -> list[Network]:
        order = self.planes.order.cpu().numpy().astype(np.int64)
        crops = [crop.numpy() for crop in self._latents()]

        def fit(predict: Predict) -> PlaneModel:
            return plane_tables.fit(crops, order, predict, self.planes.count)

        return export.write_planes(folder, self.recipe, self.pair, training, fit)

    def _latents(self) -> Iterator[Tensor]:
        """Of random crops, to count."""
        random = np.random.default_rng(2018)
        side = min(_COUNTED_SIDE, min(min(shape) for shape in self.training.shapes)) // 32 * 32
        for _ in range(_COUNTED):
            with torch.no_grad():
                yield self.pair["g_a"](self.training.crops(random, 1, side, self.device))[0].cpu()

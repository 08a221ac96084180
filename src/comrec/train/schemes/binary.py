"""The learned codec `toderici2017` as it is shipped: for bits and MS-SSIM, at all rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from comrec.entropy.bits import ITERATIONS
from comrec.inference.store import Network
from comrec.train import bitplan, bits_export, losses, rippel2017, toderici2017
from comrec.train.bitmodel import BitContexts
from comrec.train.bits_export import Coded
from comrec.train.learned import latents
from comrec.train.recipe import Recipe
from comrec.train.schemes.base import VALIDATION_SEED, Learned, psnr

_PLANNED = 48  # crops
_COUNTED, _COUNTED_SIDE = 200, 256
"""Crops on which tables are counted."""
_SCORED = (1, 2, 4, 8, 12, ITERATIONS)
"""After so many iterations networks are scored."""

WARM_UP = 100
"""Steps at the start in which only the entropy model learns."""


class Binary(Learned):
    """Each crop is coded in a random number of iterations, of the last at a share of its places."""

    families = ("toderici2017",)

    @classmethod
    def networks(cls, recipe: Recipe) -> nn.ModuleDict:
        """ "g_a", "g_s", "encode" and "decode", the recurrence, and "bits", the entropy model."""
        width, count = recipe.width, latents(recipe.width)
        hidden = width // 2
        return nn.ModuleDict(
            {
                "g_a": rippel2017.Analysis(width),
                "g_s": rippel2017.Synthesis(width),
                "encode": toderici2017.Encoder(count, hidden, recipe.unit),
                "decode": toderici2017.Decoder(count, hidden, recipe.unit),
                "bits": BitContexts(count),
            }
        )

    def __post_init__(self) -> None:
        if not self.contexts.begun:
            random = np.random.default_rng(VALIDATION_SEED)
            with torch.no_grad():
                crops = self.training.crops(random, _PLANNED, self.recipe.crop, "cpu")
                found = torch.cat([self.pair["g_a"](part) for part in crops.chunk(_PLANNED // 4)])
            plan = bitplan.plan(found.transpose(0, 1).flatten(1).numpy())
            for role in ("encode", "decode", "bits"):
                module = self.pair[role]
                assert isinstance(module, toderici2017.Encoder | toderici2017.Decoder | BitContexts)
                module.begin(plan)

    @property
    def contexts(self) -> BitContexts:
        contexts = self.pair["bits"]
        assert isinstance(contexts, BitContexts)
        return contexts

    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        recipe = self.recipe
        share = self.share
        original = self.training.crops(random, recipe.batch, recipe.crop, self.device, share)
        spread = (random.permutation(recipe.batch) + random.random(recipe.batch)) / recipe.batch
        iterations = torch.from_numpy(1 + (ITERATIONS - 1) * spread).float().to(self.device)
        runs, iterations = _runs(iterations), iterations[share]
        if step < WARM_UP and not recipe.start.startswith(recipe.family):
            with torch.no_grad():
                y = self.pair["g_a"](original)
            bits: Tensor = self.code(y, iterations, runs, moved=False)[1]
            return bits.mean() / recipe.crop**2
        reconstruction, bits, place = self.through(original, iterations, runs)
        return self.loss(original, reconstruction, bits, place)

    def through(
        self, original: Tensor, iterations: Tensor, runs: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstructions, (N,) bits, and (N,) the share of the bits that there could be."""
        with self.autocast():
            y = self.pair["g_a"](original)
        known, bits = self.code(y, iterations, runs)
        share = iterations / ITERATIONS
        with self.autocast():
            reconstruction = self.pair["g_s"](known, share)
        return reconstruction, bits, share

    def code(
        self,
        y: Tensor,
        iterations: Tensor,
        runs: int,
        *,
        moved: bool = True,
        seen: Callable[[tuple[Tensor, Tensor]], None] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What files hold of latents.

        Args:
            iterations: (N,), 1..ITERATIONS; of the last, where it is not whole, such a share of the
                places has bits: those of which most is left.
            runs: of the networks; those after the last iteration of a file have no bits of it.
            moved: whether what bits cost moves them.
            seen: is given which places go on, and the bits, of each iteration.
        Returns:
            the latents as known, and (N,) bits.
        """
        encode, decode = self.pair["encode"], self.pair["decode"]
        assert isinstance(encode, toderici2017.Encoder)
        assert isinstance(decode, toderici2017.Decoder)
        known, rough = torch.zeros_like(y), torch.zeros_like(y)
        total = torch.zeros_like(iterations)
        mine = encode.unit.start(y)
        theirs = decode.unit.start(y)
        for number in range(runs):
            iteration = torch.tensor(number, device=y.device)
            left = y - known
            share = (iterations - number).clamp(0, 1)
            going = _most(left.detach().square().sum(1, keepdim=True), share)
            with self.autocast():
                result, mine = encode(left, iteration, mine)
            bits = toderici2017.binary(result.float()) * going
            flags = torch.where(going, 1.0, -1.0)
            coded = bits if moved else bits.detach()
            total = total + self.contexts(rough, flags, share, coded, number)
            if seen is not None:
                seen((going, bits))
            with self.autocast():
                known, theirs = decode(bits, known, iteration, theirs)
            known = known.float()
            rough = self.contexts.after(rough, bits.detach(), number)
        return known, total

    def validate(self) -> dict[str, float]:
        """After some iterations: bits per pixel, PSNR, MS-SSIM in dB."""
        random = np.random.default_rng(VALIDATION_SEED)
        recipe = self.recipe
        original = self.validation.crops(random, 12, recipe.crop, self.device)
        scores: dict[str, float] = {}
        for count in _SCORED:
            iterations = torch.full((len(original),), float(count), device=self.device)
            with torch.no_grad():
                reconstruction, bits, share = self.through(original, iterations, count)
            scores[f"bpp_{count}"] = float(bits.mean()) / recipe.crop**2
            scores[f"psnr_{count}"] = psnr(reconstruction, original)
            similarity = losses.ms_ssim(reconstruction.clamp(0, 1), original).mean(1)
            scores[f"ms_ssim_{count}"] = float(-10 * torch.log10(1 - similarity).mean())
            loss = float(self.loss(original, reconstruction, bits, share))
            scores["loss"] = scores.get("loss", 0.0) + loss
        return scores

    def export(self, folder: Path, training: dict[str, Any]) -> list[Network]:
        return bits_export.write(folder, self.recipe, self.pair, training, self._coded())

    def _coded(self) -> Iterator[Coded]:
        """Of random crops, after so many iterations that all are as frequent, to count."""
        random = np.random.default_rng(2017)
        side = min(_COUNTED_SIDE, min(min(shape) for shape in self.training.shapes)) // 32 * 32
        for number in range(_COUNTED):
            count = 1 + (ITERATIONS - 1) * (number + 0.5) / _COUNTED
            steps: list[tuple[Tensor, Tensor]] = []
            with torch.no_grad():
                y = self.pair["g_a"](self.training.crops(random, 1, side, self.device))
                iterations = torch.tensor([count], device=self.device)
                self.code(y, iterations, _runs(iterations), seen=steps.append)
            flags, bits = (torch.cat(parts).cpu().numpy() for parts in zip(*steps, strict=True))
            yield Coded(flags[:, 0], bits.astype(np.int8))


def _runs(iterations: Tensor) -> int:
    """What the file of a batch that has most iterations needs."""
    return math.ceil(float(iterations.max()))


def _most(energy: Tensor, share: Tensor) -> Tensor:
    """Which places (N, 1, h, w) are those of a share (N,) that have most of it."""
    ranks = energy.flatten(1).argsort(1, descending=True).argsort(1)
    count = torch.round(share * ranks.shape[1])
    found: Tensor = (ranks < count[:, None]).view_as(energy)
    return found

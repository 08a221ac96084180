"""The network of importance maps."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from comrec.inference.store import Network
from comrec.progress import progress
from comrec.train import export
from comrec.train.importance import (
    COARSE,
    FEATURES,
    Importance,
    Taught,
    Teacher,
    correlation,
    fitted,
    tensor,
)
from comrec.train.recipe import Recipe
from comrec.train.schemes.base import Scheme

_CROPS = 3
"""Of each photograph: with few photographs, what is cut out of them must vary."""
_BESIDE = 0.3
"""Weight of the features in the loss."""


class Imitation(Scheme):
    """A network that learns a teacher's maps. Loss: 1 - correlation, and the squared error.

    Beside them it learns projections of the teacher's features, which say far more of a picture
    than its map does.
    """

    families = ("roi",)

    @classmethod
    def networks(cls, recipe: Recipe) -> nn.ModuleDict:
        """ "map", and "beside", which makes projections of the teacher's features."""
        return nn.ModuleDict({"map": Importance(), "beside": nn.Conv2d(COARSE, FEATURES, 1)})

    def __post_init__(self) -> None:
        def track(indices: Iterable[int]) -> Iterable[int]:
            return progress(indices, len(self.training.shapes), "teacher")

        self.taught = Taught(self.training, _CROPS, track)
        self.scored = self._scored()

    def _scored(self) -> list[tuple[Tensor, Tensor]]:
        """Whole validation pictures, about as the network sees them, with the teacher's maps."""
        teacher = Teacher()
        pairs = []
        for index in range(len(self.validation.shapes)):
            picture = tensor(fitted(self.validation.original[index])[None])
            with torch.inference_mode():
                pairs.append((picture, teacher(picture)[0]))
        return pairs

    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        pictures, wanted, seen = self.taught.draw(random, self.recipe.batch)
        contrast = torch.from_numpy(random.uniform(0.7, 1.2, (len(pictures), 1, 1, 1))).float()
        light = torch.from_numpy(random.uniform(-0.15, 0.15, (len(pictures), 3, 1, 1))).float()
        pictures = ((pictures - 0.5) * contrast + 0.5 + light).clamp(0, 1)
        seen = seen.to(self.device)
        dims = (0, 2, 3)
        seen = (seen - seen.mean(dims, keepdim=True)) / seen.std(dims, keepdim=True)
        pictures, wanted, seen = (part[self.share] for part in (pictures, wanted, seen))
        pictures = pictures.to(self.device, memory_format=torch.channels_last)
        wanted = wanted.to(self.device)[:, 0]
        network = self.pair["map"]
        assert isinstance(network, Importance)
        with self.autocast():
            maps, coarse = network.both(pictures)
            beside = self.pair["beside"](coarse)
        maps = maps[:, 0].float()
        loss: Tensor = (1 - correlation(maps, wanted)).mean() + (maps - wanted).square().mean()
        loss += _BESIDE * (beside.float() - seen).square().mean()
        return loss

    def validate(self) -> dict[str, float]:
        """Correlation with the teacher's maps, mean over whole validation pictures, and that of a
        bell in the middle, which it is against."""
        scores = []
        with torch.no_grad():
            for picture, wanted in self.scored:
                found = self.pair["map"](picture.to(self.device)).cpu()[:, 0]
                bell = _bell(wanted)
                scores.append([float(correlation(m, wanted)) for m in (found, bell)])
        ours, centre = np.mean(scores, axis=0)
        return {"correlation": float(ours), "correlation_centre": float(centre)}

    def export(self, folder: Path, training: dict[str, Any]) -> list[Network]:
        name = f"{self.recipe.name}-map"
        return [export.write_importance(folder, name, self.pair["map"], training)]


def _bell(like: Tensor) -> Tensor:
    y, x = (torch.linspace(-1, 1, side) for side in like.shape[1:])
    return torch.exp(-2 * (y[:, None] ** 2 + x**2))[None]

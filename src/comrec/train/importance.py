"""Importance maps: the network that makes them, its teacher, and what the teacher has taught.

The teacher follows Prakash et al., "Semantic Perceptual Image Compression using Deep Convolution
Networks" (DCC 2017): class activation maps of an ImageNet classifier (Zhou et al., CVPR 2016),
summed over the likeliest classes. It sees whole pictures of any shape.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from comrec.errors import DamagedFileError
from comrec.roi.network import PITCH
from comrec.train import classifier
from comrec.train.data import PhotoStore
from comrec.train.parallel import BatchNorm2d

_CLASSES = 5
_STRIDE = 32
# At one scale, the teacher's map changes with each pixel of shift. At its borders it sees zeros.
_SCALES = (7 / 6, 5 / 3)
FEATURES = 64
"""Random projections of its features that are taught beside the maps."""


class Teacher(nn.Module):
    """Maps of multi-structure class activations, from EfficientNet-lite0.

    The activation maps of the five likeliest classes, weighted by their probabilities among these;
    summed over two scales, at one of them of the mirror image; edges are mirrored. 0 at a map's
    least important place, 1 at its most important one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = classifier.load("importance maps")
        generator = torch.Generator().manual_seed(16)
        last: nn.Linear = self.network._fc
        projection = torch.randn(last.in_features, FEATURES, generator=generator)
        self.register_buffer("projection", projection / last.in_features**0.5)
        self.requires_grad_(False)
        self.eval()

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) in 0..1, sides multiples of 32, to (N, H/16, W/16) maps in 0..1, and
        (N, `FEATURES`, H/32, W/32) random projections of what the classifier sees."""
        size = pictures.shape[2] // PITCH, pictures.shape[3] // PITCH
        maps = torch.zeros(len(pictures), 1, *size)
        seen = torch.zeros(len(pictures), FEATURES, size[0] // 2, size[1] // 2)
        for turn, scale in enumerate(_SCALES):
            sides = [round(side * scale / _STRIDE) * _STRIDE for side in pictures.shape[2:]]
            scaled = F.interpolate(pictures, sides, mode="bicubic", antialias=True)
            features = self._features(scaled.flip(3) if turn else scaled)
            features = features.flip(3) if turn else features
            maps += F.interpolate(self._activation(features), size, mode="bicubic")
            projected = torch.einsum("nchw,cp->nphw", features, self.projection)
            seen += F.interpolate(projected, seen.shape[2:], mode="bilinear")
        flat = maps.flatten(1)
        least, most = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
        return ((flat - least) / (most - least).clamp(min=1e-6)).view(-1, *size), seen

    def _features(self, pictures: Tensor) -> Tensor:
        """(N, 1280, H/32, W/32)."""
        padded = F.pad(pictures * 2 - 1, (_STRIDE,) * 4, mode="reflect")
        features: Tensor = self.network.extract_features(padded)
        return features[..., 1:-1, 1:-1]

    def _activation(self, features: Tensor) -> Tensor:
        """(N, 1, H/32, W/32)."""
        last: nn.Linear = self.network._fc
        best, classes = last(features.mean((2, 3))).topk(_CLASSES, dim=1)
        weights = torch.einsum("nk,nkc->nc", best.softmax(1), last.weight[classes])
        maps: Tensor = torch.einsum("nc,nchw->nhw", weights, features)[:, None]
        return maps


COARSE = 96
"""Channels of the coarsest features."""


class _Inverted(nn.Module):
    """An inverted residual block (Sandler et al., "MobileNetV2", CVPR 2018)."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = expansion * inputs
        self.body = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, bias=False),
            BatchNorm2d(inner),
            nn.ReLU6(),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False),
            BatchNorm2d(inner),
            nn.ReLU6(),
            nn.Conv2d(inner, outputs, 1, bias=False),
            BatchNorm2d(outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.body(x)
        return x + found if self.adds else found


class Importance(nn.Module):
    """The network of importance maps: 0.35 million parameters.

        conv 3x3 stride 2 ─ inverted residual blocks down to 1/32 ─ mean of all places added ─
        nearest to 1/16 ─ added to what was there ─ block ─ conv 1x1, sigmoid

    (N, 3, H, W) RGB in 0..1, sides multiples of 32, to (N, 1, H/16, W/16) in 0..1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False), BatchNorm2d(16), nn.ReLU6()
        )
        self.fine = nn.Sequential(
            _Inverted(16, 24, 2, 3),
            _Inverted(24, 24, 1, 3),
            _Inverted(24, 40, 2, 4),
            _Inverted(40, 40, 1, 4),
            _Inverted(40, 80, 2, 4),
            _Inverted(80, 80, 1, 4),
            _Inverted(80, 80, 1, 4),
        )
        self.coarse = nn.Sequential(_Inverted(80, COARSE, 2, 4), _Inverted(COARSE, COARSE, 1, 4))
        self.whole = nn.Conv2d(COARSE, COARSE, 1)
        self.up = nn.Conv2d(COARSE, 80, 1)
        self.last = _Inverted(80, 80, 1, 2)
        self.head = nn.Conv2d(80, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.both(x)[0]

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The maps, and (N, `COARSE`, H/32, W/32) features."""
        fine = self.fine(self.stem(x * 2 - 1))
        coarse = self.coarse(fine)
        coarse = coarse + self.whole(coarse.mean((2, 3), keepdim=True))
        up = F.interpolate(self.up(coarse), scale_factor=2.0, mode="nearest")
        return torch.sigmoid(self.head(self.last(fine + up))), coarse


def correlation(maps: Tensor, others: Tensor) -> Tensor:
    """(N, H, W) twice to (N,): Pearson's correlation of each pair, over its places."""
    a, b = (part - part.mean(1, keepdim=True) for part in (maps.flatten(1), others.flatten(1)))
    product = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp(min=1e-6)
    found: Tensor = product
    return found


_TYPES = (np.uint8, np.uint8, np.float16)
# The shapes of taught crops: pictures of one batch have one shape.
_SHAPES = ((192, 192), (128, 192), (192, 128), (160, 192), (192, 160))


class Taught:
    """Crops of photographs at the network's size, with the teacher's maps, on disk.

    Args:
        photos: where crops come from.
        crops: of each photograph; the first is all of it.
        track: wraps the photographs' indices in a progress bar.
    Raises:
        DamagedFileError: a file has another length than was written.
    """

    def __init__(
        self, photos: PhotoStore, crops: int, track: Callable[[Iterable[int]], Iterable[int]]
    ) -> None:
        self.folder = photos.folder / f"taught-{crops}"
        self.folder.mkdir(exist_ok=True)
        index = self.folder / "index.json"
        if not index.exists():
            counts = self._make(photos, crops, track)
            index.write_text(json.dumps(counts))
        try:
            counts = [int(count) for count in json.loads(index.read_bytes())]
        except (TypeError, ValueError):
            raise DamagedFileError(f"{index}: is damaged; delete its folder") from None
        self._parts: list[list[NDArray[Any]]] = []
        for number, (count, (height, width)) in enumerate(zip(counts, _SHAPES, strict=True)):
            if count:
                shapes = (
                    (count, height, width, 3),
                    (count, height // PITCH, width // PITCH),
                    (count, FEATURES, height // PITCH // 2, width // PITCH // 2),
                )
                each = zip(self._files(number), _TYPES, shapes, strict=True)
                self._parts.append([_flat(*one) for one in each])

    def _files(self, number: int) -> list[Path]:
        """Of crops of one shape: pictures, maps, features."""
        return [self.folder / f"{kind}-{number}.raw" for kind in ("pictures", "maps", "features")]

    def _make(
        self, photos: PhotoStore, crops: int, track: Callable[[Iterable[int]], Iterable[int]]
    ) -> list[int]:
        """Teaches; gives the number of crops of each shape."""
        teacher = Teacher()
        kept: list[list[list[bytes]]] = [[[], [], []] for _ in _SHAPES]
        for index in track(range(len(photos.shapes))):
            random = np.random.default_rng([index, crops])
            for number in range(crops):
                part = photos.original[index]
                if number:
                    part = _crop(part, random)
                small = fitted(part)
                shape = _SHAPES.index(small.shape[:2])
                with torch.inference_mode():
                    maps, seen = (part[0].numpy() for part in teacher(tensor(small[None])))
                taught = small, np.rint(maps * 255), seen
                for parts, values, kind in zip(kept[shape], taught, _TYPES, strict=True):
                    parts.append(values.astype(kind).tobytes())
        for number, of_shape in enumerate(kept):
            for path, parts in zip(self._files(number), of_shape, strict=True):
                path.with_suffix(".part").write_bytes(b"".join(parts))
                os.replace(path.with_suffix(".part"), path)
        return [len(pictures) for pictures, _, _ in kept]

    def draw(self, random: np.random.Generator, batch: int) -> list[Tensor]:
        """(N, 3, H, W) pictures and (N, 1, H/16, W/16) maps in 0..1, and features; some of all
        mirrored."""
        sizes = np.array([len(part[0]) for part in self._parts], np.float64)
        pictures, maps, features = self._parts[
            int(random.choice(len(sizes), p=sizes / sizes.sum()))
        ]
        chosen = random.integers(len(pictures), size=batch)
        mirrored = torch.from_numpy(random.random(batch) < 0.5).view(-1, 1, 1, 1)
        drawn = (
            tensor(pictures[chosen]),
            torch.from_numpy(maps[chosen].astype(np.float32) / 255)[:, None],
            torch.from_numpy(features[chosen].astype(np.float32)),
        )
        return [torch.where(mirrored, each.flip(3), each) for each in drawn]


def _flat(path: Path, kind: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    data = np.fromfile(path, kind)
    if data.size != np.prod(shape):
        raise DamagedFileError(f"{path}: is damaged; delete its folder")
    return data.reshape(shape)


def _crop(pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """A random crop of a sixth to all of a picture's area."""
    area = random.uniform(1 / 6, 1) ** 0.5
    tall = np.exp(random.uniform(-0.25, 0.25))
    sizes = [
        max(32, min(side, round(side * area * factor)))
        for side, factor in zip(pixels.shape[:2], (tall, 1 / tall), strict=True)
    ]
    top, left = (
        int(random.integers(side - size + 1))
        for side, size in zip(pixels.shape[:2], sizes, strict=True)
    )
    return pixels[top : top + sizes[0], left : left + sizes[1]]


def fitted(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) at the nearest of `_SHAPES`, as `comrec.roi.network` makes pictures small."""

    def unlike(shape: tuple[int, int]) -> float:
        return abs(math.log(pixels.shape[0] * shape[1] / (pixels.shape[1] * shape[0])))

    height, width = min(_SHAPES, key=unlike)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def tensor(pictures: NDArray[np.uint8]) -> Tensor:
    """(N, H, W, 3) to (N, 3, H, W) in 0..1, channels last."""
    return torch.from_numpy(pictures.astype(np.float32) / 255).permute(0, 3, 1, 2)

"""Training pictures: decoded once into flat files, cropped at random from there.

A `PhotoStore` holds the originals and, for each of a few quality bins, what a real codec made of
them, as memory-mapped uint8. Bin k of n holds each photograph at a quality drawn from the
k-th of n equal parts of the recipe's range, so that all qualities are seen and a crop costs
no decoding.
"""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from comrec import records
from comrec.batch import pool
from comrec.batch.pool import Failure
from comrec.errors import ComrecError, DamagedFileError, InputError, OptionError
from comrec.picture import Pixels
from comrec.pillow_io import open_image
from comrec.train.degradation import Degradation, Degraded, Job, degrade

Track = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""Wraps an iterable of known length in a labelled progress bar."""

ALL = slice(None)  # of a batch

WORKERS = os.cpu_count() or 1
"""Processes that make coded pictures."""

EXTENSIONS = {".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".jp2"}


def list_photos(folder: Path, limit: int | None = None) -> list[Path]:
    """Picture files below ``folder``, sorted; every n-th where there are more than ``limit``.

    Raises:
        InputError: there are none.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in EXTENSIONS)
    if not paths:
        raise InputError(f"{folder}: no pictures found")
    if limit is not None and len(paths) > limit:
        paths = [paths[i * len(paths) // limit] for i in range(limit)]
    return paths


def _load(path: Path, mode: str, patch: int, enlarged: float) -> Pixels:
    """(H, W, C), sides in multiples of 16; the file's name decides all that is random."""
    random = np.random.default_rng(zlib.crc32(path.name.encode()))
    with open_image(path) as opened:
        image = opened.convert(mode)
    if random.random() < enlarged:
        factor = random.uniform(1.2, 1.9)
        size = round(image.width * factor), round(image.height * factor)
        image = image.resize(size, Image.Resampling.BICUBIC)
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    height, width = (min(side, patch or side) // 16 * 16 for side in pixels.shape[:2])
    top = int(random.integers(pixels.shape[0] - height + 1))
    left = int(random.integers(pixels.shape[1] - width + 1))
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


@dataclass(frozen=True)
class QualityBins:
    """What a store holds of each photograph beside the original.

    Attributes:
        name: tells these bins from others of the store.
        count: of bins, each of which has every photograph once.
        scale: how many times smaller the coded pictures' sides are.
        weight: how often a bin is drawn, by its middle, as a fraction of the quality range.
        channels: bytes of each pixel of what becomes of them; by default as of the originals.
    """

    name: str
    degradation: Degradation
    count: int
    scale: int
    weight: Callable[[float], float]
    channels: int | None = None


def _coded(jobs: Iterable[Job], workers: int) -> Generator[Degraded]:
    """What becomes of the pictures of numbered jobs, in their order."""
    early: dict[int, Degraded] = {}
    wanted = 0
    with closing(pool.run(degrade, jobs, workers)) as answers:
        for job, answer in answers:
            if isinstance(answer, Failure):
                raise ComrecError(answer.message)
            early[job.number] = answer
            while wanted in early:
                yield early.pop(wanted)
                wanted += 1


class PhotoStore:
    """Originals and their coded versions on disk.

    Args:
        folder: where the store lies or is to be made.
        photos: the picture files.
        mode: "RGB" or "L".
        minimum: photographs with a shorter side are left out.
        patch: side of the one patch that is kept of each photograph (0: all of it).
        enlarged: share of the photographs that are enlarged 1.2 to 1.9 times first.
    Raises:
        InputError: a photograph or a file of the store cannot be read, or all photographs are too
            small.
        OptionError: the folder holds the store of other photographs, or one made otherwise.
    """

    def __init__(
        self,
        folder: Path,
        photos: list[Path],
        mode: str,
        minimum: int,
        patch: int = 0,
        enlarged: float = 0.0,
    ) -> None:
        self.folder = folder
        self.channels = len(mode)
        folder.mkdir(parents=True, exist_ok=True)
        index_file = folder / "index.json"
        made = {
            "photos": [path.name for path in photos],
            "mode": mode,
            "patch": patch,
            "enlarged": enlarged,
        }
        if not index_file.exists():
            load = partial(_load, mode=mode, patch=patch, enlarged=enlarged)
            shapes = self._write_originals(photos, load, minimum)
            index_file.write_text(json.dumps({**made, "shapes": shapes}))
        index = _read_json(index_file)
        if not isinstance(index, dict) or {k: index.get(k) for k in made} != made:
            raise OptionError(f"{folder}: holds other pictures; choose another folder")
        self.shapes = _shapes(index.get("shapes"), index_file)
        if min(map(min, self.shapes)) < minimum:
            raise OptionError(
                f"{folder}: was made for crops smaller than {minimum}; choose another folder"
            )
        self.original = _Flat(folder / "original.u8", self.shapes, self.channels)
        self.bins: list[tuple[_Flat, list[list[float]]]] = []
        self.bin_weights: list[float] = []
        self._resident: dict[str, torch.Tensor] = {}
        self._tiles: NDArray[np.int64] | None = None

    def _write_originals(
        self, photos: list[Path], load: Callable[[Path], Pixels], minimum: int
    ) -> list[tuple[int, ...]]:
        """Gives the shapes of those that are large enough."""
        shapes = []
        part = self.folder / "original.part"
        with part.open("wb") as out:
            for path in photos:
                pixels = load(path)
                if min(pixels.shape[:2]) >= minimum:
                    out.write(pixels.tobytes())
                    shapes.append(pixels.shape[:2])
        if not shapes:
            raise InputError(
                f"{photos[0].parent}: no picture has {minimum} pixels on both sides, rounded "
                "down to 16"
            )
        os.replace(part, self.folder / "original.u8")
        return shapes

    def add_quality_bins(self, added: list[QualityBins], workers: int, track: Track) -> None:
        """Code every photograph once per quality bin, in parallel; finished bins stay on disk.

        One pool of processes does all bins: starting one takes seconds.
        """
        planned = [
            (bins, index, self._path(bins, index)) for bins in added for index in range(bins.count)
        ]
        missing = [each for each in planned if not each[2].with_suffix(".json").exists()]
        with closing(_coded(self._jobs(missing), workers)) as coded:
            for _, _, path in missing:
                self._write_bin(
                    path, track(islice(coded, len(self.shapes)), len(self.shapes), path.stem)
                )
        for bins, index, path in planned:
            shapes = [(h // bins.scale, w // bins.scale) for h, w in self.shapes]
            flat = _Flat(path, shapes, bins.channels or self.channels)
            self.bins.append((flat, _conditions(path.with_suffix(".json"), len(shapes))))
            self.bin_weights.append(bins.weight((index + 0.5) / bins.count))

    def _path(self, bins: QualityBins, index: int) -> Path:
        return self.folder / f"{bins.name}-{index}of{bins.count}.u8"

    def _jobs(self, missing: list[tuple[QualityBins, int, Path]]) -> Iterator[Job]:
        """Every photograph for the first bin, then every one for the next."""
        number = 0
        for bins, index, _ in missing:
            random = np.random.default_rng([index, bins.count])
            fractions = (index + random.random(len(self.shapes))) / bins.count
            for photo, fraction in enumerate(fractions):
                yield Job(number, bins.degradation, self.original[photo], float(fraction))
                number += 1

    @staticmethod
    def _write_bin(path: Path, coded: Iterable[Degraded]) -> None:
        part, conditions = path.with_suffix(".part"), []
        with part.open("wb") as out:
            for pixels, condition in coded:
                out.write(np.ascontiguousarray(pixels).tobytes())
                conditions.append(condition)
        os.replace(part, path)
        path.with_suffix(".json").write_text(json.dumps(conditions))

    def choose_tiles(self, count: int, side: int, track: Track) -> None:
        """Limit `crops` to some tiles of each photograph: those that PNG compresses worst.

        Toderici et al. 2017, section 5.1: photographs are mostly smooth, and what is smooth teaches
        little. Tiles do not overlap. They are chosen once, and stay on disk.

        Args:
            count: of the tiles of a photograph; all, where there are fewer.
            side: of a tile, which crops must have, too.
        """
        path = self.folder / f"tiles-{count}of{side}.json"
        if not path.exists():
            found: list[tuple[int, int, int]] = []
            for index in track(range(len(self.shapes)), len(self.shapes), "tiles"):
                best = _worst_compressed(self.original[index], count, side)
                found += [(index, top, left) for top, left in best]
            part = path.with_suffix(".part")
            part.write_text(json.dumps(found))
            os.replace(part, path)
        self._tiles = _places(path, side, self.shapes)

    def sample(
        self,
        random: np.random.Generator,
        batch: int,
        crop: int,
        scale: int = 1,
        share: slice = ALL,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Random crops with random flips and quarter turns.

        Args:
            share: which of the batch are wanted; the others are drawn, but not cut.
        Returns:
            original (N, C, crop, crop) and coded (N, C, crop/scale, crop/scale) in 0..1, channels
            last; conditions (N, 2) in 0..1. Without quality bins, coded is empty.
        """
        originals, coded, conditions = [], [], []
        shares = np.array(self.bin_weights) / sum(self.bin_weights) if self.bins else None
        weights = np.array([h * w for h, w in self.shapes], np.float64)
        wanted = range(batch)[share]
        drawn = random.choice(len(self.shapes), batch, p=weights / weights.sum())
        for number, index in enumerate(drawn):
            height, width = self.shapes[index]
            top = int(random.integers(0, (height - crop) // scale + 1))
            left = int(random.integers(0, (width - crop) // scale + 1))
            turn, flip = int(random.integers(4)), bool(random.integers(2))

            chosen = int(random.choice(len(self.bins), p=shares)) if self.bins else None
            if number not in wanted:
                continue

            place = (top, left, crop, turn, flip)
            originals.append(_cut(self.original[index], scale, scale, *place))
            if chosen is not None:
                flat, labels = self.bins[chosen]
                coded.append(_cut(flat[index], 1, scale, *place))
                conditions.append(labels[index])
        return _tensor(originals), _tensor(coded), torch.tensor(conditions, dtype=torch.float32)

    def crops(
        self, random: np.random.Generator, batch: int, crop: int, device: str, share: slice = ALL
    ) -> torch.Tensor:
        """Random crops of the originals with random flips and quarter turns, cut on the device.

        The first call puts the whole store there: a GPU that waits for crops from the processor
        is idle most of the time.

        Args:
            share: which of the batch are wanted.
        Returns:
            (N, C, crop, crop) in 0..1, channels last.
        """
        flat = self._on(device)
        shapes = np.array(self.shapes)
        if self._tiles is None:
            areas = shapes.prod(1) / shapes.prod(1).sum()
            indices = random.choice(len(shapes), batch, p=areas)
            height, width = shapes[indices].T
            top, left = random.integers(height - crop + 1), random.integers(width - crop + 1)
        else:
            indices, top, left = random.choice(self._tiles, batch).T
            width = shapes[indices, 1]
        first = self.original.starts[indices] // self.channels + top * width + left
        # A step along a row and down a column of the crop; backwards from the far end if flipped.
        mirrored, upturned, turned = random.integers(2, size=(3, batch))
        first = first + (crop - 1) * (mirrored + upturned * width)
        along, down = 1 - 2 * mirrored, (1 - 2 * upturned) * width
        along, down = np.where(turned, down, along), np.where(turned, along, down)
        start, right, below = (
            torch.from_numpy(part[share]).to(device).view(-1, 1, 1) for part in (first, along, down)
        )
        line = torch.arange(crop, device=device)
        places = start + below * line[:, None] + right * line
        return flat[places].permute(0, 3, 1, 2).float().div_(255)

    def _on(self, device: str) -> torch.Tensor:
        """All pixels, (pixels, C) uint8."""
        if device not in self._resident:
            path, size = str(self.folder / "original.u8"), len(self.original.data)
            flat = torch.from_file(path, shared=False, size=size, dtype=torch.uint8)
            self._resident[device] = flat.view(-1, self.channels).to(device)
        return self._resident[device]


def _read_json(path: Path) -> Any:
    try:
        return records.loads(path.read_bytes())
    except ValueError:
        raise _damaged(path) from None


def _shapes(found: Any, path: Path) -> list[tuple[int, int]]:
    """Pairs of sides, as `PhotoStore` wrote them."""
    fits = isinstance(found, list) and bool(found)
    fits = fits and all(
        isinstance(shape, list) and [type(side) for side in shape] == [int, int] and min(shape) > 0
        for shape in found
    )
    if not fits:
        raise _damaged(path)
    return [(height, width) for height, width in found]


def _worst_compressed(pixels: Pixels, count: int, side: int) -> list[tuple[int, int]]:
    """The (top, left) of these tiles, in order of their sizes as PNG files, the largest first."""
    sizes = []
    for top in range(0, pixels.shape[0] - side + 1, side):
        for left in range(0, pixels.shape[1] - side + 1, side):
            tile = pixels[top : top + side, left : left + side]
            buffer = io.BytesIO()
            Image.fromarray(tile[..., 0] if tile.shape[2] == 1 else tile).save(buffer, "PNG")
            sizes.append((-buffer.tell(), top, left))
    return [(top, left) for _, top, left in sorted(sizes)[:count]]


def _places(path: Path, side: int, shapes: list[tuple[int, int]]) -> NDArray[np.int64]:
    """(tiles, 3): photograph, top and left, as `PhotoStore.choose_tiles` wrote them."""
    found = _read_json(path)
    fits = isinstance(found, list) and bool(found)
    fits = fits and all(
        isinstance(place, list) and [type(value) for value in place] == [int] * 3 for place in found
    )
    if not fits:
        raise _damaged(path)
    places = np.array(found, np.int64)
    index, corner = places[:, 0], places[:, 1:]
    if index.min() < 0 or index.max() >= len(shapes) or corner.min() < 0:
        raise _damaged(path)
    if (corner + side > np.array(shapes)[index]).any():
        raise _damaged(path)
    return places


def _conditions(path: Path, count: int) -> list[list[float]]:
    """The two conditions of each of so many photographs."""
    found = _read_json(path)
    if not isinstance(found, list) or len(found) != count:
        raise _damaged(path)
    for pair in found:
        if not isinstance(pair, list) or [type(value) for value in pair] != [float] * 2:
            raise _damaged(path)
    return found


def _damaged(path: Path) -> DamagedFileError:
    return DamagedFileError(f"{path}: is damaged; delete its folder")


class _Flat:
    """Pictures one after the other in one memory-mapped file."""

    def __init__(self, path: Path, shapes: list[tuple[int, int]], channels: int) -> None:
        self.data = np.memmap(path, np.uint8, "r")
        self.shapes = shapes
        self.channels = channels
        self.starts = np.cumsum([0] + [h * w * channels for h, w in shapes])
        if len(self.data) != self.starts[-1]:
            raise DamagedFileError(
                f"{path}: {len(self.data)} bytes, expected {self.starts[-1]}; delete its folder"
            )

    def __getitem__(self, index: int) -> Pixels:
        height, width = self.shapes[index]
        flat = self.data[self.starts[index] : self.starts[index + 1]]
        return flat.reshape(height, width, self.channels)


def _cut(
    pixels: Pixels, grid: int, scale: int, top: int, left: int, crop: int, turn: int, flip: bool
) -> Pixels:
    """A crop at (top, left) of the coded grid; ``grid`` is this picture's pitch on it."""
    y, x, side = top * grid, left * grid, crop * grid // scale
    turned = np.rot90(pixels[y : y + side, x : x + side], turn)
    return turned[:, ::-1] if flip else turned


def _tensor(crops: list[Pixels]) -> torch.Tensor:
    if not crops:
        return torch.empty(0)
    stacked = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
    return stacked.float().div_(255).contiguous(memory_format=torch.channels_last)

"""The same crop of a picture by every codec at about equal file size."""

from __future__ import annotations

import base64
import io
import math
from contextlib import closing
from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image

from comrec import roi
from comrec.batch import pool
from comrec.measure.bench import Measured, Region, Series, Source, read
from comrec.measure.comparison import CROP, busiest
from comrec.measure.store import Store
from comrec.metrics import psnr
from comrec.picture import Picture, Pixels
from comrec.progress import progress

PICTURES = 3
_BPP = 0.25
"""A rate at which codecs differ visibly."""


@dataclass(frozen=True)
class Crop:
    """A crop of a decoded picture.

    Attributes:
        label: of the variant.
        quality: 0..100.
        bytes: size of the whole file.
        psnr: of the whole picture, RGB, dB; infinity if lossless.
        png: the crop, base64.
    """

    label: str
    quality: float
    bytes: int
    psnr: float
    png: str


@dataclass(frozen=True)
class Row:
    """Crops of one picture by every variant.

    Attributes:
        picture: name of its file.
        budget: largest file size, bytes.
        original: PNG of the crop of the original, base64.
        region: PNG of the whole picture, made smaller, under the map of what matters, base64; None
            where no region was asked for.
        crops: of the variants that meet the budget.
    """

    picture: str
    budget: int
    original: str
    region: str | None
    crops: list[Crop]


@dataclass(frozen=True)
class _Task:
    series: Series
    source: Source
    budget: int
    key: str


def rows(measured: Measured, store: Store, jobs: int, quiet: bool = False) -> list[Row]:
    """Crops of up to three pictures, evenly spaced among all, by every variant.

    Args:
        store: crops of earlier runs; new ones are added.
        jobs: number of parallel processes.
        quiet: no progress bar.
    """
    complete = measured.complete
    chosen = sorted({round(i * (len(complete) - 1) / (PICTURES - 1)) for i in range(PICTURES)})
    sources = [complete[index] for index in chosen if complete]
    tasks = [task for source in sources for task in _tasks(measured, source)]
    missing = [task for task in tasks if task.key not in store]
    with closing(pool.run(_crop, missing, jobs)) as answers:
        for task, answer in progress(answers, len(missing), "crops", quiet):
            if isinstance(answer, Crop):
                store.add(task.key, asdict(answer))
    return [
        Row(
            source.name,
            _budget(measured, source),
            _png(_part(read(source.path), read(source.path).rgb)),
            None if measured.region is None else _png(_overlay(measured.region, source)),
            [store.result(t.key, Crop) for t in tasks if t.source == source and t.key in store],
        )
        for source in sources
    ]


def _budget(measured: Measured, source: Source) -> int:
    """Bytes at `_BPP`, or the smallest file of the lossy variants where that is larger."""
    points = [measured.points_of(series, source) for series in measured.series]
    smallest = [min(of_variant, key=lambda point: point.bytes) for of_variant in points]
    pixels = 8 * smallest[0].bytes / smallest[0].bpp
    needed = [point.bytes for point in smallest if math.isfinite(point.psnr_rgb)]
    return max(math.ceil(_BPP * pixels / 8), *needed)


def _tasks(measured: Measured, source: Source) -> list[_Task]:
    budget = _budget(measured, source)
    return [
        _Task(series, source, budget, f"{series.settings} {source.sha256} {budget}")
        for series in measured.series
    ]


def _crop(task: _Task) -> Crop:
    original = read(task.source.path)
    coder = task.series.variant.codec
    point = coder.encode_within(task.series.given(original), task.budget)
    decoded = coder.decode(point.data)
    return Crop(
        task.series.variant.label,
        point.quality,
        len(point.data),
        psnr(original.rgb, decoded.rgb),
        _png(_part(original, decoded.rgb)),
    )


def _overlay(region: Region, source: Source) -> Pixels:
    """The picture of a source under its map, at most 2 * `CROP` pixels wide and high."""
    picture = read(source.path)
    image = Image.fromarray(roi.heat(picture.rgb, region.plane(picture)))
    image.thumbnail((2 * CROP, 2 * CROP))
    return np.asarray(image)


def _part(original: Picture, pixels: Pixels) -> Pixels:
    left, top = busiest(original)
    return pixels[top : top + CROP, left : left + CROP]


def _png(pixels: Pixels) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")

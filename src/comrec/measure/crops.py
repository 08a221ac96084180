"""The same part of a picture by every codec at about equal bytes."""

from __future__ import annotations

import base64
import io
import math
from contextlib import closing
from dataclasses import asdict, dataclass

from PIL import Image

from comrec.measure import workers
from comrec.measure.bench import Measured, Series, Source, read
from comrec.measure.comparison import CROP, busiest
from comrec.measure.store import Store
from comrec.metrics import psnr
from comrec.picture import Picture, Pixels
from comrec.progress import progress

PICTURES = 3
_BPP = 0.25
"""Where codecs differ to the eye."""


@dataclass(frozen=True)
class Crop:
    """A part of a picture as a codec gives it back.

    Attributes:
        label: the variant's.
        quality: 0..100.
        bytes: of the whole file.
        psnr: of the whole picture, RGB, dB; infinite where nothing was lost.
        png: of the part, base64.
    """

    label: str
    quality: float
    bytes: int
    psnr: float
    png: str


@dataclass(frozen=True)
class Row:
    """A picture's part by every variant.

    Attributes:
        picture: its file's name.
        budget: bytes that no file exceeds.
        original: PNG of the part, base64.
        crops: of the variants that have a file so small.
    """

    picture: str
    budget: int
    original: str
    crops: list[Crop]


@dataclass(frozen=True)
class _Task:
    series: Series
    source: Source
    budget: int
    key: str


def rows(measured: Measured, store: Store, jobs: int, quiet: bool = False) -> list[Row]:
    """Parts of up to three pictures, evenly from all, each by every variant.

    Args:
        store: of crops made before; made ones are added.
    """
    complete = measured.complete
    chosen = sorted({round(i * (len(complete) - 1) / (PICTURES - 1)) for i in range(PICTURES)})
    sources = [complete[index] for index in chosen if complete]
    tasks = [task for source in sources for task in _tasks(measured, source)]
    missing = [task for task in tasks if task.key not in store]
    with closing(workers.run(_crop, missing, jobs)) as answers:
        for task, answer in progress(answers, len(missing), "crops", quiet):
            if isinstance(answer, Crop):
                store.add(task.key, asdict(answer))
    return [
        Row(
            source.name,
            _budget(measured, source),
            _png(_part(read(source.path), read(source.path).rgb)),
            [Crop(**store[t.key]) for t in tasks if t.source == source and t.key in store],
        )
        for source in sources
    ]


def _budget(measured: Measured, source: Source) -> int:
    """A quarter of a bit a pixel, or more where a lossy variant has no file so small."""
    points = [measured.of(series, source) for series in measured.series]
    smallest = [min(of_variant, key=lambda point: point.bytes) for of_variant in points]
    pixels = 8 * smallest[0].bytes / smallest[0].bpp
    needed = [point.bytes for point in smallest if math.isfinite(point.psnr_rgb)]
    return max(math.ceil(_BPP * pixels / 8), *needed)


def _tasks(measured: Measured, source: Source) -> list[_Task]:
    budget = _budget(measured, source)
    return [
        _Task(series, source, budget, f"{series.variant.settings} {source.sha256} {budget}")
        for series in measured.series
    ]


def _crop(task: _Task) -> Crop:
    original = read(task.source.path)
    coder = task.series.variant.make()
    fit = coder.encode_within(original, task.budget)
    decoded = coder.decode(fit.data)
    return Crop(
        task.series.variant.label,
        fit.quality,
        len(fit.data),
        psnr(original.rgb, decoded.rgb),
        _png(_part(original, decoded.rgb)),
    )


def _part(original: Picture, pixels: Pixels) -> Pixels:
    left, top = busiest(original)
    return pixels[top : top + CROP, left : left + CROP]


def _png(pixels: Pixels) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")

"""Every codec over a folder of pictures: what each point costs and what it gives.

Points are of a picture's pixels alone: EXIF, ICC and XMP are left out, since not every format
carries them. Each point is kept in a store as it comes; what is in the store of the same
picture, codec, options and versions is not measured again.
"""

from __future__ import annotations

import functools
import hashlib
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from comrec import metrics, preparation
from comrec.codec import Codec
from comrec.errors import InputError, UnsupportedPictureError
from comrec.measure import machine, workers
from comrec.measure.store import Store
from comrec.measure.variants import Variant
from comrec.measure.workers import Failure
from comrec.picture import Picture
from comrec.progress import progress

SUFFIXES = (
    ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jpg", ".jpeg", ".jp2", ".avif",
)  # fmt: skip
"""Of the files in a folder that count as pictures."""


@dataclass(frozen=True)
class Series:
    """A variant and the qualities it is measured at, rising."""

    variant: Variant
    qualities: tuple[float, ...]


@dataclass(frozen=True)
class Source:
    """A picture file.

    Attributes:
        path: where it is.
        sha256: of its bytes.
    """

    path: Path
    sha256: str

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True)
class Point:
    """One picture by one variant at one quality.

    Attributes:
        bytes: of the whole file, headers and mark included.
        bpp: 8 * bytes / pixels.
        psnr_rgb: dB, on 8-bit RGB; infinity where nothing was lost.
        psnr_y: dB, on unrounded BT.601 luma.
        ssim_y: on BT.601 luma rounded to 8 bits; None for sides below 11.
        ms_ssim_rgb: on 8-bit RGB; None for sides below 161.
        encode_s, decode_s: wall seconds, networks loaded.
        encode_peak, decode_peak: most bytes of memory that the process held; None off Linux.
    """

    bytes: int
    bpp: float
    psnr_rgb: float
    psnr_y: float
    ssim_y: float | None
    ms_ssim_rgb: float | None
    encode_s: float
    decode_s: float
    encode_peak: int | None
    decode_peak: int | None


@dataclass(frozen=True)
class Failed:
    """A picture that some variants could not code.

    Attributes:
        picture: its file's name.
        labels: the variants'.
        message: why, in one sentence.
    """

    picture: str
    labels: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class Measured:
    """The points of a folder.

    Attributes:
        series: variants and qualities, as asked for.
        sources: all pictures.
        points: by variant's label, picture's name and quality; failures have none.
        failures: one a picture and reason.
        runs: date, versions and machine of each run of the program that points come from.
    """

    series: list[Series]
    sources: list[Source]
    points: dict[tuple[str, str, float], Point]
    failures: list[Failed]
    runs: list[dict[str, Any]]

    @property
    def complete(self) -> list[Source]:
        """The pictures with all points: means are over them, the same for each variant."""
        failed = {failure.picture for failure in self.failures}
        return [source for source in self.sources if source.name not in failed]

    def of(self, series: Series, source: Source) -> list[Point]:
        """A variant's points of a picture, by rising quality."""
        return [
            self.points[series.variant.label, source.name, quality] for quality in series.qualities
        ]


@dataclass(frozen=True)
class _Task:
    series: Series
    source: Source
    quality: float
    key: str


def sources_in(folder: Path) -> list[Source]:
    """The picture files of a folder, by name.

    Raises:
        InputError: there are none.
    """
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        sources = [Source(p, hashlib.sha256(p.read_bytes()).hexdigest()) for p in found]
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}") from None
    if not sources:
        raise InputError(f"{folder}: no pictures there ({' '.join(SUFFIXES)})")
    return sources


def measure(
    series: list[Series], sources: list[Source], store: Store, jobs: int, quiet: bool = False
) -> Measured:
    """All points, from the store or anew.

    Args:
        jobs: processes at a time; times are true for 1 only.
        quiet: show no progress.
    """
    tasks = [task for one in series for task in _tasks(one, sources)]
    missing = [task for task in tasks if task.key not in store]
    failures: dict[tuple[str, str], dict[str, None]] = {}
    if missing:
        store.begin({**machine.facts(), "jobs": jobs})
    # Processes of their own for each variant: the memory of one is not another's.
    for one in series:
        ours = [task for task in missing if task.series == one]
        with closing(workers.run(_measure, ours, jobs)) as answers:
            label = one.variant.label
            total = len(one.qualities) * len(sources)
            done = total - len(ours)
            for task, answer in progress(answers, total, label, quiet, initial=done):
                if isinstance(answer, Failure):
                    reason = answer.message.removeprefix(f"{task.source.name}: ")
                    failures.setdefault((task.source.name, reason), {})[label] = None
                else:
                    names = {"codec": label, "picture": task.source.name, "quality": task.quality}
                    store.add(task.key, {**names, "point": asdict(answer)})
    found = [task for task in tasks if task.key in store]
    points = {
        (task.series.variant.label, task.source.name, task.quality): Point(
            **store[task.key]["point"]
        )
        for task in found
    }
    failed = [Failed(name, tuple(labels), why) for (name, why), labels in failures.items()]
    return Measured(series, sources, points, failed, store.runs_of([task.key for task in found]))


def _tasks(series: Series, sources: list[Source]) -> list[_Task]:
    settings = series.variant.settings
    return [
        _Task(series, source, quality, f"{settings} {source.sha256} {quality:g}")
        for source in sources
        for quality in series.qualities
    ]


def _measure(task: _Task) -> Point:
    coder, original = _coder(task.series), read(task.source.path)
    machine.reset_peak()
    started = time.perf_counter()
    data = coder.encode(original, task.quality)
    encoded = time.perf_counter()
    encode_peak = machine.peak()
    machine.reset_peak()
    between = time.perf_counter()
    decoded = coder.decode(data)
    ended = time.perf_counter()
    decode_peak = machine.peak()
    luma = [metrics.luma(picture.rgb) for picture in (original, decoded)]
    gray = [np.rint(plane).astype(np.uint8) for plane in luma]
    shorter = min(original.width, original.height)
    return Point(
        bytes=len(data),
        bpp=8 * len(data) / (original.width * original.height),
        psnr_rgb=metrics.psnr(original.rgb, decoded.rgb),
        psnr_y=metrics.psnr(*luma),
        ssim_y=metrics.ssim(*gray) if shorter >= metrics.SSIM_SIDE else None,
        ms_ssim_rgb=(
            metrics.ms_ssim(original.rgb, decoded.rgb) if shorter >= metrics.MS_SSIM_SIDE else None
        ),
        encode_s=encoded - started,
        decode_s=ended - between,
        encode_peak=encode_peak,
        decode_peak=decode_peak,
    )


@functools.lru_cache(maxsize=1)
def _coder(series: Series) -> Codec:
    return series.variant.warmed(series.qualities)


@functools.lru_cache(maxsize=1)  # consecutive tasks are of one picture
def read(path: Path) -> Picture:
    """A picture's pixels.

    Raises:
        InputError: it cannot be read.
        UnsupportedPictureError: it is transparent.
    """
    try:
        found = preparation.read(path, path.name)
    except OSError as error:
        raise InputError(f"{path.name}: {error.strerror}") from None
    if found.alpha is not None and found.alpha.min() < 255:
        raise UnsupportedPictureError(f"{path.name}: only opaque pictures are compared")
    return Picture(found.pixels)

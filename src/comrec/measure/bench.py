"""Rate, distortion, time and memory of codecs on a folder of pictures.

Only pixels are coded: EXIF, ICC and XMP are left out, since not every format stores them. Each
point is written to a store as soon as it is measured. Points in the store with the same picture,
codec, options and versions are not measured again.
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
from numpy.typing import NDArray

from comrec import fidelity, metrics, preparation, roi, ssimulacra2
from comrec.batch import pool
from comrec.batch.pool import Failure
from comrec.codec import Codec
from comrec.errors import InputError, UnsupportedPictureError
from comrec.measure import machine
from comrec.measure.store import Store
from comrec.measure.variants import Variant
from comrec.picture import Picture
from comrec.progress import progress

SUFFIXES = (
    ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jpg", ".jpeg", ".jp2", ".avif",
)  # fmt: skip
"""Extensions of the files in a folder that are read as pictures."""


@dataclass(frozen=True)
class Region:
    """Which part of pictures matters, and how much, as `comrec.roi` takes it.

    Attributes:
        source: "auto" or "centre".
        strength: dB.
    """

    source: str
    strength: float

    @property
    def settings(self) -> str:
        """All that determines the maps."""
        network = roi.network.network().sha256[:16] if self.source == roi.AUTO else ""
        return f"roi {self.source} {self.strength:g} {network}".strip()

    def plane(self, picture: Picture) -> NDArray[np.float32]:
        """The map of a picture, (H, W) in 0..1."""
        return roi.stored(picture, self.source)

    def marked(self, picture: Picture) -> Picture:
        """The picture with importance."""
        return roi.marked(picture, self.source, self.strength)


@dataclass(frozen=True)
class Series:
    """A variant and its qualities.

    Attributes:
        variant: the variant.
        qualities: 0..100, ascending.
        region: by which PSNR is also measured inside and outside of what matters, and which those
            codecs get that make use of it; None without.
    """

    variant: Variant
    qualities: tuple[float, ...]
    region: Region | None = None

    @property
    def settings(self) -> str:
        """All that determines its files, but for picture and quality."""
        region = f" {self.region.settings}" if self.region else ""
        return self.variant.settings + region

    def given(self, picture: Picture) -> Picture:
        """What the codec gets of a picture: with importance, if there is a region and it makes use
        of that."""
        if self.region is None or not self.variant.codec.uses_importance:
            return picture
        return self.region.marked(picture)


@dataclass(frozen=True)
class Source:
    """A picture file.

    Attributes:
        path: of the file.
        sha256: of its bytes, hexadecimal.
    """

    path: Path
    sha256: str

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True)
class Point:
    """The measurement of one picture, variant and quality.

    Attributes:
        bytes: size of the whole file, headers and mark included.
        bpp: 8 * bytes / pixels.
        psnr_rgb: dB, on 8-bit RGB; infinity if lossless.
        psnr_y: dB, on unrounded BT.601 luma.
        ssim_y: on BT.601 luma rounded to 8 bits; None for sides below 11.
        ms_ssim_rgb: on 8-bit RGB; None for sides below 161.
        ssimulacra2: on 8-bit RGB, taken for sRGB; at most 100; None for sides below 8.
        encode_s, decode_s: wall-clock seconds, with networks loaded.
        encode_peak, decode_peak: peak resident set size in bytes; None except on Linux.
        psnr_inside, psnr_outside: as psnr_rgb, weighted by the map of what matters, m, and by
            1 - m; None where no region was asked for.
    """

    bytes: int
    bpp: float
    psnr_rgb: float
    psnr_y: float
    ssim_y: float | None
    ms_ssim_rgb: float | None
    ssimulacra2: float | None
    encode_s: float
    decode_s: float
    encode_peak: int | None
    decode_peak: int | None
    psnr_inside: float | None = None
    psnr_outside: float | None = None


@dataclass(frozen=True)
class Failed:
    """A picture that some variants could not code.

    Attributes:
        picture: name of its file.
        labels: of the variants.
        message: the error.
    """

    picture: str
    labels: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class Measured:
    """The points of a folder.

    Attributes:
        series: variants and qualities.
        sources: all pictures.
        points: by label of the variant, name of the picture, and quality; failures have none.
        failures: one per picture and error.
        runs: date, versions and machine of each run that measured some of the points.
    """

    series: list[Series]
    sources: list[Source]
    points: dict[tuple[str, str, float], Point]
    failures: list[Failed]
    runs: list[dict[str, Any]]

    @property
    def region(self) -> Region | None:
        """That of all series."""
        return next((one.region for one in self.series), None)

    @property
    def complete(self) -> list[Source]:
        """The pictures without failures. Means are over these, for every variant."""
        failed = {failure.picture for failure in self.failures}
        return [source for source in self.sources if source.name not in failed]

    def points_of(self, series: Series, source: Source) -> list[Point]:
        """The points of a variant and a picture, by ascending quality."""
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
    """The picture files of a folder, sorted by name.

    Raises:
        InputError: the folder has none, or cannot be read.
    """
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        sources = [Source(p, hashlib.sha256(p.read_bytes()).hexdigest()) for p in found]
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}") from None
    if not sources:
        raise InputError(f"{folder}: no picture files ({' '.join(SUFFIXES)})")
    return sources


def measure(
    series: list[Series], sources: list[Source], store: Store, jobs: int, quiet: bool = False
) -> Measured:
    """All points, from the store or measured now.

    Args:
        store: new points are added to it.
        jobs: number of parallel processes; times are valid only with 1.
        quiet: no progress bar.
    """
    tasks = [task for one in series for task in _tasks(one, sources)]
    missing = [task for task in tasks if task.key not in store]
    failures: dict[tuple[str, str], dict[str, None]] = {}
    if missing:
        store.begin({**machine.facts(), "jobs": jobs})
    # New processes for each variant, so that peak memory is that of one variant.
    for one in series:
        todo = [task for task in missing if task.series == one]
        with closing(pool.run(_measure, todo, jobs)) as answers:
            label = one.variant.label
            total = len(one.qualities) * len(sources)
            done = total - len(todo)
            for task, answer in progress(answers, total, label, quiet, initial=done):
                if isinstance(answer, Failure):
                    reason = answer.message.removeprefix(f"{task.source.name}: ")
                    failures.setdefault((task.source.name, reason), {})[label] = None
                else:
                    names = {"codec": label, "picture": task.source.name, "quality": task.quality}
                    store.add(task.key, {**names, "point": asdict(answer)})
    found = [task for task in tasks if task.key in store]
    points = {
        (task.series.variant.label, task.source.name, task.quality): store.result(
            task.key, Point, "point"
        )
        for task in found
    }
    failed = [Failed(name, tuple(labels), why) for (name, why), labels in failures.items()]
    return Measured(series, sources, points, failed, store.runs_of([task.key for task in found]))


def _tasks(series: Series, sources: list[Source]) -> list[_Task]:
    settings = series.settings
    return [
        _Task(series, source, quality, f"{settings} {source.sha256} {quality:g}")
        for source in sources
        for quality in series.qualities
    ]


def _measure(task: _Task) -> Point:
    coder, original = _coder(task.series), read(task.source.path)
    given = task.series.given(original)
    machine.reset_peak()
    started = time.perf_counter()
    data = coder.encode(given, task.quality)
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
    region = task.series.region
    plane = None if region is None else region.plane(original)
    return Point(
        bytes=len(data),
        bpp=8 * len(data) / (original.width * original.height),
        psnr_rgb=metrics.psnr(original.rgb, decoded.rgb),
        psnr_y=metrics.psnr(*luma),
        ssim_y=metrics.ssim(*gray) if shorter >= metrics.SSIM_SIDE else None,
        ms_ssim_rgb=(
            metrics.ms_ssim(original.rgb, decoded.rgb) if shorter >= metrics.MS_SSIM_SIDE else None
        ),
        ssimulacra2=(
            ssimulacra2.score(decoded.rgb, original.rgb) if shorter >= ssimulacra2.SIDE else None
        ),
        encode_s=encoded - started,
        decode_s=ended - between,
        encode_peak=encode_peak,
        decode_peak=decode_peak,
        psnr_inside=(None if plane is None else fidelity.weighted_psnr(decoded, original, plane)),
        psnr_outside=(
            None if plane is None else fidelity.weighted_psnr(decoded, original, 1 - plane)
        ),
    )


@functools.lru_cache(maxsize=1)
def _coder(series: Series) -> Codec:
    series.variant.warm(series.qualities)
    return series.variant.codec


@functools.lru_cache(maxsize=1)  # consecutive tasks share a picture
def read(path: Path) -> Picture:
    """The pixels of a picture file, without metadata.

    Raises:
        InputError: the file cannot be read.
        UnsupportedPictureError: the picture is transparent.
    """
    try:
        found = preparation.read(path, path.name)
    except OSError as error:
        raise InputError(f"{path.name}: {error.strerror}") from None
    if found.alpha is not None and found.alpha.min() < 255:
        raise UnsupportedPictureError(f"{path.name}: only opaque pictures can be measured")
    return Picture(found.pixels)

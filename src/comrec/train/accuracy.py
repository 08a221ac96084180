"""What a classifier still recognises in coded pictures, against bytes.

Top-1 agreement is the share of pictures of which the classifier says the same as of the original;
top-1 accuracy the share of those with a label of which it says that. Points are stored as they are
measured, as in `comrec.measure.bench`.
"""

from __future__ import annotations

import functools
import hashlib
import re
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from comrec.batch import pool
from comrec.batch.pool import Failure
from comrec.blocks import ZIGZAG
from comrec.errors import InputError
from comrec.measure import bench, machine
from comrec.measure.bench import SUFFIXES, Failed, Series
from comrec.measure.store import Store
from comrec.measure.variants import Variant
from comrec.progress import progress
from comrec.standard import Jpeg
from comrec.train import classifier
from comrec.train.classifier import Classifier

Float = NDArray[np.float64]

CLASSES = 1000
ORIGINAL = "original"


@dataclass(frozen=True)
class Example:
    """A picture file.

    Attributes:
        path: of the file.
        name: unlike those of the others.
        sha256: of its bytes, hexadecimal.
        label: class of ImageNet, 0..999 in the standard order; None where it is not known.
    """

    path: Path
    name: str
    sha256: str
    label: int | None


@dataclass(frozen=True)
class Seen:
    """What the classifier says of a picture, coded or as it is.

    Attributes:
        bytes: of the file; 0 of originals.
        predicted: the most likely class.
        confidence: its probability.
    """

    bytes: int
    predicted: int
    confidence: float


@dataclass(frozen=True)
class Task:
    """An example to be coded, or seen as it is where there is no variant."""

    example: Example
    series: Series | None
    quality: float
    network: Path
    key: str


@dataclass(frozen=True)
class Column:
    """A codec at a quality, over all pictures.

    Attributes:
        quality: 0..100.
        bytes: (N,) of the files.
        agrees: (N,) whether the classifier says the same as of the original.
        correct: (N,) whether it says the label; NaN without one.
    """

    quality: float
    bytes: Float
    agrees: Float
    correct: Float


@dataclass(frozen=True)
class Curve:
    """A codec, or a baseline of several settings, by ascending bytes."""

    label: str
    columns: list[Column]


@dataclass(frozen=True)
class Judged:
    """All points.

    Attributes:
        examples: all pictures.
        clean: (N,) whether the classifier says the label of the original; NaN without one.
        curves: in the order asked for.
        failures: pictures that some codec could not code; they are in no curve.
        runs: date, versions and machine of each run that measured some of the points.
    """

    examples: list[Example]
    clean: Float
    curves: list[Curve]
    failures: list[Failed]
    runs: list[dict[str, Any]]


def examples_in(folder: Path, limit: int | None = None) -> list[Example]:
    """The pictures of a folder and their labels.

    Labels come from names that begin with a class, as "007_n01514668.avif"; from the folders below
    that hold the pictures where they are named by class, as "7", or are exactly 1000, which are
    then the classes in the order of their names (an ImageFolder of ImageNet).

    Args:
        limit: at most so many, spread evenly.
    Raises:
        InputError: there are no pictures.
    """
    try:
        paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}") from None
    if not paths:
        raise InputError(f"{folder}: no picture files ({' '.join(SUFFIXES)})")
    folders = sorted({path.parent.name for path in paths if path.parent != folder})
    of_folder = {name: _number(name) for name in folders}
    if len(folders) == CLASSES and None in of_folder.values():
        of_folder = {name: at for at, name in enumerate(folders)}
    if limit is not None and len(paths) > limit:
        paths = [paths[at * len(paths) // limit] for at in range(limit)]
    found = []
    for path in paths:
        number = re.match(r"(\d+)_", path.name)
        label = of_folder.get(path.parent.name) if number is None else _number(number[1])
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found.append(Example(path, str(path.relative_to(folder)), digest, label))
    return found


def _number(name: str) -> int | None:
    return int(name) if name.isdecimal() and int(name) < CLASSES else None


def baselines() -> dict[str, list[Series]]:
    """The curves that the paper compares with, as plain JPEG at 4:2:0.

    "jpeg QF 100"; "same step": one step for all frequencies; "no high frequencies": quality 100
    with the highest so many coefficients in zigzag order coarsest, which removes them.
    """
    flat = [np.full(64, step) for step in (12, 30, 60)]
    cut = [np.where(np.arange(64) < kept, 1, 255) for kept in (6, 15, 36)]
    return {
        "jpeg QF 100": [Series(_jpeg("jpeg QF 100", None), (100.0,))],
        "same step": [_fixed(f"same step {table[0]}", table) for table in flat],
        "no high frequencies": [
            _fixed(f"{(table == 1).sum()} lowest frequencies", table) for table in cut
        ],
    }


def _fixed(label: str, zigzag: NDArray[np.integer]) -> Series:
    raster = np.empty(64, int)
    raster[ZIGZAG] = zigzag
    return Series(_jpeg(label, raster.tolist()), (100.0,))


def _jpeg(label: str, table: list[int] | None) -> Variant:
    tables = None if table is None else [table, table]
    return Variant(label, Jpeg(subsampling="4:2:0", tables=tables))


def judge(
    asked: dict[str, list[Series]],
    examples: list[Example],
    store: Store,
    network: Path,
    jobs: int,
    quiet: bool = False,
) -> Judged:
    """All points of curves, from the store or measured now.

    Args:
        asked: the series of each curve, by its label.
        store: new points are added to it.
        network: of the classifier, as by `classifier.export`.
        jobs: number of parallel processes.
    """
    series = [one for several in asked.values() for one in several]
    tasks: dict[Series | None, list[Task]] = {
        one: _tasks(one, examples, network) for one in (None, *series)
    }
    if any(task.key not in store for several in tasks.values() for task in several):
        store.begin({**machine.facts(), "jobs": jobs, "classifier": classifier.NAME})
    failures: dict[tuple[str, str], dict[str, None]] = {}
    for one, wanted in tasks.items():
        todo = [task for task in wanted if task.key not in store]
        label = ORIGINAL if one is None else one.variant.label
        with closing(pool.run(_see, todo, jobs)) as answers:
            done = len(wanted) - len(todo)
            for task, answer in progress(answers, len(wanted), label, quiet, initial=done):
                if isinstance(answer, Failure):
                    failures.setdefault((task.example.name, answer.message), {})[label] = None
                else:
                    names = {"codec": label, "picture": task.example.name, "quality": task.quality}
                    store.add(task.key, {**names, "seen": asdict(answer)})
    failed = {name for name, _ in failures}
    kept = [example for example in examples if example.name not in failed]
    if not kept:
        name, why = next(iter(failures))
        raise InputError(f"{name}: {why}; no picture is left to compare")
    keys = [task.key for several in tasks.values() for task in several if task.key in store]
    labels = np.array([np.nan if e.label is None else e.label for e in kept], np.float64)
    original = _column(None, 100.0, kept, network, store, labels, None)
    curves = []
    for label, several in asked.items():
        columns = [
            _column(one, quality, kept, network, store, labels, original.agrees)
            for one in several
            for quality in one.qualities
        ]
        curves.append(Curve(label, sorted(columns, key=lambda column: column.bytes.mean())))
    told = [Failed(name, tuple(those), why) for (name, why), those in failures.items()]
    return Judged(kept, original.correct, curves, told, store.runs_of(keys))


def _tasks(series: Series | None, examples: list[Example], network: Path) -> list[Task]:
    return [
        Task(example, series, quality, network, _key(series, example, quality))
        for example in examples
        for quality in (series.qualities if series else (100.0,))
    ]


def _key(series: Series | None, example: Example, quality: float) -> str:
    settings = ORIGINAL if series is None else series.variant.settings
    return f"{classifier.NAME} {settings} {example.sha256} {quality:g}"


def _column(
    series: Series | None,
    quality: float,
    examples: list[Example],
    network: Path,
    store: Store,
    labels: Float,
    originals: Float | None,
) -> Column:
    """Of originals, ``agrees`` holds what the classifier says of them."""
    seen = [store.result(_key(series, each, quality), Seen, "seen") for each in examples]
    said = np.array([one.predicted for one in seen], np.float64)
    return Column(
        quality,
        np.array([one.bytes for one in seen], np.float64),
        said if originals is None else (said == originals).astype(np.float64),
        np.where(np.isnan(labels), np.nan, said == labels),
    )


def _see(task: Task) -> Seen:
    shown = bench.read(task.example.path)
    size = 0
    if task.series is not None:
        coder = task.series.variant.codec
        data = coder.encode(shown, task.quality)
        size, shown = len(data), coder.decode(data)
    said = _classifier(task.network)(shown.pixels)
    return Seen(size, int(said.argmax()), float(np.exp(said.max())))


@functools.lru_cache(maxsize=1)
def _classifier(network: Path) -> Classifier:
    return Classifier(network)

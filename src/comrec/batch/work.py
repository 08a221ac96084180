"""What a process of a batch does: one picture."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from comrec.batch.encoding import Recipe, sha256
from comrec.errors import InputError


@dataclass(frozen=True)
class Task:
    """A picture to encode.

    Attributes:
        name: relative, in the tree of the sources.
        source: its file's path, or its bytes where other machines have it.
        label: its name in errors.
        recipe: how to encode it.
        saving: the percentage by which the result must be smaller, or the source is kept; None:
            it is never kept.
    """

    name: str
    source: Path | bytes
    label: str
    recipe: Recipe
    saving: float | None


@dataclass(frozen=True)
class Made:
    """What came of a `Task`.

    Attributes:
        data: the bytes to write: the source's where it is kept.
        sha256: of them.
        source_size, source_sha256: of the source.
        kept: see `Task.saving`.
        notes: what reading changed or left out.
        seconds: of all of it.
    """

    data: bytes
    sha256: str
    source_size: int
    source_sha256: str
    kept: bool
    notes: tuple[str, ...]
    seconds: float


def encode(task: Task) -> Made:
    """Do a task.

    Raises:
        ComrecError: the picture cannot be read or encoded.
    """
    started = time.perf_counter()
    if isinstance(task.source, bytes):
        given = task.source
    else:
        try:
            given = task.source.read_bytes()
        except OSError as error:
            raise InputError(f"{task.label}: {error.strerror or error}") from None
    made = task.recipe.encode(given, task.label)
    kept = task.saving is not None and not _saves(len(given), len(made.data), task.saving)
    data = given if kept else made.data
    seconds = time.perf_counter() - started
    return Made(data, sha256(data), len(given), sha256(given), kept, made.notes, seconds)


def _saves(before: int, after: int, percent: float) -> bool:
    return after < before and after <= before * (1 - percent / 100)

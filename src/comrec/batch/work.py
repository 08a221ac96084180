"""What a process of a batch does: one picture."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from comrec.batch.encoding import Encoded, Recipe, sha256
from comrec.errors import InputError


@dataclass(frozen=True)
class Task:
    """A picture to encode.

    Attributes:
        name: by which its result is known; of a batch, relative to the tree of the sources.
        source: its file's path, or its bytes where other machines have it.
        label: its name in errors.
        recipe: how to encode it.
        saving: the percentage by which the result must be smaller, or the source is kept; None:
            it is never kept.
        untrusted: see `files.read`.
    """

    name: str
    source: Path | bytes
    label: str
    recipe: Recipe
    saving: float | None = None
    untrusted: bool = False


@dataclass(frozen=True)
class Made:
    """What came of a `Task`.

    Attributes:
        encoded: of the picture; its data are the source's where that is kept.
        sha256: of the data to write.
        source_size, source_sha256: of the source.
        kept: see `Task.saving`.
        seconds: of all of it.
    """

    encoded: Encoded
    sha256: str
    source_size: int
    source_sha256: str
    kept: bool
    seconds: float

    @property
    def data(self) -> bytes:
        """The bytes to write."""
        return self.encoded.data


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
    made = task.recipe.encode(given, task.label, untrusted=task.untrusted)
    kept = task.saving is not None and not _saves(len(given), len(made.data), task.saving)
    if kept:
        made = replace(made, data=given)
    seconds = time.perf_counter() - started
    return Made(made, sha256(made.data), len(given), sha256(given), kept, seconds)


def _saves(before: int, after: int, percent: float) -> bool:
    return after < before and after <= before * (1 - percent / 100)

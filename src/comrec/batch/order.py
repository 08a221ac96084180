"""What is wanted of a batch, and what becomes of its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from comrec.batch.encoding import Recipe, sha256
from comrec.batch.places import LocalPlace, Place
from comrec.batch.plan import Patterns
from comrec.errors import OptionError
from comrec.text import as_json

Engine = Literal["local", "ray"]
Status = Literal["encoded", "kept", "skipped", "failed"]


@dataclass(frozen=True)
class Order:
    """What is wanted of a batch.

    Attributes:
        source, target: the trees; the same one where sources are replaced.
        recipe: how pictures are encoded.
        patterns: which.
        recursive: those of folders below too.
        saving: see `Task.saving`.
        preserve: results get the times and permissions of their sources.
        jobs: number of processes; None: as many as keep the cores busy.
        memory: bytes that the processes of a machine may take together, by estimate; None: see
            `memory.available`, and `Cluster.run`.
        engine: "local": processes of this machine. "ray": `cluster.py`.
        address: see `cluster.connected`.
        state: the file of the record, where it is not beside the results.
        untrusted: see `files.read`; no header is read for the estimates of memory either.
    Raises:
        OptionError: the trees do not go together, or lack what an option needs.
    """

    source: Place
    target: Place
    recipe: Recipe
    patterns: Patterns = field(default_factory=Patterns)
    recursive: bool = False
    saving: float | None = None
    preserve: bool = False
    jobs: int | None = None
    memory: int | None = None
    engine: Engine = "local"
    address: str | None = None
    state: Path | None = None
    untrusted: bool = False

    def __post_init__(self) -> None:
        if self.address is not None and self.engine != "ray":
            raise OptionError("--address needs --engine ray")
        local = isinstance(self.source, LocalPlace) and isinstance(self.target, LocalPlace)
        if self.preserve and not local:
            raise OptionError("--preserve needs folders of this machine, not URLs")
        if self.in_place:
            if not local and self.state is None:
                raise OptionError("--in-place of a URL needs --state, a file of this machine")
        elif self.source.lies_in(self.target):
            name = self.target.label("")
            raise OptionError(f"{name}: contains the sources; choose another, or --in-place")

    @property
    def in_place(self) -> bool:
        return self.source is self.target

    @cached_property
    def settings(self) -> str:
        """What decides what is written, as the record has it.

        Raises:
            WeightsError: a network is missing.
        """
        return sha256(as_json([self.recipe.settings, self.saving, self.in_place]).encode())


@dataclass(frozen=True)
class Result:
    """What became of a source.

    Attributes:
        source, output: full names; the output of a failure is None.
        status: "kept": the result was not smaller enough. "skipped": it was done before.
        bytes, output_bytes: sizes; 0 of what is not known.
        seconds: of reading and encoding.
        notes: what reading changed or left out.
        error: of a failure.
    """

    source: str
    output: str | None
    status: Status
    bytes: int = 0
    output_bytes: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: str | None = None

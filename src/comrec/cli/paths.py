"""Inputs, and the outputs that go with them."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from comrec.cli.writing import STREAM, is_special
from comrec.errors import InputError, OptionError


def read(name: str) -> bytes:
    """The bytes of a file, or of standard input for "-".

    Raises:
        InputError: the file cannot be read.
    """
    try:
        if name != STREAM:
            return Path(name).read_bytes()
        if sys.stdin is None:
            raise InputError("standard input is closed")
        return sys.stdin.buffer.read()
    except OSError as error:
        raise InputError(f"{label(name)}: {error.strerror or error}") from None


def label(name: str) -> str:
    """The name of an input in messages."""
    return "standard input" if name == STREAM else name


def once(names: list[str]) -> list[str]:
    """The names without those that lead to the same path as one before."""
    paths = {name if name == STREAM else os.path.abspath(name): name for name in reversed(names)}
    return list(reversed(paths.values()))


@dataclass(frozen=True)
class Job:
    """One input and its output, "-" for the standard streams."""

    source: str
    output: str


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        jobs: one for each input, as often as it was given.
        refused: why other inputs are left out: they would be written to one name.
    """

    jobs: list[Job]
    refused: list[str]


def plan(inputs: list[str], out: str, extension: str) -> Plan:
    """The output of each input: the file ``out``, or files in the folder ``out``.

    Raises:
        OptionError: several inputs for one file, or standard input with a folder.
    """
    inputs = once(inputs)
    if not is_folder(out):
        if len(inputs) > 1:
            raise OptionError(
                f"-o must be a folder for {len(inputs)} inputs; {out} is not one{hint(out)}"
            )
        return Plan([Job(inputs[0], out)], [])
    if STREAM in inputs:
        raise OptionError("-o must be a file name or - for standard input")
    sources: dict[str, list[str]] = {}
    for name in inputs:
        sources.setdefault(str(Path(out) / (Path(name).stem + extension)), []).append(name)
    jobs = [Job(names[0], output) for output, names in sources.items() if len(names) == 1]
    refused = [
        f"{', '.join(names[:-1])} and {names[-1]}: they would be written to one name, "
        f"{output}; use separate folders"
        for output, names in sources.items()
        if len(names) > 1
    ]
    return Plan(jobs, refused)


def is_folder(out: str) -> bool:
    """Whether an output is a folder: an existing one, or a name that ends with a slash."""
    return out.endswith(("/", os.sep)) or Path(out).is_dir()


def suffix(out: str) -> str | None:
    """The extension of an output file, in lower case; None of folders, pipes and devices."""
    return None if is_folder(out) or is_special(out) else Path(out).suffix.lower()


def hint(out: str) -> str:
    """What helps where a folder was meant, to be put after a message."""
    return "" if os.path.lexists(out) else f"; write {out}/ for a folder"

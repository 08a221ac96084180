"""Calls for a child of `comrec.confined` that go wrong, and some that do not."""

from __future__ import annotations

import ctypes
import os
import time
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from comrec import errors
from comrec.errors import ComrecError, DamagedFileError, MissingExtraError


def segfault() -> None:
    ctypes.string_at(0)


def leave() -> NoReturn:
    os._exit(7)


def spin() -> NoReturn:
    while True:
        pass


def sleep() -> None:
    time.sleep(1000)


def nap() -> None:
    time.sleep(3)


def allocate() -> NoReturn:
    kept = []
    while True:
        kept.append(np.ones(10**8, np.uint8))


def write(path: str) -> None:
    with open(path, "wb") as file:
        file.write(bytes(10_000))


class OursError(DamagedFileError):
    pass


def raised(kind: str) -> NoReturn:
    """An error: one of ``comrec.errors`` by its name, or another."""
    if kind == "extra":
        raise MissingExtraError("HEIC", "heic")
    if kind == "ours":
        raise OursError("input: damaged")
    if kind == "exit":
        raise SystemExit(3)
    if not hasattr(errors, kind):
        raise KeyError(kind)
    found = getattr(errors, kind)
    error: ComrecError = found.__new__(found)
    error.args = ("told",)
    raise error


def pid() -> int:
    return os.getpid()


def pid_after(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def doubled(samples: NDArray[np.uint8]) -> dict[str, Any]:
    print("libraries print")
    os.write(1, b"to the descriptor too")
    return {"twice": samples * 2, "at": samples[::2, ::3]}

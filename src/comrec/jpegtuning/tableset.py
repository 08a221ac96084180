"""Sets of quantisation tables: of Y, Cb and Cr, in JSON files and in the package."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from comrec import records
from comrec.blocks import ZIGZAG
from comrec.errors import InputError
from comrec.options import shown
from comrec.text import as_json

Float = NDArray[np.float32]

FORMAT = "comrec quantisation tables, version 1"
_SHIPPED = {"imagenet": Path(__file__).with_name("imagenet.json")}
_FINEST, _COARSEST = 1e-3, 1e5
_SIDE = 8
_QUALITY = 50.0


@dataclass(frozen=True)
class Tables:
    """Quantisation tables of quality 50.

    Attributes:
        description: how they were made, for people.
        y, cb, cr: 64 steps in raster order each, 0.001..100000; whole numbers only once scaled.
    """

    description: str
    y: tuple[float, ...]
    cb: tuple[float, ...]
    cr: tuple[float, ...]

    @cached_property
    def zigzag(self) -> Float:
        """(3, 64): the steps of Y, Cb and Cr in zigzag order."""
        return np.array([self.y, self.cb, self.cr], np.float32)[:, ZIGZAG]

    def at(self, quality: float) -> tuple[Float, Float, Float]:
        """Tables of Y, Cb and Cr: (64,) whole numbers in 1..255, zigzag order.

        Args:
            quality: 0..100; steps are scaled by it as libjpeg scales those of Annex K: 50 / quality
                up to 50, 2 - quality / 50 above. Below 1 they are those of 1.
        """
        y, cb, cr = np.clip(np.round(self.zigzag * scale(quality)), 1, 255).astype(np.float32)
        return y, cb, cr

    def scaled(self, factor: float) -> Tables:
        """These, with all steps times a factor."""
        return Tables(self.description, *(tuple(factor * step for step in t) for t in self._all))

    @property
    def _all(self) -> tuple[tuple[float, ...], ...]:
        return self.y, self.cb, self.cr

    @property
    def sha256(self) -> str:
        """Of the steps, hexadecimal."""
        return hashlib.sha256(repr(self._all).encode()).hexdigest()

    def to_json(self) -> str:
        """The text of a file of these."""
        head = {"format": FORMAT, "description": self.description}
        lines = [f" {as_json(name)}: {as_json(value)}" for name, value in head.items()]
        for name, table in zip(("y", "cb", "cr"), self._all, strict=True):
            steps = [table[at : at + _SIDE] for at in range(0, 64, _SIDE)]
            listed = ",\n  ".join(as_json(list(row))[1:-1] for row in steps)
            lines.append(f' "{name}": [\n  {listed}\n ]')
        return "{\n" + ",\n".join(lines) + "\n}\n"


@dataclass(frozen=True)
class _Stored:
    format: str
    description: str
    y: list[Any]
    cb: list[Any]
    cr: list[Any]


def scale(quality: float) -> float:
    """By how much steps of quality 50 are multiplied at a quality, as libjpeg does."""
    quality = max(1.0, quality)
    return _QUALITY / quality if quality < _QUALITY else 2 - quality / _QUALITY


def of_zigzag(description: str, steps: NDArray[np.floating]) -> Tables:
    """Tables of (3, 64) steps in zigzag order, to four digits; those out of range become the
    nearest in it."""
    raster = np.empty((3, 64))
    raster[:, ZIGZAG] = np.clip(steps, _FINEST, _COARSEST)
    y, cb, cr = (tuple(float(f"{step:.4g}") for step in table) for table in raster)
    return Tables(description, y, cb, cr)


def names() -> list[str]:
    """Names of the tables in the package."""
    return list(_SHIPPED)


def load(name: str) -> Tables:
    """Tables of the package, by name; or of a JSON file, by path.

    Raises:
        InputError: there is no such file, or it cannot be read, or holds something else.
    """
    path = _SHIPPED.get(name, Path(name))
    try:
        return loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{name}: {error.strerror or error}; give a file made by `comrec tables design`, or "
            f"one of the package's tables: {', '.join(names())}"
        ) from None
    except ValueError as error:
        raise InputError(
            f"{name}: no quantisation tables ({error}); `comrec tables design` makes them"
        ) from None


def loads(text: str | bytes) -> Tables:
    """The tables of a JSON text.

    Raises:
        ValueError: it holds something else; says what.
    """
    found = records.record(_Stored, records.loads(text))
    if found.format != FORMAT:
        raise ValueError(f"format must be {shown(FORMAT)}, not {shown(found.format)}")
    y, cb, cr = (_steps(name, getattr(found, name)) for name in ("y", "cb", "cr"))
    return Tables(found.description, y, cb, cr)


def _steps(name: str, values: list[Any]) -> tuple[float, ...]:
    if len(values) != 64:
        raise ValueError(f"{name} must have 64 steps, not {len(values)}")
    for value in values:
        number = type(value) in (int, float) and math.isfinite(value)
        if not number or not _FINEST <= value <= _COARSEST:
            raise ValueError(
                f"{name} must have steps in {_FINEST:g}..{_COARSEST:g}, not {shown(value)}"
            )
    return tuple(map(float, values))

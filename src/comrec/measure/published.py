"""Published rate-distortion curves on Kodak, for comparison."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comrec import records
from comrec.errors import InputError, OptionError

_SHIPPED = Path(__file__).with_name("published.json")
_KEYS = ("bpp", "psnr-rgb", "ms-ssim-rgb", "ssimulacra2")
_OLD_NAMES = {"psnr-rgb": "psnr", "ms-ssim-rgb": "ms-ssim"}
"""CompressAI's names before 2021, which many repositories still use."""


@dataclass(frozen=True)
class Published:
    """A published curve, in CompressAI's schema.

    Attributes:
        name: label of the curve.
        description: the codec, and remarks on the numbers.
        source: publication or file of the numbers.
        results: lists of equal length by "bpp", "psnr-rgb" (dB), "ms-ssim-rgb" (0..1) and
            "ssimulacra2"; a metric may be absent.
    """

    name: str
    description: str
    source: str
    results: dict[str, list[float]]


def names() -> list[str]:
    """Names of the curves in the package."""
    return [entry["name"] for entry in _shipped()]


def load(name: str) -> Published:
    """A curve of the package, by name; or of a file in CompressAI's schema, by path.

    Raises:
        OptionError: there is no such curve or file.
        InputError: the file is not in CompressAI's schema.
    """
    for entry in _shipped():
        if entry["name"] == name:
            return Published(**entry)
    path = Path(name)
    if not path.is_file():
        raise OptionError(
            f"no published curve or file {name!r}; the curves are: {', '.join(names())}"
        )
    try:
        entry = records.loads(path.read_bytes())
        results = {
            key: [float(value) for value in entry["results"][found]]
            for key in _KEYS
            for found in (key, _OLD_NAMES.get(key, key))
            if found in entry["results"]
        }
        if "bpp" not in results or len({len(values) for values in results.values()}) != 1:
            raise ValueError("results need bpp, and equally many values of each metric")
        if not all(math.isfinite(value) for values in results.values() for value in values):
            raise ValueError("results must be finite numbers")
        if not results["bpp"] or min(results["bpp"]) <= 0:
            raise ValueError("bpp must be above 0")
        return Published(
            str(entry.get("name", path.stem)), str(entry.get("description", "")), name, results
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise InputError(f"{name}: not a result file in CompressAI's schema ({error})") from None


def _shipped() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(_SHIPPED.read_text(encoding="utf-8"))["curves"]
    return entries

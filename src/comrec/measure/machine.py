"""Provenance of measurements (date, commit, versions, machine), and peak memory."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import features

import comrec
from comrec import proc
from comrec.inference.session import threads

_PACKAGES = (
    "numpy",
    "Pillow",
    "onnxruntime",
    "constriction",
    "mozjpeg-lossless-optimization",
    "av",
    "pillow-heif",
    "pyjpegxl",
    "ajpegli",
    "scipy",
    "matplotlib",
)
_LIBRARIES = {
    "libjpeg-turbo": "libjpeg_turbo",
    "OpenJPEG": "jpg_2000",
    "libwebp": "webp",
    "libavif": "avif",
}
"""Libraries that Pillow bundles: their names, and Pillow's names for them."""

_CLEAR_REFS = Path("/proc/self/clear_refs")


def facts() -> dict[str, Any]:
    """Date, commit, versions and machine; None for what is unknown or not installed."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "comrec": comrec.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "libraries": {name: features.version(feature) for name, feature in _LIBRARIES.items()},
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": threads(),
    }


def reset_peak() -> None:
    """Reset the peak memory of this process; no effect except on Linux."""
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:
        return


def peak() -> int | None:
    """Peak resident set size in bytes since `reset_peak`; None except on Linux."""
    return proc.memory("VmHWM")


def _commit() -> str | None:
    """The commit of a checkout, with "+" if files are modified; None if not a checkout."""
    package = Path(comrec.__file__)
    if _git("ls-files", "--error-unmatch", package.name) is None:
        return None
    described = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return None if described is None else described + ("+" if changed else "")


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(comrec.__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())

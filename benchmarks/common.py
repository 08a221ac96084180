"""What the benchmarks share: the machine and versions behind a result, picture files, JSON."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import features

PACKAGES = (
    "comrec",
    "Pillow",
    "numpy",
    "onnxruntime",
    "mozjpeg-lossless-optimization",
    "constriction",
    "av",
    "scipy",
)
LIBRARIES = {
    "libjpeg_turbo": "libjpeg_turbo",
    "openjpeg": "jpg_2000",
    "libwebp": "webp",
    "libavif": "avif",
}
"""Our name and Pillow's of the libraries that Pillow bundles."""


def metadata() -> dict[str, Any]:
    """Date, commit, versions and machine; None for what is not there."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "libraries": {name: features.version(feature) for name, feature in LIBRARIES.items()},
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
    }


def pictures_in(folder: Path, *suffixes: str) -> list[Path]:
    """The files of a folder with one of these suffixes, by name.

    Raises:
        SystemExit: there are none.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in suffixes)
    if not paths:
        raise SystemExit(f"{folder}: no {' or '.join(suffixes)} files there")
    return paths


def write_json(path: Path, content: Any) -> None:
    """Write, or leave what was there: never half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    unfinished.replace(path)


def _commit() -> str | None:
    """The commit, with "+" where tracked files differ from it."""
    described = _git("rev-parse", "HEAD")
    if described is None:
        return None
    return described + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
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

"""Store of results: a file of JSON lines that survives interruption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from comrec.errors import OutputError

Line = dict[str, Any]


class Store:
    """Results by key, each written at once, and the runs that produced them.

    The file has a line ``{"run": ...}`` for each run that added results, followed by its results:
    ``{"key": ..., ...}``. The last of equal keys is used; truncated lines are ignored.

    Args:
        path: read if it exists; otherwise created, with its folder.
    Raises:
        OutputError: the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._runs: list[Line] = []
        self._results: dict[str, tuple[int, Line]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes() if path.exists() else b""
            # Line-buffered: killing the process loses the last line at most.
            self._file = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror}") from None
        for line in content.splitlines():
            self._read(line)
        if content and not content.endswith(b"\n"):
            self._file.write("\n")

    def _read(self, text: bytes) -> None:
        try:
            line = json.loads(text)
        except ValueError:
            return
        if "run" in line:
            self._runs.append(line["run"])
        elif "key" in line:
            self._results[line.pop("key")] = len(self._runs) - 1, line

    def __contains__(self, key: str) -> bool:
        return key in self._results

    def __getitem__(self, key: str) -> Line:
        return self._results[key][1]

    def begin(self, run: Line) -> None:
        """Start a run; results added from now on belong to it."""
        self._runs.append(run)
        self._write({"run": run})

    def add(self, key: str, result: Line) -> None:
        """Add a result to the current run."""
        self._results[key] = len(self._runs) - 1, result
        self._write({"key": key, **result})

    def runs_of(self, keys: list[str]) -> list[Line]:
        """The runs that produced these results, oldest first."""
        return [self._runs[index] for index in sorted({self._results[key][0] for key in keys})]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, line: Line) -> None:
        self._file.write(json.dumps(line) + "\n")

"""What was measured so far: a file of JSON lines that survives interruption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from comrec.errors import OutputError

Line = dict[str, Any]


class Store:
    """Results by key, each written as it comes, and the runs of the program they come from.

    The file has a line ``{"run": ...}`` for each run that added results, and after it theirs:
    ``{"key": ..., ...}``. Of equal keys the last counts; a line cut short does not.

    Args:
        path: read if it exists; its folder is made where it does not.
    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._runs: list[Line] = []
        self._results: dict[str, tuple[int, Line]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes() if path.exists() else b""
            # Line by line, so that a kill costs the last one at most.
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
        """Results from here on are of this run."""
        self._runs.append(run)
        self._write({"run": run})

    def add(self, key: str, result: Line) -> None:
        """Keep a result."""
        self._results[key] = len(self._runs) - 1, result
        self._write({"key": key, **result})

    def runs_of(self, keys: list[str]) -> list[Line]:
        """The runs that these results come from, oldest first."""
        return [self._runs[index] for index in sorted({self._results[key][0] for key in keys})]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, line: Line) -> None:
        self._file.write(json.dumps(line) + "\n")

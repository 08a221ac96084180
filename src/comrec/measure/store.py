"""Store of results: a file of JSON lines that survives interruption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from comrec import records
from comrec.errors import InputError, OutputError
from comrec.records import Record

Line = dict[str, Any]


class Store:
    """Results by key, each written at once, and the runs that produced them.

    The file has a line ``{"run": ...}`` for each run that added results, followed by its results:
    ``{"key": ..., ...}``. The last of equal keys is used; truncated lines are ignored.

    Args:
        path: read if it exists; otherwise created, with its folder.
    Raises:
        OutputError: the file cannot be read or written.
        InputError: it has a line that is no run or result.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._runs: list[Line] = []
        self._results: dict[str, tuple[int, Line]] = {}
        self._numbers: dict[str, int] = {}  # of the lines of results that were read
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes() if path.exists() else b""
            for number, line in enumerate(content.splitlines(), 1):
                self._read(number, line)
            # Line-buffered: killing the process loses the last line at most.
            self._file = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror}") from None
        if content and not content.endswith(b"\n"):
            self._file.write("\n")

    def _read(self, number: int, text: bytes) -> None:
        try:
            line = records.loads(text)
        except ValueError:
            return
        if isinstance(line, dict) and isinstance(line.get("run"), dict):
            self._runs.append(line["run"])
        elif isinstance(line, dict) and isinstance(line.get("key"), str):
            self._numbers[line["key"]] = number
            self._results[line.pop("key")] = len(self._runs) - 1, line
        else:
            raise InputError(f"{self._path}: line {number} is no run, and no result of a run")

    def __contains__(self, key: str) -> bool:
        return key in self._results

    def __getitem__(self, key: str) -> Line:
        return self._results[key][1]

    def result(self, key: str, kind: type[Record], field: str | None = None) -> Record:
        """A result, or a field of it, as a dataclass.

        Raises:
            InputError: it was read from the file, and does not fit.
        """
        line = self[key]
        try:
            return records.record(kind, line if field is None else line.get(field))
        except ValueError as error:
            number = self._numbers.get(key)
            raise InputError(
                f"{self._path}: line {number} is no result of this version ({error}); remove the "
                "line to measure it again"
            ) from None

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
        found = {self._results[key][0] for key in keys}
        return [self._runs[index] for index in sorted(found) if index >= 0]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, line: Line) -> None:
        self._file.write(json.dumps(line) + "\n")

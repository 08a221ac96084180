"""What a batch has done: JSON lines, one when a result is about to be written, one when it is."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from comrec import records
from comrec.batch.places import LocalPlace, Place
from comrec.errors import InputError, OutputError

try:
    import fcntl
except ImportError:  # Windows: two runs at one time are not noticed
    fcntl = None  # type: ignore[assignment]

NAME = ".comrec-batch.jsonl"
_PAUSE = 30.0  # seconds between saves where lines cannot be appended


@dataclass(frozen=True)
class Entry:
    """One result.

    Attributes:
        source: relative name.
        size, stamp, sha256: of the source, when it was read.
        settings: `Recipe.settings`, and what else decides what is written.
        output: relative name.
        output_size, output_sha256: of the result.
        kept: whether the result is the source itself.
        written: whether the result was written; otherwise it was about to be.
    """

    source: str
    size: int
    stamp: str
    sha256: str
    settings: str
    output: str
    output_size: int
    output_sha256: str
    kept: bool
    written: bool = False


class Record:
    """The entries of a batch by source; the last counts. All methods may be called by any thread.

    Args:
        place: the tree of the results, whose root has the file `NAME`.
        state: another file, of this machine.
    Raises:
        InputError: it has a line that is no entry.
        OutputError: it cannot be read or written; or another batch is using it.
    """

    def __init__(self, place: Place, state: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._place = place
        self._file: IO[str] | None = None
        self._lines: list[str] = []
        self._saved = time.monotonic()
        self._unsaved = False
        self.entries: dict[str, Entry] = {}
        if state is None and isinstance(place, LocalPlace):
            state = place.path(NAME)
        if state is not None:
            self.label = str(state)
            self._open(state)
        else:
            self.label = place.label(NAME)
            content = place.read(NAME) if place.status(NAME) is not None else b""
            self._load(content)
            self._lines = [json.dumps(asdict(entry)) for entry in self.entries.values()]

    def _open(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Line-buffered: killing the process loses no line that was added.
            self._file = path.open("a+", encoding="ascii", buffering=1)
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            content = path.read_bytes()
            self._load(content)
            if content and not content.endswith(b"\n"):
                self._file.write("\n")
        except BlockingIOError:
            self.close()
            raise OutputError(f"{path}: another comrec batch is using it") from None
        except OSError as error:
            self.close()
            raise OutputError(f"{path}: {error.strerror or error}") from None
        except InputError:
            self.close()
            raise

    def _load(self, content: bytes) -> None:
        for number, line in enumerate(content.splitlines(), 1):
            try:
                values = records.loads(line)
            except ValueError:  # cut short as a run was killed
                continue
            try:
                entry = records.record(Entry, values)
            except ValueError as error:
                raise InputError(
                    f"{self.label}: line {number} is no entry of comrec batch ({error})"
                ) from None
            self.entries[entry.source] = entry

    def begin(self, entry: Entry) -> None:
        """The result is about to be written."""
        self._add(entry)

    def done(self, entry: Entry) -> None:
        """The result was written."""
        self._add(replace(entry, written=True))

    def _add(self, entry: Entry) -> None:
        with self._lock:
            self.entries[entry.source] = entry
            line = json.dumps(asdict(entry))
            if self._file is not None:
                try:
                    self._file.write(f"{line}\n")
                except OSError as error:
                    raise OutputError(f"{self.label}: {error.strerror or error}") from None
                return
            self._lines.append(line)
            self._unsaved = True
            if time.monotonic() - self._saved > _PAUSE:
                self._save()

    def _save(self) -> None:
        self._place.write(NAME, "".join(f"{line}\n" for line in self._lines).encode())
        self._saved, self._unsaved = time.monotonic(), False

    def close(self) -> None:
        """Save what was not.

        Raises:
            OutputError: it cannot be written.
        """
        if self._file is not None:
            self._file.close()
        elif self._unsaved:
            self._save()

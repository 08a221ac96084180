"""Calls in a child process with limits: a fault of a decoder there is an error here.

The child has no more memory than is allowed, is ended where it takes too long, writes no file and
leaves no core. It is reused, and replaced where a call ended it. It is no sandbox: it has the
rights of this process. Memory is limited on Linux alone.

A request and its answer are pickles, whose arrays follow them as they are.
"""

from __future__ import annotations

import atexit
import math
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, Literal, TypeVar

from comrec import errors, proc
from comrec.errors import ComrecError, LimitError

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

T = TypeVar("T")

MEMORY, MEMORY_PER_BYTE = 1_000_000_000, 100
"""Bytes, and bytes more for each of the file. Files of less than 1 MB take 1 GB at most to decode,
or are refused (`formats.density`); a photograph has 10 pixels to a byte or fewer."""
SECONDS, SECONDS_PER_BYTE = 60.0, 60e-6
"""Of wall time. Networks take seconds per megapixel, more where other processes run."""
LARGE = 7_000_000_000, 1200.0
"""More bytes and seconds for the largest picture there can be."""
_STACKS = 16 << 20
"""Bytes that threads of libraries take for each core, whatever they decode."""
_START = 120.0
"""Seconds in which a child has to be ready."""
_FILES = 256
"""Open files of a child: networks and libraries are loaded when they are needed."""

_ANSWER = 1 << 50
"""Bytes of memory to receive a file and send a picture: whatever they need."""

_COUNT = struct.Struct(">Q")

_CHILD = "import sys; sys.path[:] = {path!r}; from comrec import confined; confined.serve()"


@dataclass(frozen=True)
class Limits:
    """What a call may take.

    Attributes:
        memory: bytes beyond those of a child that has loaded comrec.
        seconds: wall time.
    """

    memory: int
    seconds: float

    @classmethod
    def of(cls, size: int, *, large: bool = False) -> Limits:
        """Those for reading a file.

        Args:
            size: its bytes.
            large: whether its picture may be large for so few.
        """
        memory, seconds = LARGE if large else (0, 0.0)
        return cls(
            memory + MEMORY + MEMORY_PER_BYTE * size, seconds + SECONDS + SECONDS_PER_BYTE * size
        )


def call(function: Callable[..., T], *given: Any, limits: Limits, name: str) -> T:
    """What a function returns, called in a child.

    Args:
        function: importable by name; what it is given and returns can be pickled.
        name: of the file that it reads, in errors.
    Raises:
        LimitError: the child died, or had to be ended, or the function raised what is no
            `ComrecError`.
        ComrecError: as the function; of the types of `comrec.errors`.
    """
    child = _take()
    try:
        end, value = child.ask(function, given, limits)
    except BaseException:
        child.end()
        raise
    if end in ("done", "raised", "failed"):
        _give_back(child)
    else:
        child.end()
    if end == "done":
        found: T = value
        return found
    if end == "raised":
        raise _error(*value)
    raise LimitError(f"{name}: reading it {value}")


def close() -> None:
    """End all children that wait."""
    with suppress(IndexError):
        while True:
            child = _idle.pop()
            if child.is_ours:
                child.end()


def restrict() -> None:
    """Let this process leave no core, and have no more open files than it needs."""
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _limit(resource.RLIMIT_NOFILE, _FILES)


def limit_memory(more: int, base: int | None) -> None:
    """Let this process have no more memory than ``base`` and ``more`` bytes. Linux alone.

    Args:
        base: see `memory`; None changes nothing.
    """
    if resource is not None and base is not None:
        _limit(resource.RLIMIT_DATA, base + more + _STACKS * (os.cpu_count() or 1))


def memory() -> int | None:
    """Bytes of memory of its own that this process has, as Linux limits them; None elsewhere."""
    return proc.memory("VmData")


def death(code: int | None) -> str:
    """How a process ended, by its exit code, as the end of a sentence."""
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"crashed ({signal.Signals(-code).name})"
    return f"crashed (exit code {code})"


End = Literal["done", "raised", "failed", "memory", "died"]


class _Child:
    """A child, seen from here."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libraries print
        )
        self._late = False
        try:
            ready = self._answer(_START)
        except BaseException:
            self.end()
            raise
        if ready is None:
            raise LimitError(f"a process to read files in {death(self.end())} as it began")

    def ask(
        self, function: Callable[..., Any], given: tuple[Any, ...], limits: Limits
    ) -> tuple[End, Any]:
        """How a call ended, and what it returned; type and message of an error; or text."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it died
            _write(self._process.stdin, (function, given, limits))
        found = self._answer(limits.seconds)
        if found is None:
            code = self.end()
            late = f"took more than {limits.seconds:,.0f} s, its limit"
            return "died", late if self._late else death(code)
        if found[0] == "memory":
            return "memory", f"took more than {limits.memory / 1e6:,.0f} MB of memory, its limit"
        return found

    def _answer(self, seconds: float) -> tuple[End, Any] | None:
        """None where it has died, or has not answered in time."""
        assert self._process.stdout is not None
        timer = threading.Timer(seconds, self._end_late)
        timer.daemon = True
        timer.start()
        try:
            found: tuple[End, Any] = _read(self._process.stdout)
        except EOFError:
            return None
        finally:
            timer.cancel()
            timer.join()
        return None if self._late else found

    def _end_late(self) -> None:
        self._late = True
        self._process.kill()

    @property
    def is_ours(self) -> bool:
        """Whether this process started it."""
        return self._owner == os.getpid()

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def end(self) -> int:
        """End it, and return its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()  # nothing, where it has ended
        code = self._process.wait()
        with suppress(OSError):  # what it has not read is lost
            self._process.stdin.close()
        self._process.stdout.close()
        return code


_idle: list[_Child] = []


def _take() -> _Child:
    with suppress(IndexError):
        while True:
            child = _idle.pop()
            if not child.is_ours:  # a forked process has its parent's
                continue
            if child.lives:
                return child
            child.end()
    return _Child()


def _give_back(child: _Child) -> None:
    _idle.append(child)


atexit.register(close)


def _error(kind: str, message: str) -> ComrecError:
    """An error by the name of its type: constructors take other arguments than the message."""
    found: type[ComrecError] = getattr(errors, kind)
    error = found.__new__(found)
    error.args = (message,)
    return error


def _public(error: ComrecError) -> str:
    """The name of its type in `comrec.errors`, or of the nearest that it is derived from."""
    kinds = (kind.__name__ for kind in type(error).__mro__)
    return next(name for name in kinds if hasattr(errors, name))


def _write(stream: IO[bytes], value: Any) -> None:
    arrays: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, 5, buffer_callback=arrays.append)
    pieces: list[bytes | memoryview] = [head, *(array.raw() for array in arrays)]
    stream.write(b"".join(_COUNT.pack(number) for number in (len(pieces), *map(len, pieces))))
    for piece in pieces:
        stream.write(piece)
    stream.flush()


def _read(stream: IO[bytes]) -> Any:
    """
    Raises:
        EOFError: the other end is closed.
    """
    (count,) = _COUNT.unpack(_take_bytes(stream, _COUNT.size))
    sizes = [_COUNT.unpack(_take_bytes(stream, _COUNT.size))[0] for _ in range(count)]
    head, *arrays = [_take_bytes(stream, size) for size in sizes]
    return pickle.loads(head, buffers=arrays)


def _take_bytes(stream: IO[bytes], size: int) -> bytearray:
    found = bytearray(size)  # so that arrays can be written to
    if stream.readinto(found) < size:  # type: ignore[attr-defined]
        raise EOFError
    return found


def serve() -> None:
    """What the child does: calls, until its standard input ends."""
    with suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the parent handles it
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(null, number)  # libraries print
    import comrec.files  # noqa: F401  what all calls need

    restrict()
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    base = memory()
    _write(answers, ("done", None))
    with suppress(EOFError, BrokenPipeError):
        while True:
            function, given, limits = _read(requests)
            _limit_time(limits.seconds)
            limit_memory(limits.memory, base)
            answer = _ended(function, given)
            limit_memory(_ANSWER, base)
            _write(answers, answer)


def _limit_time(seconds: float) -> None:
    """Of the processor, where the parent, which counts wall time, is gone."""
    if resource is not None:
        _limit(
            resource.RLIMIT_CPU,
            math.ceil(time.process_time() + seconds * (os.cpu_count() or 1)) + 1,
        )


def _limit(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _ended(function: Callable[..., Any], given: tuple[Any, ...]) -> tuple[End, Any]:
    try:
        return "done", function(*given)
    except ComrecError as error:
        return "raised", (_public(error), str(error))
    except MemoryError:
        return "memory", None
    # Of Rust libraries, a panic is no Exception; a plug-in may even raise SystemExit.
    except BaseException as error:
        return "failed", f"failed ({type(error).__name__}: {error})"

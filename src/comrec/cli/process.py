"""The process of the command line: its streams, its signals, and libraries that print."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable
from types import FrameType

from comrec.cli import terminal
from comrec.signals import ENDING


class Ended(BaseException):
    """SIGTERM or SIGHUP came; raised as KeyboardInterrupt is, so that temporary files go.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(command: Callable[[], int]) -> int:
    """Run a command as a process of its own; the exit code.

    128 plus the signal's number after a signal; that of `SystemExit` where the command raises it.
    """
    _open_closed_streams()
    _silence_libraries()
    _raise_signals()
    try:
        code = command()
    except Ended as end:
        terminal.tell(f"comrec: ended by {signal.Signals(end.number).name}")
        code = 128 + end.number
    except SystemExit as stop:  # of argparse
        code = stop.code if isinstance(stop.code, int) else 0
    for number in _handled():
        signal.signal(number, _leave)
    return _flush() or code


def _open_closed_streams() -> None:
    """Open descriptors that came closed, so that no file of ours takes their numbers.

    A library that writes to standard error would write into that file. Python has None for
    such a stream, and we say so.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _silence_libraries() -> None:
    """Standard error has our messages only, unless Python was asked for warnings or for -X dev.

    libtiff, x265, ONNX Runtime and others write to the descriptor itself. So ours is a copy of it,
    and the descriptor goes nowhere; also for the processes that we start.
    """
    if sys.warnoptions or sys.flags.dev_mode:
        return
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())
    sys.unraisablehook = lambda _: None
    if sys.stderr is None:
        return
    sys.stderr.flush()
    own = os.dup(sys.stderr.fileno())
    sys.stderr = open(  # noqa: SIM115  for the life of the process
        own, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace"
    )
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)


def _handled() -> list[int]:
    """The signals that end us: not those that we were started to ignore, as by nohup."""
    return [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]


def _raise_signals() -> None:
    """Raise KeyboardInterrupt or `Ended` for the first signal.

    The same once more leaves at once. Others are ignored then: hangups often send two.
    """
    first: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if first:
            if number in first:
                _leave(number, frame)
            return
        first.append(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise Ended(number)

    for number in _handled():
        signal.signal(number, handle)


def _leave(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)


def _flush() -> int:
    """Flush standard output and standard error; 1 where output is lost, as Python's 120 means."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        terminal.drop(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            terminal.tell(f"comrec: standard output: {error.strerror}")
            return 1
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        terminal.drop(sys.stderr)
    return 0

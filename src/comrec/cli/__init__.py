"""The command line: one module per command.

Exit codes: 0 success; 1 a file failed, or standard output could not be written; 2 wrong usage;
130 interrupted (SIGINT), 143 ended by SIGTERM, 129 by SIGHUP.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn

from comrec import __version__
from comrec.cli import (
    batch,
    bench,
    codecs,
    compare,
    decode,
    demo,
    encode,
    info,
    models,
    process,
    roi,
    serve,
    tables,
    terminal,
    train,
    web,
)
from comrec.errors import OptionError, UnknownCodecError
from comrec.text import printable

_VERBS = (
    encode,
    decode,
    batch,
    info,
    compare,
    serve,
    roi,
    bench,
    codecs,
    models,
    train,
    tables,
    web,
    demo,
)


class _Parser(argparse.ArgumentParser):
    """Reports wrong usage in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"comrec: {printable(message)}; see {self.prog} --help\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """As argparse, which takes a full standard output for success."""
        if file is not sys.stdout or file is sys.stderr:  # both None where both are closed
            super()._print_message(message, file)
        elif message:
            terminal.write(message)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    top = _Parser(
        prog="comrec",
        description="Image compression with neural networks that run on ordinary CPUs.",
    )
    top.add_argument("--version", action="version", version=f"comrec {__version__}")
    verbs = top.add_subparsers(metavar="COMMAND", required=True)
    for verb in _VERBS:
        verb.add(verbs)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        arguments: those after the program's name; by default `sys.argv`'s, and the process is
            prepared for the command line (`process.run`).
    """
    if arguments is None:
        return process.run(lambda: _run(sys.argv[1:]))
    return _run(arguments)


def _run(arguments: list[str]) -> int:
    try:
        options = parser().parse_args(arguments)
        code: int = options.run(options)
        return code
    except (OptionError, UnknownCodecError) as error:
        terminal.failed(error)
        return 2
    except KeyboardInterrupt:
        terminal.tell("comrec: interrupted")
        return 130
    except terminal.StdoutError as error:
        if error.reason is None:
            return 0
        terminal.tell(f"comrec: {error.reason}")
        return 1
    except Exception as error:
        if sys.flags.dev_mode:  # -X dev: show where
            raise
        terminal.failed(error)
        return 1

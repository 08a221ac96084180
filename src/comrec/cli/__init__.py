"""The command line: one module per command.

Exit codes: 0 success, 1 a file failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from typing import NoReturn

from comrec import __version__
from comrec.cli import bench, codecs, compare, decode, demo, encode, info, models, train
from comrec.errors import ComrecError, OptionError, UnknownCodecError

_VERBS = (encode, decode, info, compare, bench, codecs, models, train, demo)


class _Parser(argparse.ArgumentParser):
    """Reports wrong usage in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"comrec: {message}; see {self.prog} --help\n")


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


def _silence_libraries() -> None:
    """Keep the warnings of libraries off the terminal; ``python -W`` shows them again.

    Once, for the whole process: decoding changes no filters, which its threads share.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        arguments: those after the program's name; `sys.argv` by default.
    """
    options = parser().parse_args(arguments)
    _silence_libraries()
    try:
        code: int = options.run(options)
        return code
    except (OptionError, UnknownCodecError) as error:
        print(f"comrec: {error}", file=sys.stderr)
        return 2
    except ComrecError as error:
        print(f"comrec: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("comrec: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0

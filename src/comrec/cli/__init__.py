"""The command line: one file a verb. Exit codes: 0 done, 1 a file failed, 2 wrong usage."""

from __future__ import annotations

import argparse
import os
import sys

from comrec import __version__
from comrec.cli import bench, codecs, compare, decode, demo, encode, info, models, train
from comrec.errors import ComrecError, OptionError, UnknownCodecError

_VERBS = (encode, decode, info, compare, bench, codecs, models, train, demo)


def parser() -> argparse.ArgumentParser:
    """The whole command line's parser."""
    top = argparse.ArgumentParser(
        prog="comrec",
        description="Smaller image files with neural networks, on ordinary computers.",
    )
    top.add_argument("--version", action="version", version=f"comrec {__version__}")
    verbs = top.add_subparsers(metavar="VERB", required=True)
    for verb in _VERBS:
        verb.add(verbs)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = parser().parse_args(arguments)
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

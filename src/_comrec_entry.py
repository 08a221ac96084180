"""Where the command ``comrec`` starts.

It is no part of the package, whose import takes a while: Ctrl-C then ends it without a traceback.
"""

from __future__ import annotations

import os
import signal
from types import FrameType


def main() -> int:
    """Run the command line and return the exit code."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        # Until the command has its own handler. No exception: imports may suppress that.
        signal.signal(signal.SIGINT, _leave)
    from comrec import cli

    return cli.main()


def _leave(number: int, _: FrameType | None) -> None:
    try:
        os.write(2, b"comrec: interrupted\n")
    finally:
        os._exit(128 + number)

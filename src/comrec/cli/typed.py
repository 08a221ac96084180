"""Messages that name options as they are typed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from comrec.errors import OptionError

_SUBJECT = re.compile(r"(?:the )?((?:target )?\w+)(?= must be )")


def flag(name: str) -> str:
    """The option of the command line for an option of the library: "bit_depth" to --bit-depth."""
    return f"--{re.sub('[_ ]', '-', name)}"


@contextmanager
def as_typed() -> Iterator[None]:
    """Let an OptionError "quality must be ..." say "--quality must be ..."."""
    try:
        yield
    except OptionError as error:
        found = _SUBJECT.match(str(error))
        if found is None:
            raise
        raise OptionError(flag(found[1]) + str(error)[found.end() :]) from None

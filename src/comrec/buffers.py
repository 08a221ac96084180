"""Files that are given as bytes, in any of Python's types for that."""

from __future__ import annotations

from typing import Any

from comrec.errors import OptionError

BYTES = bytes, bytearray, memoryview


def bytes_of(data: Any) -> bytes:
    """The bytes of a file, which stay as they are whatever becomes of the buffer.

    Raises:
        OptionError: of another type.
    """
    if isinstance(data, BYTES):
        return bytes(data)
    raise OptionError(
        f"a file is given by its bytes, not as {type(data).__name__}; "
        "read them first, such as by Path(name).read_bytes()"
    )

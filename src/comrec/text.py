"""Text from files and file names, made safe for terminals, JSON, spreadsheets and reports."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from typing import Any

_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, bidi and other format characters, surrogates
_JOINERS = "\u200c\u200d"  # parts of emoji and of several scripts
_SURROGATES = re.compile("[\ud800-\udfff]")
_FORMULA = ("=", "+", "-", "@")


def printable(text: str) -> str:
    r"""One line that no terminal interprets, and that every UTF-8 stream takes.

    Control and format characters are escaped as in Python: ``\n``, ``\x1b``, ``\u202e``; bytes of
    file names that are not UTF-8 as ``\xe9``.
    """
    if text.isprintable():
        return text
    return "".join(
        _escaped(char) if unicodedata.category(char) in _UNSAFE and char not in _JOINERS else char
        for char in text
    )


def cell(text: str) -> str:
    """A cell of a CSV file: `printable`, and no formula for a spreadsheet."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def as_json(value: Any, indent: int | None = None) -> str:
    """Strictly valid JSON in ASCII.

    Infinite and undefined numbers become null. Bytes of file names that are not UTF-8, which JSON
    cannot have, are escaped as `printable` does.
    """
    return json.dumps(_valid(value), indent=indent, allow_nan=False)


def _valid(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATES.sub(lambda found: _escaped(found[0]), value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_valid(key): _valid(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_valid(item) for item in value]
    return value


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8 (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")

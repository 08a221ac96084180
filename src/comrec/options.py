"""Options that a dataclass declares once: name, allowed values, default, one line of help.

The command line, the text form of codecs and error messages are derived from what is declared.
"""

from __future__ import annotations

import dataclasses
import math
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from comrec.errors import OptionError

_KEY = "comrec.option"


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        name: as Python and the text form have it, such as "bit_depth".
        type: bool, int, float or str.
        default: where none is given.
        allowed: the values, in a range or one by one; None for any of the type.
        help: one line, for people.
    """

    name: str
    type: type
    default: Any
    allowed: range | tuple[Any, ...] | None
    help: str

    @property
    def values(self) -> str:
        """The allowed values, in words."""
        if self.type is bool:
            return "true or false"
        if isinstance(self.allowed, range):
            return f"in {self.allowed.start}..{self.allowed.stop - 1}"
        if self.allowed:
            *others, last = map(str, self.allowed)
            return f"{', '.join(others)} or {last}" if others else last
        return {int: "a whole number", float: "a number", str: "a text"}[self.type]

    def check(self, value: Any) -> Any:
        """The value as one of `type`, where it is one of NumPy's.

        Raises:
            OptionError: the value is of another type, or not allowed.
        """
        if value is None and self.default is None:
            return None
        found = _CONVERTED[self.type](value)
        if found is None:
            raise OptionError(f"{self.name} must be {self.values}, not {shown(value)}")
        if self.allowed is not None and found not in self.allowed:
            told = found if self.type is str else shown(found)
            raise OptionError(f"{self.name} must be {self.values}, not {told}")
        return found

    def parse(self, text: str) -> Any:
        """The value of a text such as "9", "true" or "4:2:0".

        Raises:
            OptionError: not of the type, or not allowed.
        """
        try:
            value = {"true": True, "false": False}[text] if self.type is bool else self.type(text)
        except (KeyError, ValueError):
            raise OptionError(f"{self.name} must be {self.values}, not {text}") from None
        return self.check(value)

    def format(self, value: Any) -> str:
        """The inverse of `parse`."""
        return str(value).lower() if self.type is bool else str(value)


def option(
    default: Any,
    help: str,
    allowed: range | tuple[Any, ...] | None = None,
    type: type | None = None,
) -> Any:
    """A dataclass field that is an option.

    Args:
        default: None where nothing is a value too; it is then always allowed.
        help, allowed: see `Option`.
        type: by default that of the default.
    """
    kind = default.__class__ if type is None else type
    return dataclasses.field(default=default, metadata={_KEY: (kind, allowed, help)})


def options_of(declaring: Any) -> tuple[Option, ...]:
    """The options of a dataclass or its instance; none of other classes."""
    if not dataclasses.is_dataclass(declaring):
        return ()
    return tuple(
        Option(field.name, kind, field.default, allowed, help_text)
        for field in dataclasses.fields(declaring)
        if _KEY in field.metadata
        for kind, allowed, help_text in [field.metadata[_KEY]]
    )


def check(declaring: Any) -> None:
    """Check the options of a dataclass instance; called as it is made.

    NumPy's numbers become Python's, so that equal options have one spelling.

    Raises:
        OptionError: one is of another type, or not allowed.
    """
    for each in options_of(declaring):
        # The classes that declare options are frozen.
        object.__setattr__(declaring, each.name, each.check(getattr(declaring, each.name)))


def number(value: Any) -> float | None:
    """A finite number of Python or NumPy; None for all else, and for truth values."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def shown(value: Any) -> str:
    """A value of any type in a message: short, and texts in quotation marks."""
    found = number(value)
    return reprlib.repr(value) if found is None else f"{found:g}"


def _truth(value: Any) -> bool | None:
    return bool(value) if isinstance(value, bool | np.bool_) else None


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, str) else None


_CONVERTED: dict[type, Callable[[Any], Any]] = {
    bool: _truth,
    int: _whole,
    float: number,
    str: _text,
}
"""By an option's type: its value of one that was given, or None."""

"""Dataclasses from JSON objects: every field is there and of its declared type, and no other."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from comrec.options import shown

Record = TypeVar("Record")

_WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    NoneType: "null",
}


def loads(text: str | bytes) -> Any:
    """What a JSON text in UTF-8 holds.

    Raises:
        ValueError: it is none; says why.
    """
    try:
        return json.loads(text if isinstance(text, str) else text.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def record(kind: type[Record], values: Any) -> Record:
    """An instance of a dataclass whose fields are str, int, float, bool, dicts, lists, or None or
    these.

    A whole number is a float too; infinity is one, NaN none.

    Args:
        values: what JSON gave.
    Raises:
        ValueError: it does not fit; says where, and what was expected.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{shown(values)} is no object with fields")
    types, required = _fields(kind)  # type: ignore[arg-type]
    if missing := sorted(required - set(values)):
        raise ValueError(f"it lacks {', '.join(missing)}")
    if unknown := sorted(set(values) - set(types)):
        raise ValueError(f"it has an unknown field {shown(unknown[0])}")
    return kind(**{name: _checked(name, value, types[name]) for name, value in values.items()})


@cache
def _fields(kind: Any) -> tuple[dict[str, tuple[type, ...]], set[str]]:
    """The types that each field may have, by name; and the names of those without a default."""
    hints = get_type_hints(kind)
    fields = dataclasses.fields(kind)
    types: dict[str, tuple[type, ...]] = {}
    for field in fields:
        hint = hints[field.name]
        either = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        types[field.name] = tuple(get_origin(one) or one for one in either)
    return types, {field.name for field in fields if field.default is dataclasses.MISSING}


def _checked(name: str, value: Any, types: tuple[type, ...]) -> Any:
    if type(value) is int and float in types and int not in types:
        try:
            value = float(value)
        except OverflowError:
            value = math.nan
    if type(value) not in types or (isinstance(value, float) and math.isnan(value)):
        wanted = " or ".join(_WORDS[each] for each in types)
        raise ValueError(f"{name} must be {wanted}, not {shown(value)}")
    return value

"""Writes docs/api.md from signatures and docstrings:

python docs/api.py > docs/api.md
python docs/api.py --check      # exit code 1 where the page is out of date
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

PAGE = Path(__file__).with_name("api.md")

MODULES: dict[str, tuple[str, ...] | None] = {
    "comrec": None,
    "comrec.codec": ("Codec", "get", "parse", "register", "names"),
    "comrec.picture": ("Picture", "Metadata"),
    "comrec.roi": ("Given", "marked", "stored", "shown"),
    "comrec.errors": None,
}
"""The modules of the page, and which of their names are public: None for `__all__`, or where a
module has none for the classes that it defines. Names that a module lacks are left out."""

_SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields):")
_ITEM = re.compile(r"([\w*]+(?:, [\w*]+)*): +(.*)", re.DOTALL)


def page() -> str:
    """The whole page."""
    lines = [
        "# API",
        "",
        "Made by `python docs/api.py > docs/api.md` from the docstrings: change those. What is not",
        "here may change in any release. Errors are below [comrec.errors](#comrecerrors); the",
        "command line is `comrec --help`.",
    ]
    described: dict[int, str] = {}
    for name in MODULES:
        lines += ["", f"## {name}", "", *_module(importlib.import_module(name), described)]
    return "\n".join(lines) + "\n"


def _module(module: ModuleType, described: dict[int, str]) -> Iterator[str]:
    yield from _prose(module.__doc__ or "")
    for name in _public(module):
        found = getattr(module, name)
        title = f"{module.__name__}.{name}"
        if inspect.ismodule(found) and title in MODULES:
            continue
        # What several modules export is described once, where it comes first.
        known = described.get(id(found))
        if not _is_plain(found):
            described.setdefault(id(found), title)
        yield from ("", f"### `{title}`", "")
        if known is not None:
            yield f"The same as `{known}`."
        else:
            yield from _object(name, found)


def _public(module: ModuleType) -> list[str]:
    names = MODULES[module.__name__] or getattr(module, "__all__", None)
    if names is None:
        return [
            name
            for name, found in vars(module).items()
            if inspect.isclass(found)
            and found.__module__ == module.__name__
            and not name.startswith("_")
        ]
    return [name for name in names if hasattr(module, name)]


def _is_plain(found: Any) -> bool:
    """Whether it is a value, not a thing with a docstring of its own."""
    return not (inspect.ismodule(found) or inspect.isclass(found) or callable(found))


def _object(name: str, found: Any) -> Iterator[str]:
    if inspect.ismodule(found):
        yield from _prose(inspect.getdoc(found) or "")
    elif inspect.isclass(found):
        yield from _class(name, found)
    elif callable(found):
        yield from _code(f"def {name}{_signature(found)}")
        yield from _prose(inspect.getdoc(found) or "")
    elif isinstance(found, str | int | float | tuple):
        yield from _code(f"{name} = {found!r}")
    else:
        yield from _code(f"{name}: {type(found).__name__}")


def _class(name: str, found: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in found.__bases__ if base is not object)
    head = f"class {name}({bases})" if bases else f"class {name}"
    if is_dataclass(found) or "__init__" in vars(found):
        head += f"\n\n{name}{_signature(found)}"
    yield from _code(head)
    own = vars(found).get("__doc__") or ""
    if not own.startswith(f"{name}("):  # what dataclasses write of themselves
        yield from _prose(own)
    for member, value in vars(found).items():
        if member.startswith("_"):
            continue
        if isinstance(value, property):
            returned = inspect.signature(value.fget).return_annotation if value.fget else ""
            yield from ("", *_code(f"{name}.{member}: {_raw(returned)!r}"))
        elif isinstance(value, classmethod | staticmethod) or inspect.isfunction(value):
            function = getattr(found, member)
            yield from ("", *_code(f"{name}.{member}{_signature(function)}"))
        else:
            continue
        yield from _prose(inspect.getdoc(value) or "")


class _raw(str):  # noqa: N801  stands for an annotation
    """An annotation that signatures show without quotation marks."""

    def __new__(cls, annotation: Any) -> _raw:
        text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        return super().__new__(cls, text)

    def __repr__(self) -> str:
        return str(self)


def _signature(function: Any) -> str:
    """On one line, or where that is long on one line a parameter."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return "(...)"
    bare = inspect.Signature.empty
    parameters = [
        one if one.annotation is bare else one.replace(annotation=_raw(one.annotation))
        for one in signature.parameters.values()
        if one.name != "self"
    ]
    returned = signature.return_annotation
    returned = bare if inspect.isclass(function) or returned is bare else _raw(returned)
    text = _without_address(str(signature.replace(parameters=[], return_annotation=returned)))
    arrow = text.removeprefix("()")
    inside = _without_address(str(inspect.Signature(parameters)))
    if len(inside) + len(arrow) <= 80:
        return inside + arrow
    shown = [_without_address(str(one)) for one in parameters]
    keyword = [i for i, one in enumerate(parameters) if one.kind is one.KEYWORD_ONLY]
    if keyword and not any(one.kind is one.VAR_POSITIONAL for one in parameters):
        shown.insert(keyword[0], "*")
    return "(\n" + "".join(f"    {one},\n" for one in shown) + ")" + arrow


def _without_address(text: str) -> str:
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def _code(text: str) -> Iterator[str]:
    yield from ("```python", text, "```")


def _prose(docstring: str) -> Iterator[str]:
    """A docstring as Markdown: its sections become lists."""
    text = inspect.cleandoc(docstring)
    lines = text.splitlines()
    at = 0
    if lines:
        yield ""
    while at < len(lines):
        section = _SECTION.fullmatch(lines[at])
        if section is None:
            yield lines[at]
            at += 1
            continue
        at += 1
        items: list[str] = []
        while at < len(lines) and (lines[at].startswith("    ") or not lines[at]):
            line = lines[at].strip()
            begins = len(lines[at]) - len(lines[at].lstrip()) == 4
            if not items or (begins and section[1] not in ("Returns", "Yields")):
                items.append(line)
            elif line:
                items[-1] += f" {line}"
            at += 1
        yield from ("", f"{section[1]}:", "")
        for item in items:
            named = _ITEM.fullmatch(item)
            if named is None or section[1] in ("Returns", "Yields"):
                yield f"- {item}"
            else:
                names = ", ".join(f"`{one}`" for one in named[1].split(", "))
                yield f"- {names}: {named[2]}"
        yield ""


def _tidy(text: str) -> str:
    """No blank lines in a row, none of blanks."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).rstrip() + "\n"


def main(arguments: list[str]) -> int:
    made = _tidy(page())
    if arguments == ["--check"]:
        if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == made:
            return 0
        print("docs/api.md is out of date: python docs/api.py > docs/api.md", file=sys.stderr)
        return 1
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    sys.stdout.buffer.write(made.encode("utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

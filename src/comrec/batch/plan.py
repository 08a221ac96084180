"""Which files of a tree are encoded, and what the results are called."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import PurePosixPath

from PIL import Image

from comrec import codec as registry


@dataclass(frozen=True)
class Patterns:
    """Which names are wanted.

    A pattern has the wildcards ``*``, which matches slashes too, ``?`` and ``[…]``. One with a
    slash is compared with the name relative to the root, any other with its last part.

    Attributes:
        include: at least one must match; none: any picture by its extension (`is_picture`).
        exclude: none may match.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def wants(self, name: str) -> bool:
        if any(_matches(name, pattern) for pattern in self.exclude):
            return False
        if not self.include:
            return is_picture(name)
        return any(_matches(name, pattern) for pattern in self.include)


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name if "/" in pattern else PurePosixPath(name).name, pattern)


def is_picture(name: str) -> bool:
    """Whether a name has the extension of a format that Pillow or a codec here reads."""
    return PurePosixPath(name).suffix.lower() in _extensions()


@cache
def _extensions() -> frozenset[str]:
    ours = map(registry.get, registry.registered())
    of_pillow = Image.registered_extensions().items()
    return frozenset(
        extension for each in ours for extension in (each.extension, *each.aliases)
    ) | frozenset(extension for extension, kind in of_pillow if kind in Image.OPEN)


def folded(name: str) -> str:
    """Equal for names that some file system takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def names(sources: Sequence[str], extension: str, others: Iterable[str] = ()) -> dict[str, str]:
    """The name of each result: the source's, with another extension.

    Where two would have one name, or one that differs in case alone, or that of one of the others,
    each keeps its extension: a.png.jpg and a.tif.jpg. Where that is taken, a number is added.

    Args:
        sources: relative names.
        extension: of the results, with the dot.
        others: names that only the source of the same name may get.
    Returns:
        Names by source; the same for the same arguments in any order.
    """
    paths = {name: PurePosixPath(name) for name in sources}
    short = {name: str(path.parent / (path.stem + extension)) for name, path in paths.items()}
    often = Counter(map(folded, short.values()))
    reserved = set(map(folded, others))

    def is_free(result: str, source: str) -> bool:
        return folded(result) not in reserved or folded(result) == folded(source)

    found = {
        source: result
        for source, result in short.items()
        if often[folded(result)] == 1 and is_free(result, source)
    }
    used = set(map(folded, found.values()))
    for source in sorted(set(sources) - set(found)):
        result, number = f"{source}{extension}", 1
        while folded(result) in used or not is_free(result, source):
            number += 1
            result = f"{source}.{number}{extension}"
        found[source] = result
        used.add(folded(result))
    return found

"""Rectangles of pictures, in pixels."""

from __future__ import annotations

import re
from numbers import Integral
from typing import Any, NamedTuple

from comrec.errors import OptionError
from comrec.options import shown

_RECTANGLE = re.compile(r"(\d{1,9}),(\d{1,9}),(\d{1,9})x(\d{1,9})")


class Region(NamedTuple):
    """A rectangle of ``width`` x ``height`` pixels whose first one is at (left, top)."""

    left: int
    top: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.left},{self.top},{self.width}x{self.height}"

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns."""
        rows = slice(self.top, self.top + self.height)
        return rows, slice(self.left, self.left + self.width)

    def within(self, width: int, height: int) -> Region:
        """What a picture of this size has of it.

        Raises:
            OptionError: nothing.
        """
        if self.left >= width or self.top >= height:
            raise OptionError(
                f"the rectangle {self} lies outside of the picture, which is {width}x{height}"
            )
        across, down = width - self.left, height - self.top
        return self._replace(width=min(self.width, across), height=min(self.height, down))


def check(given: Any) -> Region:
    """Left, top, width and height as a region.

    Raises:
        OptionError: they are no four integers, or a side is not above 0.
    """
    numbers = list(given) if isinstance(given, tuple | list) else []
    if len(numbers) == 4 and all(isinstance(n, Integral) for n in numbers):
        found = Region(*map(int, numbers))
        if min(found.left, found.top) >= 0 and min(found.width, found.height) > 0:
            return found
    raise OptionError(
        f"a region is left, top, width and height in pixels, such as (120, 80, 400, 300), not "
        f"{shown(given)}"
    )


def within(region: Region | None, width: int, height: int) -> Region:
    """What a picture of this size has of a region; all of the picture, where there is none.

    Raises:
        OptionError: as `Region.within`.
    """
    return Region(0, 0, width, height) if region is None else region.within(width, height)


def whole(codec_id: str) -> str:
    """Note on a region of a file whose codec decodes pictures as a whole."""
    return f"{codec_id} files are decoded as a whole: the region was then cut out"


def parse(text: str) -> Region:
    """The rectangle of a text such as "120,80,400x300": left, top, width x height.

    Raises:
        OptionError: it is none, or empty.
    """
    match = _RECTANGLE.fullmatch(text.strip())
    found = Region(*map(int, match.groups())) if match else None
    if found is None or 0 in (found.width, found.height):
        raise OptionError(
            f"{text.strip()!r} is no rectangle such as 120,80,400x300: left, top, width x height, "
            "in pixels"
        )
    return found

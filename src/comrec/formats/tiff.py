"""Image file directories (IFDs) of TIFF files and EXIF blocks (TIFF 6.0, section 2; BigTIFF).

Everything is read in bounded, linear time, from the directories alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from comrec.errors import DamagedFileError

SUBFILE_TYPE, OLD_SUBFILE_TYPE = 254, 255
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
FILL_ORDER, STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP = 266, 273, 274, 277, 278
STRIP_BYTES, X_RESOLUTION, Y_RESOLUTION, PLANES, RESOLUTION_UNIT = 279, 282, 283, 284, 296
PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 317, 322, 323, 324, 325
EXTRA_SAMPLES, SAMPLE_FORMAT = 338, 339

_REDUCED, _MASK = 1, 4
"""Bits of NewSubfileType: a smaller version of another page, and its transparency mask."""
_OLD_REDUCED = 2

_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"II\0*", b"MM*\0")
"""The last two are wrong, but Pillow reads them."""

_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
"""Types of entries that hold integers, by their code in `struct`."""
_RATIONAL = 5

_BEYOND = (struct.error, OverflowError)
"""What reading at an offset outside the file raises."""

_FIRST = 8
"""Entries looked at for the kind of a page. They are in ascending order, and its tag is the
lowest."""


def is_tiff(data: bytes) -> bool:
    return data.startswith(_HEADS)


@dataclass(frozen=True)
class _Layout:
    """Byte order and field sizes of a file.

    Attributes:
        order: "<" or ">".
        big: whether it is a BigTIFF.
        first: position of the offset of the first directory.
        offset: an offset.
        count: the number of entries of a directory.
        entry: tag, type and number of values of an entry; the values or their offset follow.
        entry_size: bytes of a whole entry.
    """

    order: str
    big: bool
    first: int
    offset: struct.Struct
    count: struct.Struct
    entry: struct.Struct
    entry_size: int


def _layout(data: bytes) -> _Layout:
    if not is_tiff(data):
        raise DamagedFileError("input: damaged TIFF structure: neither II nor MM at the start")
    order, big = "<" if data.startswith(b"I") else ">", b"+" in data[2:4]
    codes = ("Q", "Q", "HHQ") if big else ("I", "H", "HHI")
    offset, count, entry = (struct.Struct(order + code) for code in codes)
    return _Layout(order, big, 8 if big else 4, offset, count, entry, entry.size + offset.size)


@dataclass(frozen=True)
class Directory:
    """One image file directory.

    Attributes:
        data: the file.
        offset: of the directory.
    """

    data: bytes = field(repr=False)
    offset: int
    _layout: _Layout = field(repr=False)
    _entries: Mapping[int, tuple[int, int, int]] = field(repr=False)

    def __contains__(self, tag: int) -> bool:
        return tag in self._entries

    def integers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The integers of a tag; ``default`` if it is absent, of another type or cut off."""
        kind, count, at = self._entries.get(tag, (0, 0, 0))
        if kind not in _INTEGERS or not count:
            return default
        size = struct.calcsize(self._layout.order + _INTEGERS[kind])
        if count * size > len(self.data):
            return default
        try:
            return struct.unpack_from(
                f"{self._layout.order}{count}{_INTEGERS[kind]}",
                self.data,
                self._place(at, count * size),
            )
        except _BEYOND:
            return default

    def integer(self, tag: int, default: int) -> int:
        """The first integer of a tag; ``default`` if it has none."""
        return self.integers(tag, (default,))[0]

    def rational(self, tag: int) -> float | None:
        """The first value of a tag of type RATIONAL, or an integer; None if there is none."""
        kind, count, at = self._entries.get(tag, (0, 0, 0))
        if kind == _RATIONAL and count:
            try:
                above, below = struct.unpack_from(
                    self._layout.order + "II", self.data, self._place(at, 8 * count)
                )
            except _BEYOND:
                return None
            return above / below if below else None
        found = self.integers(tag)
        return float(found[0]) if found else None

    def _place(self, at: int, size: int) -> int:
        """Where the values of an entry are whose field is at ``at``."""
        offset = self._layout.offset
        return at if size <= offset.size else int(offset.unpack_from(self.data, at)[0])

    def alone(self) -> bytes:
        """The file with this as its first directory."""
        layout = self._layout
        start = layout.first
        if layout.offset.unpack_from(self.data, start)[0] == self.offset:
            return self.data
        return b"".join(
            [
                self.data[:start],
                layout.offset.pack(self.offset),
                self.data[start + layout.offset.size :],
            ]
        )

    def with_integer(self, tag: int, value: int) -> Directory:
        """This directory with another value of a tag that has one integer."""
        kind, _, at = self._entries[tag]
        packed = struct.pack(self._layout.order + _INTEGERS[kind], value)
        changed = b"".join([self.data[:at], packed, self.data[at + len(packed) :]])
        return Directory(changed, self.offset, self._layout, self._entries)

    def with_only(self, tags: Mapping[int, tuple[int, ...]]) -> Directory:
        """A directory of these tags and their integers, at the end of the file."""
        layout = self._layout
        code = "Q" if layout.big else "I"
        kind = 16 if layout.big else 4
        start = len(self.data) + len(self.data) % 2
        values_at = start + layout.count.size + layout.entry_size * len(tags) + layout.offset.size
        table, values = layout.count.pack(len(tags)), b""
        for tag, numbers in sorted(tags.items()):
            packed = struct.pack(f"{layout.order}{len(numbers)}{code}", *numbers)
            table += layout.entry.pack(tag, kind, len(numbers))
            if len(packed) <= layout.offset.size:
                table += packed
            else:
                table += layout.offset.pack(values_at + len(values))
                values += packed
        padding = bytes(len(self.data) % 2)
        end = layout.offset.pack(0)
        return directory(b"".join([self.data, padding, table, end, values]), start)


def directory(data: bytes, offset: int | None = None) -> Directory:
    """The directory at an offset; the first by default.

    Raises:
        DamagedFileError: there is none.
    """
    layout = _layout(data)
    try:
        if offset is None:
            (offset,) = layout.offset.unpack_from(data, layout.first)
        entries = {
            tag: (kind, count, at) for tag, kind, count, at in _entries(data, offset, layout)
        }
    except _BEYOND:
        raise DamagedFileError("input: damaged TIFF structure: a directory is cut off") from None
    return Directory(data, offset, layout, entries)


def _entries(data: bytes, offset: int, layout: _Layout) -> Iterator[tuple[int, int, int, int]]:
    """(Tag, type, number of values, position of the value field) of each entry."""
    (count,) = layout.count.unpack_from(data, offset)
    at = offset + layout.count.size
    if at + count * layout.entry_size > len(data):
        count = max(0, len(data) - at) // layout.entry_size  # what there is
    for _ in range(count):
        yield *layout.entry.unpack_from(data, at), at + layout.entry.size
        at += layout.entry_size


@dataclass(frozen=True)
class Pages:
    """The pages of a file.

    Attributes:
        offsets: of their directories. Reduced versions and masks of other pages are left out,
            unless there is nothing else.
        places: index of each of them among all directories.
        masks: whether a mask was left out.
        only_reduced: whether all directories are reduced versions or masks.
    """

    offsets: tuple[int, ...]
    places: tuple[int, ...]
    masks: bool
    only_reduced: bool


def pages(data: bytes) -> Pages:
    """The pages of a file. Counting stops at a directory that is cut off or was seen before.

    Raises:
        DamagedFileError: there is not one.
    """
    layout = _layout(data)
    offset, size, head = layout.offset, layout.entry_size, layout.count.size
    start = struct.Struct(layout.count.format + "HH")  # number of entries; tag and type of one
    found: dict[int, int] = {}
    most = len(data) // (head + size + offset.size)  # if none overlap
    try:
        (at,) = offset.unpack_from(data, layout.first)
        while at and at not in found and len(found) < most:
            count, tag, _ = start.unpack_from(data, at)
            found[at] = 0 if tag > OLD_SUBFILE_TYPE else _kind(data, at, layout)
            (at,) = offset.unpack_from(data, at + head + count * size)
    except _BEYOND:
        pass
    if not found:
        raise DamagedFileError("input: damaged TIFF structure: there is no directory")
    full = [(i, at) for i, (at, kind) in enumerate(found.items()) if not kind]
    masks = any(kind & _MASK for kind in found.values())
    chosen = full or list(enumerate(found))
    places, offsets = zip(*chosen, strict=True)
    return Pages(offsets, places, masks and bool(full), not full)


def _kind(data: bytes, offset: int, layout: _Layout) -> int:
    """Which of the bits of NewSubfileType are set, also for the older SubfileType."""
    for tag, kind, _, at in islice(_entries(data, offset, layout), _FIRST):
        if tag in (SUBFILE_TYPE, OLD_SUBFILE_TYPE) and kind in (3, 4):
            (value,) = struct.unpack_from(layout.order + _INTEGERS[kind], data, at)
            if tag == SUBFILE_TYPE:
                return int(value) & (_REDUCED | _MASK)
            return _REDUCED if value == _OLD_REDUCED else 0
    return 0

"""Files altered at random, for `fuzz`: bits, pieces and header fields; checksums mended."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise

Rewrite = Callable[[random.Random, bytearray, bytes], None]

PNG, CMR = b"\x89PNG\r\n\x1a\n", b"\x89CMR\r\n\x1a\n"
_MARK, _MARK_BODY = b"comrec\x01", 28
_HEADER = 64
"""First bytes, in which most formats have their sizes; half of the changes fall there."""
_MOST = 1 << 20
"""Bytes of a mutated file: the limits of `fuzz` are for files below it."""


def mutated(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """A file with one to four random changes; ``other`` is a file to take pieces from."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        rng.choice(_REWRITES)(rng, out, other)
    del out[_MOST:]
    if rng.random() < 0.8:  # otherwise few changes get past the checksums
        mend_checksums(out)
    return bytes(out)


def mend_checksums(data: bytearray) -> None:
    """Make the checksums of PNG and .cmr chunks, and of a mark, right in place."""
    if data.startswith((PNG, CMR)):
        for start, end in pieces(bytes(data)):
            body = bytes(data[start + 4 : end - 4])
            if end - start >= 12:
                data[end - 4 : end] = struct.pack(">I", zlib.crc32(body))
    at = data.find(_MARK)
    if 0 <= at <= len(data) - _MARK_BODY - 4:
        body = bytes(data[at : at + _MARK_BODY])
        data[at + _MARK_BODY : at + _MARK_BODY + 4] = struct.pack(">I", zlib.crc32(body))


def pieces(data: bytes) -> list[tuple[int, int]]:
    """(Start, end) of the chunks, boxes or segments of a file; sixteen parts of other files."""
    if data.startswith((PNG, CMR)):
        return _framed(data, 8, lambda at: 12 + int.from_bytes(data[at : at + 4], "big"))
    if data[:4] == b"RIFF":
        return _framed(data, 12, lambda at: 8 + -(-_little(data, at + 4) // 2) * 2)
    if data[:2] == b"\xff\xd8":
        return _framed(data, 2, lambda at: 2 + int.from_bytes(data[at + 2 : at + 4], "big"))
    if data[4:8] in (b"ftyp", b"jP  ", b"JXL "):
        return _boxes(data)
    cuts = [len(data) * part // 16 for part in range(17)]
    return list(pairwise(cuts))


def _little(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _framed(data: bytes, at: int, length: Callable[[int], int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    while at + 8 <= len(data) and len(found) < 1000:
        end = at + max(2, length(at))
        if end > len(data):
            break
        found.append((at, end))
        at = end
    return [*found, (at, len(data))]


_NESTED = (b"meta", b"iprp", b"ipco", b"iinf", b"jp2h")


def _boxes(data: bytes) -> list[tuple[int, int]]:
    """Boxes, and those in the nested ones that describe pictures."""
    found: list[tuple[int, int]] = []
    waiting = [(0, len(data))]
    while waiting and len(found) < 1000:
        at, end = waiting.pop()
        while at + 8 <= end:
            length = int.from_bytes(data[at : at + 4], "big") or end - at
            if not 8 <= length <= end - at:
                break
            found.append((at, at + length))
            kind = data[at + 4 : at + 8]
            if kind in _NESTED:
                versioned = {b"meta": 4, b"iinf": 6}.get(kind, 0)
                waiting.append((at + 8 + versioned, at + length))
            at += length
    return found or [(0, len(data))]


def _place(rng: random.Random, data: bytearray) -> int:
    end = min(len(data), _HEADER) if rng.random() < 0.5 else len(data)
    return rng.randrange(max(1, end))


def _piece(rng: random.Random, data: bytes) -> bytes:
    start, end = rng.choice(pieces(data))
    return data[start:end]


def _flip(rng: random.Random, data: bytearray, _: bytes) -> None:
    for _number in range(rng.choice((1, 1, 4, 16)) if data else 0):
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _scramble(rng: random.Random, data: bytearray, _: bytes) -> None:
    at = _place(rng, data)
    end = min(len(data), at + rng.choice((1, 2, 4, 16, 64)))
    data[at:end] = rng.randbytes(max(0, end - at))


def _extreme(rng: random.Random, data: bytearray, _: bytes) -> None:
    """A number of the size of a header field, set to an extreme or a large size."""
    width = rng.choice((1, 2, 4, 4, 8))
    top = 1 << 8 * width
    value = rng.choice((0, 1, 2, 255, 13000, 16383, 40000, 65535, top // 2, top - 1, top - 8)) % top
    at = _place(rng, data)
    if at + width <= len(data):
        data[at : at + width] = value.to_bytes(width, rng.choice(("big", "little")))


def _step(rng: random.Random, data: bytearray, _: bytes) -> None:
    if data:
        at = _place(rng, data)
        data[at] = (data[at] + rng.choice((-1, 1))) % 256


def _cut_short(rng: random.Random, data: bytearray, _: bytes) -> None:
    del data[_place(rng, data) :]


def _remove(rng: random.Random, data: bytearray, _: bytes) -> None:
    at = _place(rng, data)
    del data[at : at + rng.choice((1, 2, 4, 16, 256))]


def _splice(rng: random.Random, data: bytearray, other: bytes) -> None:
    at = _place(rng, data)
    data[at:] = other[rng.randrange(max(1, len(other))) :]


def _overwrite(rng: random.Random, data: bytearray, other: bytes) -> None:
    at = _place(rng, data)
    piece = _piece(rng, other)
    data[at : at + len(piece)] = piece


def _blank(rng: random.Random, data: bytearray, _: bytes) -> None:
    at = _place(rng, data)
    end = min(len(data), at + rng.choice((4, 16, 256, 4096)))
    data[at:end] = bytes([rng.choice((0, 255))]) * max(0, end - at)


def _duplicate_piece(rng: random.Random, data: bytearray, _: bytes) -> None:
    start, end = rng.choice(pieces(bytes(data)))
    times = rng.choice((1, 1, 2, 64))
    data[end:end] = bytes(data[start:end]) * times


def _remove_piece(rng: random.Random, data: bytearray, _: bytes) -> None:
    start, end = rng.choice(pieces(bytes(data)))
    del data[start:end]


def _insert_piece(rng: random.Random, data: bytearray, other: bytes) -> None:
    at = rng.choice(pieces(bytes(data)))[rng.randrange(2)]
    data[at:at] = _piece(rng, other)


def _swap_pieces(rng: random.Random, data: bytearray, _: bytes) -> None:
    first, second = sorted(rng.choices(pieces(bytes(data)), k=2))
    if first[1] <= second[0]:
        before, between = bytes(data[slice(*first)]), bytes(data[first[1] : second[0]])
        data[first[0] : second[1]] = bytes(data[slice(*second)]) + between + before


_REWRITES: Sequence[Rewrite] = (
    _flip, _flip, _scramble, _extreme, _extreme, _extreme, _step, _cut_short, _remove, _splice,
    _overwrite, _blank, _duplicate_piece, _remove_piece, _insert_piece, _swap_pieces,
)  # fmt: skip

"""Patch files: a file stored as its differences from another, the base.

A network that contains another's weights is stored as a patch of it. A patch file is the 4 bytes
"CRP1", then operations until the end of the file. Integers are unsigned and big-endian:

    copy        0 (1 byte), offset in the base (4 bytes), length (4 bytes)
    literal     1 (1 byte), length (4 bytes), as many bytes as that
    difference  2 (1 byte), offset in the base (4 bytes), length (4 bytes, even), length of what
                follows (4 bytes), zlib's format

The result is the concatenation of the copied parts of the base, the literals, and the sums of the
base and the differences, in order. A difference is one of arrays of float16, little-endian: their
bits are read as integers of the same order (`_ordered`), and the differences of these, modulo
2^16, are stored as 0, -1, 1, -2, ..., first the high bytes of all, then the low ones. A patch
holds no checksum; the manifest has the SHA-256 of the result.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from comrec.errors import WeightsError

_MAGIC = b"CRP1"
_COPY = struct.Struct(">BII")
_LITERAL = struct.Struct(">BI")
_DIFFERENCE = struct.Struct(">BIII")
_BLOCK = 32  # copies begin at multiples of this in the base, and are at least as long


def make(base: bytes, target: bytes, arrays: Sequence[tuple[int, int, int]] = ()) -> bytes:
    """A patch that turns ``base`` into ``target``; each is less than 4 GiB.

    The search is greedy: it copies the first matching block and all equal bytes after it.

    Args:
        arrays: of float16, that are similar in both: offset in the base, offset in the target, and
            length, in bytes; in the target's order.
    """
    offsets: dict[bytes, int] = {}
    for offset in range(0, len(base) - _BLOCK + 1, _BLOCK):
        offsets.setdefault(base[offset : offset + _BLOCK], offset)
    parts, done = [_MAGIC], 0
    for offset, start, length in arrays:
        parts += _copies(base, offsets, target[done:start])
        done = start + length
        parts.append(_similar(base, offset, target[start:done]))
    parts += _copies(base, offsets, target[done:])
    return b"".join(parts)


def _copies(base: bytes, offsets: dict[bytes, int], target: bytes) -> list[bytes]:
    """Copies and literals; the base's blocks are found by ``offsets``."""
    parts = []
    done = at = 0  # target[done:at] is the next literal
    while at <= len(target) - _BLOCK:
        block = target[at : at + _BLOCK]
        if block not in offsets:
            at += 1
            continue
        offset = offsets[block]
        length = _common(base[offset:], target[at:])
        parts += [_literal(target[done:at]), _COPY.pack(0, offset, length)]
        done = at = at + length
    parts.append(_literal(target[done:]))
    return parts


def _similar(base: bytes, offset: int, target: bytes) -> bytes:
    """The shortest operation for an array, of which the base has a similar one."""
    theirs = base[offset : offset + len(target)]
    if theirs == target:
        shorter = _COPY.pack(0, offset, len(target))
    else:
        difference = zlib.compress(_subtracted(target, theirs), 9)
        shorter = _DIFFERENCE.pack(2, offset, len(target), len(difference)) + difference
    return min(shorter, _literal(target), key=len)


def apply(base: bytes, patch: bytes) -> bytes:
    """The file that the patch turns ``base`` into. The caller checks its SHA-256.

    Raises:
        WeightsError: the patch is damaged.
    """
    if not patch.startswith(_MAGIC):
        raise _damaged("it does not begin like one")
    parts = []
    at = len(_MAGIC)
    try:
        while at < len(patch):
            if patch[at] == 0:
                _, offset, length = _COPY.unpack_from(patch, at)
                at += _COPY.size
                part = base[offset : offset + length]
            elif patch[at] == 1:
                _, length = _LITERAL.unpack_from(patch, at)
                at += _LITERAL.size
                part = patch[at : at + length]
                at += length
            elif patch[at] == 2:
                _, offset, length, packed = _DIFFERENCE.unpack_from(patch, at)
                at += _DIFFERENCE.size
                held = zlib.decompressobj().decompress(patch[at : at + packed], length + 1)
                at += packed
                part = _added(base[offset : offset + length], held)
            else:
                raise _damaged(f"operation {patch[at]}")
            if len(part) != length:
                raise _damaged("a part is too short")
            parts.append(part)
    except struct.error:
        raise _damaged("cut short") from None
    except (ValueError, zlib.error):  # arrays of different or odd lengths
        raise _damaged("a wrong difference") from None
    return b"".join(parts)


def _ordered(halves: bytes) -> NDArray[np.uint16]:
    """float16 as integers of the same order."""
    bits = np.frombuffer(halves, "<u2").astype(np.uint16)
    return np.where(bits & 0x8000, ~bits, bits | 0x8000)


def _subtracted(target: bytes, base: bytes) -> bytes:
    steps = (_ordered(target) - _ordered(base)).view(np.int16)
    folded = ((steps << 1) ^ (steps >> 15)).view(np.uint16)  # 0, -1, 1, -2 to 0, 1, 2, 3
    return (folded >> 8).astype(np.uint8).tobytes() + folded.astype(np.uint8).tobytes()


def _added(base: bytes, difference: bytes) -> bytes:
    """Undoes `_subtracted`.

    Raises:
        ValueError: they are not equally long, or of an odd length.
    """
    high, low = np.frombuffer(difference, np.uint8).reshape(2, -1).astype(np.uint16)
    folded = high << 8 | low
    ordered = _ordered(base) + ((folded >> 1) ^ -(folded & 1))
    bits = np.where(ordered & 0x8000, ordered & 0x7FFF, ~ordered)
    return bits.astype("<u2").tobytes()


def _literal(data: bytes) -> bytes:
    return _LITERAL.pack(1, len(data)) + data if data else b""


def _common(a: bytes, b: bytes) -> int:
    """The length of the common prefix."""
    same, step = 0, 1 << 16
    while step:
        part = a[same : same + step]
        if len(part) == step and part == b[same : same + step]:
            same += step
        else:
            step //= 2
    return same


def _damaged(what: str) -> WeightsError:
    return WeightsError(f"damaged patch of a network ({what}); reinstall comrec")

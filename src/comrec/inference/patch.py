"""Patch files: a file stored as its differences from another, the base.

A network that contains another's weights is stored as a patch of it. A patch file is the 4 bytes
"CRP1", then operations until the end of the file. Integers are unsigned and big-endian:

    copy        0 (1 byte), offset in the base (4 bytes), length (4 bytes)
    literal     1 (1 byte), length (4 bytes), as many bytes as that

The result is the concatenation of the copied parts of the base and the literals, in order. A patch
holds no checksum; the manifest has the SHA-256 of the result.
"""

from __future__ import annotations

import struct

from comrec.errors import WeightsError

_MAGIC = b"CRP1"
_COPY = struct.Struct(">BII")
_LITERAL = struct.Struct(">BI")
_BLOCK = 32  # copies begin at multiples of this in the base, and are at least as long


def make(base: bytes, target: bytes) -> bytes:
    """A patch that turns ``base`` into ``target``; each is less than 4 GiB.

    The search is greedy: it copies the first matching block and all equal bytes after it.
    """
    offsets: dict[bytes, int] = {}
    for offset in range(0, len(base) - _BLOCK + 1, _BLOCK):
        offsets.setdefault(base[offset : offset + _BLOCK], offset)
    parts = [_MAGIC]
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
    return b"".join(parts)


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
            else:
                raise _damaged(f"operation {patch[at]}")
            if len(part) != length:
                raise _damaged("a part is too short")
            parts.append(part)
    except struct.error:
        raise _damaged("cut short") from None
    return b"".join(parts)


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

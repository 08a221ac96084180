"""Context models as bytes, for the weight store; big-endian.

M (2 bytes), number of groups (1); then, compressed (zlib): the M channels in coding order (2 each),
the sizes of groups (2 each), arrays of the model's own, and the tables as `tables.pack` packs them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from comrec.entropy.tables import Table, pack, unpack
from comrec.errors import WeightsError

_HEAD = struct.Struct(">HB")


class Packed(NamedTuple):
    """What is packed.

    Attributes:
        order: the M channels in coding order.
        groups: number of channels of each; M in total.
        arrays: the model's own, of big-endian types; unpacked they are flat.
        tables: at most 256.
    """

    order: NDArray[np.int64]
    groups: tuple[int, ...]
    arrays: Sequence[NDArray[Any]]
    tables: tuple[Table, ...]

    def bytes(self) -> bytes:
        numbers = np.array([*self.order, *self.groups], ">u2")
        parts = [array.tobytes() for array in (numbers, *self.arrays)]
        head = _HEAD.pack(len(self.order), len(self.groups))
        return head + zlib.compress(b"".join([*parts, pack(self.tables)]), 9)


def unpacked(
    data: bytes, what: str, layout: Callable[[int, int], Sequence[tuple[str, int]]]
) -> Packed:
    """What `Packed.bytes` packed.

    Args:
        what: is unpacked, in messages.
        layout: from the numbers of channels and of groups the type and length of each array; those
            of bytes hold positions in the tables.
    Raises:
        WeightsError: the bytes are damaged.
    """
    try:
        channels, count = _HEAD.unpack_from(data)
        parts = zlib.decompress(data[_HEAD.size :])
        found, at = [], 0
        for kind, size in ((">u2", channels + count), *layout(channels, count)):
            found.append(np.frombuffer(parts, kind, size, at))
            at += found[-1].nbytes
    except (struct.error, zlib.error, ValueError):
        raise WeightsError(f"damaged {what} (cut short); reinstall comrec") from None
    numbers, *arrays = found
    order, groups = numbers[:channels].astype(np.int64), tuple(numbers[channels:].tolist())
    tables = unpack(parts[at:])
    whole = sorted(order.tolist()) == list(range(channels)) and sum(groups) == channels
    positions = [array for array in arrays if array.dtype == np.uint8]
    if not (whole and all(array.size and array.max() < len(tables) for array in positions)):
        raise WeightsError(f"damaged {what} (it does not fit together); reinstall comrec")
    return Packed(order, groups, arrays, tables)

"""Range coding of integers: bytes in the order of the values, so that a prefix decodes.

As `coder`, but first in, first out. The library ``constriction`` codes, under the same tables, in
words of 32 bits, which are stored big-endian.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from comrec.entropy.coder import (
    BITS,
    CLASSES,
    Bounds,
    Encoder,
    bit_model,
    by_table,
    class_model,
    unescaped,
)
from comrec.entropy.tables import TOTAL, Table
from comrec.errors import DamagedFileError

Integers = NDArray[np.integer[Any]]
Flags = NDArray[np.bool_]

_WORD = 4
_COST_STEPS = 256  # costs are counted in so many parts of a bit, rounded up
_HELD = 96  # bits that the coder may have read ahead, at most


class QueueEncoder(Encoder):
    """Collects arrays of values; `finish` returns the bytes."""

    def finish(self) -> bytes:
        """The bytes of all arrays added; whatever follows them does not change their values."""
        import constriction

        coder = constriction.stream.queue.RangeEncoder()
        for run, model in self._runs:
            coder.encode(run, model)
        words: NDArray[np.uint32] = coder.get_compressed()
        return words.astype(">u4").tobytes()


class QueueDecoder:
    """Decodes arrays of values in the order in which they were added, of all bytes or of the first.

    Of a prefix, values are given as long as what they cost fits into it, but for 12 bytes: those
    are certain. Costs are integers, so that every machine stops at the same value.

    Args:
        data: the bytes, or the first of them.
        cut: whether some are missing.
    """

    def __init__(self, data: bytes, cut: bool) -> None:
        import constriction

        padded = data + bytes(-len(data) % _WORD)
        words = np.frombuffer(padded, ">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)
        self._left = _COST_STEPS * (8 * len(data) - _HELD) if cut else None
        self._bounds = Bounds()
        self._ended = False

    def take(self, indices: Integers, tables: Sequence[Table]) -> tuple[NDArray[np.int32], Flags]:
        """The next array, and which of its values are certain; the others are 0.

        Args:
            indices: index in ``tables`` of each value's table, of any shape.
        Raises:
            DamagedFileError: the bytes cannot come from an encoder.
        """
        values = np.zeros(indices.size, np.int32)
        known = np.zeros(indices.size, np.bool_)
        order, counts = by_table(indices, len(tables))
        groups, sure = [], 0
        for number, count in enumerate(counts):
            if count and not self._ended:
                table = tables[number]
                found = self._decode(table.model, count, table.frequencies)
                groups.append(found)
                sure += len(found)
        if not sure:
            return values.reshape(indices.shape), known.reshape(indices.shape)
        grouped, order = np.concatenate(groups), order[:sure]
        minimum, size = self._bounds.of(tables)
        of_table = indices.reshape(-1)[order]
        values[order] = grouped + minimum[of_table]
        known[order] = True
        escaped = np.sort(order[grouped == size[of_table]])  # in the order of the array
        if escaped.size:
            outside = self._escaped(minimum[indices.reshape(-1)[escaped]], values[escaped])
            known[escaped] = outside is not None
            values[escaped] = 0 if outside is None else outside
        return values.reshape(indices.shape), known.reshape(indices.shape)

    def _escaped(self, minimum: Integers, end: Integers) -> NDArray[np.int64] | None:
        """The next escaped values; None if they are not certain."""
        lengths = self._decode(class_model(), len(end), CLASSES)
        if len(lengths) < len(end):
            return None
        count = int(lengths.sum())
        bits = self._decode(bit_model(), count, BITS)
        return None if len(bits) < count else unescaped(minimum, end, lengths, bits)

    def _decode(self, model: Any, count: int, frequencies: tuple[int, ...]) -> NDArray[np.int32]:
        """So many positions in a table's frequencies; fewer where the bytes run out."""
        if self._left is None:
            return self._read(model, count)
        costs = _costs(frequencies)
        runs = [np.empty(0, np.int32)]
        most = int(costs.max())
        while count and not self._ended:
            # As many as fit whatever they are; so nothing is read beyond the end.
            found = self._read(model, min(count, max(1, self._left // most)))
            self._left -= int(costs[found].sum())
            self._ended = self._left < 0
            if not self._ended:
                runs.append(found)
                count -= len(found)
        return np.concatenate(runs)

    def _read(self, model: Any, count: int) -> NDArray[np.int32]:
        if not count:
            return np.empty(0, np.int32)
        try:
            found: NDArray[np.int32] = self._coder.decode(model, count)
        except AssertionError:
            raise DamagedFileError("input: damaged coded values") from None
        return found


@cache
def _costs(frequencies: tuple[int, ...]) -> NDArray[np.int64]:
    """Code length of each position, in 1 / `_COST_STEPS` bits."""
    bits = [math.log2(TOTAL / frequency) for frequency in frequencies]
    return np.array([math.ceil(_COST_STEPS * cost - 1e-6) for cost in bits], np.int64)

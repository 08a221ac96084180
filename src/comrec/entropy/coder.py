"""Entropy coding of integers by asymmetric numeral systems (ANS), each under its own table.

The library ``constriction`` codes; `tables.coder_model` gives it the exact frequencies of a table
(docs/format.md, "Coded values").
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from comrec.entropy.tables import LIMIT, TOTAL, Table, coder_model, places
from comrec.errors import DamagedFileError, OptionError

Integers = NDArray[np.integer[Any]]

_SEED = 0x636D  # initial state of the encoder; a decoder checks that it ends there
_LENGTHS = 33  # in bits, of the numbers of escaped values
_POWERS = 1 << np.arange(_LENGTHS, dtype=np.int64)


def _class_frequencies() -> tuple[int, ...]:
    frequencies = [max(1, TOTAL >> c + 1) for c in range(_LENGTHS)]
    frequencies[0] -= sum(frequencies) - TOTAL
    return tuple(frequencies)


CLASSES = _class_frequencies()
"""Frequencies of the lengths of escaped values' numbers."""
BITS = (TOTAL // 2, TOTAL // 2)
"""Frequencies of their bits."""


@cache
def class_model() -> Any:
    """The coder's model of `CLASSES`."""
    return coder_model(CLASSES)


@cache
def bit_model() -> Any:
    """The coder's model of `BITS`."""
    return coder_model(BITS)


def _ans(words: NDArray[np.uint32]) -> Any:
    """The library's coder, with these words on its stack."""
    import constriction

    return constriction.stream.stack.AnsCoder(words)


class Bounds:
    """Least value and size of each table; kept, as the next array mostly has the same tables."""

    def __init__(self) -> None:
        self._kept: tuple[Sequence[Table], Integers, Integers] | None = None

    def of(self, tables: Sequence[Table]) -> tuple[Integers, Integers]:
        """(tables,) int32 each."""
        if self._kept is None or self._kept[0] is not tables:
            both = np.array([(one.minimum, one.size) for one in tables], np.int32)
            self._kept = tables, *both.reshape(-1, 2).T
        return self._kept[1:]


class Encoder:
    """Collects arrays of values; `finish` returns the bytes."""

    def __init__(self) -> None:
        self._runs: list[tuple[NDArray[np.int32], Any]] = []
        self._bounds = Bounds()

    def add(self, values: Integers, indices: Integers, tables: Sequence[Table]) -> None:
        """Append an array of values.

        Args:
            values: integers of any shape, within -`LIMIT`..`LIMIT`.
            indices: index in ``tables`` of each value's table; same shape. The decoder must know
                them.
        Raises:
            OptionError: shapes differ, or something is out of range.
        """
        if values.shape != indices.shape:
            raise OptionError(f"values are {values.shape}, but their tables {indices.shape}")
        if values.size and max(int(values.max()), -int(values.min())) > LIMIT:
            raise OptionError(f"values must lie within {-LIMIT}..{LIMIT}")
        order, counts = by_table(indices, len(tables))
        minimum, size = (np.repeat(bound, counts) for bound in self._bounds.of(tables))
        grouped = values.reshape(-1).astype(np.int64)[order]
        place, outside = places(grouped, minimum, size)
        run = place.astype(np.int32)
        start = 0
        for table, count in zip(tables, counts, strict=True):
            if count:
                self._runs.append((run[start : start + count], table.model))
                start += count
        escaped = np.empty_like(outside)
        escaped[order] = outside
        self._add_escaped(escaped[escaped > 0])

    def _add_escaped(self, outside: NDArray[np.int64]) -> None:
        """Exp-Golomb codes: the number of bits after the leading 1, then these bits."""
        if outside.size:
            lengths = np.searchsorted(_POWERS, outside, side="right") - 1
            shifts = _shifts(lengths)
            bits = np.repeat(outside, lengths) >> shifts & 1
            self._runs.append((lengths.astype(np.int32), class_model()))
            self._runs.append((bits.astype(np.int32), bit_model()))

    def finish(self) -> bytes:
        """The bytes of all arrays added."""
        coder = _ans(np.array([_SEED], np.uint32))
        for run, model in reversed(self._runs):  # ANS is a stack
            coder.encode_reverse(run, model)
        # The last word is never 0, but its upper bytes can be: they are not stored.
        words: NDArray[np.uint32] = coder.get_compressed()
        return words.astype("<u4").tobytes().rstrip(b"\0")


class Decoder:
    """Decodes arrays of values, in the order in which they were added.

    Damaged bytes, or other tables than the encoder's, give wrong values, and nearly always an error
    in `finish`. They cause no other exceptions, and decoding takes no longer: `take` stops where
    the bytes have run out.
    """

    def __init__(self, data: bytes) -> None:
        """
        Raises:
            DamagedFileError: the bytes cannot come from an encoder.
        """
        if data.endswith(b"\0"):
            raise DamagedFileError("input: damaged coded values (they end in a zero)")
        words = np.frombuffer(data + bytes(-len(data) % 4), "<u4")
        self._coder = _ans(words.astype(np.uint32))
        self._bounds = Bounds()

    def take(self, indices: Integers, tables: Sequence[Table]) -> NDArray[np.int32]:
        """The next array, of the shape of ``indices``; arguments as in `Encoder.add`.

        Raises:
            DamagedFileError: a value is out of range, or the bytes have run out.
            OptionError: an index is out of range.
        """
        if not indices.size:
            return np.empty(indices.shape, np.int32)
        order, counts = by_table(indices, len(tables))
        decode = self._coder.decode
        grouped = np.concatenate(
            [
                decode(table.model, count)
                for table, count in zip(tables, counts, strict=True)
                if count
            ]
        )
        minimum, size = self._bounds.of(tables)
        escaped = order[grouped == np.repeat(size, counts)]
        grouped += np.repeat(minimum, counts)
        values = np.empty_like(grouped)
        values[order] = grouped
        if escaped.size:
            late = np.sort(escaped)  # in the order of the array
            least = minimum[indices.reshape(-1)[late]].astype(np.int64)
            values[late] = self._escaped(least, values[late])
        self._check_left()
        return values.reshape(indices.shape)

    def _escaped(self, minimum: NDArray[np.int64], end: NDArray[np.int32]) -> NDArray[np.int64]:
        """The next escaped values: below ``minimum``, or at least ``end``."""
        lengths = self._coder.decode(class_model(), len(end))
        bits = self._coder.decode(bit_model(), int(lengths.sum()))
        return unescaped(minimum, end, lengths, bits)

    def _check_left(self) -> None:
        """Stop where more was decoded than was coded, so that the cost is that of the bytes.

        Coding a value never makes the coder's state smaller, and it starts at `_SEED`: below that,
        with no words on the stack, no further value can come from an encoder, nor `finish` pass.
        A state that stays the same for ever is possible: that of a table's first value, where
        that is so likely (in 1 of 650 at least) that the state is below its frequency.
        """
        if self._coder.num_words() < 2:
            (state,) = self._coder.get_compressed().tolist() or (0,)
            if state < _SEED:
                raise DamagedFileError("input: damaged coded values (cut short)")

    def finish(self) -> None:
        """Check that all bytes were decoded, and no more.

        Raises:
            DamagedFileError: bytes are left over or missing.
        """
        if self._coder.get_compressed().tolist() != [_SEED]:
            raise DamagedFileError("input: damaged coded values (they do not end where they must)")


def unescaped(
    minimum: Integers, end: Integers, lengths: Integers, bits: Integers
) -> NDArray[np.int64]:
    """Escaped values: below ``minimum``, or at least ``end``.

    Args:
        minimum, end: of each value's table: the least value, and the one after the last.
        lengths: of each value's number, decoded under `class_model`.
        bits: of all, decoded under `bit_model`; as many as the lengths' sum.
    Raises:
        DamagedFileError: a value is out of range.
    """
    outside = _POWERS[lengths]
    shifted = bits.astype(np.int64) << _shifts(lengths)
    np.add.at(outside, np.repeat(np.arange(len(lengths)), lengths), shifted)
    far = (outside - 1) // 2
    values: NDArray[np.int64] = np.where(outside % 2 == 1, end + far, minimum - 1 - far)
    if np.abs(values).max() > LIMIT:
        raise DamagedFileError("input: damaged coded values (one is out of range)")
    return values


def by_table(indices: Integers, count: int) -> tuple[NDArray[np.intp], list[int]]:
    """The order that sorts values by table, and the number of values of each table."""
    flat = indices.reshape(-1)
    if flat.size and (int(flat.min()) < 0 or int(flat.max()) >= count):
        raise OptionError(f"indices of {count} tables must lie in 0..{count - 1}")
    # NumPy sorts bytes in one pass.
    small = flat.astype(np.uint8 if count <= 256 else np.intp, copy=False)
    return np.argsort(small, kind="stable"), np.bincount(small, minlength=count).tolist()


def _shifts(lengths: Integers) -> NDArray[np.int64]:
    """The significance of each bit of numbers of these lengths, most significant bit first."""
    whole = lengths.astype(np.int64)
    last = np.cumsum(whole)
    return np.repeat(last, whole) - 1 - np.arange(last[-1] if last.size else 0)

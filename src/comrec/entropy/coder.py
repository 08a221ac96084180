"""Values to bytes and back, each under a table of its own, by asymmetric numeral systems (ANS).

The library ``constriction`` codes. It takes floating-point probabilities and makes frequencies
of 24 bits of them; here it is given such that each step of that is exact, so the file holds
what the tables say, to the bit (docs/format.md, "Coded values").
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from comrec.entropy.tables import LIMIT, PRECISION, TOTAL, Table
from comrec.errors import DamagedFileError, OptionError

Integers = NDArray[np.integer[Any]]

_ANS_PRECISION = 24  # constriction's own
_SEED = 0x636D  # what the coder begins with, so that a decoder can see that it got back to it
_CLASSES = 33  # of escaped values, by the length of how far they lie outside
_POWERS = 1 << np.arange(_CLASSES, dtype=np.int64)


def _model(frequencies: Sequence[int]) -> Any:
    """constriction's model of exactly these frequencies.

    It gives each symbol 1 and shares the rest, 2**24 - n, out in the ratio of the probabilities:
    cumulative sums, times the rest, over their total, rounded down. Where the probabilities are
    the integers that add up to the rest, the factor is 1 and nothing is ever rounded.
    """
    import constriction  # only .cmr files need it

    scaled = np.asarray(frequencies, np.float64) * (1 << _ANS_PRECISION - PRECISION)
    return constriction.stream.model.Categorical(scaled - 1, lazy=False, perfect=False)


@cache
def _class_model() -> Any:
    frequencies = [max(1, TOTAL >> c + 1) for c in range(_CLASSES)]
    frequencies[0] -= sum(frequencies) - TOTAL
    return _model(frequencies)


@cache
def _bit_model() -> Any:
    return _model([TOTAL // 2] * 2)


def _ans(words: NDArray[np.uint32]) -> Any:
    """The library's coder, on what it has coded."""
    import constriction

    return constriction.stream.stack.AnsCoder(words)


class Encoder:
    """Collects arrays of values; `finish` gives the bytes of all."""

    def __init__(self) -> None:
        self._runs: list[tuple[NDArray[np.int32], Any]] = []

    def add(self, values: Integers, indices: Integers, tables: Sequence[Table]) -> None:
        """Code an array of values after those before.

        Args:
            values: integers of any shape, within -`LIMIT`..`LIMIT`.
            indices: of each value's table in ``tables``; same shape. The decoder must know them.
        Raises:
            OptionError: shapes differ, or something is out of range.
        """
        if values.shape != indices.shape:
            raise OptionError(f"values are {values.shape}, but their tables {indices.shape}")
        if values.size and max(int(values.max()), -int(values.min())) > LIMIT:
            raise OptionError(f"values must lie within {-LIMIT}..{LIMIT}")
        order, ends = _by_table(indices, len(tables))
        flat = values.reshape(-1).astype(np.int64)
        grouped = flat[order]
        outside = np.zeros(flat.size, np.int64)  # in the order of the groups
        start = 0
        for table, end in zip(tables, ends, strict=True):
            if end > start:
                run, outside[start:end] = table.places(grouped[start:end])
                self._runs.append((run.astype(np.int32), _model(table.frequencies)))
            start = end
        escaped = np.empty_like(outside)
        escaped[order] = outside
        self._add_escaped(escaped[escaped > 0])

    def _add_escaped(self, outside: NDArray[np.int64]) -> None:
        """Exp-Golomb codes: how many bits follow the first 1, then these bits."""
        if outside.size:
            lengths = np.searchsorted(_POWERS, outside, side="right") - 1
            shifts = _shifts(lengths)
            bits = np.repeat(outside, lengths) >> shifts & 1
            self._runs.append((lengths.astype(np.int32), _class_model()))
            self._runs.append((bits.astype(np.int32), _bit_model()))

    def finish(self) -> bytes:
        """The bytes of everything added."""
        coder = _ans(np.array([_SEED], np.uint32))
        for run, model in reversed(self._runs):  # ANS is a stack
            coder.encode_reverse(run, model)
        # The last word is never 0, but its upper bytes can be: they are not stored.
        words: NDArray[np.uint32] = coder.get_compressed()
        return words.astype("<u4").tobytes().rstrip(b"\0")


class Decoder:
    """Takes arrays of values from bytes, as they were added.

    Damaged bytes, or other tables than the encoder's, give other values, and then nearly always
    an error in the end. Nothing makes it fail in another way, or take longer.
    """

    def __init__(self, data: bytes) -> None:
        """
        Raises:
            DamagedFileError: no encoder wrote such bytes.
        """
        if data.endswith(b"\0"):
            raise DamagedFileError("input: damaged coded values (they end in a zero)")
        words = np.frombuffer(data + bytes(-len(data) % 4), "<u4")
        self._coder = _ans(words.astype(np.uint32))

    def take(self, indices: Integers, tables: Sequence[Table]) -> NDArray[np.int32]:
        """The next values, of the shape of ``indices``; arguments as `Encoder.add` had them.

        Raises:
            DamagedFileError: a value is out of range.
            OptionError: an index is out of range.
        """
        order, ends = _by_table(indices, len(tables))
        grouped = np.empty(indices.size, np.int32)
        is_escape = np.zeros(indices.size, bool)
        start = 0
        for table, end in zip(tables, ends, strict=True):
            if end > start:
                run = self._coder.decode(_model(table.frequencies), end - start)
                is_escape[start:end] = run == table.size
                grouped[start:end] = run + table.minimum
            start = end
        values = np.empty_like(grouped)
        values[order] = grouped
        # The places of escaped values, in the order of the array.
        places = np.sort(order[is_escape])
        if places.size:
            found = indices.reshape(-1)[places]
            minimum = np.array([table.minimum for table in tables], np.int64)[found]
            values[places] = self._escaped(minimum, values[places])
        return values.reshape(indices.shape)

    def _escaped(self, minimum: NDArray[np.int64], end: NDArray[np.int32]) -> NDArray[np.int64]:
        """Values below ``minimum``, or from ``end`` on."""
        lengths = self._coder.decode(_class_model(), len(end))
        shifts = _shifts(lengths)
        bits = self._coder.decode(_bit_model(), len(shifts)).astype(np.int64)
        outside = _POWERS[lengths]
        np.add.at(outside, np.repeat(np.arange(len(end)), lengths), bits << shifts)
        far = (outside - 1) // 2
        values: NDArray[np.int64] = np.where(outside % 2 == 1, end + far, minimum - 1 - far)
        if np.abs(values).max() > LIMIT:
            raise DamagedFileError("input: damaged coded values (one is out of range)")
        return values

    def finish(self) -> None:
        """Check that all bytes were taken.

        Raises:
            DamagedFileError: some were not, or there were too few.
        """
        if self._coder.get_compressed().tolist() != [_SEED]:
            raise DamagedFileError("input: damaged coded values (they do not end where they must)")


def _by_table(indices: Integers, count: int) -> tuple[NDArray[np.intp], list[int]]:
    """The order that brings values of a table together, tables in turn; and where each ends."""
    flat = indices.reshape(-1)
    if flat.size and (int(flat.min()) < 0 or int(flat.max()) >= count):
        raise OptionError(f"indices of {count} tables must lie in 0..{count - 1}")
    small = flat.astype(np.uint8 if count <= 256 else np.intp)  # NumPy sorts bytes in one pass
    ends = np.cumsum(np.bincount(small, minlength=count)).tolist()
    return np.argsort(small, kind="stable"), ends


def _shifts(lengths: Integers) -> NDArray[np.int64]:
    """Of each bit of numbers of so many bits, most significant first: its place."""
    whole = lengths.astype(np.int64)
    last = np.cumsum(whole)
    return np.repeat(last, whole) - 1 - np.arange(last[-1] if last.size else 0)

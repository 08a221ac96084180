"""Integer probability tables of the entropy coder, the same on every machine.

A table has a frequency of at least 1 for each value of a range, and one for the *escape*, which
stands for all values outside; they sum to ``TOTAL``. Tables are made when a network is trained, and
stored with its weights.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from comrec.errors import OptionError, WeightsError

Integers = NDArray[np.integer[Any]]

PRECISION = 16
TOTAL = 1 << PRECISION
"""Sum of the frequencies of a table."""

LIMIT = 1 << 30
"""Values lie within -LIMIT..LIMIT, the range of escaped ones."""

_ANS_PRECISION = 24  # of the library that codes
_COUNT = struct.Struct(">H")
_HEAD = struct.Struct(">hH")


@dataclass(frozen=True)
class Table:
    """Integer frequencies of values.

    Attributes:
        minimum: the smallest value in the table; fits in int16.
        frequencies: of minimum, minimum + 1, ..., and last of the escape; each at least 1, their
            sum `TOTAL`.
    """

    minimum: int
    frequencies: tuple[int, ...]

    def __post_init__(self) -> None:
        """Raises OptionError: no such table."""
        found = self.frequencies
        if len(found) < 2 or min(found) < 1 or sum(found) != TOTAL:
            raise OptionError(
                f"a table has at least 2 frequencies of at least 1 that sum to {TOTAL}; "
                f"these are {len(found)} that sum to {sum(found)}"
            )
        if not -(1 << 15) <= self.minimum < 1 << 15:
            raise OptionError(f"a table's minimum is in -32768..32767, not {self.minimum}")

    @property
    def size(self) -> int:
        """Number of values in the table; also the escape's position in `frequencies`."""
        return len(self.frequencies) - 1

    @cached_property
    def model(self) -> Any:
        """The coder's model of this table, made once; see `coder_model`."""
        return coder_model(self.frequencies)

    @cached_property
    def least_bits(self) -> float:
        """Code length of the likeliest value: what each value costs at least."""
        return PRECISION - math.log2(max(self.frequencies))

    def bits(self, values: NDArray[np.int64]) -> NDArray[np.float64]:
        """Code length of each value; for an encoder's decisions, not for coding."""
        place, outside = places(values, self.minimum, self.size)
        frequency = np.array(self.frequencies)[place]
        escape = np.where(outside > 0, 2 * np.floor(np.log2(np.maximum(outside, 1))) + 1, 0)
        found: NDArray[np.float64] = PRECISION - np.log2(frequency) + escape
        return found

    @classmethod
    def from_counts(cls, counts: Sequence[int], minimum: int, outside: int = 0) -> Self:
        """The table of values that were counted.

        Args:
            counts: of minimum, minimum + 1, ...; at least one, none negative.
            outside: count of all other values together.
        Raises:
            OptionError: no table has such counts.
        """
        return cls(minimum, _apportioned([*counts, outside]))

    @classmethod
    def from_pmf(cls, pmf: NDArray[np.float64], minimum: int) -> Self:
        """The table of the probabilities of minimum, minimum + 1, ...; the escape has the rest.

        For training only: floating-point results may differ between machines.
        """
        counts = [round(float(p) * (1 << 40)) for p in pmf]
        return cls.from_counts(counts, minimum, max(0, (1 << 40) - sum(counts)))


def places(
    values: NDArray[np.int64], minimum: Integers | int, size: Integers | int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each value's position in its table's `frequencies`, and the number that the coder writes for
    an escaped value: 1, 3, 5, ... for the values above the table, 2, 4, 6, ... for those below, 0
    for those inside.

    Args:
        minimum, size: of each value's table, or of all values' one.
    """
    place = values - minimum
    beyond = place - size
    outside = np.zeros_like(place)
    if place.size and (int(place.min()) < 0 or int(beyond.max()) >= 0):
        outside = np.where(beyond >= 0, 2 * beyond + 1, np.where(place < 0, -2 * place, 0))
        place = np.where(outside > 0, size, place)
    return place, outside


def code_lengths(tables: Sequence[Table], most: int) -> NDArray[np.float32]:
    """(tables, 2 most + 1): bits of -most, ..., most under each table."""
    values = np.arange(-most, most + 1)
    return np.array([table.bits(values) for table in tables], np.float32)


def coder_model(frequencies: Sequence[int]) -> Any:
    """A model of exactly these frequencies, whose sum is `TOTAL`, for the library ``constriction``.

    The library converts floating-point probabilities of n symbols to frequencies of 24 bits: each
    symbol gets 1, and 2**24 - n is shared in proportion to the probabilities (cumulative sums times
    2**24 - n, divided by their total, rounded down). Given integers that sum to 2**24 - n, the
    factor is 1 and every step is exact.
    """
    import constriction  # only .cmr files need it

    scaled = np.asarray(frequencies, np.float64) * (1 << _ANS_PRECISION - PRECISION)
    return constriction.stream.model.Categorical(scaled - 1, lazy=False, perfect=False)


def _apportioned(counts: list[int]) -> tuple[int, ...]:
    """Frequencies in proportion to counts, but at least 1.

    By largest remainders; of equal ones the first.
    """
    if len(counts) > TOTAL or min(counts) < 0 or max(counts) == 0:
        raise OptionError(f"a table is made of at most {TOTAL} counts, none negative, not all 0")
    rare: set[int] = set()
    room, together = TOTAL, sum(counts)
    while found := {
        at for at, count in enumerate(counts) if at not in rare and count * room < together
    }:
        rare |= found
        room -= len(found)
        together -= sum(counts[at] for at in found)
    common = [at for at in range(len(counts)) if at not in rare]
    frequencies = [1] * len(counts)
    for at in common:
        frequencies[at] = counts[at] * room // together
    left = TOTAL - sum(frequencies)
    by_remainder = sorted(common, key=lambda at: -(counts[at] * room % together))
    for at in by_remainder[:left]:
        frequencies[at] += 1
    return tuple(frequencies)


def pack(tables: Sequence[Table]) -> bytes:
    """Tables as bytes, for the weight store; big-endian.

    Number of tables (2 bytes); for each: minimum (2, signed), number of frequencies (2), and the
    frequencies (2 each).
    """
    parts = [_COUNT.pack(len(tables))]
    for table in tables:
        parts.append(_HEAD.pack(table.minimum, len(table.frequencies)))
        parts.append(np.array(table.frequencies, ">u2").tobytes())
    return b"".join(parts)


def unpack(data: bytes) -> tuple[Table, ...]:
    """The tables that `pack` packed.

    Raises:
        WeightsError: the bytes are damaged.
    """
    tables = []
    try:
        (count,) = _COUNT.unpack_from(data)
        at = _COUNT.size
        for _ in range(count):
            minimum, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            frequencies = np.frombuffer(data, ">u2", length, at)
            at += 2 * length
            tables.append(Table(minimum, tuple(frequencies.tolist())))
    except (struct.error, ValueError) as error:  # OptionError is one
        raise WeightsError(f"damaged probability tables ({error}); reinstall comrec") from None
    if at != len(data):
        raise WeightsError("damaged probability tables (bytes left over); reinstall comrec")
    return tuple(tables)

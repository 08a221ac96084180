"""Integer tables and the coder over them: exact to the bit, whatever bytes come."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from comrec.entropy import tables as tables_module
from comrec.entropy.coder import Decoder, Encoder
from comrec.entropy.tables import LIMIT, TOTAL, Table, pack, unpack
from comrec.errors import ComrecError, DamagedFileError, OptionError, WeightsError

Values = NDArray[np.integer[Any]]


def encoded(values: Values, indices: Values, tables: Sequence[Table]) -> bytes:
    encoder = Encoder()
    encoder.add(values, indices, tables)
    return encoder.finish()


def decoded(data: bytes, indices: Values, tables: Sequence[Table]) -> Values:
    decoder = Decoder(data)
    values = decoder.take(indices, tables)
    decoder.finish()
    return values


def laplacian(width: float) -> Table:
    """Rounded values; those that are too rare are left to the escape."""
    away = np.abs(np.arange(-round(9 * width) - 1, round(9 * width) + 2))
    mass = np.exp(-away / width) * math.sinh(0.5 / width)
    mass[away == 0] = 1 - math.exp(-0.5 / width)
    return Table.from_pmf(mass, int(-away[0]))


WIDTHS = 0.06 * 1.12 ** np.arange(64)  # to 75
LAPLACIANS = [laplacian(float(width)) for width in WIDTHS]


counts = st.lists(st.integers(0, 10**6), min_size=1, max_size=40).filter(any)
small_tables = st.builds(Table.from_counts, counts, st.integers(-50, 50), st.integers(0, 1000))


@st.composite
def messages(draw: st.DrawFn) -> tuple[Values, Values, list[Table]]:
    """Values of any kind, most near their tables, some far outside."""
    tables = draw(st.lists(small_tables, min_size=1, max_size=5))
    value = st.one_of(st.integers(-90, 90), st.integers(-LIMIT, LIMIT))
    items = draw(st.lists(st.tuples(value, st.integers(0, len(tables) - 1)), max_size=60))
    array = np.array(items, np.int32).reshape(-1, 2)
    return array[:, 0].copy(), array[:, 1].copy(), tables


# --- tables ---------------------------------------------------------------------------------


@given(counts, st.integers(0, 10**6))
@settings(max_examples=200)
def test_frequencies_follow_the_counts(found: list[int], outside: int) -> None:
    table = Table.from_counts(found, -3, outside)
    assert sum(table.frequencies) == TOTAL
    assert min(table.frequencies) >= 1
    every = [*found, outside]
    assert table.size == len(found)
    # What is not rounded up to 1 gets its share, less what those cost.
    for count, frequency in zip(every, table.frequencies, strict=True):
        exact = count * TOTAL / sum(every)
        assert frequency <= exact + 1
        assert frequency >= exact * (1 - len(every) / TOTAL) - 1


def test_a_table_of_probabilities_leaves_the_rest_to_the_escape() -> None:
    table = Table.from_pmf(np.array([0.25, 0.5, 0.125]), -1)
    assert table == Table(-1, (TOTAL // 4, TOTAL // 2, TOTAL // 8, TOTAL // 8))


@pytest.mark.parametrize(
    ("minimum", "frequencies"),
    [
        (0, (TOTAL,)),
        (0, (TOTAL, 0)),
        (0, (TOTAL, 1)),
        (0, (TOTAL + 1, -1)),
        (1 << 15, (TOTAL - 1, 1)),
    ],
)
def test_impossible_tables_are_refused(minimum: int, frequencies: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="table"):
        Table(minimum, frequencies)


@pytest.mark.parametrize("found", [[0], [-1, 5], [1] * (TOTAL + 1)])
def test_impossible_counts_are_refused(found: list[int]) -> None:
    with pytest.raises(OptionError, match="counts"):
        Table.from_counts(found, 0)


@given(st.lists(small_tables, max_size=5))
@settings(max_examples=100)
def test_tables_come_back_from_their_bytes(tables: list[Table]) -> None:
    assert list(unpack(pack(tables))) == tables


def test_packed_tables_are_as_specified() -> None:
    tables = [Table(-1, (1, 65533, 1, 1)), Table(5, (0x1234, TOTAL - 0x1234))]
    assert pack(tables).hex() == "0002ffff00040001fffd00010001000500021234edcc"


@given(st.integers(0, 21), st.integers(1, 255))
@settings(max_examples=100)
def test_damaged_tables_give_other_tables_or_our_error(at: int, change: int) -> None:
    data = bytearray(pack([Table(-1, (1, 65533, 1, 1)), Table(5, (0x1234, TOTAL - 0x1234))]))
    for damaged in (bytes(data[:at]), bytes(data) + b"\0"):
        with pytest.raises(WeightsError, match="reinstall"):
            unpack(damaged)
    data[at] ^= change
    with contextlib.suppress(WeightsError):
        unpack(bytes(data))


# --- the coder ------------------------------------------------------------------------------


@given(messages())
@settings(max_examples=200)
def test_values_come_back(message: tuple[Values, Values, list[Table]]) -> None:
    values, indices, tables = message
    assert np.array_equal(decoded(encoded(*message), indices, tables), values)


def test_arrays_of_any_shape_come_back_in_the_order_they_were_added() -> None:
    generator = np.random.default_rng(1)
    z = generator.integers(-3, 4, (2, 5, 3), dtype=np.int32)
    y = generator.integers(-400, 401, (4, 6, 7), dtype=np.int32)
    static = [Table.from_counts([1, 2, 9, 2, 1], -2), Table.from_counts([3], 0)]
    channels = np.broadcast_to(np.arange(2)[:, None, None], z.shape)
    scales = generator.integers(0, 64, y.shape).astype(np.uint8)
    encoder = Encoder()
    encoder.add(z, channels, static)
    encoder.add(np.zeros((0, 3), np.int32), np.zeros((0, 3), np.uint8), static)
    encoder.add(y, scales, LAPLACIANS)
    decoder = Decoder(encoder.finish())
    assert np.array_equal(decoder.take(channels, static), z)
    assert decoder.take(np.zeros((0, 3), np.uint8), static).shape == (0, 3)
    assert np.array_equal(decoder.take(scales, LAPLACIANS), y)
    decoder.finish()


def test_more_than_256_tables() -> None:
    tables = [Table.from_counts([1, 8, 1], k) for k in range(300)]
    indices = np.arange(600, dtype=np.int32) % 300
    values = (indices + 1).astype(np.int32)
    assert np.array_equal(decoded(encoded(values, indices, tables), indices, tables), values)


def by_the_specification(values: Values, indices: Values, tables: Sequence[Table]) -> bytes:
    """The bytes of one array by docs/format.md, in Python's integers: no library, no rounding."""
    symbols: list[tuple[int, list[int]]] = []  # (place, frequencies), as a decoder takes them
    lengths, bits = [], []
    for chosen, table in enumerate(tables):
        for value in values[indices == chosen].tolist():
            place = value - table.minimum
            inside = 0 <= place < table.size
            symbols.append((place if inside else table.size, list(table.frequencies)))
    for value, chosen in zip(values.tolist(), indices.tolist(), strict=True):
        table = tables[chosen]
        end = table.minimum + table.size
        if not table.minimum <= value < end:
            far = 2 * (value - end) + 1 if value >= end else 2 * (table.minimum - 1 - value) + 2
            digits = bin(far)[2:]
            lengths.append(len(digits) - 1)
            bits += [int(digit) for digit in digits[1:]]
    classes = [max(1, 2 ** (15 - n)) for n in range(33)]
    classes[0] -= sum(classes) - TOTAL
    symbols += [(length, classes) for length in lengths]
    symbols += [(bit, [TOTAL // 2] * 2) for bit in bits]

    state, words = 0x636D, []
    for place, frequencies in reversed(symbols):
        frequency = frequencies[place] << 8
        start = sum(frequencies[:place]) << 8
        if state >> 40 >= frequency:
            words.append(state & 0xFFFFFFFF)
            state >>= 32
        state = (state // frequency << 24) + state % frequency + start
    while state:
        words.append(state & 0xFFFFFFFF)
        state >>= 32
    return b"".join(word.to_bytes(4, "little") for word in words).rstrip(b"\0")


@given(messages())
@settings(max_examples=200)
def test_the_library_codes_exactly_the_integers_of_the_tables(
    message: tuple[Values, Values, list[Table]],
) -> None:
    assert encoded(*message) == by_the_specification(*message)


def test_every_interval_of_large_tables_is_exact() -> None:
    tables = LAPLACIANS
    values = np.concatenate(
        [np.arange(t.minimum - 1, t.minimum + t.size + 1, dtype=np.int32) for t in tables]
    )
    indices = np.concatenate([np.full(t.size + 2, at, np.int32) for at, t in enumerate(tables)])
    data = encoded(values, indices, tables)
    assert data == by_the_specification(values, indices, tables)
    assert np.array_equal(decoded(data, indices, tables), values)


def test_a_tiny_stream_never_changes() -> None:
    tables = [Table.from_counts([1 << 2 * min(k, 2 * n - k) for k in range(2 * n + 1)], -n, n)
              for n in range(1, 8)]  # fmt: skip
    indices = np.array([0, 1, 2, 3, 4, 6, 5, 0], np.int32)
    values = np.array([0, -1, 3, -4, 60, -200, 0, 7], np.int32)
    data = bytes.fromhex("6d33fd7fe07c00ffdfc1b4c964")
    assert encoded(values, indices, tables) == data
    assert np.array_equal(decoded(data, indices, tables), values)


def test_the_length_is_that_of_the_information() -> None:
    generator = np.random.default_rng(2)
    indices = generator.integers(0, 64, 20_000)
    values = np.rint(generator.laplace(size=indices.size) * WIDTHS[indices])
    values = values.astype(np.int32)
    bits = 0.0
    for value, at in zip(values.tolist(), indices.tolist(), strict=True):
        table = LAPLACIANS[at]
        place = value - table.minimum
        inside = 0 <= place < table.size
        bits -= math.log2(table.frequencies[place if inside else -1] / TOTAL)
        if not inside:
            far = max(value - table.minimum - table.size, table.minimum - 1 - value)
            bits += 2 * math.log2(2 * far + 2) + 1  # at most
    assert 8 * len(encoded(values, indices, LAPLACIANS)) < bits + 64


# --- damage ---------------------------------------------------------------------------------


@given(messages(), st.data())
@settings(max_examples=300)
def test_damaged_bytes_give_other_values_or_our_errors(
    message: tuple[Values, Values, list[Table]], data: st.DataObject
) -> None:
    _, indices, tables = message
    good = encoded(*message)
    damaged = bytearray(data.draw(st.sampled_from([good, good[: len(good) // 2], good * 2])))
    if damaged:
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(0, 255))
    with contextlib.suppress(DamagedFileError):
        decoded(bytes(damaged), indices, tables)


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_any_bytes_give_values_or_our_errors(data: bytes) -> None:
    escaping = [Table.from_counts([1], 0, 999), LAPLACIANS[40]]
    with contextlib.suppress(DamagedFileError):
        decoded(data, np.arange(300) % 2, escaping)


def test_bytes_cut_off_or_added_are_noticed() -> None:
    generator = np.random.default_rng(3)
    indices = np.full(500, 45)
    values = np.rint(generator.laplace(size=500) * WIDTHS[45]).astype(np.int32)
    good = encoded(values, indices, LAPLACIANS)
    for damaged in (good[:-8], good + b"\1\2\3\4", good[: len(good) // 2], b""):
        with pytest.raises(DamagedFileError, match="coded values"):
            decoded(damaged, indices, LAPLACIANS)
    with pytest.raises(DamagedFileError, match="zero"):
        Decoder(good + b"\0")


def test_a_value_beyond_the_limit_is_damage() -> None:
    """Written with a wider limit, as no encoder here has it."""
    table = Table.from_counts([1], 0, 1)
    value = np.array([LIMIT + 1], np.int64)
    with pytest.raises(OptionError, match="within"):
        Encoder().add(value, np.array([0]), [table])
    data = by_the_specification(value, np.array([0], np.int32), [table])
    with pytest.raises(DamagedFileError, match="range"):
        decoded(data, np.array([0], np.int32), [table])


def test_wrong_arguments_are_said() -> None:
    table = Table.from_counts([1], 0)
    with pytest.raises(OptionError, match=r"\(2,\).*\(3,\)"):
        Encoder().add(np.zeros(2, np.int32), np.zeros(3, np.int32), [table])
    for index in (-1, 1):
        with pytest.raises(OptionError, match=r"0\.\.0"):
            Encoder().add(np.zeros(1, np.int32), np.array([index]), [table])
        with pytest.raises(ComrecError, match=r"0\.\.0"):
            Decoder(b"").take(np.array([index]), [table])
    assert tables_module.PRECISION == 16

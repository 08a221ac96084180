"""The range coder: values come back, and of a prefix the first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from comrec.entropy.queue import QueueDecoder, QueueEncoder
from comrec.entropy.tables import Table
from comrec.errors import DamagedFileError

TABLES = (
    Table.from_counts([1, 6, 90, 6, 1], -2, 1),  # others are escaped
    Table.from_counts([5, 90, 5], -1),
    Table.from_counts([1], 0),  # says nothing
    Table.from_counts([1, 1], 0),
)
RANGES = ((-300, 300), (-1, 1), (0, 0), (0, 1))

Message = list[tuple[NDArray[np.int32], NDArray[np.int64]]]


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Arrays of values, and the number of each value's table."""
    seed = draw(st.integers(0, 1 << 20))
    random = np.random.default_rng(seed)
    found = []
    for size in draw(st.lists(st.integers(0, 200), max_size=6)):
        tables = random.integers(0, len(TABLES), size)
        low, high = np.array(RANGES)[tables].T
        values = np.where(random.random(size) < 0.5, 0, random.integers(low, high + 1))
        found.append((values.astype(np.int32), tables))
    return found


def encoded(message: Message) -> bytes:
    encoder = QueueEncoder()
    for values, tables in message:
        encoder.add(values, tables, TABLES)
    return encoder.finish()


@given(message=messages(), after=st.binary(max_size=20))
def test_values_come_back_whatever_follows(message: Message, after: bytes) -> None:
    decoder = QueueDecoder(encoded(message) + after, cut=False)
    for values, tables in message:
        found, known = decoder.take(tables, TABLES)
        assert known.all()
        assert np.array_equal(found, values)


@given(message=messages(), share=st.floats(0, 1))
def test_of_a_prefix_the_first_values_come_back(message: Message, share: float) -> None:
    data = encoded(message)
    decoder = QueueDecoder(data[: int(share * len(data))], cut=True)
    ended = False
    for values, tables in message:
        found, known = decoder.take(tables, TABLES)
        assert np.array_equal(found[known], values[known])
        assert not found[~known].any()
        assert not (ended and known.any())
        ended = ended or not known.all()


def test_a_prefix_holds_all_but_twelve_bytes() -> None:
    bits = np.random.default_rng(0).integers(0, 2, 4000, np.int32)
    tables = np.full(4000, 3)
    data = encoded([(bits, tables)])
    for length in range(0, len(data), 7):
        _, known = QueueDecoder(data[:length], cut=True).take(tables, TABLES)
        room = max(0, 8 * (length - 12))
        assert room * 0.996 - 1 <= known.sum() <= room  # costs are rounded up, to 1/256 bit


def test_the_bytes_never_change() -> None:
    values = np.array([0, 1, -1, 2, -300, 0, 0, 1], np.int32)
    data = encoded([(values, np.array([0, 0, 1, 0, 0, 2, 3, 3]))])
    assert data.hex() == "e8326eb21e9f9980"


@given(data=st.binary(max_size=60), cut=st.booleans())
def test_any_bytes_give_values_or_our_error(data: bytes, cut: bool) -> None:
    tables = np.random.default_rng(1).integers(0, 4, 300)
    try:
        found, known = QueueDecoder(data, cut).take(tables, TABLES)
    except DamagedFileError:
        return
    assert found.shape == known.shape == tables.shape


def test_two_dimensional_arrays_keep_their_shape() -> None:
    values = np.arange(12, dtype=np.int32).reshape(3, 4) % 2
    tables = np.full((3, 4), 3)
    found, known = QueueDecoder(encoded([(values, tables)]), cut=False).take(tables, TABLES)
    assert np.array_equal(found, values)
    assert known.shape == (3, 4)


def test_impossible_bytes_are_damage() -> None:
    with pytest.raises(DamagedFileError):
        QueueDecoder(b"\xff" * 40, cut=False).take(np.ones(64, int), TABLES)

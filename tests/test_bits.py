"""Binary codes by iterations: what comes back, of all bytes and of the first."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from comrec.entropy import bits
from comrec.entropy.bits import (
    BITS,
    GROUPS,
    INDICES,
    ITERATIONS,
    MIDDLE,
    SHARES,
    SYMBOLS,
    BitModel,
)
from comrec.entropy.tables import Table
from comrec.errors import DamagedFileError, WeightsError

LATENTS = 40

Bits = NDArray[np.int8]
Flags = NDArray[np.bool_]


def model(seed: int = 0) -> BitModel:
    random = np.random.default_rng(seed)
    channel = np.stack([random.permutation(LATENTS)[:BITS] for _ in range(ITERATIONS)])
    chances = 1 / (1 + np.exp(-(np.arange(INDICES) - MIDDLE) / 8))
    earlier = random.integers(-9, 10, (ITERATIONS, SYMBOLS, SYMBOLS))
    return BitModel(
        LATENTS,
        channel.astype(np.int64),
        random.integers(-40, 0, (ITERATIONS, BITS)).astype(np.int32),
        random.integers(1, 400, (ITERATIONS, BITS)).astype(np.int32),
        random.integers(-20, 21, (ITERATIONS, SYMBOLS, 4)).astype(np.int8),
        earlier.astype(np.int8),
        tuple(Table.from_counts([round(1e6 * (1 - p)), round(1e6 * p)], 0) for p in chances),
    )


MODEL = model()
GOLDEN = "a7ae83b234706281"
"""Of the SHA-256 of coded bits: bytes never change."""


def predict(iteration: int, levels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Anything that follows from what it is given."""
    around = levels.astype(np.int32).sum(0)
    around = around + np.roll(around, 1, 0) + np.roll(around, 1, 1)
    order = np.arange(SYMBOLS, dtype=np.int32)[:, None, None]
    found: NDArray[np.int32] = (order * 7 + around + iteration) % 80 - 30
    return found


def codes(height: int, width: int, seed: int) -> tuple[Flags, Bits]:
    """Which places go on in the last iteration, and the bits of all."""
    random = np.random.default_rng(seed)
    signs = np.where(random.random((ITERATIONS, BITS, height, width)) < 0.3, 1, -1)
    return random.random((height, width)) < 0.6, signs.astype(np.int8)


def encoded(
    flags: Flags,
    signs: Bits,
    iterations: int = ITERATIONS,
    share: int = 150,
    bits: BitModel = MODEL,
) -> bytes:
    everywhere = np.ones_like(flags)
    asked = itertools.count()

    def choose(iteration: int) -> tuple[Flags, Bits]:
        assert iteration == next(asked)
        return flags if iteration == iterations - 1 else everywhere, signs[iteration]

    height, width = flags.shape
    return MODEL.encode((height, width), predict, iterations, share, choose)


def decoded(
    data: bytes,
    shape: tuple[int, int],
    iterations: int = ITERATIONS,
    share: int = 150,
    *,
    cut: bool = False,
) -> list[Bits]:
    found: list[Bits] = []
    MODEL.decode(data, cut, shape, predict, iterations, share, found.append)
    return found


@given(
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    seed=st.integers(0, 999),
    iterations=st.integers(1, ITERATIONS),
    share=st.integers(1, SHARES),
)
@settings(max_examples=30)
def test_bits_come_back(height: int, width: int, seed: int, iterations: int, share: int) -> None:
    flags, signs = codes(height, width, seed)
    if share == SHARES:
        flags[:] = True
    data = encoded(flags, signs, iterations, share)
    *whole, last = decoded(data, (height, width), iterations, share)
    for part, expected in zip(whole, signs, strict=False):
        assert np.array_equal(part, expected)
    assert np.array_equal(last, signs[iterations - 1] * flags)


@given(share=st.floats(0, 1), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_a_prefix_gives_a_part_of_the_same_bits(share: float, seed: int) -> None:
    flags, signs = codes(6, 9, seed)
    data = encoded(flags, signs)
    found = decoded(data[: int(share * len(data))], (6, 9), cut=True)
    total = 0
    for iteration, part in enumerate(found):
        known = part != 0
        going = flags if iteration == ITERATIONS - 1 else np.ones_like(flags)
        assert np.array_equal(part, signs[iteration] * going * known)
        total += int(known.sum())
    whole = BITS * (signs[0, 0].size * (ITERATIONS - 1) + int(flags.sum()))
    assert total <= whole
    # All but some bits at the end, of which the coder is not certain.
    assert total >= whole * share * 0.75 - 120


def test_fewer_iterations_are_the_first_of_more() -> None:
    flags, signs = codes(5, 8, 3)
    data = encoded(flags, signs)
    few = decoded(data, (5, 8), 4, SHARES)
    assert len(few) == 4
    for ours, theirs in zip(few, decoded(data, (5, 8)), strict=False):
        assert np.array_equal(ours, theirs)


def test_places_that_have_no_bits_cost_little() -> None:
    _, signs = codes(12, 12, 1)
    flags = np.zeros((12, 12), np.bool_)
    flags[0, 0] = True
    before, some, all_ = (
        len(encoded(chosen, signs, count, share))
        for chosen, count, share in ((~flags | flags, 7, SHARES), (flags, 8, 2), (~flags, 8, 255))
    )
    assert before < some < before + 0.1 * (all_ - before)


@given(data=st.binary(max_size=300), cut=st.booleans())
@settings(max_examples=60)
def test_any_bytes_give_bits_or_are_damage(data: bytes, cut: bool) -> None:
    with contextlib.suppress(DamagedFileError):
        for part in decoded(data, (4, 6), cut=cut):
            assert np.isin(part, (-1, 0, 1)).all()


def test_symbols_know_their_neighbours_and_their_place() -> None:
    """Codes that follow from what was coded before cost little; else this tests nothing."""
    random = np.random.default_rng(5)
    flags = np.ones((10, 10), np.bool_)
    free = np.where(random.random((ITERATIONS, BITS, 10, 10)) < 0.5, 1, -1).astype(np.int8)
    alike = np.repeat(free[:, :1], BITS, 1)
    near = np.zeros_like(MODEL.neighbours)
    strong = dataclasses.replace(MODEL, earlier=np.full_like(MODEL.earlier, 12), neighbours=near)

    def size(signs: Bits) -> int:
        def even(iteration: int, levels: NDArray[np.uint8]) -> NDArray[np.int32]:
            return np.zeros((SYMBOLS, *levels.shape[1:]), np.int32)

        shape = 10, 10
        return len(strong.encode(shape, even, ITERATIONS, SHARES, lambda t: (flags, signs[t])))

    assert size(alike) < 0.45 * size(free)


def test_the_bytes_of_an_encoder_stay_as_they_are() -> None:
    flags, signs = codes(6, 7, 11)
    digest = hashlib.sha256(encoded(flags, signs)).hexdigest()
    assert digest[:16] == GOLDEN


def test_models_are_packed_and_unpacked() -> None:
    again = BitModel.unpack(MODEL.pack())
    for field in dataclasses.fields(BitModel):
        ours: Any = getattr(MODEL, field.name)
        assert np.array_equal(ours, getattr(again, field.name)), field.name


@given(at=st.integers(0, 10_000), change=st.integers(1, 255), end=st.integers(0, 10_000))
@settings(max_examples=60)
def test_damaged_models_are_refused(at: int, change: int, end: int) -> None:
    whole = bytearray(MODEL.pack())
    whole[at % len(whole)] ^= change
    for damaged in (bytes(whole), MODEL.pack()[: end % len(whole)]):
        try:
            found = BitModel.unpack(damaged)
        except WeightsError:
            continue
        assert len(found.tables) == INDICES


def test_groups_cover_all_symbols() -> None:
    assert [start for start, _ in GROUPS] == [0, *(stop for _, stop in GROUPS[:-1])]
    assert GROUPS[-1][1] == SYMBOLS == bits.BITS + 1

"""Bit-planes of latents: what comes back, of all bytes and of the first."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from comrec.entropy import planes
from comrec.entropy.planes import CONTEXTS, INDICES, LEAN_LIMIT, PLANES, PlaneModel
from comrec.entropy.tables import Table
from comrec.errors import DamagedFileError, WeightsError

GROUPS = (2, 4, 6)
CHANNELS = sum(GROUPS)
TABLES = (
    Table.from_counts([1, 5, 100, 5, 1], -2, 1),
    Table.from_counts([5, 100, 5], -1),
    Table.from_counts([50, 0, 50], -1),
    Table.from_counts([50, 50], 0),
)

Floats = NDArray[np.float32]


def model(seed: int = 0) -> PlaneModel:
    random = np.random.default_rng(seed)
    table_of = np.zeros((PLANES, CONTEXTS), np.uint8)
    table_of[1:, : CONTEXTS // 2] = 1
    table_of[1:, CONTEXTS // 2 :] = 2
    return PlaneModel(
        random.permutation(CHANNELS),
        GROUPS,
        random.integers(0, 256, (PLANES, INDICES // 2)),
        np.full((PLANES, CHANNELS), 3, np.uint8),
        table_of,
        TABLES,
    )


def predict(
    number: int, levels: NDArray[np.uint8], channels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Anything that follows from what it is given; of the same shapes as a predictor's."""
    rows, columns = ((side - 1) // 2 for side in levels.shape[1:])
    around = sum(
        levels[:, y : y + 2 * rows : 2, x : x + 2 * columns : 2][:, :rows, :columns].astype(int)
        * (1 + y + 3 * x)
        for y in range(3)
        for x in range(3)
        if 2 * rows + y <= levels.shape[1] + 1 and 2 * columns + x <= levels.shape[2] + 1
    )
    assert not isinstance(around, int)
    total = around[0::2] - around[1::2]
    index = np.minimum(np.abs(total) // 8 + number, INDICES - 1)
    lean = np.clip(total % 41 - 20, -LEAN_LIMIT, LEAN_LIMIT)
    return index[channels], lean[channels]


def latents(height: int, width: int, seed: int) -> Floats:
    """Of all sizes, some channels zero, some small."""
    random = np.random.default_rng(seed)
    scale = random.choice([0.0, 0.5, 3.0, 20.0, 200.0], CHANNELS)[:, None, None]
    return np.asarray(random.laplace(size=(CHANNELS, height, width)) * scale, np.float32)


def known_at(y: Floats, plane: int) -> Floats:
    """What is known of latents when a plane is there: nothing, or the middle of an interval."""
    if plane == PLANES:
        return np.zeros_like(y)
    step = np.float32(2.0**plane)
    whole = np.floor(np.abs(y) / step)
    return np.asarray(np.sign(y) * np.where(whole > 0, (whole + 0.5) * step, 0), np.float32)


sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(sides=sizes, seed=st.integers(0, 999), place=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_latents_come_back_down_to_a_plane(sides: tuple[int, int], seed: int, place: float) -> None:
    y = latents(*sides, seed)
    data = model(seed).encode(y, predict, place)
    known = model(seed).decode(data, predict, *sides, place, cut=False)
    assert abs(known.place - place) <= 0.5 / (PLANES - 1) / (8 * len(GROUPS)) + 1e-9
    coarse = PLANES - 1 - int(known.place * (PLANES - 1) + 1e-9)
    allowed = np.stack([known_at(y, max(0, plane)) for plane in (coarse, coarse - 1)])
    assert (known.latents == allowed).any(0).all()
    if place == 1:
        assert np.array_equal(known.latents, allowed[0])


@given(seed=st.integers(0, 99), share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_of_a_prefix_each_latent_is_known_down_to_a_plane(seed: int, share: float) -> None:
    y = latents(6, 7, seed)
    data = model(seed).encode(y, predict, 1.0)
    cut = data[: int(share * len(data))]
    known = model(seed).decode(cut, predict, 6, 7, 1.0, cut=len(cut) < len(data))
    allowed = np.stack([known_at(y, plane) for plane in range(PLANES + 1)])
    assert (known.latents == allowed).any(0).all()
    assert 0 <= known.place <= 1


def test_more_bytes_know_more() -> None:
    y = latents(8, 8, 3)
    data = model().encode(y, predict, 1.0)
    errors, places = [], []
    for length in range(0, len(data) + 1, max(1, len(data) // 40)):
        known = model().decode(data[:length], predict, 8, 8, 1.0, cut=length < len(data))
        errors.append(float(np.square(known.latents - y).mean()))
        places.append(known.place)
    assert places == sorted(places)
    # A single latent may be nearer to the coarser middle.
    assert all(b < 1.02 * a for a, b in itertools.pairwise(errors))
    assert errors[-1] < errors[0] / 100


def test_the_most_important_come_first() -> None:
    """Half of a plane's bytes improve the picture by more than half of what the plane does."""
    random = np.random.default_rng(0)
    scale = np.linspace(0.2, 40, CHANNELS)[:, None, None]
    y = (random.laplace(size=(CHANNELS, 24, 24)) * scale).astype(np.float32)
    whole = [model().encode(y, predict, place) for place in (0.6, 0.8)]
    middle = (len(whole[0]) + len(whole[1])) // 2
    known = [
        model().decode(whole[1][:length], predict, 24, 24, 0.8, cut=length < len(whole[1]))
        for length in (len(whole[0]), middle, len(whole[1]))
    ]
    error = [float(np.square(part.latents - y).mean()) for part in known]
    assert error[0] - error[1] > 0.5 * (error[0] - error[2])


def test_magnitudes_have_a_limit() -> None:
    y = np.zeros((CHANNELS, 2, 2), np.float32)
    y[0], y[1] = 1e9, -1e9
    data = model().encode(y, predict, 1.0)
    known = model().decode(data, predict, 2, 2, 1.0, cut=False).latents
    most = (planes.LARGEST << PLANES - 1) - 0.5
    assert (known[0] == most).all()
    assert (known[1] == -most).all()


def test_the_bytes_never_change() -> None:
    data = model(5).encode(latents(7, 9, 5), predict, 0.9)
    assert hashlib.sha256(data).hexdigest()[:16] == "5c7fb81f0b081796"


@given(data=st.binary(max_size=300), cut=st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_bytes_give_latents_or_our_error(data: bytes, cut: bool) -> None:
    try:
        known = model().decode(data, predict, 5, 4, 1.0, cut)
    except DamagedFileError:
        return
    assert known.latents.shape == (CHANNELS, 5, 4)
    assert np.isfinite(known.latents).all()


def test_models_come_back_from_their_bytes() -> None:
    given = model(2)
    back = PlaneModel.unpack(given.pack())
    for field in dataclasses.fields(PlaneModel):
        assert np.array_equal(getattr(back, field.name), getattr(given, field.name))


@given(at=st.integers(0, 10_000), change=st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_damaged_models_give_other_models_or_our_error(at: int, change: int) -> None:
    data = bytearray(model(2).pack())
    data[at % len(data)] ^= change
    with contextlib.suppress(WeightsError):
        PlaneModel.unpack(bytes(data))


def test_a_model_that_does_not_fit_together_is_refused() -> None:
    wrong = dataclasses.replace(model(), flags=np.full((PLANES, CHANNELS), 9, np.uint8))
    with pytest.raises(WeightsError, match="fit together"):
        PlaneModel.unpack(wrong.pack())

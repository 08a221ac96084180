"""What latents cost in bit-planes: together what the coder writes, singly what a change costs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from test_planes import CHANNELS, TABLES, latents, model, predict

from comrec.entropy import plane_costs
from comrec.entropy.plane_costs import costs
from comrec.entropy.planes import CONTEXTS, PLANES, PlaneModel
from comrec.entropy.tables import Table

Floats = NDArray[np.float32]


def without_contexts() -> PlaneModel:
    """Costs of a symbol depend on its plane and kind alone, in each plane otherwise."""
    tables = (
        Table.from_counts([*range(1, 21), 60, *range(19, 0, -1)], -20, 3),
        *(Table.from_counts([9 + n, 70 - n, 20], -1) for n in range(PLANES)),
        *(Table.from_counts([30 + 3 * n, 0, 50], -1) for n in range(PLANES)),
        TABLES[-1],
    )
    table_of = np.zeros((PLANES, CONTEXTS), np.uint8)
    for plane in range(1, PLANES):
        table_of[plane, : CONTEXTS // 2] = 1 + plane
        table_of[plane, CONTEXTS // 2 :] = 1 + PLANES + plane
    flags = np.full((PLANES, CHANNELS), len(tables) - 1, np.uint8)
    plain = model()
    return PlaneModel(plain.order, plain.groups, plain.expected, flags, table_of, tables)


def flat(
    number: int, levels: NDArray[np.uint8], channels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    shape = len(channels), *((side - 1) // 2 for side in levels.shape[1:])
    return np.full(shape, 30), np.zeros(shape, np.int64)


@pytest.mark.parametrize("place", [0, 0.13, 0.4, 0.5, 0.77, 1])
def test_bits_are_what_the_coder_writes(place: float) -> None:
    y = latents(25, 31, 5)
    written = 8 * len(model().encode(y, predict, place))
    assert costs(model(), y, predict, place).bits == pytest.approx(written, rel=0.01, abs=70)


@pytest.mark.parametrize("place", [0, 0.5, 0.77, 1])
def test_steps_are_those_that_latents_are_known_to(place: float) -> None:
    y = latents(9, 8, 3)
    found = costs(model(), y, predict, place)
    data = model().encode(y, predict, place)
    known = model().decode(data, predict, 9, 8, place, False).latents
    step = np.where(found.step > 0, found.step, 1)
    whole = np.floor(np.abs(y) / step)
    decoded = np.sign(y) * np.where(whole > 0, whole + 0.5, 0) * found.step
    assert np.array_equal(decoded, known)
    assert len(np.unique(found.step)) > 1


@pytest.mark.parametrize("place", [0, 0.4, 0.8, 1])
def test_a_change_of_a_latent_costs_what_was_said(place: float) -> None:
    random = np.random.default_rng(1)
    size = np.concatenate([np.arange(12), [15, 16, 31, 32, 33, 100, 127, 128]])
    y = np.asarray(random.choice(size, (CHANNELS, 6, 7)) * random.choice([-1, 1], (6, 7)))
    y = (y + np.sign(y) * 0.5).astype(np.float32)
    y[:, 0, 0] = 1000  # all channels are active in all planes
    said = costs(without_contexts(), y, flat, place)
    tried = 0
    for _ in range(20):
        at = random.integers(CHANNELS), random.integers(1, 6), random.integers(7)
        step = said.step[at]
        number = np.trunc(y[at] / step)
        for by, expected in ((1, said.above[at]), (-1, -said.below[at])):
            changed = y.copy()
            changed[at] = (number + by + 0.5 * np.sign(number + by)) * step
            bits = costs(without_contexts(), changed, flat, place).bits
            assert bits - said.bits == pytest.approx(expected, abs=2e-3)
            tried += abs(expected) > 0.1
    assert tried > 20


def test_where_nothing_is_coded_there_is_nothing_to_choose() -> None:
    y = latents(8, 8, 2)
    y[3] = 0.5
    found = costs(model(), y, predict, 1)
    assert not found.step[3].any()
    assert not found.above[3].any()
    assert not found.below[3].any()
    assert plane_costs.costs(model(), y[:, :0], predict, 1).bits >= 0

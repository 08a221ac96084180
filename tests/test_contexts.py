"""Latents by contexts: what a decoder knows chooses every table, the same for all time."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from comrec.entropy.coder import Decoder, Encoder
from comrec.entropy.contexts import CONTEXTS, INDICES, ContextModel, Integers, walk
from comrec.entropy.tables import LIMIT, Table
from comrec.errors import DamagedFileError, WeightsError
from comrec.train import contexts, learned
from comrec.train.data import PhotoStore, list_photos


def encoded(model: ContextModel, distances: Integers, index: Integers, mean: Integers) -> bytes:
    encoder = Encoder()
    model.encode(encoder, distances, index, mean)
    return encoder.finish()


def decoded(model: ContextModel, data: bytes, index: Integers, mean: Integers) -> Integers:
    decoder = Decoder(data)
    distances = model.decode(decoder, index, mean)
    decoder.finish()
    return distances


def same(a: ContextModel, b: ContextModel) -> bool:
    return (
        np.array_equal(a.order, b.order)
        and np.array_equal(a.table_of, b.table_of)
        and (a.groups, a.tables) == (b.groups, b.tables)
    )


@st.composite
def models(draw: st.DrawFn) -> ContextModel:
    groups = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any)))
    counts = st.lists(st.integers(0, 99), min_size=1, max_size=9).filter(any)
    table = st.builds(Table.of_counts, counts, st.integers(-9, 9), st.integers(0, 50))
    tables = tuple(draw(st.lists(table, min_size=1, max_size=5)))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    order = random.permutation(sum(groups))
    table_of = random.integers(0, len(tables), (len(groups), CONTEXTS), np.uint8)
    return ContextModel(order, groups, table_of, tables)


@st.composite
def latents(draw: st.DrawFn, channels: int) -> tuple[Integers, Integers, Integers]:
    """Distances, indices and means, (M, h, w)."""
    shape = channels, draw(st.integers(1, 9)), draw(st.integers(1, 9))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    most = draw(st.sampled_from([0, 1, 3, 30, 300, 1 << 20, LIMIT]))
    distances = random.integers(-most, most + 1, shape, np.int32)
    far = draw(st.sampled_from([0, 9, 256]))
    mean = random.integers(-far, far + 1, shape, np.int16)
    return distances, random.integers(0, INDICES, shape, np.uint8), mean


# --- coding ---------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_latents_come_back(data: st.DataObject) -> None:
    model = data.draw(models())
    distances, index, mean = data.draw(latents(len(model.order)))
    found = decoded(model, encoded(model, distances, index, mean), index, mean)
    assert np.array_equal(found, distances)


def of_all_contexts() -> tuple[ContextModel, Integers, Integers, Integers]:
    """A model whose neighbouring contexts have different tables, and values of all sizes.

    By arithmetic alone, the same with every version of NumPy.
    """
    tables = tuple(Table.of_counts([1, 3, 9 + n, 3, 1], -2 - n % 2, n) for n in range(7))
    groups = (1, 2, 3)
    places = np.arange(3 * CONTEXTS).reshape(3, CONTEXTS)
    model = ContextModel(
        np.array([4, 0, 5, 3, 1, 2]), groups, (places * 5 % 7).astype(np.uint8), tables
    )
    shape = (6, 9, 7)
    at = np.arange(np.prod(shape)).reshape(shape)
    sizes = np.array([1, 2, 3, 5, 90])[at * 31 % 17 % 5]
    distances = (at * 7919 % 1013) % (2 * sizes + 1) - sizes
    distances[0, 4, 4], distances[5, 8, 6] = 1 << 20, -(1 << 20)
    return model, distances, at * 37 % INDICES, at * 11 % 41 - 20


def test_the_bytes_never_change() -> None:
    """Files are coded so: other bytes break every file."""
    model, distances, index, mean = of_all_contexts()
    data = encoded(model, distances, index, mean)
    digest = hashlib.sha256(data).hexdigest()
    assert digest == "60245016e3bc08848731e1b64c1b991e948a6b2a7a13db53e41d3f9c11f2aac0"
    assert np.array_equal(decoded(model, data, index, mean), distances)
    reach = max(2 + table.size for table in model.tables)
    assert (np.abs(distances) > reach).any()  # escapes


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_bytes_give_other_latents_or_our_errors(data: st.DataObject) -> None:
    model = data.draw(models())
    distances, index, mean = data.draw(latents(len(model.order)))
    good = encoded(model, distances, index, mean)
    damaged = bytearray(data.draw(st.sampled_from([good, good[: len(good) // 2], good * 2])))
    if damaged:
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(0, 255))
    with contextlib.suppress(DamagedFileError):
        decoded(model, bytes(damaged), index, mean)


# --- contexts -------------------------------------------------------------------------------


def in_phases(height: int, width: int) -> list[list[tuple[int, int]]]:
    """The places of each phase, in rows."""
    phase_of = [[0, 2], [3, 1]]
    every = [(y, x) for y in range(height) for x in range(width)]
    return [[(y, x) for y, x in every if phase_of[y % 2][x % 2] == phase] for phase in range(4)]


def level(total: int, thresholds: list[int]) -> int:
    return sum(total >= threshold for threshold in thresholds)


def in_plain_python(
    groups: tuple[int, ...], distances: Integers, index: Integers, mean: Integers
) -> list[tuple[int, int, int, int, int]]:
    """Group, channel, row, column and context of each latent, in coding order."""
    nearness = [1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160, 320]
    earlier_levels = [2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024]
    corners = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    sides = [(-1, 0), (1, 0), (0, -1), (0, 1)]
    height, width = index.shape[1:]

    def magnitude(channel: int, y: int, x: int) -> int:
        """In quarters; 0 outside."""
        if not (0 <= y < height and 0 <= x < width):
            return 0
        return min(255, abs(4 * int(distances[channel, y, x]) + int(mean[channel, y, x])))

    found = []
    first = 0
    for group, count in enumerate(groups):
        for phase, places in enumerate(in_phases(height, width)):
            for channel in range(first, first + count):
                for y, x in places:
                    around = corners if phase == 1 else sides
                    total = sum(magnitude(channel, y + down, x + along) for down, along in around)
                    near = {0: 0, 1: 1 + level(total, nearness)}.get(
                        phase, 17 + level(total, nearness)
                    )
                    before = sum(min(32, magnitude(other, y, x)) for other in range(first))
                    context = (near * 16 + level(before, earlier_levels)) * 16
                    context += int(index[channel, y, x]) // 4
                    found.append((group, channel, y, x, context))
        first += count
    return found


def walked(
    groups: tuple[int, ...], distances: Integers, index: Integers, mean: Integers
) -> list[tuple[int, int, int, int, int]]:
    found = []
    places = np.indices(index.shape)

    def visit(group: int, at: slice, rows: slice, columns: slice, contexts: Integers) -> Integers:
        here = places[:, at, rows, columns].reshape(3, -1)
        for place, context in zip(here.T.tolist(), contexts.ravel().tolist(), strict=True):
            found.append((group, *place, context))
        return distances[at, rows, columns]

    walk(groups, index, mean, visit)
    return found


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_contexts_are_those_of_plain_python(data: st.DataObject) -> None:
    groups = tuple(data.draw(st.lists(st.integers(0, 12), min_size=1, max_size=4).filter(any)))
    found = data.draw(latents(sum(groups)))
    assert walked(groups, *found) == in_plain_python(groups, *found)


def test_every_level_of_a_context_occurs() -> None:
    """So that the test above says something of each."""
    random = np.random.default_rng(8)
    shape = (60, 24, 24)
    sizes = np.exp2(random.integers(-2, 9, (1, *shape[1:])))
    distances = np.rint(random.laplace(size=shape) * sizes / 4).astype(np.int32)
    index = random.integers(0, INDICES, shape)
    mean = (random.random(shape) < 0.02).astype(np.int16)
    found = walked((40, 10, 10), distances, index, mean)
    assert found == in_plain_python((40, 10, 10), distances, index, mean)
    levels = np.unravel_index(np.array([context for *_, context in found]), (33, 16, 16))
    assert [len(np.unique(level)) for level in levels] == [33, 16, 16]
    assert CONTEXTS == 33 * 16 * 16


# --- as bytes -------------------------------------------------------------------------------


@given(models())
@settings(max_examples=40, deadline=None)
def test_models_come_back_from_their_bytes(model: ContextModel) -> None:
    assert same(ContextModel.unpack(model.pack()), model)


def test_packed_models_are_as_specified() -> None:
    table_of = np.zeros((2, CONTEXTS), np.uint8)
    table_of[1, -1] = 1
    tables = (Table(-1, (1, 65533, 1, 1)), Table(5, (0x1234, 0x10000 - 0x1234)))
    model = ContextModel(np.array([2, 0, 1]), (1, 2), table_of, tables)
    head = bytes.fromhex("00030200020000000100010002")
    last = bytes.fromhex("0002ffff00040001fffd00010001000500021234edcc")
    assert model.pack() == head + bytes(2 * CONTEXTS - 1) + b"\1" + last


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_models_give_other_models_or_our_error(data: st.DataObject) -> None:
    good = data.draw(models()).pack()
    cut = good[: data.draw(st.integers(0, len(good) - 1))]
    for damaged in (cut, good + b"\0"):
        with pytest.raises(WeightsError, match="reinstall"):
            ContextModel.unpack(damaged)
    changed = bytearray(good)
    where = st.integers(0, 20) | st.integers(0, len(good) - 1) | st.integers(-20, -1)
    changed[data.draw(where)] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(WeightsError):
        ContextModel.unpack(bytes(changed))


@pytest.mark.parametrize(
    ("order", "groups", "place"),
    [
        ([0, 1, 1], (1, 2), 0),
        ([1, 2, 3], (1, 2), 0),
        ([0, 1, 2], (1, 1), 0),
        ([0, 1, 2], (2, 2), 0),
        ([0, 1, 2], (), 0),
        ([0, 1, 2], (1, 2), 1),
    ],
    ids=["twice", "not from 0", "groups too small", "too large", "none", "no such table"],
)
def test_models_that_do_not_fit_together_are_refused(
    order: list[int], groups: tuple[int, ...], place: int
) -> None:
    table_of = np.full((len(groups), CONTEXTS), place, np.uint8)
    model = ContextModel(np.array(order), groups, table_of, (Table.of_counts([1], 0),))
    with pytest.raises(WeightsError, match="fit together"):
        ContextModel.unpack(model.pack())


# --- counted --------------------------------------------------------------------------------


@pytest.mark.train
def test_counted_contexts_save_bytes_over_a_table_a_channel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "in" / "astronaut.png")
    photos = PhotoStore(tmp_path / "store", list_photos(tmp_path / "in"), "RGB", 64)
    torch.manual_seed(3)
    pair = learned.networks(16)
    pieces: list[list[NDArray[np.int64]]] = []
    counted = contexts._latents

    def seen(*arguments: Any) -> Any:
        found = counted(*arguments)
        pieces.append([part.numpy().astype(np.int64) for part in found])
        return found

    monkeypatch.setattr(contexts, "_CROPS", 8)
    monkeypatch.setattr(contexts, "_latents", seen)
    model = contexts.fit(pair, photos, "cpu")
    assert len(pieces) == 8
    assert same(ContextModel.unpack(model.pack()), model)
    encoder = Encoder()
    for distances, index, mean in pieces:
        model.encode(encoder, distances, index, mean)
    spent = 8 * len(encoder.finish())

    # The best table of each channel: its own counts.
    every = np.concatenate([piece[0].reshape(len(model.order), -1) for piece in pieces], axis=1)
    least = 0.0
    for channel in every:
        counts = np.unique(channel, return_counts=True)[1]
        least -= float((counts * np.log2(counts / channel.size)).sum())
    assert spent < 0.95 * least

"""Latents by contexts: what a decoder knows chooses every table, the same for all time."""

from __future__ import annotations

import contextlib
import hashlib
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from liu2018 import photograph
from numpy.typing import NDArray
from PIL import Image

from comrec.entropy.coder import Decoder, Encoder
from comrec.entropy.contexts import (
    CONTEXTS,
    INDICES,
    KINDS,
    ONE,
    ContextModel,
    Integers,
    Place,
    walk,
)
from comrec.entropy.tables import LIMIT, Table
from comrec.errors import DamagedFileError, WeightsError
from comrec.train import contexts, latent_tables, learned
from comrec.train.data import PhotoStore, list_photos

Floats = NDArray[np.float32]


def encoded(model: ContextModel, y: Floats, scale_index: Integers, mean: Integers) -> bytes:
    encoder = Encoder()
    model.encode(encoder, y, scale_index, mean)
    return encoder.finish()


def decoded(model: ContextModel, data: bytes, scale_index: Integers, mean: Integers) -> Floats:
    decoder = Decoder(data)
    found = model.decode(decoder, scale_index, mean)
    decoder.finish()
    return found


def same(a: ContextModel, b: ContextModel) -> bool:
    return (
        np.array_equal(a.order, b.order)
        and np.array_equal(a.coefficients, b.coefficients)
        and np.array_equal(a.table_of, b.table_of)
        and (a.groups, a.tables) == (b.groups, b.tables)
    )


@st.composite
def models(draw: st.DrawFn) -> ContextModel:
    groups = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any)))
    counts = st.lists(st.integers(0, 99), min_size=1, max_size=9).filter(any)
    table = st.builds(Table.from_counts, counts, st.integers(-9, 9), st.integers(0, 50))
    tables = tuple(draw(st.lists(table, min_size=1, max_size=5)))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    order = random.permutation(sum(groups))
    strength = draw(st.sampled_from([0, ONE // 2, ONE, (1 << 15) - 1]))
    coefficients = random.integers(-strength, strength + 1, (len(order), KINDS), np.int16)
    table_of = random.integers(0, len(tables), (len(groups), CONTEXTS), np.uint8)
    return ContextModel(order, groups, coefficients, table_of, tables)


@st.composite
def entropy_parameters(draw: st.DrawFn, channels: int) -> tuple[Integers, Integers]:
    """Scale indices and means, (M, h, w)."""
    shape = channels, draw(st.integers(1, 11)), draw(st.integers(1, 11))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    far = draw(st.sampled_from([0, 9, 256]))
    mean = random.integers(-far, far + 1, shape, np.int16)
    return random.integers(0, INDICES, shape, np.uint8), mean


sizes = st.sampled_from([0.0, 0.6, 3.0, 30.0, 300.0, 2.0**20, 2.0**24])


@st.composite
def latents(draw: st.DrawFn, shape: tuple[int, ...]) -> Floats:
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    return (draw(sizes) * random.uniform(-1, 1, shape)).astype(np.float32)


# --- coding ---------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=60)
def test_latents_come_back_rounded(data: st.DataObject) -> None:
    model = data.draw(models())
    scale_index, mean = data.draw(entropy_parameters(len(model.order)))
    y = data.draw(latents(scale_index.shape))
    written = encoded(model, y, scale_index, mean)
    found = decoded(model, written, scale_index, mean)
    assert np.array_equal(found * 4, np.rint(found * 4))
    largest = np.abs(model.coefficients).max() / ONE
    if np.abs(y).max() * (1 + largest) < 2**19:  # nothing is clipped
        assert np.abs(found - y).max() <= 0.5
    assert encoded(model, found, scale_index, mean) == written


def of_all_contexts() -> tuple[ContextModel, Floats, Integers, Integers]:
    """A model whose neighbouring contexts have different tables, and values of all sizes.

    By arithmetic alone, the same with every version of NumPy.
    """
    tables = tuple(Table.from_counts([1, 3, 9 + n, 3, 1], -2 - n % 2, n) for n in range(7))
    groups = (1, 2, 3)
    places = np.arange(3 * CONTEXTS).reshape(3, CONTEXTS)
    weights = (np.arange(6 * KINDS) * 1237 % 5001 - 2000).reshape(6, KINDS)
    model = ContextModel(
        np.array([4, 0, 5, 3, 1, 2]),
        groups,
        weights.astype(np.int16),
        (places * 5 % 7).astype(np.uint8),
        tables,
    )
    shape = (6, 9, 7)
    at = np.arange(np.prod(shape)).reshape(shape)
    most = np.array([1, 2, 3, 5, 90])[at * 31 % 17 % 5]
    y = ((at * 7919 % 1013) % (16 * most + 1) - 8 * most) / 8 + 1 / 16
    y[0, 4, 4], y[5, 8, 6] = 1 << 20, -(1 << 21)
    return model, y.astype(np.float32), at * 37 % INDICES, at * 11 % 41 - 20


def test_the_bytes_never_change() -> None:
    """Files are coded so: other bytes break every file."""
    model, y, scale_index, mean = of_all_contexts()
    data = encoded(model, y, scale_index, mean)
    digest = hashlib.sha256(data).hexdigest()
    assert digest == "cd183150b5e69f0d76e1e3009c8a59771130bb6f5fd3fa982a85cf3e7b136b06"
    found = decoded(model, data, scale_index, mean)
    away = np.abs(found - y)
    clipped = away > 0.5
    assert away[~clipped].max() == 0.4375
    assert 1 <= clipped.sum() <= 9  # what is clipped, and what is predicted from it


@given(st.data())
@settings(max_examples=60)
def test_damaged_bytes_give_other_latents_or_our_errors(data: st.DataObject) -> None:
    model = data.draw(models())
    scale_index, mean = data.draw(entropy_parameters(len(model.order)))
    good = encoded(model, data.draw(latents(scale_index.shape)), scale_index, mean)
    damaged = bytearray(data.draw(st.sampled_from([good, good[: len(good) // 2], good * 2])))
    if damaged:
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(0, 255))
    with contextlib.suppress(DamagedFileError):
        decoded(model, bytes(damaged), scale_index, mean)


# --- contexts -------------------------------------------------------------------------------


PASSES = ["0525", "6464", "3515", "6464"]
DIAGONAL = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
DIRECT = [(-1, 0), (1, 0), (0, -1), (0, 1)]
NEIGHBOURS = {1: (2, DIAGONAL), 2: (2, DIRECT), 3: (2, DIRECT), 4: (1, DIAGONAL), 5: (1, DIRECT)}
NEIGHBOURS[6] = NEIGHBOURS[5]
NEAR = [1, 2, 3, 4, 6, 9, 14, 22, 36, 60, 110]
BEFORE = [1, 2, 4, 7, 12, 20, 32, 50, 80, 128, 200]
FARTHEST = 1 << 20


def level(total: int, thresholds: list[int]) -> int:
    return sum(total >= threshold for threshold in thresholds)


def clip(value: int) -> int:
    return max(-FARTHEST, min(FARTHEST, value))


Walked = list[tuple[int, ...]]
"""Group, channel, row, column, context and predicted mean of each latent, in coding order."""


def in_plain_python(
    groups: tuple[int, ...],
    coefficients: Integers,
    residuals: Integers,
    scale_index: Integers,
    mean: Integers,
) -> tuple[Walked, NDArray[np.int64]]:
    """By docs/format.md; and the latents, in quarters."""
    height, width = scale_index.shape[1:]
    every = [(y, x) for y in range(height) for x in range(width)]
    values = np.zeros(scale_index.shape, np.int64)

    def around(channel: int, y: int, x: int, number: int) -> list[tuple[int, int, int]]:
        reach, directions = NEIGHBOURS[number]
        places = [(y + reach * down, x + reach * along) for down, along in directions]
        return [(channel, y, x) for y, x in places if 0 <= y < height and 0 <= x < width]

    found: Walked = []
    first = 0
    for group, count in enumerate(groups):
        for number in range(7):
            places = [(y, x) for y, x in every if PASSES[y % 4][x % 4] == str(number)]
            for channel in range(first, first + count):
                for y, x in places:
                    near, predicted = 0, int(mean[channel, y, x])
                    if number:
                        known = around(channel, y, x, number)
                        kind = {1: 0, 2: 1, 3: 1, 4: 2, 5: 3, 6: 3}[number]
                        total = sum(min(63, abs(int(residuals[at]))) for at in known)
                        near = 1 + 12 * kind + level(total, NEAR)
                        offsets = sum(clip(int(values[at] - mean[at])) for at in known)
                        moved = (int(coefficients[channel, kind]) * offsets + 8192) // 16384
                        predicted += clip(moved)
                    before = sum(min(8, abs(int(residuals[c, y, x]))) for c in range(first))
                    bins = int(scale_index[channel, y, x]) // 4
                    context = (near * 12 + level(before, BEFORE)) * 16 + bins
                    found.append((group, channel, y, x, context, predicted))
                    values[channel, y, x] = 4 * int(residuals[channel, y, x]) + predicted
        first += count
    return found, values


def walked(
    groups: tuple[int, ...],
    coefficients: Integers,
    residuals: Integers,
    scale_index: Integers,
    mean: Integers,
) -> tuple[Walked, NDArray[np.int64]]:
    found: Walked = []
    places = np.indices(scale_index.shape)

    def visit(place: Place) -> Integers:
        here = places[(slice(None), *place.where)].reshape(3, -1)
        seen = zip(
            here.T.tolist(),
            place.contexts.ravel().tolist(),
            place.mean.ravel().tolist(),
            strict=True,
        )
        found.extend((place.group, *at, context, predicted) for at, context, predicted in seen)
        return residuals[place.where]

    return found, walk(groups, coefficients, scale_index, mean, visit)


def assert_as_in_plain_python(*given: Any) -> Walked:
    expected, values = in_plain_python(*given)
    found, latents = walked(*given)
    assert found == expected
    assert np.array_equal(latents, values)
    return found


@given(st.data())
@settings(max_examples=40)
def test_contexts_and_predictions_are_those_of_plain_python(data: st.DataObject) -> None:
    groups = tuple(data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=4).filter(any)))
    scale_index, mean = data.draw(entropy_parameters(sum(groups)))
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    strength = data.draw(st.sampled_from([0, ONE // 2, (1 << 15) - 1]))
    coefficients = random.integers(-strength, strength + 1, (sum(groups), KINDS), np.int16)
    most = data.draw(st.sampled_from([0, 1, 3, 30, 300, FARTHEST, LIMIT]))
    residuals = random.integers(-most, most + 1, scale_index.shape, np.int32)
    assert_as_in_plain_python(groups, coefficients, residuals, scale_index, mean)


def test_every_level_of_a_context_occurs() -> None:
    """So that the test above says something of each."""
    random = np.random.default_rng(8)
    shape = (60, 24, 24)
    spread = np.exp2(random.integers(-2, 9, shape[1:])) * np.ones(shape)
    spread[:, 12:] = np.exp2(random.integers(-9, 9, (shape[0], 1, 1)))
    residuals = np.rint(random.laplace(size=shape) * spread / 4).astype(np.int32)
    scale_index = random.integers(0, INDICES, shape)
    mean = (random.random(shape) < 0.02).astype(np.int16)
    coefficients = random.integers(-ONE, ONE, (60, KINDS), np.int16)
    found = assert_as_in_plain_python((40, 10, 10), coefficients, residuals, scale_index, mean)
    levels = np.unravel_index(np.array([at[4] for at in found]), (49, 12, 16))
    assert [len(np.unique(level)) for level in levels] == [49, 12, 16]
    assert CONTEXTS == 49 * 12 * 16


# --- as bytes -------------------------------------------------------------------------------


@given(models())
@settings(max_examples=40)
def test_models_come_back_from_their_bytes(model: ContextModel) -> None:
    assert same(ContextModel.unpack(model.pack()), model)


def test_packed_models_are_as_specified() -> None:
    table_of = np.zeros((2, CONTEXTS), np.uint8)
    table_of[1, -1] = 1
    tables = (Table(-1, (1, 65533, 1, 1)), Table(5, (0x1234, 0x10000 - 0x1234)))
    coefficients = np.array([[1, 2, 3, -1], [0, 0, 0, 0], [256, 0, 0, 4096]], np.int16)
    packed = ContextModel(np.array([2, 0, 1]), (1, 2), coefficients, table_of, tables).pack()
    first = bytes.fromhex("00020000000100010002")
    first += bytes.fromhex("000100020003ffff00000000000000000100000000001000")
    last = bytes.fromhex("0002ffff00040001fffd00010001000500021234edcc")
    assert packed[:3] == bytes.fromhex("000302")
    assert zlib.decompress(packed[3:]) == first + bytes(2 * CONTEXTS - 1) + b"\1" + last


def repacked(packed: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """With other bytes inside."""
    return packed[:3] + zlib.compress(change(zlib.decompress(packed[3:])))


@given(st.data())
@settings(max_examples=100)
def test_damaged_models_give_other_models_or_our_error(data: st.DataObject) -> None:
    good = data.draw(models()).pack()
    cut = good[: data.draw(st.integers(0, len(good) - 1))]
    inner = data.draw(st.integers(0, len(zlib.decompress(good[3:])) - 1))
    for damaged in (
        cut,
        repacked(good, lambda parts: parts[:inner]),
        repacked(good, lambda parts: parts + b"\0"),
    ):
        with pytest.raises(WeightsError, match="reinstall"):
            ContextModel.unpack(damaged)

    def changed(parts: bytes) -> bytes:
        last = len(parts) - 1
        where = st.integers(0, min(60, last)) | st.integers(0, last)
        where |= st.integers(max(0, last - 20), last)
        at, by = data.draw(where), data.draw(st.integers(1, 255))
        array = bytearray(parts)
        array[at] ^= by
        return bytes(array)

    for damaged in (changed(good), repacked(good, changed)):
        with contextlib.suppress(WeightsError):
            ContextModel.unpack(damaged)


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
    none = np.zeros((3, KINDS), np.int16)
    model = ContextModel(np.array(order), groups, none, table_of, (Table.from_counts([1], 0),))
    with pytest.raises(WeightsError, match="fit together"):
        ContextModel.unpack(model.pack())


# --- counted --------------------------------------------------------------------------------


@pytest.mark.train
def test_counted_tables_save_bytes_over_one_table_per_channel(
    tmp_path: Path,
) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(photograph("astronaut")).save(tmp_path / "in" / "astronaut.png")
    photos = PhotoStore(tmp_path / "store", list_photos(tmp_path / "in"), "RGB", 64)
    torch.manual_seed(3)
    pair = learned.networks(16)
    contexts.prepare(pair, photos)
    surrogate = pair["contexts"]
    assert isinstance(surrogate, contexts.Surrogate)
    found = partial(contexts.crops, pair, photos, "cpu")
    tables = latent_tables.fit(surrogate.order.numpy(), found, 8)
    model = tables.contexts
    assert same(ContextModel.unpack(model.pack()), model)
    encoder = Encoder()
    residuals, hyper = [], []
    for each in found(8):
        hyper.append(each.z.reshape(len(each.z), -1))
        model.encode(encoder, each.y, each.index, each.mean)
        residuals.append(np.rint(each.y - each.mean / 4).reshape(len(each.y), -1))
    spent = 8 * len(encoder.finish())

    # The best table of each channel: its own counts.
    least = 0.0
    for channel in np.concatenate(residuals, axis=1):
        counts = np.unique(channel, return_counts=True)[1]
        least -= float((counts * np.log2(counts / channel.size)).sum())
    assert spent < 0.95 * least

    own = 0.0
    pairs = zip(np.concatenate(hyper, axis=1), tables.hyper, strict=True)
    for channel, table in pairs:
        counts = np.unique(channel, return_counts=True)[1]
        own += float(table.bits(channel).sum())
        own += float((counts * np.log2(counts / channel.size)).sum())
    assert 0 <= own < 5 * len(tables.hyper)  # bits beyond the entropy: what was not seen may come

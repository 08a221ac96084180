"""The codec `liu2018`: the same symbols everywhere, at the rate of its entropy model."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from liu2018 import (
    METRICS,
    PLAIN,
    Integers,
    Symbols,
    assert_same_but_for_ties,
    by_torch,
    channels,
    contexts_at_random,
    encoded_by_torch,
    metadata_of,
    network,
    of_each_metric,
    other_h_s,
    photograph,
    same_symbols,
    symbols,
    threads,
    wild,
)
from numpy.typing import NDArray
from onnx import numpy_helper

import comrec
from comrec.entropy.contexts import INDICES, MEAN_STEPS, Place, rounded, walk
from comrec.entropy.tables import TOTAL, Table
from comrec.formats import cmr
from comrec.inference import store
from comrec.learned.hyperprior import Z_LIMIT
from comrec.learned.liu2018 import Liu2018, Metric
from comrec.picture import Picture
from comrec.train import integer, learned
from comrec.train import recipe as recipes
from comrec.train.export import write_learned
from comrec.train.latent_tables import Tables

THREADS = (1, 2, 4)
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
    ),
]


# --- the same symbols everywhere --------------------------------------------------------------


def assert_decoded_alike(
    datas: Mapping[str, bytes], h_s: integer.HyperDecoder
) -> Mapping[str, Symbols]:
    """The symbols of files, which every runtime finds."""
    expected = {who: symbols(data, by_torch(h_s)) for who, data in datas.items()}
    pixels: dict[str, NDArray[np.int64]] = {}
    for count in THREADS:
        with threads(count):
            for who, data in datas.items():
                assert same_symbols(symbols(data), expected[who]), (who, count)
                decoded = Liu2018().decode(data).pixels.astype(np.int64)
                difference = np.abs(decoded - pixels.setdefault(who, decoded))
                assert difference.max() <= 1
    return expected


def encoded_by_onnx(picture: Picture, quality: float, metric: Metric) -> dict[str, bytes]:
    """The files that so many threads write."""
    datas = {}
    for count in THREADS:
        with threads(count):
            datas[f"{count} threads"] = Liu2018(metric=metric).encode(picture, quality)
    return datas


@of_each_metric
def test_any_number_of_threads_decodes_the_symbols_of_any_other(
    metric: Metric, odd: Picture
) -> None:
    datas = encoded_by_onnx(odd, 85, metric)
    found = assert_decoded_alike(datas, integer.from_onnx(network(metric, "h_s").load()))
    first = found["1 threads"]
    assert np.abs(first.latents).max() > 1  # so the test says something
    for other in found.values():
        assert_same_but_for_ties(other, first)


@of_each_metric
@pytest.mark.parametrize("device", DEVICES)
def test_what_pytorch_encodes_is_decoded(metric: Metric, device: str, odd: Picture) -> None:
    ours = Liu2018(metric=metric, effort=PLAIN).encode(odd, 85)
    h_s = store.by_id(cmr.header(ours).network)
    data = encoded_by_torch(odd, 85, h_s, device)
    module = integer.from_onnx(h_s.load()).to(device)
    found = assert_decoded_alike({device: data}, module)[device]
    assert_same_but_for_ties(found, symbols(ours))


def extremes(h_s: integer.HyperDecoder) -> Iterator[Integers]:
    """Hyper-latents, (C, h, w), that bring sums to their ends, and some at random."""
    count = h_s.conv1.in_channels // 2
    for value in (-Z_LIMIT, 0, Z_LIMIT):
        yield np.full((count, 3, 4), value)
    board = np.indices((count, 5, 5)).sum(0) % 2
    yield Z_LIMIT * (2 * board - 1)
    weight = h_s.conv1.weight.detach().cpu().numpy()
    for output in range(0, len(weight), 193):  # all terms of its sum of one sign
        signs = np.sign(weight[output, :count] - weight[output, count:]).astype(np.int64)
        yield Z_LIMIT * signs
        yield -Z_LIMIT * signs
    random = np.random.default_rng(0)
    for most in (1, 8, Z_LIMIT):
        yield random.integers(-most, most + 1, (count, 4, 3))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("of", [*METRICS, "wild"])
def test_every_runtime_computes_the_same_integers(of: str, device: str) -> None:
    if of == "wild":
        module = wild(96, 192).double()
        data = integer.to_onnx(module, {})
    else:
        data = network(of, "h_s").load()
        module = integer.from_onnx(data)
    ends = set()
    inputs = list(extremes(module))
    expected = [by_torch(module.to(device))(z) for z in inputs]
    for count, level in [(1, "ALL"), (2, "ALL"), (4, "ALL"), (1, "DISABLE_ALL"), (2, "BASIC")]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = count
        name = level if level == "DISABLE_ALL" else f"ENABLE_{level}"
        options.graph_optimization_level = getattr(
            onnxruntime.GraphOptimizationLevel, f"ORT_{name}"
        )
        running = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        for z, (scale_index, mean) in zip(inputs, expected, strict=True):
            found = running.run(["index", "mean"], {"z": z[None].astype(np.int32)})
            assert np.array_equal(found[0][0], scale_index), (count, level)
            assert np.array_equal(found[1][0], mean), (count, level)
            ends |= {int(scale_index.min()), int(scale_index.max())}
    if of == "wild":
        assert {0, INDICES - 1} <= ends  # so the test says something


@pytest.mark.parametrize("device", DEVICES)
def test_networks_of_any_weights_code_alike_everywhere(
    device: str, odd: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a hyper-decoder and contexts that fit nothing: any table, far means, escapes."""
    torch.manual_seed(5)
    pair = learned.networks(32)
    with torch.no_grad():
        for parameter in pair.parameters():
            parameter.add_(0.1 * parameter.abs().mean() * torch.randn_like(parameter))
    pair["h_s"] = wild(learned.hyper(32), learned.latents(32))
    contexts = contexts_at_random(learned.latents(32))
    recipe = dataclasses.replace(recipes.load("liu2018-3-rate"), width=32)
    random = np.random.default_rng(6)
    counts = random.integers(0, 1000, (learned.hyper(32), 2 * Z_LIMIT + 1))
    tables = Tables(tuple(Table.from_counts(row.tolist(), -Z_LIMIT) for row in counts), contexts)
    made = write_learned(tmp_path, recipe, pair, tables, {})
    monkeypatch.setattr(store, "FOLDER", tmp_path)
    monkeypatch.setattr(store, "networks", lambda: tuple(made.values()))
    datas = encoded_by_onnx(odd, 80, "mse")
    datas["torch"] = encoded_by_torch(odd, 80, made["h_s"], device)
    for data in datas.values():
        assert cmr.header(data).network == made["h_s"].id
    h_s = pair["h_s"].double().to(device)
    assert isinstance(h_s, integer.HyperDecoder)
    for found in assert_decoded_alike(datas, h_s).values():
        values, used = in_order(found)
        reach = np.array([-table.minimum for table in contexts.tables])[used]
        assert (np.abs(values) > reach).sum() > 50  # escapes
        assert len(np.unique(used)) == len(contexts.tables)


@pytest.mark.parametrize(
    ("role", "tensor", "change"),
    [
        ("h_a", "conv3.weight.step", lambda step: 1000 * step),
        ("g_a", "gain.log.half", lambda log: log + 14),
    ],
    ids=["hyper-latents", "latents"],
)
def test_values_that_are_too_large_are_clipped(
    role: str,
    tensor: str,
    change: Callable[[NDArray[np.floating]], NDArray[np.floating]],
    odd: Picture,
    tmp_path: Path,
) -> None:
    real = network(METRICS[0], "h_s")
    part = store.by_id(metadata_of(real)[role])
    model = onnx.load_from_string(part.load())
    (found,) = (entry for entry in model.graph.initializer if entry.name == tensor)
    found.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(found)), tensor))
    data = model.SerializeToString()
    made = dataclasses.replace(part, sha256=hashlib.sha256(data).hexdigest())
    (tmp_path / store.file_name(made.name, made.sha256)).write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        every = (*store.networks(), made)
        patch.setattr(store, "networks", lambda: every)
        with other_h_s(tmp_path, integer.from_onnx(real.load()), {role: made.id}):
            coder = Liu2018(METRICS[0])
            data = coder.encode(odd, 70)
            values = symbols(data)
            assert coder.decode(data).pixels.shape == odd.pixels.shape
    largest = np.abs(values.z if role == "h_a" else in_order(values)[0]).max()
    assert largest == (Z_LIMIT if role == "h_a" else 1 << 20)


def in_order(found: Symbols) -> tuple[Integers, Integers]:
    """Residuals, and the table of each, channels in coding order."""
    model = found.contexts
    latents = found.latents[model.order]
    values, used = np.empty(latents.shape, np.int64), np.empty(latents.shape, np.int64)

    def visit(place: Place) -> Integers:
        used[place.where] = model.table_of[place.group][place.contexts]
        values[place.where] = rounded(latents, place)
        return values[place.where]

    scale_index, mean = found.scale_index[model.order], found.mean[model.order]
    walked = walk(model.groups, model.coefficients, scale_index, mean, visit)
    assert np.array_equal(walked, latents * MEAN_STEPS)
    return values, used


# --- the rate ---------------------------------------------------------------------------------


def escape_bits(outside: Integers) -> float:
    """Of e = 1, 2, ... by docs/format.md: how many bits follow its first 1, and these."""
    frequencies = np.maximum(1, TOTAL >> np.arange(1, 34))
    frequencies[0] = TOTAL - frequencies[1:].sum()
    lengths = np.floor(np.log2(outside)).astype(int)
    return float((lengths - np.log2(frequencies[lengths] / TOTAL)).sum())


def table_bits(values: Integers, indices: Integers, tables: Sequence[Table]) -> float:
    """The ideal code length under integer tables."""
    total = 0.0
    for at in np.unique(indices):
        table = tables[at]
        place = values[indices == at].astype(np.int64) - table.minimum
        above, below = place >= table.size, place < 0
        place[above | below], far = table.size, place.copy()
        total -= np.log2(np.array(table.frequencies)[place] / TOTAL).sum()
        total += escape_bits(2 * (far[above] - table.size) + 1)
        total += escape_bits(2 * (-1 - far[below]) + 2)
    return total


@of_each_metric
@pytest.mark.parametrize("quality", [0, 50, 100])
def test_the_payload_has_the_bytes_that_the_entropy_model_says(metric: str, quality: float) -> None:
    picture = Picture(photograph("astronaut")[:384, :500].copy())
    data = comrec.encode(picture, "liu2018", quality, metric=metric)
    found = symbols(data)
    written = len(cmr.parse(data).payloads[0])
    hyper = table_bits(found.z, channels(found.z.shape), found.tables)
    latents = table_bits(*in_order(found), found.contexts.tables)
    assert written == pytest.approx((hyper + latents) / 8, rel=0.01, abs=8)
    # What is around it: magic, header, framing.
    assert len(data) - written == 8 + (12 + 24 + len("liu2018")) + 12

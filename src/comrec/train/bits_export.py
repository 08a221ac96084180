"""`toderici2017`'s networks as ONNX files, and its entropy model's tables."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import Tensor, nn

from comrec.entropy.bits import (
    BITS,
    INDICES,
    MIDDLE,
    SHARES,
    STEPS,
    SYMBOLS,
    BitModel,
    Integers,
    Predict,
)
from comrec.entropy.levels import TOP
from comrec.entropy.tables import TOTAL, Table
from comrec.inference.store import Network
from comrec.train import export
from comrec.train.bitmodel import BitContexts, whole
from comrec.train.integer import Choice, Graph, IntegerConv
from comrec.train.recipe import Recipe
from comrec.train.toderici2017 import Decoder, Encoder

_AWAY = 1024  # more than any part of an index
_PRIOR = 200.0  # symbols, that the network's own chances count for


class Coded(NamedTuple):
    """What files of one crop hold.

    Attributes:
        flags: bool (iterations, h, w): which places go on; all, but in the last.
        bits: int8 (iterations, BITS, h, w).
    """

    flags: NDArray[np.bool_]
    bits: NDArray[np.int8]


class _Step(nn.Module):
    """A network with its state as inputs and outputs of their own."""

    def __init__(self, module: nn.Module, planes: int) -> None:
        super().__init__()
        self.module, self.planes = module, planes

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        planes, (iteration, *state) = given[: self.planes], given[self.planes :]
        result, state = self.module(*planes, iteration, state)
        return result, *state


def step_to_onnx(module: Encoder | Decoder) -> bytes:
    """A network of an iteration, as `export.step_to_onnx` has it.

    Inputs "left" (1, M, h, w), or "bits" (1, BITS, h, w) and "known" (1, M, h, w); and "iteration",
    int64.
    """
    latents = module.scale.shape[1]
    names = {"left": latents} if isinstance(module, Encoder) else {"bits": BITS, "known": latents}
    planes = {name: torch.zeros(1, channels, 8, 8) for name, channels in names.items()}
    state = module.unit.start(next(iter(planes.values())))
    inputs = planes | {"iteration": torch.tensor(0)}
    return export.step_to_onnx(_Step(module, len(planes)), inputs, state)


def bits_to_onnx(contexts: BitContexts, metadata: Mapping[str, str]) -> bytes:
    """The network of the entropy model, of integer operators.

    Inputs "levels", uint8 (1, 2M, h, w), and "iteration", int64; output "base", int32
    (1, SYMBOLS, h, w): see `entropy.bits.Predict`. What sees one channel at a time is computed in
    float32, exactly, as its sums are below 2 ** 24.
    """
    graph = Graph()
    for name, value in {"zero": 0, "top": TOP, "away": _AWAY, "twice": 2 * _AWAY}.items():
        graph.constant(name, np.int32(value))
    channel = contexts.channel.cpu().numpy()
    pairs = np.stack([2 * channel, 2 * channel + 1], 2).reshape(len(channel), -1)
    graph.constant("pairs", pairs.astype(np.int64))
    graph.constant("front", np.array([0, 1, 0, 0, 0, 0, 0, 0], np.int64))
    choice = Choice("iteration")
    out, own = ([part for part in parts if isinstance(part, IntegerConv)]
                for parts in (contexts.out, contexts.own))  # fmt: skip
    hidden = graph.layer("across", [contexts.across], "levels", 0)
    hidden = graph.node("Cast", graph.node("Min", hidden, "top"), to=TensorProto.UINT8)
    far = graph.layer("out", out, hidden, _AWAY, choice)
    mine = graph.node("Gather", "levels", graph.node("Gather", "pairs", "iteration"), axis=1)
    near = graph.layer("own", own, mine, _AWAY, choice, exact=True)
    near = graph.node("Pad", near, "front", "away")  # the flag has none
    graph.add("Sub", [graph.node("Add", far, near), "twice"], ["base"])
    latents = contexts.across.in_channels // 2
    return graph.model(
        "bits",
        {
            "levels": (TensorProto.UINT8, (1, 2 * latents, "height", "width")),
            "iteration": (TensorProto.INT64, ()),
        },
        {"base": (TensorProto.INT32, (1, SYMBOLS, "height", "width"))},
        metadata,
    )


def write(
    folder: Path,
    recipe: Recipe,
    pair: nn.ModuleDict,
    training: dict[str, Any],
    crops: Iterable[Coded],
) -> list[Network]:
    """Export the networks, as `export.write` does.

    * "g_a": "picture" (1, 3, H, W) to the latents y, in finest steps.
    * "g_s": known "latents", and "quality", the share of the bits that is there, to the picture.
    * "encode", "decode": see `step_to_onnx`.
    * "bits": see `bits_to_onnx`. Files name this one; its metadata names the others by id, has
      "model" in base64, how bits are coded, as `entropy.bits.BitModel` packs itself.

    Args:
        crops: on which the tables are counted.
    """
    g_a, g_s, encode, decode, contexts = (
        pair[role] for role in ("g_a", "g_s", "encode", "decode", "bits")
    )
    assert isinstance(encode, Encoder)
    assert isinstance(decode, Decoder)
    assert isinstance(contexts, BitContexts)
    latents = contexts.across.in_channels // 2
    networks: dict[str, Network] = {}

    def enter(role: str, channels: int, data: bytes) -> None:
        networks[role] = export.enter_learned(folder, recipe, training, role, channels, data)

    enter("g_a", 3, export.to_onnx(g_a, False, 3, eight_bits=True))
    enter("g_s", latents, export.to_onnx(g_s, True, latents, "latents"))
    enter("encode", latents, step_to_onnx(encode))
    enter("decode", latents, step_to_onnx(decode))
    model = fit(contexts, predictor(bits_to_onnx(contexts, {})), crops)
    metadata = {role: network.id for role, network in networks.items()}
    metadata["model"] = base64.b64encode(model.pack()).decode()
    enter("bits", 2 * latents, bits_to_onnx(contexts, metadata))
    return list(networks.values())


def predictor(model: bytes) -> Predict:
    """The network of an exported entropy model."""
    running = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def predict(iteration: int, levels: NDArray[np.uint8]) -> Integers:
        feed = {"levels": levels[None], "iteration": np.array(iteration, np.int64)}
        found: Integers = np.asarray(running.run(None, feed)[0])[0]
        return found

    return predict


def fit(contexts: BitContexts, predict: Predict, crops: Iterable[Coded]) -> BitModel:
    """The model whose tables have the chances that were counted for each index."""
    logits = (np.arange(INDICES) - MIDDLE) / STEPS
    chances = 1 / (1 + np.exp(-logits))
    counts = _PRIOR * np.stack([1 - chances, chances], 1)
    with torch.no_grad():
        model = BitModel(
            contexts.across.in_channels // 2,
            contexts.channel.cpu().numpy(),
            contexts.off.cpu().numpy().astype(np.int32),
            contexts.on.cpu().numpy().astype(np.int32),
            whole(contexts.neighbours).cpu().numpy().astype(np.int8),
            (whole(contexts.earlier) * contexts.allowed).cpu().numpy().astype(np.int8),
            _tables(counts),
        )
    for coded in crops:
        shape = coded.flags.shape[1:]
        share = min(max(1, round(SHARES * float(coded.flags[-1].mean()))), SHARES)
        model.walk(shape, predict, len(coded.flags), share, _Counting(coded, counts))
    return replace(model, tables=_tables(counts))


class _Counting:
    """Counts symbols by index: counts (INDICES, 2), of -1 and of 1."""

    def __init__(self, coded: Coded, counts: NDArray[np.float64]) -> None:
        self._coded, self._counts = coded, counts
        self._wanted = np.empty((SYMBOLS, 0), np.int8)

    def begin(self, iteration: int) -> None:
        flags = np.where(self._coded.flags[iteration], 1, -1).astype(np.int8)
        whole_ = np.concatenate([flags[None], self._coded.bits[iteration]])
        self._wanted = whole_.reshape(SYMBOLS, -1)

    def symbols(self, first: int, places: Integers, indices: Integers) -> Integers:
        found: Integers = self._wanted[first : first + len(indices), places]
        np.add.at(self._counts, (indices, (found > 0).astype(int)), 1)
        return found

    def end(self, bits: NDArray[np.int8]) -> None: ...


def _tables(counts: NDArray[np.float64]) -> tuple[Table, ...]:
    scaled = np.rint(counts / counts.sum(1, keepdims=True) * 256 * TOTAL).astype(int)
    return tuple(Table.from_counts(row.tolist(), 0) for row in scaled)

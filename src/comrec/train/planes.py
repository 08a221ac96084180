"""The entropy model of bit-planes, to train with: what a plane costs, given what is known.

The same integers as `entropy.planes` codes with. A Laplacian around a predicted value stands for
the tables, which are counted when training is done.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from onnx import TensorProto
from torch import Tensor, nn

from comrec.entropy.levels import TOP
from comrec.entropy.planes import (
    EARLY,
    INDICES,
    LATTICES,
    LEAN_LIMIT,
    LEAN_STEPS,
    NETWORKS_PER_PLANE,
    PLANES,
    network_of,
)
from comrec.train.integer import Choice, Graph, IntegerConv, bound, sided

_LOWEST, _HIGHEST = math.log(0.04), math.log(10.0)
_INDEX_STEP = (_HIGHEST - _LOWEST) / (INDICES - 1)
_FRACTION_IN, _FRACTION, _FRACTION_OUT = 4, 4, 3
_AWAY = 1024  # more than any part of an index or a lean
_STEEPEST = 8.0  # bits that a step more costs, where it is most unlikely
_LEAST = 1e-5  # probability; tables have no smaller one


class Predictor(nn.Module):
    """Known values to a scale index and a lean for each latent of one lattice, all integers.

        levels ─┬─ conv 3x3 /2 HIDDEN ─ clip ─ conv 1x1 ─┐
                └─ conv 3x3 /2, by channel ──────────────+ ─ index, lean

    (N, 2M, h, w) levels of the positive and the negative values, 0..127, with a border of one; to
    two (N, M, h', w'), at the places where the lattice begins.
    """

    HIDDEN = 32

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.across = IntegerConv(
            2 * channels, self.HIDDEN, _FRACTION_IN, _FRACTION, stride=2, padding=0
        )
        self.out = IntegerConv(
            self.HIDDEN, 2 * channels, _FRACTION, _FRACTION_OUT, size=1, padding=0
        )
        self.own = IntegerConv(
            2 * channels, 2 * channels, _FRACTION_IN, _FRACTION_OUT,
            stride=2, padding=0, groups=channels,
        )  # fmt: skip
        with torch.no_grad():
            self.out.weight.zero_()
            self.own.weight *= 0.1

    def forward(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.across(levels).clamp(0, TOP)
        own = self.own(levels)
        index, lean = self.out(hidden).chunk(2, 1)
        index = index + own[:, 0::2]
        lean = lean + own[:, 1::2]
        return bound(index, 0, INDICES - 1), bound(lean, -LEAN_LIMIT, LEAN_LIMIT)


def to_onnx(planes: Planes, metadata: Mapping[str, str]) -> bytes:
    """All predictors as one ONNX model of integer operators.

    Inputs "levels", uint8 (1, 2M, h, w), "number" and "channels", int64, as
    `entropy.planes.Predict` takes them; outputs "index" and "lean", int32 (1, A, h', w'). What sees
    one channel at a time is computed in float32, exactly, as its sums are below 2 ** 24.
    """
    predictors = [part for part in planes.predictors if isinstance(part, Predictor)]
    channels = predictors[0].own.groups
    graph = Graph()
    limits = {"zero": 0, "top": TOP, "last": INDICES - 1, "limit": LEAN_LIMIT}
    for name, value in {**limits, "bottom": -LEAN_LIMIT, "away": 2 * _AWAY}.items():
        graph.constant(name, np.int32(value))
    for name, value in {"one": 1, "two": 2, "all": channels}.items():
        graph.constant(name, np.int64(value))
    positive = graph.node("Mul", "channels", "two")
    pairs = [positive, graph.node("Add", positive, "one")]
    sided = graph.node("Concat", *pairs, axis=0)  # of levels: the positive, then the negative
    both = graph.node("Concat", "channels", graph.node("Add", "channels", "all"), axis=0)
    given = graph.node("Gather", "levels", sided, axis=1)
    across, out, own = (
        [getattr(part, name) for part in predictors] for name in ("across", "out", "own")
    )
    hidden = graph.layer("across", across, given, 0, Choice("number", inputs=sided))
    hidden = graph.node("Cast", graph.node("Min", hidden, "top"), to=TensorProto.UINT8)
    far = graph.layer("out", out, hidden, _AWAY, Choice("number", outputs=both))
    near = graph.layer("own", own, "levels", _AWAY, Choice("number"), exact=True)
    near = graph.node("Gather", near, sided, axis=1)  # index and lean alternate in it
    total = graph.node("Sub", graph.node("Add", far, near), "away")
    graph.add("Split", [total], ["index0", "lean0"], axis=1)
    graph.add("Min", [graph.node("Max", "index0", "zero"), "last"], ["index"])
    graph.add("Min", [graph.node("Max", "lean0", "bottom"), "limit"], ["lean"])
    wide = TensorProto.INT32, (1, "active", "rows", "columns")
    return graph.model(
        "planes",
        {
            "levels": (TensorProto.UINT8, (1, 2 * channels, "height", "width")),
            "number": (TensorProto.INT64, ()),
            "channels": (TensorProto.INT64, ("active",)),
        },
        {"index": wide, "lean": wide},
        metadata,
    )


class Planes(nn.Module):
    """The predictors of all planes and lattices, and the order of the channels.

    Attributes:
        count: number of planes.
        order: (M,) channels as they are coded, the strongest first.
        begun: whether `begin` was called.
    """

    def __init__(self, channels: int, count: int = PLANES) -> None:
        super().__init__()
        self.count = count
        self.order: Tensor
        self.register_buffer("order", torch.arange(channels))
        self.begun: Tensor
        self.register_buffer("begun", torch.tensor(False))
        self.predictors = nn.ModuleList(
            Predictor(channels) for _ in range(count * NETWORKS_PER_PLANE)
        )

    def grow(self) -> list[nn.Module]:
        """One plane more, the finest; its predictors, which begin as those of the last."""
        last = list(self.predictors)[-NETWORKS_PER_PLANE:]
        added = [copy.deepcopy(predictor) for predictor in last]
        self.predictors.extend(added)
        self.count += 1
        return added

    def begin(self, y: Tensor) -> None:
        """Take the order, and each channel's scale, from latents (N, M, h, w)."""
        size = y.abs().mean((0, 2, 3))
        with torch.no_grad():
            self.begun.fill_(True)
            self.order.copy_(size.argsort(descending=True))
            for number, predictor in enumerate(self.predictors):
                step = 2.0 ** (self.count - 1 - number // NETWORKS_PER_PLANE)
                # Of what is inside the interval that is known, little is left.
                scale = (size / step).clamp(math.exp(_LOWEST), 1.0)
                index = (scale.log() - _LOWEST) / _INDEX_STEP
                assert isinstance(predictor, Predictor)
                bias = predictor.out.bias
                assert bias is not None
                bias[: len(index)] = index / 2**_FRACTION_OUT

    def forward(self, y: Tensor, planes: Tensor) -> tuple[Tensor, Tensor]:
        """What the latents cost.

        Gradients go to the predictors, and to y: less of it costs less.

        Args:
            y: (N, M, h, w) latents.
            planes: (N,) how many planes of each are wanted, at least 1.
        Returns:
            (N, count, M, h, w) bits of each latent in each plane, the coarsest first, 0 in those
            not wanted; and (N, M, h, w) which latents come early in the last that is wanted.
        """
        bits = torch.zeros(len(y), self.count, *y.shape[1:], device=y.device)
        early = torch.zeros_like(y, dtype=torch.bool)
        for at in range(self.count):
            rows = planes > at
            if rows.any():
                bits[rows, at], early[rows] = self.plane(y[rows], at)
        return bits, early

    def early(self, y: Tensor, planes: Tensor) -> Tensor:
        """The second of what `forward` gives, without the bits."""
        early = torch.zeros_like(y, dtype=torch.bool)
        for at in range(self.count):
            rows = planes == at + 1
            if rows.any():
                early[rows] = self.plane(y[rows], at)[1]
        return early

    def plane(self, y: Tensor, at: int) -> tuple[Tensor, Tensor]:
        """Bits (N, M, h, w) of one plane, 0 the coarsest, and which latents come early in it."""
        known = None if at == 0 else value_at(y, self.count - at)
        plane = self.count - 1 - at
        step = 2.0**plane
        new = value_at(y, plane)  # in half steps
        values = torch.zeros_like(y) if known is None else 2 * known
        before = values
        bits = torch.zeros_like(y)
        early = torch.zeros_like(y, dtype=torch.bool)
        for lattice, (top, left) in enumerate(LATTICES):
            predictor = self.predictors[network_of(at, lattice)]
            index, lean = predictor(_levels(values)[..., top:, left:])
            scale = torch.exp(_LOWEST + _INDEX_STEP * index)
            where = (..., slice(top, None, 2), slice(left, None, 2))
            costs = _bits(
                y[where] / step, new[where], before[where], scale, lean / LEAN_STEPS, known is None
            )
            bits[where] = costs
            early[where] = (before[where] == 0) & (index >= EARLY)
            values = torch.where(early, new, before)  # which the next lattice knows
        return bits, early


def value_at(y: Tensor, plane: int) -> Tensor:
    """The middle of what is known of y when a plane is there, in half steps of the plane."""
    whole = torch.floor(y.detach().abs() / 2**plane)
    return torch.sign(y.detach()) * (2 * whole + 1) * (whole > 0)


def truncated(y: Tensor, plane: Tensor) -> Tensor:
    """y as decoded when it is known down to a plane, each latent to its own; gradient of y.

    Args:
        plane: integers that can be broadcast to y.
    """
    step = torch.exp2(plane.float())
    whole = torch.floor(y.abs() / step)
    found = torch.sign(y) * (whole + 0.5) * step * (whole > 0)
    return y + (found - y).detach()


def _levels(values: Tensor) -> Tensor:
    """(N, 2M, h + 2, w + 2): as `entropy.planes` makes them."""
    return F.pad(sided(values).flatten(1, 2), (1, 1, 1, 1))


def _bits(
    y: Tensor, new: Tensor, before: Tensor, scale: Tensor, lean: Tensor, first: bool
) -> Tensor:
    """Of each latent, in a plane.

    Args:
        y: in steps of the plane.
        new, before: what will be known, and what is, in half steps.
        lean: of the prediction from what is known, in steps.
        first: nothing is known.
    """
    old = before / 2
    # What is coded is a part of what is known: the new middle, half a step to each side, or one
    # step where it is zero.
    middle = new / 2
    significant = new != 0
    half = torch.where(significant, 0.5, 1.0)
    moved = middle + significant * (y - y.detach())  # the part goes along with y
    expected = old + lean
    part = _mass(moved - half, moved + half, expected, scale)
    if not first:
        reach = torch.where(before == 0, 2.0, 1.0)
        part = part / _mass(old - reach, old + reach, expected, scale)
    bits = -torch.log2(part.clamp(_LEAST, 1))
    # A refinement costs about a bit, and half the value would need one less. What stays zero
    # costs as much as it is near to becoming significant, and likely not to.
    size = y.abs()
    refined = torch.log2(size.clamp_min(1.0))
    near = size.square() / 2 * (1 / scale.detach()).clamp_max(_STEEPEST)
    pull = torch.where(before != 0, refined, torch.where(significant, 0.0, near))
    return bits + pull - pull.detach()


def _mass(low: Tensor, high: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """A Laplacian's, between two bounds; on the side where both tails are small."""
    side = torch.where((low + high) / 2 < mean, 1.0, -1.0).detach()
    a, b = (low - mean) * side, (high - mean) * side
    near, far = torch.maximum(a, b), torch.minimum(a, b)
    return (_tail(near, scale) - _tail(far, scale)).clamp_min(1e-9)


def _tail(x: Tensor, scale: Tensor) -> Tensor:
    """The Laplacian's distribution function."""
    below = 0.5 * torch.exp((x / scale).clamp(-30, 0))
    above = 1 - 0.5 * torch.exp((-x / scale).clamp(-30, 0))
    return torch.where(x < 0, below, above)

"""RecCNNs in 8 bits as ONNX graphs.

QuantizeLinear and DequantizeLinear stand around each convolution of the blocks (QDQ), which ONNX
Runtime fuses into integer kernels.

The head before them, in floating point, sums whole grey levels times weights on a grid so coarse
that no sum is rounded. So all runtimes give the blocks the same values: else one activation that
is rounded the other way would change others in each block, until a tenth of all samples differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from comrec.train.integer import Graph
from comrec.train.quantised import SIGNED, WEIGHT_LIMIT, Blocks, convolutions, weight_steps

_ROWS, _PLANES = (0, 2, 3, 1), (0, 3, 1, 2)
"""To channels last, and back."""
_CONV = {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)}
_LEVELS = 255  # of what the head is given, in 0..1
_MANTISSA = 24  # bits of a float32
_PER_LEVEL = ".per_level"  # in the name of the head's weights, which are for whole levels


def to_qdq(model: onnx.ModelProto, module: nn.Module) -> None:
    """Make a network's float graph the QDQ graph of its `Blocks`, where it has them.

    Args:
        model: exported from ``module``; changed in place.
    """
    for name, body in module.named_modules():
        if isinstance(getattr(body, "blocks", None), Blocks):
            _make_exact(model.graph, f"{name}.head")
            _in_integers(model.graph, f"{name}.blocks", body.blocks)


def _make_exact(graph: onnx.GraphProto, name: str) -> None:
    """Make a convolution of values in 0..1 one of whole levels, whose sums are not rounded."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    at, conv = next((p, n) for p, n in enumerate(graph.node) if f"{name}.weight" in n.input)
    weight, bias = (constants[f"{name}.{part}"] for part in ("weight", "bias"))
    values = numpy_helper.to_array(weight).astype(np.float64) / _LEVELS
    offsets = numpy_helper.to_array(bias).astype(np.float64)
    sums = _LEVELS * np.abs(values).sum((1, 2, 3)) + np.abs(offsets)
    # Twice the largest sum has room: rounding to the grid may enlarge it. A channel may be silent.
    grid = np.exp2(np.ceil(np.log2(sums.clip(1e-6))) + 1 - _MANTISSA)
    column = grid.reshape(-1, 1, 1, 1)
    weight.CopyFrom(_float(np.rint(values / column) * column, f"{name}.weight{_PER_LEVEL}"))
    bias.CopyFrom(_float(np.rint(offsets / grid) * grid, bias.name))
    made = _Nodes()
    scaled = made.node("Mul", conv.input[0], made.constant(f"{name}.levels", np.float32(_LEVELS)))
    conv.input[0], conv.input[1] = made.node("Round", scaled), weight.name
    replace(graph.node, [*graph.node[:at], *made.nodes, *graph.node[at:]])
    graph.initializer.extend(made.constants)


def _float(values: NDArray[np.float64], name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(values.astype(np.float32), name)


def _in_integers(graph: onnx.GraphProto, name: str, blocks: Blocks) -> None:
    """Put the nodes of `Blocks` in place of the float ones.

    Sums of blocks have channels last and one axis for all places. So has ONNX Runtime what goes
    into integer convolutions and comes out of them, and would else transpose it twice a block.
    """
    own = {f"{name}.{key}" for key, _ in blocks.named_parameters()}
    inner = [node for node in graph.node if own & {*node.input, *node.output}]
    convs = [node for node in inner if node.op_type == "Conv"]
    users = {value: node for node in graph.node for value in node.input}
    after = [users[conv.output[0]] for conv in convs]  # ReLU and the sum, in turn
    first, last = convs[0].input[0], after[-1].output[0]
    dropped = {node.output[0] for node in (*inner, *after)}
    at = next(place for place, node in enumerate(graph.node) if node.output[0] in dropped)
    kept = [node for node in graph.node if node.output[0] not in dropped]
    made = _Nodes()
    _chain(made, name, blocks, first, last)
    constants = [tensor for tensor in graph.initializer if tensor.name not in own]
    replace(graph.node, [*kept[:at], *made.nodes, *kept[at:]])
    replace(graph.initializer, [*constants, *made.constants])


def _chain(made: _Nodes, name: str, blocks: Blocks, first: str, last: str) -> None:
    """The nodes from a value, (N, C, H, W), to what the blocks make of it."""
    rows = made.node("Transpose", first, perm=_ROWS)
    shape = made.node("Shape", rows)
    width = convolutions(blocks)[0][0].in_channels
    flat = made.constant(f"{name}.flat", np.array([-1, width]))
    stream = made.node("Reshape", rows, flat)
    every = blocks.steps.cpu().numpy()
    for place, ((conv1, conv2), steps) in enumerate(zip(convolutions(blocks), every, strict=True)):
        here = f"{name}.{place}"
        given = made.scale(f"{here}.given", steps[0], SIGNED)
        middle = made.scale(f"{here}.middle", steps[1], 0)
        change = made.scale(f"{here}.change", steps[2], SIGNED)
        x = made.node("QuantizeLinear", stream, *given)
        x = made.node("Transpose", made.node("Reshape", x, shape), perm=_PLANES)
        x = made.node("DequantizeLinear", x, *given)
        parameters = made.parameters(f"{here}.conv1", conv1, steps[0])
        x = made.node("Relu", made.node("Conv", x, *parameters, **_CONV))
        x = made.node("QuantizeLinear", x, *middle)
        x = made.node("DequantizeLinear", x, *middle)
        parameters = made.parameters(f"{here}.conv2", conv2, steps[1])
        x = made.node("Conv", x, *parameters, **_CONV)
        x = made.node("QuantizeLinear", x, *change)
        x = made.node("Reshape", made.node("Transpose", x, perm=_ROWS), flat)
        x = made.node("DequantizeLinear", x, *change)
        stream = made.node("Add", stream, x)
    rows = made.node("Reshape", stream, shape)
    made.add("Transpose", [rows], [last], perm=_PLANES)


class _Nodes(Graph):
    """Nodes and constants of the blocks, in order."""

    def scale(self, name: str, step: np.float32, zero: int) -> tuple[str, str]:
        """Step and zero point of one tensor."""
        return (
            self.constant(f"{name}.step", np.array(step, np.float32)),
            self.constant(f"{name}.zero", np.array(zero, np.uint8)),
        )

    def parameters(self, name: str, conv: nn.Conv2d, step: np.float32) -> tuple[str, str]:
        """Weight and bias of a convolution.

        Args:
            step: of its input.
        """
        weight, bias = _integers(conv, step)
        return (
            self._dequantised(f"{name}.weight", *weight),
            self._dequantised(f"{name}.bias", *bias),
        )

    def _dequantised(self, name: str, integers: NDArray[Any], steps: NDArray[np.float32]) -> str:
        zeros = np.zeros(len(steps), integers.dtype)
        parts = {"integers": integers, "steps": steps, "zeros": zeros}
        names = [self.constant(f"{name}.{part}", values) for part, values in parts.items()]
        self.add("DequantizeLinear", names, [name], axis=0)
        return name


def replace(old: Any, new: Iterable[Any]) -> None:
    """Give a repeated field of a protocol buffer other contents."""
    new = list(new)
    del old[:]
    old.extend(new)


def parameters(graph: onnx.GraphProto) -> dict[str, NDArray[np.float32]]:
    """The weights and biases that a QDQ graph stores otherwise, by their PyTorch names."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = {
        name.split(_PER_LEVEL)[0]: np.float32(_LEVELS) * values
        for name, values in constants.items()
        if _PER_LEVEL in name
    }
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            values, steps = (constants[name] for name in node.input[:2])
            found[node.output[0]] = values * steps.reshape(-1, *(1,) * (values.ndim - 1))
    return found


def _integers(
    conv: nn.Conv2d, step: np.float32
) -> tuple[
    tuple[NDArray[np.int8], NDArray[np.float32]], tuple[NDArray[np.int32], NDArray[np.float32]]
]:
    """Weights and biases, each with what one is worth, by output channel.

    Args:
        step: of the input.
    """
    assert conv.bias is not None
    weight, bias = (tensor.detach().cpu().numpy() for tensor in (conv.weight, conv.bias))
    steps = weight_steps(conv.weight).cpu().numpy()
    whole = np.rint(weight / steps.reshape(-1, 1, 1, 1)).clip(-WEIGHT_LIMIT, WEIGHT_LIMIT)
    sums = steps * step
    return (whole.astype(np.int8), steps), (np.rint(bias / sums).astype(np.int32), sums)

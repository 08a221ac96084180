"""Gradients as ONNX graphs: reverse mode over an exported network, so that encoding needs no torch.

Of the operations that the learned codecs are made of, and their distortions. Each is turned into
nodes that carry the gradient from its output to its inputs (the vector-Jacobian product).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper


def differentiate(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The gradient of a model's output with respect to one of its inputs.

    Args:
        model: its first output is summed, and that is differentiated.
        name: the input. Where two operands depend on it, they have the same shape.
    Returns:
        a model of the same inputs and two outputs: "gradient", of the shape of that input, and
        what was differentiated.
    Raises:
        NotImplementedError: there is an operation between the two that has no rule here.
    """
    graph = model.graph
    active = {name}
    for node in graph.node:
        # A shape is the same, whatever the values.
        if node.op_type != "Shape" and active.intersection(node.input):
            active.update(node.output)
    tape = _Tape(active)
    result = graph.output[0].name
    tape.add(result, tape.ones_like(result))
    for node in reversed(graph.node):
        if node.output and node.output[0] in tape.sums:
            _rule(node)(tape, node, tape.sums.pop(node.output[0]))
    tape.node("Identity", tape.sums[name], into="gradient")
    nodes = _needed([*graph.node, *tape.nodes], {"gradient", result})
    shape = next(value for value in graph.input if value.name == name)
    output = helper.make_tensor_value_info("gradient", TensorProto.FLOAT, None)
    output.type.CopyFrom(shape.type)
    used = {value for node in nodes for value in node.input}
    constants = [*graph.initializer, *tape.constants]
    derived = helper.make_graph(
        nodes,
        "gradient",
        list(graph.input),
        [output, graph.output[0]],
        [constant for constant in constants if constant.name in used],
    )
    made = helper.make_model(derived, opset_imports=model.opset_import)
    made.ir_version = model.ir_version
    onnx.checker.check_model(made)
    return made


class _Tape:
    """Nodes of the way back.

    Attributes:
        sums: gradients found so far, by the name of the value.
    """

    def __init__(self, active: set[str]) -> None:
        self.active = active
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.sums: dict[str, str] = {}

    def node(self, kind: str, *inputs: str, into: str = "", **attributes: Any) -> str:
        output = into or f"gradient/{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, value: object, kind: type = np.float32) -> str:
        name = f"gradient/constant/{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, kind), name))
        return name

    def add(self, value: str, gradient: str) -> None:
        """A part of a value's gradient, by one of its uses."""
        if value in self.active:
            known = self.sums.get(value)
            self.sums[value] = self.node("Add", known, gradient) if known else gradient

    def ones_like(self, value: str) -> str:
        return self.node("Expand", self.constant(1.0), self.node("Shape", value))


_Rule = Callable[[_Tape, NodeProto, str], None]


def _rule(node: NodeProto) -> _Rule:
    if node.op_type not in _RULES:
        raise NotImplementedError(f"no gradient of {node.op_type}")
    return _RULES[node.op_type]


def _add(tape: _Tape, node: NodeProto, given: str) -> None:
    for value in node.input:
        tape.add(value, given)


def _subtract(tape: _Tape, node: NodeProto, given: str) -> None:
    tape.add(node.input[0], given)
    if node.input[1] in tape.active:
        tape.add(node.input[1], tape.node("Neg", given))


def _multiply(tape: _Tape, node: NodeProto, given: str) -> None:
    a, b = node.input
    for value, other in ((a, b), (b, a)):
        if value in tape.active:
            tape.add(value, tape.node("Mul", given, other))


def _divide(tape: _Tape, node: NodeProto, given: str) -> None:
    a, b = node.input
    over = tape.node("Div", given, b)
    tape.add(a, over)
    if b in tape.active:
        tape.add(b, tape.node("Neg", tape.node("Mul", over, node.output[0])))


def _power(tape: _Tape, node: NodeProto, given: str) -> None:
    """Of a constant exponent: n x^(n-1)."""
    base, exponent = node.input
    less = tape.node("Sub", exponent, tape.constant(1.0))
    slope = tape.node("Mul", exponent, tape.node("Pow", base, less))
    tape.add(base, tape.node("Mul", given, slope))


def _passed(tape: _Tape, node: NodeProto, given: str) -> None:
    tape.add(node.input[0], given)


def _gate(tape: _Tape, node: NodeProto, given: str) -> None:
    """Where the value was let through unchanged: ReLU, and limits."""
    value, result = node.input[0], node.output[0]
    if node.op_type == "Relu":
        through = tape.node("Greater", result, tape.constant(0.0))
    else:
        through = tape.node("Equal", result, value)
    tape.add(value, tape.node("Where", through, given, tape.constant(0.0)))


def _convolve(tape: _Tape, node: NodeProto, given: str) -> None:
    """The transposed convolution; of stride 1, a convolution with the kernels turned round, which
    runs faster."""
    found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    rows, columns = found["kernel_shape"]
    if any(side != 1 for side in [*found["dilations"], found["group"]]):
        raise NotImplementedError("gradient of convolutions with a dilation or groups")
    if found["strides"] == [2, 2] and found["pads"] == [1, 1, 1, 1] and rows == columns == 3:
        # Sides are even, so that the last row and column are beyond the last kernel's middle.
        more: dict[str, Any] = {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}
        tape.add(node.input[0], tape.node("ConvTranspose", given, node.input[1], **more))
        return
    if found["strides"] != [1, 1]:
        raise NotImplementedError("gradient of convolutions with a stride, but for 3x3 by 2")
    backwards = tape.node("Transpose", node.input[1], perm=[1, 0, 2, 3])
    if (rows, columns) != (1, 1):
        ends = [-(1 << 31)] * 2
        turn = (tape.constant(part, np.int64) for part in ([-1, -1], ends, [2, 3], [-1, -1]))
        backwards = tape.node("Slice", backwards, *turn)
    top, left, bottom, right = found["pads"]
    pads = [rows - 1 - top, columns - 1 - left, rows - 1 - bottom, columns - 1 - right]
    tape.add(node.input[0], tape.node("Conv", given, backwards, pads=pads))


def _unshuffle(tape: _Tape, node: NodeProto, given: str) -> None:
    """Of DepthToSpace as PyTorch shuffles, channel before place; SpaceToDepth has them the other
    way round."""
    found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    size = found["blocksize"]
    parts = tape.node("SpaceToDepth", given, blocksize=size)
    places = tape.node("Reshape", parts, tape.constant([size * size, -1, 0, 0], np.int64))
    channels = tape.node("Transpose", places, perm=[1, 0, 2, 3])
    whole = tape.node("Reshape", channels, tape.constant([1, -1, 0, 0], np.int64))
    tape.add(node.input[0], whole)


def _halve(tape: _Tape, node: NodeProto, given: str) -> None:
    """Of the mean of each 2x2."""
    found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if found["kernel_shape"] != [2, 2] or found["strides"] != [2, 2] or any(found["pads"]):
        raise NotImplementedError("gradient of other averages than those of each 2x2")
    scales = tape.constant([1, 1, 2, 2])
    each = tape.node("Resize", tape.node("Mul", given, tape.constant(0.25)), "", scales)
    tape.add(node.input[0], each)


def _multiply_matrices(tape: _Tape, node: NodeProto, given: str) -> None:
    """Of which one is a constant, without further dimensions."""
    a, b = node.input
    if a in tape.active:
        tape.add(a, tape.node("MatMul", given, tape.node("Transpose", b, perm=[1, 0])))
    else:
        tape.add(b, tape.node("MatMul", tape.node("Transpose", a, perm=[1, 0]), given))


def _average(tape: _Tape, node: NodeProto, given: str) -> None:
    """Over some of the dimensions or all."""
    found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    value = node.input[0]
    axes = found.get("axes")
    if axes is not None and not found.get("keepdims", 1):
        given = tape.node("Unsqueeze", given, tape.constant(axes, np.int64))
    each = tape.node("Expand", given, tape.node("Shape", value))
    counts = (tape.node("Size", name) for name in (given, value))
    less, more = (tape.node("Cast", count, to=TensorProto.FLOAT) for count in counts)
    tape.add(value, tape.node("Mul", each, tape.node("Div", less, more)))


def _reshape(tape: _Tape, node: NodeProto, given: str) -> None:
    value = node.input[0]
    tape.add(value, tape.node("Reshape", given, tape.node("Shape", value)))


_RULES: dict[str, _Rule] = {
    "Add": _add,
    "AveragePool": _halve,
    "Cast": _passed,  # between kinds of floating point
    "Clip": _gate,
    "Conv": _convolve,
    "DepthToSpace": _unshuffle,
    "Div": _divide,
    "Flatten": _reshape,
    "MatMul": _multiply_matrices,
    "Mul": _multiply,
    "Pow": _power,
    "ReduceMean": _average,
    "Relu": _gate,
    "Sub": _subtract,
}


def _needed(nodes: list[NodeProto], outputs: set[str]) -> list[NodeProto]:
    """Those that outputs are made by, in their order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]

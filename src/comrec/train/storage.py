"""How exported networks are stored: weights of fewer bits, and patches of similar networks."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from comrec.inference import patch, store
from comrec.train import qdq

_INT8 = 127
_WORTH = 0.75  # of a file's bytes: what a patch may take


def stored(model: onnx.ModelProto, *, eight_bits: bool = False) -> bytes:
    """A model as a file, its weights as float16, or as int8 in steps of each output channel."""
    _shrink_weights(model, eight_bits)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _shrink_weights(model: onnx.ModelProto, eight_bits: bool) -> None:
    """Store large float32 weights as less, with a cast, which the runtime folds away."""
    nodes, kept = [], []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < 256:
            kept.append(tensor)
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        if eight_bits and values.ndim == 4:  # of a convolution
            steps = _best_steps(values)
            integers = np.rint(values / steps).clip(-_INT8, _INT8).astype(np.int8)
            kept.append(numpy_helper.from_array(integers, f"{name}.int8"))
            kept.append(numpy_helper.from_array(steps, f"{name}.step"))
            nodes += [
                helper.make_node("Cast", [f"{name}.int8"], [f"{name}.whole"], to=TensorProto.FLOAT),
                helper.make_node("Mul", [f"{name}.whole", f"{name}.step"], [name]),
            ]
        else:
            kept.append(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            nodes.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    qdq.replace(model.graph.initializer, kept)
    qdq.replace(model.graph.node, [*nodes, *model.graph.node])


def _best_steps(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """(outputs, 1, ...): steps for int8 of the least squared error, by output channel."""
    others = tuple(range(1, weights.ndim))
    largest = np.abs(weights).max(others, keepdims=True).clip(1e-12)
    candidates = [largest * np.float32(part) / _INT8 for part in (1, 0.95, 0.9, 0.85, 0.8, 0.7)]
    errors = []
    for steps in candidates:
        rounded = np.rint(weights / steps).clip(-_INT8, _INT8) * steps
        errors.append(np.square(rounded - weights).sum(others, keepdims=True))
    best = np.take_along_axis(np.stack(candidates), np.argmin(errors, 0)[None], 0)[0]
    return np.asarray(best, np.float32)


def weights_of(data: bytes) -> dict[str, torch.Tensor]:
    """The parameters inside an exported ONNX file, by their PyTorch names."""
    graph = onnx.load_from_string(data).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = {
        name.removesuffix(".half"): torch.from_numpy(values.astype(np.float32))
        for name, values in constants.items()
        if not name.endswith((".int8", ".step"))
    }
    for name, integers in constants.items():
        if name.endswith(".int8"):
            name = name.removesuffix(".int8")
            found[name] = torch.from_numpy(integers * constants[f"{name}.step"])
    for node in graph.node:  # equal parameters are stored once
        if node.op_type == "Identity" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    rounded = qdq.parameters(graph)
    return found | {name: torch.from_numpy(values) for name, values in rounded.items()}


def smallest_patch(role: str, scale: tuple[int, int], data: bytes) -> tuple[bytes, bytes] | None:
    """An ONNX file as a patch of a network of the package: of which file, and the patch.

    None where no patch is worth it.

    Args:
        role, scale: what that network has to have in common; the scale is (up, down).
    """
    fitting = (n for n in store.networks() if (n.role, n.up, n.down) == (role, *scale))
    best, least = None, _WORTH * len(data)
    for base in (each.load() for each in fitting):
        if base == data or not len(data) / 2 < len(base) < 2 * len(data):
            continue
        made = made_patch(base, data)
        if len(made) < least:
            best, least = (base, made), len(made)
    return best


def made_patch(base: bytes, data: bytes) -> bytes:
    """A patch of an ONNX file, made with the arrays that have the same name and length."""
    theirs, ours = _halves(base), _halves(data)
    arrays = [
        (theirs[name][0], start, length)
        for name, (start, length) in ours.items()
        if theirs.get(name, (0, 0))[1] == length
    ]
    return patch.make(base, data, arrays)


def _halves(data: bytes) -> dict[str, tuple[int, int]]:
    """Where the float16 arrays of an ONNX file begin, and how many bytes they have, in order."""
    found, at = {}, 0
    for tensor in onnx.load_from_string(data).graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16 and tensor.raw_data:
            at = data.index(tensor.raw_data, at)
            found[tensor.name] = at, len(tensor.raw_data)
            at += len(tensor.raw_data)
    return found

"""A RecCNN of ours in 8 bits: trained as it will run, and exported as a QDQ graph.

The convolutions in the blocks of its `networks.Body` run in integers; head, tail and the sums of
blocks in float. Weights are int8 with a step for each output channel. What convolutions are given
and give is uint8 with one step for each tensor, and zero point 0 after ReLU, 128 elsewhere. (Sums
in 8 bits would be rounded in each block, as coarsely as their largest values need.) As ONNX,
QuantizeLinear and DequantizeLinear stand around each convolution (QDQ), which ONNX Runtime fuses
into integer kernels.

Weights are kept to 7 bits, -64..64. x86 processors without VNNI add pairs of uint8 x int8 products
in 16 bits with saturation, and 2 * 255 * 64 fits. So every kernel gives the same integers, and sums
of two have no order; only head and tail can differ by the order of their sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn

from comrec.train import networks

WEIGHT_LIMIT = 64
SIGNED = 128
"""Zero point of the activations that have a sign."""
_ROWS, _PLANES = (0, 2, 3, 1), (0, 3, 1, 2)
"""To channels last, and back."""
_CONV = {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)}

_TOP = 255
_SAMPLES = 1 << 18  # of a tensor, that its step is chosen by; a sixteenth of it for a channel
_PEAK = 0.9999  # quantile that says how large a channel gets
_LEAST = 0.3
"""Of the median channel's: one that is nearly silent would be amplified until it is all noise."""
_EQUALISING = 0.5  # exponent: equal ranges throughout make the weights harder to quantise


class Blocks(nn.Sequential):
    """The blocks of a `networks.Body`, computed as their integers will be.

    (N, C, H, W) to the same. Gradients pass rounding unchanged and end where values are clipped.

    Attributes:
        steps: (blocks, 3), of what a block is given, of what its ReLU gives, and of what it adds.
    """

    steps: Tensor

    def __init__(self, blocks: nn.Sequential) -> None:
        super().__init__(*blocks)
        self.register_buffer("steps", torch.ones(len(blocks), 3))

    def forward(self, x: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            plain: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return plain  # `to_qdq` does the rest
        for (conv1, conv2), steps in zip(convolutions(self), self.steps.tolist(), strict=True):
            given, middle, change = steps
            hidden = _rounded(_convolved(conv1, _rounded(x, given, SIGNED)).relu(), middle, 0)
            x = x + _rounded(_convolved(conv2, hidden), change, SIGNED)
        return x


def convolutions(blocks: nn.Sequential) -> list[tuple[nn.Conv2d, nn.Conv2d]]:
    """The two of each block."""
    return [(block.conv1, block.conv2) for block in blocks]  # type: ignore[misc]


def _rounded(x: Tensor, step: float, zero: int) -> Tensor:
    return torch.fake_quantize_per_tensor_affine(x, step, zero, 0, _TOP)


def _convolved(conv: nn.Conv2d, x: Tensor) -> Tensor:
    steps = weight_steps(conv.weight)
    zeros = torch.zeros_like(steps, dtype=torch.int32)
    weight = torch.fake_quantize_per_channel_affine(
        conv.weight, steps, zeros, 0, -WEIGHT_LIMIT, WEIGHT_LIMIT
    )
    return nn.functional.conv2d(x, weight, conv.bias, padding=1)


def weight_steps(weight: Tensor) -> Tensor:
    """Of each output channel; not so small that biases, in steps, would not fit in 32 bits."""
    return weight.detach().abs().amax((1, 2, 3)).clamp_min(1e-4) / WEIGHT_LIMIT


def quantise(rec: nn.Module, calibrate: Callable[[], object]) -> None:
    """Replace the blocks of a network's body by `Blocks`, with steps that fit.

    Args:
        rec: has a `networks.Body` as ``body``.
        calibrate: runs ``rec`` on pictures, from whose activations the steps follow.
    """
    body = rec.body
    assert isinstance(body, networks.Body)
    caught: list[Tensor] = []
    hook = body.blocks.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    with torch.no_grad():
        calibrate()
        hook.remove()
        x = torch.cat(caught)
        x = x / _equalise(body, _activations(body.blocks, x)).view(-1, 1, 1)
        made = Blocks(body.blocks)
        zeros = SIGNED, 0, SIGNED
        steps = [list(map(_step, block, zeros)) for block in _activations(body.blocks, x)]
        made.steps.copy_(torch.tensor(steps))
    body.blocks = made


def _activations(blocks: nn.Sequential, x: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """In float, of each block: what it is given, what its ReLU gives, and what it adds."""
    found = []
    for conv1, conv2 in convolutions(blocks):
        middle = conv1(x).relu()
        change = conv2(middle)
        found.append((x, middle, change))
        x = x + change
    return found


def _equalise(body: networks.Body, activations: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """Scale channels so that one step suits all of them, without changing what the network gives.

    Returns:
        by what the channels of the stream were divided.
    """
    scale = _scale([part for given, _, change in activations for part in (given, change)])
    _divide_outputs(body.head, scale)
    _multiply_inputs(body.tail, scale)
    for (conv1, conv2), (_, values, _) in zip(convolutions(body.blocks), activations, strict=True):
        middle = _scale([values])
        _multiply_inputs(conv1, scale)
        _divide_outputs(conv1, middle)
        _multiply_inputs(conv2, middle)
        _divide_outputs(conv2, scale)
    return scale


def _scale(tensors: list[Tensor]) -> Tensor:
    """How large the channels of tensors (N, C, H, W) get, relative to each other."""
    peaks = []
    for values in tensors:
        channels = values.transpose(0, 1).flatten(1).abs()
        peaks.append(_thinned(channels, _SAMPLES >> 4).quantile(_PEAK, 1))
    peak = torch.stack(peaks).amax(0)
    peak = peak.clamp_min(_LEAST * float(peak.median()) + 1e-6)
    scale: Tensor = (peak / peak.median()) ** _EQUALISING
    return scale


def _thinned(values: Tensor, count: int) -> Tensor:
    """About so many, evenly along the last axis."""
    return values[..., :: max(1, values.shape[-1] // count)]


def _divide_outputs(conv: nn.Conv2d, scale: Tensor) -> None:
    assert conv.bias is not None
    conv.weight /= scale.view(-1, 1, 1, 1)
    conv.bias /= scale


def _multiply_inputs(conv: nn.Conv2d, scale: Tensor) -> None:
    conv.weight *= scale.view(-1, 1, 1)


def _step(tensor: Tensor, zero: int) -> float:
    """Of the least squared error: small steps clip, large ones round coarsely."""
    values = _thinned(tensor.flatten(), _SAMPLES)
    largest = max(float(values.max()) / (_TOP - zero), float(-values.min()) / max(zero, 1))
    steps = [largest * part / 20 for part in range(5, 21)]

    def loss(step: float) -> float:
        return float((_rounded(values, step, zero) - values).square().mean())

    return min(steps, key=loss)


def to_qdq(model: onnx.ModelProto, module: nn.Module) -> None:
    """Make a network's float graph the QDQ graph of its `Blocks`, where it has them.

    Args:
        model: exported from ``module``; changed in place.
    """
    for name, blocks in module.named_modules():
        if isinstance(blocks, Blocks):
            _in_integers(model.graph, name, blocks)


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
    rows = made.node("Transpose", [first], f"{name}.rows", perm=_ROWS)
    shape = made.node("Shape", [rows], f"{name}.shape")
    width = convolutions(blocks)[0][0].in_channels
    flat = made.constant(f"{name}.flat", np.array([-1, width]))
    stream = made.node("Reshape", [rows, flat], f"{name}.stream")
    every = blocks.steps.cpu().numpy()
    for place, ((conv1, conv2), steps) in enumerate(zip(convolutions(blocks), every, strict=True)):
        here = f"{name}.{place}"
        given = made.scale(f"{here}.given", steps[0], SIGNED)
        middle = made.scale(f"{here}.middle", steps[1], 0)
        change = made.scale(f"{here}.change", steps[2], SIGNED)
        whole = made.node("QuantizeLinear", [stream, *given], f"{here}.whole")
        whole = made.node("Reshape", [whole, shape], f"{here}.apart")
        whole = made.node("Transpose", [whole], f"{here}.planes", perm=_PLANES)
        x = made.node("DequantizeLinear", [whole, *given], f"{here}.x")
        parameters = made.parameters(f"{here}.conv1", conv1, steps[0])
        found = made.node("Conv", [x, *parameters], f"{here}.found", **_CONV)
        hidden = made.node("Relu", [found], f"{here}.positive")
        hidden = made.node("QuantizeLinear", [hidden, *middle], f"{here}.hidden")
        hidden = made.node("DequantizeLinear", [hidden, *middle], f"{here}.h")
        parameters = made.parameters(f"{here}.conv2", conv2, steps[1])
        found = made.node("Conv", [hidden, *parameters], f"{here}.more", **_CONV)
        whole = made.node("QuantizeLinear", [found, *change], f"{here}.changed")
        whole = made.node("Transpose", [whole], f"{here}.rows", perm=_ROWS)
        whole = made.node("Reshape", [whole, flat], f"{here}.flat")
        added = made.node("DequantizeLinear", [whole, *change], f"{here}.added")
        stream = made.node("Add", [stream, added], f"{here}.stream")
    rows = made.node("Reshape", [stream, shape], f"{name}.result")
    made.node("Transpose", [rows], last, perm=_PLANES)


class _Nodes:
    """Nodes and constants of a graph, in order."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, values: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(values, name))
        return name

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
        return self.node("DequantizeLinear", names, name, axis=0)


def replace(old: Any, new: Iterable[Any]) -> None:
    """Give a repeated field of a protocol buffer other contents."""
    new = list(new)
    del old[:]
    old.extend(new)


def parameters(graph: onnx.GraphProto) -> dict[str, NDArray[np.float32]]:
    """The weights and biases that a QDQ graph stores as integers, by their PyTorch names."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = {}
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

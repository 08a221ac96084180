"""The hyper-decoder h_s in integers: trained quantised, exported to integer operators.

Entropy decoding needs h_s's output bit for bit on every machine, which sums of floats do not
give. Weights are int8, activations 0..127 in uint8, sums int32, and scales powers of two:

    a = min(max(conv(x, w) + b, 0) >> s, top)        w, b, s by output channel

Activations stay below 128 because x86 processors without VNNI add pairs of uint8 x int8
products in 16 bits with saturation. 2 * 127 * 127 fits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from comrec.entropy.contexts import INDICES
from comrec.entropy.levels import TOP

MEAN_LIMIT = 256
"""In steps: means are -64..64."""

_FRACTION = 4  # bits behind the point of the activations between layers
_OUT_FRACTION = 2  # of the last layer: means in quarters
_FINEST = 12  # bits behind the point of weights, so that biases fit in int32
_OPSET = 17


class _Bound(torch.autograd.Function):
    """Clip, with the gradient of what is outside kept where it leads back inside."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, *args: Any) -> Tensor:
        x, low, high = args
        ctx.save_for_backward(x)
        ctx.bounds = low, high  # type: ignore[attr-defined]
        clipped: Tensor = x.clamp(low, high)
        return clipped

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, gradient: Tensor
    ) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        low, high = ctx.bounds  # type: ignore[attr-defined]
        kept = ((x >= low) | (gradient < 0)) & ((x <= high) | (gradient > 0))
        return gradient * kept, None, None


def bound(x: Tensor, low: float, high: float) -> Tensor:
    """x clipped to low..high; its gradient outside only pulls back."""
    return _Bound.apply(x, low, high)  # type: ignore[no-any-return, no-untyped-call]


def rounded(x: Tensor) -> Tensor:
    """Nearest integers, with the gradient of x."""
    return x + (torch.floor(x + 0.5) - x).detach()


def sided(values: Tensor) -> Tensor:
    """(N, M, h, w) to (N, M, 2, h, w): the levels of `entropy.levels`."""
    size = torch.round(8 * torch.log2(1 + values.abs())).clamp_max(TOP)
    return torch.stack([size * (values > 0), size * (values < 0)], 2)


class IntegerConv(nn.Conv2d):
    """A convolution of integers to integers, in floats.

    Sums are exact in float64, and up to 2 ** 24 in float32, which training rarely exceeds.

    Args:
        fraction_in, fraction_out: bits behind the point of input and output.
        size, stride, padding, groups: as of `nn.Conv2d`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        fraction_in: int,
        fraction_out: int,
        size: int = 3,
        stride: int = 1,
        padding: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__(inputs, outputs, size, stride, padding, groups=groups)
        self.fraction_in = fraction_in
        self.fraction_out = fraction_out
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def quantised(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights -127..127, biases and shifts, by output channel; with gradients."""
        assert self.bias is not None
        peak = self.weight.detach().abs().amax((1, 2, 3)).clamp_min(1e-9)
        least = max(0, self.fraction_out - self.fraction_in)
        bits = torch.floor(torch.log2(TOP / peak)).clamp(least, _FINEST)
        weight = bound(rounded(self.weight * torch.exp2(bits).view(-1, 1, 1, 1)), -TOP, TOP)
        bias = rounded(self.bias * torch.exp2(bits + self.fraction_in))
        return weight, bias, bits + self.fraction_in - self.fraction_out

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) of integers to (N, outputs, h, w) of integers, not clipped."""
        weight, bias, shift = self.quantised()
        sums = F.conv2d(x, weight, bias, self.stride, self.padding, groups=self.groups)
        return rounded(sums * torch.exp2(-shift).view(1, -1, 1, 1))


class HyperDecoder(nn.Module):
    """h_s: hyper-latents to a table index and a mean for each latent.

        z+, z- ─ conv 3x3, shuffle ─ conv 3x3, shuffle ─ conv 3x3 ─ index, mean

    (N, C, h, w) of integers -63..63 to two (N, M, 4h, 4w) of integers: index 0..63, mean
    -256..256 in quarters. z goes in as its positive and its negative part, so that every
    activation is unsigned and zero padding needs no offset.
    """

    def __init__(self, hyper: int, latents: int) -> None:
        super().__init__()
        self.conv1 = IntegerConv(2 * hyper, 4 * hyper, 0, _FRACTION)
        self.conv2 = IntegerConv(hyper, 4 * hyper, _FRACTION, _FRACTION)
        self.conv3 = IntegerConv(hyper, 2 * latents, _FRACTION, _OUT_FRACTION)
        assert self.conv3.bias is not None
        with torch.no_grad():
            self.conv3.weight *= 0.3
            self.conv3.bias[:latents] = INDICES / 3 / 2**_OUT_FRACTION  # a scale near 1

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.cat([F.relu(z), F.relu(-z)], 1)
        x = F.pixel_shuffle(self.conv1(x).clamp(0, TOP), 2)
        x = F.pixel_shuffle(self.conv2(x).clamp(0, TOP), 2)
        index, mean = self.conv3(x).chunk(2, 1)
        return bound(index, 0, INDICES - 1), bound(mean, -MEAN_LIMIT, MEAN_LIMIT)


def to_onnx(h_s: HyperDecoder, metadata: Mapping[str, str]) -> bytes:
    """h_s as an ONNX model of integer operators.

    Input "z", int32 (1, C, h, w); outputs "index" and "mean", int32 (1, M, 4h, 4w).
    """
    graph = Graph()
    graph.constant("zero", np.int32(0))
    graph.constant("top", np.int32(TOP))
    x = graph.node("Max", "z", "zero")
    x = graph.node("Concat", x, graph.node("Max", graph.node("Neg", "z"), "zero"), axis=1)
    for name in ("conv1", "conv2"):
        x = graph.node("Cast", x, to=TensorProto.UINT8)
        x = graph.layer(name, [getattr(h_s, name)], x, offset=0)
        x = graph.node("Cast", graph.node("Min", x, "top"), to=TensorProto.FLOAT)
        # In float, which every runtime shuffles; 0..127 survive.
        x = graph.node("DepthToSpace", x, blocksize=2, mode="CRD")
    x = graph.node("Cast", x, to=TensorProto.UINT8)
    x = graph.layer("conv3", [h_s.conv3], x, offset=MEAN_LIMIT)
    latents = h_s.conv3.out_channels // 2
    graph.constant("halves", np.array([latents, latents], np.int64))
    graph.constant("limit", np.int32(MEAN_LIMIT))
    graph.constant("bottom", np.int32(-MEAN_LIMIT))
    graph.constant("last", np.int32(INDICES - 1))
    x = graph.node("Sub", x, "limit")
    graph.add("Split", [x, "halves"], ["left", "right"], axis=1)
    graph.add("Min", [graph.node("Max", "left", "zero"), "last"], ["index"])
    graph.add("Min", [graph.node("Max", "right", "bottom"), "limit"], ["mean"])
    wide = TensorProto.INT32, (1, latents, "rows", "columns")
    z = TensorProto.INT32, (1, h_s.conv1.in_channels // 2, "height", "width")
    return graph.model("h_s", {"z": z}, {"index": wide, "mean": wide}, metadata)


def from_onnx(data: bytes) -> HyperDecoder:
    """The module, in float64, of which `to_onnx` makes such a model."""
    values = {
        tensor.name: numpy_helper.to_array(tensor).astype(np.float64)
        for tensor in onnx.load_from_string(data).graph.initializer
    }
    hyper = values["conv1.weight"].shape[1] // 2
    h_s = HyperDecoder(hyper, len(values["conv3.weight"]) // 2).double()
    for name in ("conv1", "conv2", "conv3"):
        conv: IntegerConv = getattr(h_s, name)
        divisor = values[f"{name}.divisor"].ravel()
        offset = MEAN_LIMIT if name == "conv3" else 0
        bias = values[f"{name}.bias"].ravel() - np.floor(divisor / 2) - offset * divisor
        finest = divisor * 2.0 ** (conv.fraction_out - conv.fraction_in)  # units of a weight in 1
        assert conv.bias is not None
        with torch.no_grad():
            weight = values[f"{name}.weight"] / finest[:, None, None, None]
            conv.weight.copy_(torch.from_numpy(weight))
            conv.bias.copy_(torch.from_numpy(bias / (finest * 2.0**conv.fraction_in)))
    return h_s


@dataclass(frozen=True)
class Choice:
    """Names of the values that say which of several layers is meant, and which of its channels.

    Attributes:
        number: which layer.
        inputs, outputs: which channels; all where there is no name.
    """

    number: str
    inputs: str = ""
    outputs: str = ""


class Graph:
    """An ONNX graph of integer layers, node by node."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}{len(self.nodes)}"
        self.add(kind, list(inputs), [name], **attributes)
        return name

    def layer(
        self,
        name: str,
        convs: Sequence[IntegerConv],
        x: str,
        offset: int,
        choice: Choice | None = None,
        *,
        exact: bool = False,
    ) -> str:
        """floor((conv + b + half) / 2^s) + offset, at least 0; Div is exact for such.

        Args:
            name: of the constants.
            convs: one, or several of the same shape.
            x: uint8.
            offset: so large that what is added to it is not below 0.
            choice: which of several, and which channels of it.
            exact: in float32, for sums that are below 2 ** 24.
        """
        parameters = [_parameters(conv, offset) for conv in convs]
        found = {}
        for part, values in zip(
            ("weight", "bias", "divisor"), zip(*parameters, strict=True), strict=True
        ):
            if choice is None:
                found[part] = self.constant(f"{name}.{part}", values[0])
                continue
            stacked = self.constant(f"{name}.{part}", np.stack(values))
            chosen = self.node("Gather", stacked, choice.number)
            if choice.outputs:
                axis = 0 if part == "weight" else 1
                chosen = self.node("Gather", chosen, choice.outputs, axis=axis)
            if choice.inputs and part == "weight":
                chosen = self.node("Gather", chosen, choice.inputs, axis=1)
            found[part] = chosen
        kind, weight = "ConvInteger", found["weight"]
        if exact:
            kind = "Conv"
            x, weight = (self.node("Cast", given, to=TensorProto.FLOAT) for given in (x, weight))
        pad, stride = convs[0].padding[0], convs[0].stride[0]
        x = self.node(
            kind, x, weight, pads=[int(pad)] * 4, strides=[stride] * 2, group=convs[0].groups
        )
        if exact:
            x = self.node("Cast", x, to=TensorProto.INT32)
        x = self.node("Max", self.node("Add", x, found["bias"]), "zero")
        return self.node("Div", x, found["divisor"])

    def model(
        self,
        name: str,
        inputs: Mapping[str, tuple[int, tuple[str | int, ...]]],
        outputs: Mapping[str, tuple[int, tuple[str | int, ...]]],
        metadata: Mapping[str, str],
    ) -> bytes:
        """
        Args:
            inputs, outputs: ONNX type and shape by name.
        """
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(key, *value) for key, value in inputs.items()],
            [helper.make_tensor_value_info(key, *value) for key, value in outputs.items()],
            self.constants,
        )
        # Of the first runtime supported (onnxruntime 1.20 reads up to 10), not of the newest.
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8
        )
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model)
        data: bytes = model.SerializeToString()
        return data


def _parameters(
    conv: IntegerConv, offset: int
) -> tuple[NDArray[np.int8], NDArray[np.int32], NDArray[np.int32]]:
    """Weights, biases with what rounds and the offset, and divisors."""
    with torch.no_grad():
        weight, bias, shift = (t.double().cpu().numpy() for t in conv.quantised())
    divisor = np.exp2(shift)
    bias = bias + np.floor(divisor / 2) + offset * divisor
    shape = (1, -1, 1, 1)
    return (
        weight.astype(np.int8),
        bias.astype(np.int32).reshape(shape),
        divisor.astype(np.int32).reshape(shape),
    )

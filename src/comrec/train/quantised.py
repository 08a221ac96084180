"""A RecCNN of ours in 8 bits, trained as it will run (`qdq` makes it a graph).

The convolutions in the blocks of its `networks.Body` run in integers; head, tail and the sums of
blocks in float. Weights are int8 with a step for each output channel. What convolutions are given
and give is uint8 with one step for each tensor, and zero point 0 after ReLU, 128 elsewhere. (Sums
in 8 bits would be rounded in each block, as coarsely as their largest values need.)

Weights are kept to 7 bits, -64..64. x86 processors without VNNI add pairs of uint8 x int8 products
in 16 bits with saturation, and 2 * 255 * 64 fits. So every kernel gives the same integers, and sums
of two have no order; only head and tail can differ by the order of their sums.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from comrec.train import networks

WEIGHT_LIMIT = 64
SIGNED = 128
"""Zero point of the activations that have a sign."""

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
            return plain  # `qdq` does the rest
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

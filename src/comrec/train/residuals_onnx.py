"""The published networks of `toderici2017` to ONNX: one iteration, with explicit states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from comrec.inference.store import Network
from comrec.train import export
from comrec.train.recipe import Recipe
from comrec.train.residuals import BITS, Decoder, Encoder

_SIDE = 64  # of the picture that is traced


class _Coder(nn.Module):
    """Encoder and binariser."""

    def __init__(self, encoder: nn.Module, binariser: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.binariser = binariser

    def forward(self, left: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        features, after = self.encoder(left, state)
        return self.binariser(features), *after


class _Shower(nn.Module):
    """A decoder whose state is several inputs."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, bits: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        out, after = self.decoder(bits, state)
        return out, *after


def encoder_to_onnx(parts: nn.ModuleDict) -> bytes:
    """As `export.step_to_onnx` has it; the state begins as zeros.

    Input "left" (1, 3, H, W), what is left of the picture in -1..1, times the gain; output
    "result", the bits (1, 32, H/16, W/16).
    """
    encoder = parts["encoder"]
    assert isinstance(encoder, Encoder)
    left = torch.zeros(1, 3, _SIDE, _SIDE)
    return export.step_to_onnx(
        _Coder(encoder, parts["binariser"]), {"left": left}, encoder.start(left)
    )


def decoder_to_onnx(parts: nn.ModuleDict) -> bytes:
    """As `encoder_to_onnx`; input "bits" (1, 32, h, w), output "result" (1, 3, 16h, 16w) in
    -.5..+.5.
    """
    decoder = parts["decoder"]
    assert isinstance(decoder, Decoder)
    bits = torch.zeros(1, BITS, _SIDE // 16, _SIDE // 16)
    return export.step_to_onnx(_Shower(decoder), {"bits": bits}, decoder.start(bits))


def write(
    folder: Path, recipe: Recipe, parts: nn.ModuleDict, training: dict[str, Any]
) -> list[Network]:
    """Export into a folder with a manifest: "encoder", with the binariser, "decoder" and, where
    there is one, "gain", from "picture" to "result".
    """
    files = {
        "encoder": (3, encoder_to_onnx(parts)),
        "decoder": (BITS, decoder_to_onnx(parts)),
    }
    if "gain" in parts:
        files["gain"] = (3, export.to_onnx(parts["gain"], False, 3))
    return [
        export.enter_learned(folder, recipe, training, role, channels, data)
        for role, (channels, data) in files.items()
    ]

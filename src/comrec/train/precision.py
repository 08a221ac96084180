"""Where training computes in bfloat16."""

from __future__ import annotations

import torch


def autocast(device: str) -> torch.autocast:
    """A context of mixed precision: bfloat16 where the device has it, else all in float32."""
    enabled = device != "cpu" or cpu_has_bfloat16()
    return torch.autocast(device, torch.bfloat16, enabled=enabled)


def cpu_has_bfloat16() -> bool:
    """Whether this CPU has bfloat16 instructions.

    PyTorch emulates bfloat16 on the others, ten times slower than float32.
    """
    mkldnn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return mkldnn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())

"""A differentiable JPEG: what libjpeg's decoder gives back, and what the file costs.

    RGB ─ YCbCr ─ 4:2:0 ─ DCT ─ round (straight-through) ─ DCT⁻¹ ─ fancy upsampling ─ RGB

Matches Pillow's decoded pixels to within one grey level on average at equal tables. The rate is
Sum log2(1 + |c/q|), scaled to real file sizes (Guleryuz et al., "Sandwiched image compression",
ICIP 2021, section 3, after He and Mitra's rho-domain model).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from comrec.blocks import DCT, RGB_TO_YCC, ZIGZAG


def straight_through(forward: Tensor, backward: Tensor) -> Tensor:
    """The value of one tensor with the gradient of another."""
    return backward + (forward - backward).detach()


def _round(x: Tensor) -> Tensor:
    return straight_through(torch.round(x), x)


def _clip(x: Tensor) -> Tensor:
    return straight_through(x.clamp(0, 255), x)


def _blocks(plane: Tensor) -> Tensor:
    """(N, 8m, 8n) to (N, m, n, 8, 8)."""
    n, height, width = plane.shape
    return plane.view(n, height // 8, 8, width // 8, 8).permute(0, 1, 3, 2, 4)


def _plane(blocks: Tensor) -> Tensor:
    n, rows, columns = blocks.shape[:3]
    return blocks.permute(0, 1, 3, 2, 4).reshape(n, rows * 8, columns * 8)


def raster(tables: list[NDArray[np.float32]]) -> Tensor:
    """Two zigzag tables, luma and chroma, as a (2, 8, 8) tensor."""
    out = np.empty((2, 64), np.float32)
    for row, table in zip(out, tables, strict=True):
        row[ZIGZAG] = table
    return torch.from_numpy(out).view(2, 8, 8)


def jpeg(picture: Tensor, tables: Tensor) -> tuple[Tensor, Tensor]:
    """Code and decode a batch.

    Args:
        picture: (N, 3, H, W) RGB in 0..1, H and W multiples of 16.
        tables: (2, 8, 8) or (N, 2, 8, 8) luma and chroma steps.
    Returns:
        decoded (N, 3, H, W) in 0..1, and (N,) Sum log2(1 + |c/q|) over all coefficients.
    """
    tables = tables.expand(len(picture), 2, 8, 8)
    dct = torch.from_numpy(DCT).to(picture)
    to_ycc = torch.from_numpy(RGB_TO_YCC).to(picture)
    rgb = _round(_clip(picture * 255))
    ycc = _round(torch.einsum("kc,nchw->nkhw", to_ycc, rgb))
    planes = [ycc[:, 0] - 128, *_round(F.avg_pool2d(ycc[:, 1:], 2)).unbind(1)]
    rate = picture.new_zeros(len(picture))
    decoded = []
    for index, plane in enumerate(planes):
        steps = tables[:, min(index, 1), None, None]
        levels = dct @ _blocks(plane) @ dct.T / steps
        rate = rate + torch.log2(1 + levels.abs()).flatten(1).sum(1)
        decoded.append(_plane(dct.T @ (_round(levels) * steps) @ dct))
    luma = _round(_clip(decoded[0] + 128)) - 128
    chroma = _round(_clip(torch.stack(decoded[1:], 1) + 128)) - 128
    # libjpeg's fancy upsampling is the triangle filter.
    chroma = _round(F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False))
    from_ycc = torch.linalg.inv(to_ycc)
    out = torch.einsum("ck,nkhw->nchw", from_ycc, torch.cat([luma[:, None], chroma], 1)) + 128
    return _round(_clip(out)) / 255, rate


def fit_rate(proxy: Tensor, real_bits: Tensor) -> float:
    """The scale w for which w * proxy is nearest to real file sizes, in least squares."""
    proxy = proxy.detach()
    return float((proxy * real_bits).sum() / (proxy * proxy).sum().clamp_min(1e-9))


def outside(picture: Tensor) -> Tensor:
    """Penalty for compact pixels outside 0..1, in grey levels: mean over the batch."""
    return (F.relu(-picture) + F.relu(picture - 1)).mean() * 255

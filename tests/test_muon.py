"""The optimiser Muon."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from comrec.train.muon import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(8, 72), (72, 8), (12, 16), (1, 9)])
def test_steps_are_made_orthogonal(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    matrix *= torch.logspace(0, -1, shape[0])[:, None]  # directions of very different size
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalised(matrix)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.5
    assert values.max() < 1.3
    assert torch.nn.functional.cosine_similarity(found.flatten(), (u @ v).flatten(), dim=0) > 0.95


def test_no_direction_is_left_behind() -> None:
    """A convolution whose inputs have very different sizes is learned, weak inputs and all."""
    torch.manual_seed(0)
    wanted, learned = (nn.Conv2d(8, 8, 3, bias=False) for _ in range(2))
    sizes = torch.logspace(0, -1.5, 8).view(1, -1, 1, 1)
    optimiser = Muon([{"params": list(learned.parameters())}], 3e-2, weight_decay=0)
    for step in range(300):
        optimiser.param_groups[0]["lr"] = 3e-2 * (1 - step / 300)
        x = torch.randn(16, 8, 6, 6) * sizes
        loss = (learned(x) - wanted(x)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    missing = (learned.weight - wanted.weight).detach().square().mean((0, 2, 3))
    assert (missing < 0.02 * wanted.weight.detach().square().mean()).all()


def test_the_step_is_as_long_as_stated() -> None:
    """Root mean square 0.2 learning rates, whatever the gradient's size; decay beside it."""
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(32, 16, 3, 3))
    weight.grad = 1e-6 * torch.randn_like(weight)
    Muon([{"params": [weight]}], 0.1, weight_decay=0).step()
    size = float(weight.detach().square().mean().sqrt())
    assert size == pytest.approx(0.2 * 0.1, rel=0.25)
    weight.grad.zero_()
    before = weight.detach().clone()
    Muon([{"params": [weight]}], 0.1, weight_decay=0.5).step()
    assert torch.allclose(weight, 0.95 * before)

"""The optimiser SOAP."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from comrec.train.soap import Soap


def learn(weight: nn.Parameter, optimiser: torch.optim.Optimizer, steps: int, mix: Tensor) -> float:
    """Learn a linear map from random inputs; how much of it is missing, 0..1.

    Args:
        mix: (n, n), of white noise to the inputs.
    """
    random = torch.Generator().manual_seed(1)
    wanted = torch.randn(weight.flatten(1).shape, generator=random)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 - step / steps)
        x = mix @ torch.randn(len(mix), 64, generator=random)
        loss = ((weight.flatten(1) - wanted) @ x).square().mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    missing = (weight.detach().flatten(1) - wanted).square().mean() / wanted.square().mean()
    return float(missing)


def mixing(size: int) -> Tensor:
    """Noise of sizes from 1 to 1/30, in directions along no axis."""
    basis = torch.linalg.qr(torch.randn(size, size)).Q
    mix: Tensor = basis @ torch.diag(torch.logspace(0, -1.5, size))
    return mix


def test_weak_directions_are_learned_wherever_they_lie() -> None:
    """Adam finds them along the axes only."""
    torch.manual_seed(0)
    mix = mixing(36)
    ours, theirs = (nn.Parameter(torch.zeros(8, 4, 3, 3)) for _ in range(2))
    missing = learn(ours, Soap([{"params": [ours]}], 0.1), 400, mix)
    assert missing < 0.02
    assert missing < 0.1 * learn(theirs, torch.optim.Adam([{"params": [theirs]}], 0.1), 400, mix)


def test_a_side_that_is_too_long_keeps_its_axes() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(2, 1600, 1, 1))
    optimiser = Soap([{"params": [weight]}], 0.1)
    assert learn(weight, optimiser, 200, torch.eye(1600)) < 0.2
    kept = [v for state in optimiser.state.values() for v in state.values()]
    assert max(v.numel() for v in kept if isinstance(v, Tensor)) == weight.numel()


def test_what_is_saved_goes_on_as_it_would_have() -> None:
    torch.manual_seed(0)
    mix = mixing(18)
    weight = nn.Parameter(torch.zeros(8, 2, 3, 3))
    optimiser = Soap([{"params": [weight]}], 0.1)
    learn(weight, optimiser, 25, mix)
    again = nn.Parameter(weight.detach().clone())
    other = Soap([{"params": [again]}], 0.1)
    other.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    assert learn(weight, optimiser, 25, mix) == learn(again, other, 25, mix)
    assert torch.equal(weight, again)

"""The SOAP optimiser, for convolutions.

Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024, algorithm 3: Adam in the
eigenbasis of Shampoo's preconditioner, which is brought up to date now and then by a step of power
iteration and a QR decomposition (algorithm 4).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from comrec.train.matrices import ByMatrix

_SIDES = ("outputs", "inputs")
_LARGEST = 1536
"""Of a side that has directions of its own (as in the paper's section 6.1): QR takes its cube."""


class Soap(ByMatrix):
    """Adam along the directions that a layer's gradients have, for its outputs and its inputs.

    Args:
        parameters: weights of (outputs, inputs, ...), which count as matrices of the outputs and
            all the rest.
        betas: decay of the running means of gradients, and of their squares and covariances.
        every: steps between updates of the directions.
    """

    def __init__(
        self,
        parameters: Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.95, 0.95),
        every: int = 10,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "every": every})

    def move(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, matrix = self.state[weight], gradient.flatten(1)
        if not state:  # the first gradient only gives the directions
            state.update(_begun(matrix))
            return
        step = _step(state, matrix, group["betas"], group["every"])
        weight.add_(step.view(weight.shape), alpha=-group["lr"])


def _begun(gradient: Tensor) -> dict[str, Any]:
    state: dict[str, Any] = {"steps": 0}
    state["mean"], state["squares"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
    for side, covariance in _covariances(gradient).items():
        state[side] = covariance
        state[f"{side}_basis"] = torch.linalg.eigh(covariance).eigenvectors.flip(1).contiguous()
    return state


def _step(
    state: dict[str, Any], gradient: Tensor, betas: tuple[float, float], every: int
) -> Tensor:
    """In learning rates; the state's means are moved on."""
    slow, slower = betas
    state["steps"] += 1
    state["mean"].lerp_(gradient, 1 - slow)
    state["squares"].lerp_(_turned(state, gradient).square(), 1 - slower)
    unbiased = math.sqrt(1 - slower ** state["steps"]) / (1 - slow ** state["steps"])
    step = _turned(state, state["mean"]) / (state["squares"].sqrt() + 1e-8) * unbiased
    step = _turned(state, step, back=True)
    for side, covariance in _covariances(gradient).items():
        state[side].lerp_(covariance, 1 - slower)
        if state["steps"] % every == 0:
            _update_basis(state, side)
    return step


def _covariances(gradient: Tensor) -> dict[str, Tensor]:
    """Of each side that is not too long."""
    matrices = dict(zip(_SIDES, (gradient, gradient.T), strict=True))
    return {side: m @ m.T for side, m in matrices.items() if len(m) <= _LARGEST}


def _turned(state: dict[str, Any], matrix: Tensor, *, back: bool = False) -> Tensor:
    """A matrix in the bases of both sides, or back from there."""
    outputs, inputs = (state.get(f"{side}_basis") for side in _SIDES)
    if outputs is not None:
        matrix = (outputs if back else outputs.T) @ matrix
    if inputs is not None:
        matrix = matrix @ (inputs.T if back else inputs)
    return matrix


def _update_basis(state: dict[str, Any], side: str) -> None:
    """One power iteration. The largest eigenvalues come first, and squares move with them."""
    basis = state[f"{side}_basis"]
    ahead = state[side] @ basis
    order = (basis * ahead).sum(0).argsort(descending=True)
    state["squares"] = state["squares"].index_select(_SIDES.index(side), order)
    state[f"{side}_basis"] = torch.linalg.qr(ahead[:, order]).Q

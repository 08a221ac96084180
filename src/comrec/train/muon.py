"""The Muon optimiser, for convolutions.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; scaled as in Liu
et al., "Muon is Scalable for LLM Training", 2025. (PyTorch's own takes matrices only.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from comrec.train.matrices import ByMatrix

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_LIKE_ADAM = 0.2  # the root mean square of Adam's updates, in learning rates


class Muon(ByMatrix):
    """Momentum whose steps are made orthogonal: all directions of a layer learn equally fast.

    Args:
        parameters: weights of (outputs, inputs, ...).
        momentum: decay of the running mean of gradients, as Nesterov's.
        weight_decay: what each step takes away of the weights, in learning rates.
    """

    def __init__(
        self,
        parameters: Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.03,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "decay": weight_decay})

    def move(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        mean = self.state[weight].setdefault("mean", torch.zeros_like(weight))
        mean.lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(mean, group["momentum"])
        step = orthogonalised(ahead.flatten(1))
        size = group["lr"] * _LIKE_ADAM * math.sqrt(max(step.shape))
        weight.mul_(1 - group["lr"] * group["decay"])
        weight.add_(step.view(weight.shape), alpha=-size)


def orthogonalised(matrix: Tensor) -> Tensor:
    """The nearest matrix whose singular values are all 1, roughly, by Newton-Schulz iteration.

    Each step multiplies by a polynomial of x x'. These commute, so they are gathered as one small
    square matrix, and the large one is multiplied once.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    a, b, c = _NEWTON_SCHULZ
    gram = x @ x.T
    identity = torch.eye(len(gram), device=x.device)
    factor = identity
    for _ in range(_ITERATIONS):
        step = torch.addmm(a * identity + b * gram, gram, gram, alpha=c)
        factor = step @ factor
        gram = step @ gram @ step
    x = factor @ x
    found: Tensor = x.T if tall else x
    return found

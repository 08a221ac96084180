"""What Muon and SOAP have in common: they move whole matrices, the weights of a layer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class ByMatrix(torch.optim.Optimizer):
    """Moves each weight of (outputs, inputs, ...) that has a gradient."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self.move(weight, weight.grad, group)

    @abstractmethod
    def move(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Change a weight in place.

        Args:
            group: the settings of its group of parameters.
        """

"""The training loop: optimiser, schedule, moving average, checkpoints, exact resume."""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from comrec.errors import DamagedFileError, OptionError
from comrec.signals import held
from comrec.train import parallel
from comrec.train.muon import Muon
from comrec.train.recipe import Optimiser
from comrec.train.soap import Soap

Step = Callable[[np.random.Generator, int], Tensor]
"""Draws a batch and returns its loss."""


@dataclass(frozen=True)
class Schedule:
    """A linear warm-up and a cosine to zero, for Adam, or for another with Adam beside it.

    Attributes:
        steps: optimiser steps in all.
        rate: the highest learning rate.
        warmup: steps of linear warm-up.
        average: decay of the exponential moving average of the weights (0: none).
        clip: largest gradient norm, in multiples of its running mean: a rare batch with a
            gradient thirty times the usual undoes thousands of steps.
        weight_decay: L2 penalty, as Adam's.
        optimiser: of the weights of convolutions; the rest learns by Adam, at `BESIDE` of the rate.
    """

    steps: int
    rate: float
    warmup: int = 200
    average: float = 0.999
    clip: float = 3.0
    weight_decay: float = 0.0
    optimiser: Optimiser = "adam"

    def at(self, step: int) -> float:
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        along = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.rate * 0.5 * (1 + math.cos(math.pi * min(1.0, along)))


_OTHERS = {"muon": Muon, "soap": Soap}
BESIDE = {"adam": 1.0, "muon": 0.25, "soap": 0.5}
"""Adam's learning rate relative to that of the optimiser of convolutions."""


class Trainer:
    """Runs one schedule over one module; can be stopped at any time and resumed exactly.

    Args:
        module: what is trained. After `run`, it holds the averaged weights.
        folder: checkpoint (`checkpoint.pt`) and validation curve (`curve.csv`) go here.
        device: "cpu" or "cuda".
        factors: learning rates of some children of the module, relative to the schedule's.
    """

    def __init__(
        self,
        module: nn.Module,
        schedule: Schedule,
        folder: Path,
        device: str,
        factors: Mapping[str, float] | None = None,
    ) -> None:
        self.module = module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.schedule = schedule
        self.folder = folder
        self.device = device
        self.optimisers = _optimisers(module, schedule, factors or {})
        self.average = {k: v.detach().clone() for k, v in module.state_dict().items()}
        self.step = 0
        self.seconds = 0.0
        self.norm = 0.0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def save(self) -> None:
        """Write the checkpoint, if this process is the first."""
        if parallel.rank():
            return
        state = {
            "module": self.module.state_dict(),
            "average": self.average,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "step": self.step,
            "seconds": self.seconds,
            "norm": self.norm,
            "torch_rng": torch.get_rng_state(),
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, self.checkpoint)

    def resume(self) -> bool:
        """Continue from the checkpoint, if there is one; of the first process, in all.

        Raises:
            DamagedFileError: it cannot be read.
            OptionError: it is of other networks or another optimiser.
        """
        state = parallel.from_first(self._kept)
        if state is None:
            return False
        try:
            self.module.load_state_dict(state["average"])  # only to see that it fits
            self.module.load_state_dict(state["module"])
            self.average = {k: v.to(self.device) for k, v in state["average"].items()}
            for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
                optimiser.load_state_dict(kept)
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
            self.norm = float(state["norm"])
            torch.set_rng_state(state["torch_rng"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):
            raise OptionError(
                f"{self.checkpoint}: is not of a run of this recipe; choose another -o"
            ) from None
        return True

    def _kept(self) -> dict[str, Any] | None:
        return read_checkpoint(self.checkpoint) if self.checkpoint.exists() else None

    def run(
        self,
        step_loss: Step,
        validate: Callable[[], dict[str, float]],
        every: int,
        track: Callable[[Iterator[int], int, int], Iterator[int]],
    ) -> dict[str, float]:
        """Train to the end of the schedule.

        Args:
            step_loss: draws a batch from a generator seeded by the step number, so that a
                resumed run sees the batches it would have seen; of several processes, each its
                share.
            validate: scores the module, which then has the averaged weights and is in evaluation
                mode. The scores are written to the curve.
            every: steps between validations and checkpoints.
            track: wraps the step counter in a progress bar.
        Returns:
            the scores of the averaged weights after the last step; none but in the first process.
        """
        started = time.monotonic() - self.seconds
        running = 0.0
        scores: dict[str, float] | None = None
        with held() as signals:  # until the end of the step
            left = iter(range(self.step, self.schedule.steps))
            for step in track(left, self.step, self.schedule.steps):
                for optimiser in self.optimisers:
                    for group in optimiser.param_groups:
                        group["lr"] = self.schedule.at(step) * group["factor"]
                    optimiser.zero_grad(set_to_none=True)
                loss = step_loss(np.random.default_rng([step, 2017]), step)
                loss.backward()  # type: ignore[no-untyped-call]
                parallel.average(self.module.parameters())
                self._clip()
                for optimiser in self.optimisers:
                    optimiser.step()
                self._update_average(step)
                value = parallel.mean(loss).item()
                running = value if running == 0.0 else 0.99 * running + 0.01 * value
                self.step = step + 1
                self.seconds = time.monotonic() - started
                if self.step % every == 0 or self.step == self.schedule.steps:
                    self.save()
                    scores = self._scores(validate)
                    self._log({"loss": running, **scores})
                if parallel.any_of(bool(signals)):
                    self.save()
                    parallel.wait()
                    raise KeyboardInterrupt
        if scores is None:  # resumed after the last step
            scores = self._scores(validate)
        self.module.load_state_dict(self.average)
        return scores

    def _scores(self, validate: Callable[[], dict[str, float]]) -> dict[str, float]:
        if parallel.rank():
            return {}
        with self.averaged():
            return validate()

    def _clip(self) -> None:
        limit = self.schedule.clip * self.norm if self.norm else float("inf")
        norm = min(float(nn.utils.clip_grad_norm_(self.module.parameters(), limit)), limit)
        self.norm = norm if self.norm == 0.0 else 0.98 * self.norm + 0.02 * norm

    def _update_average(self, step: int) -> None:
        decay = min(self.schedule.average, (1 + step) / (10 + step))
        averages, values = [], []
        for key, value in self.module.state_dict().items():
            if value.dtype.is_floating_point:
                averages.append(self.average[key])
                values.append(value)
            else:
                self.average[key].copy_(value)
        torch._foreach_lerp_(averages, values, 1 - decay)  # one launch on a GPU, not hundreds

    def averaged(self) -> _Averaged:
        """A context in which the module has the averaged weights and is in evaluation mode."""
        return _Averaged(self)

    def _log(self, row: dict[str, float]) -> None:
        if parallel.rank():
            return
        path = self.folder / "curve.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", "seconds", *row])
            writer.writerow([self.step, round(self.seconds), *(round(v, 5) for v in row.values())])


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What `Trainer.save` saved, on the CPU; "average" is a state dict, the rest is not checked.

    Raises:
        DamagedFileError: this is no checkpoint, or a damaged one.
    """
    with path.open("rb") as file:
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception:  # damaged bytes make it raise anything
            state = None
    average = state.get("average") if isinstance(state, dict) else None
    if not isinstance(average, dict) or not all(isinstance(v, Tensor) for v in average.values()):
        raise DamagedFileError(f"{path}: is no checkpoint, or damaged")
    return dict(state)


def _optimisers(
    module: nn.Module, schedule: Schedule, factors: Mapping[str, float]
) -> list[torch.optim.Optimizer]:
    """Adam over all; or another over weights of convolutions, but integers', and Adam beside it."""
    other = _OTHERS.get(schedule.optimiser)
    ours: list[dict[str, Any]] = []
    adams: list[dict[str, Any]] = []
    for name, child in module.named_children():
        factor = factors.get(name, 1.0)
        matrices: list[Tensor] = []
        if other is not None:
            convolutions = (m for m in child.modules() if type(m) is nn.Conv2d)
            matrices = [m.weight for m in convolutions if m.weight.requires_grad]
        apart = {id(weight) for weight in matrices}
        rest = [weight for weight in child.parameters() if id(weight) not in apart]
        ours.append({"params": matrices, "factor": factor})
        adams.append({"params": rest, "factor": factor * BESIDE[schedule.optimiser]})
    adam = torch.optim.Adam(adams, schedule.rate, weight_decay=schedule.weight_decay)
    return [adam] if other is None else [other(ours, schedule.rate), adam]


class _Averaged:
    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def __enter__(self) -> None:
        module = self.trainer.module
        self.kept = {k: v.clone() for k, v in module.state_dict().items()}
        self.modes = [(part, part.training) for part in module.modules()]
        module.load_state_dict(self.trainer.average)
        module.eval()

    def __exit__(self, *error: object) -> None:
        self.trainer.module.load_state_dict(self.kept)
        for part, training in self.modes:
            part.training = training  # of this part alone; train() would set its children, too

"""Training by several processes, on one machine or on several, started by torchrun.

Each process has all networks, and a share of each batch. What is random is drawn for the whole
batch, by generators that all processes seed alike, and each takes its rows; so the batches do not
depend on the number of processes. Gradients are averaged after the backward pass (`average`), and
then all processes do the same step.

This is not torch's DistributedDataParallel, which wants one forward pass of one module. Our schemes
call parts of a dictionary of networks, some of them several times or without gradients, and change
what learns from step to step; and a parameter that no process used must keep no gradient, as with
one process, so that optimisers leave it alone.

Without torchrun, all functions here do what one process needs, which is mostly nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from comrec.errors import OptionError

T = TypeVar("T")

_PATIENCE = timedelta(days=7)
"""Others wait while one makes the stores; torchrun ends all when one fails."""


@contextmanager
def joined(device: str) -> Iterator[None]:
    """A context in which this process is one of those that torchrun started.

    Args:
        device: "cuda" becomes the GPU of this process's number on its machine.
    Raises:
        OptionError: there are fewer GPUs than processes on this machine.
    """
    if not distributed.is_torchelastic_launched():
        yield
        return
    backend = "gloo"
    if device == "cuda":
        if _local_rank() >= torch.cuda.device_count():
            raise OptionError(
                f"{_local_rank() + 1} processes on this machine, and {torch.cuda.device_count()} "
                "GPUs; --nproc-per-node must not be more"
            )
        torch.cuda.set_device(_local_rank())
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def size() -> int:
    """The number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """The number of this process; 0, the first, writes the run's files."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def share(rows: int) -> slice:
    """Which rows of a whole batch are this process's; ``rows`` is a multiple of `size`."""
    each = rows // size()
    return slice(rank() * each, (rank() + 1) * each)


def drawn(like: Tensor, draw: Callable[[Tensor], Tensor]) -> Tensor:
    """Random numbers for the rows of this process, as one process would draw them.

    Args:
        like: has these rows.
        draw: is given a tensor as ``like`` with the rows of all processes, whose values are
            undefined, and gives as many random ones.
    """
    rows = size() * len(like)
    return draw(like.new_empty_strided((rows, *like.shape[1:]), like.stride()))[share(rows)]


def mean(x: Tensor) -> Tensor:
    """The mean over the processes, without a gradient where there are several."""
    return x if size() == 1 else _sum(x.detach()) / size()


def any_of(here: bool) -> bool:
    """Whether it is so in any process."""
    return bool(_union(torch.tensor([here]))[0])


def wait() -> None:
    """For the other processes."""
    any_of(False)


def average(parameters: Iterable[nn.Parameter]) -> None:
    """Average gradients over the processes: those of the whole batch's mean loss.

    A parameter that some processes have not used counts as zero there; where none has, its gradient
    stays None.
    """
    if size() == 1:
        return
    every = list(parameters)
    used = _union(torch.tensor([parameter.grad is not None for parameter in every]))
    learning = [parameter for parameter, some in zip(every, used.tolist(), strict=True) if some]
    for parameter in learning:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in learning if parameter.grad is not None]
    flat = _sum(torch.cat([gradient.flatten() for gradient in gradients])) / size()
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))


def from_first(work: Callable[[], T]) -> T:
    """What the first process finds, in all of them; tensors should be on the CPU.

    Raises:
        Exception: its own, in the first process; the others exit.
    """
    found: list[Any] = [None]
    error: Exception | None = None
    if rank() == 0:
        try:
            found[0] = work()
        except Exception as raised:
            error = raised
    _stop_at(error)
    if size() > 1:
        distributed.broadcast_object_list(found, device=torch.device("cpu"))
    result: T = found[0]
    return result


def in_turns(work: Callable[[], T]) -> T:
    """Do what writes files that all processes of a machine use, and reads what is there already.

    The first process does it alone, as machines may share a folder; then the first of each other
    machine; then the others.

    Raises:
        Exception: its own, in the process where it fails; the others exit.
    """
    mine = 0 if rank() == 0 else 1 if _local_rank() == 0 else 2
    results: list[T] = []
    for turn in range(3 if size() > 1 else 1):
        error: Exception | None = None
        if turn == mine:
            try:
                results.append(work())
            except Exception as raised:
                error = raised
        _stop_at(error)
    return results[0]


def align(module: nn.Module) -> None:
    """Give all processes the parameters and buffers of the first.

    They begin alike; those that follow from pictures may differ in their last digits between kinds
    of machines.
    """
    if size() > 1:
        state = module.state_dict()
        module.load_state_dict(from_first(lambda: {key: state[key].cpu() for key in state}))


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation by the statistics of the whole batch.

    With one process it is torch's, and its parameters and buffers always are. (torch's
    SyncBatchNorm is for GPUs only.)
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or size() == 1:
            normalised: Tensor = super().forward(x)
            return normalised
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        wide = x.float()
        # In float64, where squares of means can be taken away without loss.
        var, mean = (part.double() for part in torch.var_mean(wide, (0, 2, 3), correction=0))
        mean, square = _Sum.apply(torch.stack([mean, var + mean.square()])) / size()  # type: ignore[no-untyped-call]
        var = square - mean.square()
        with torch.no_grad():
            count = size() * x.numel() // x.shape[1]
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean.float(), self.momentum)
            self.running_var.lerp_((var * count / (count - 1)).float(), self.momentum)
        scale = self.weight * torch.rsqrt(var + self.eps).float()
        shift = self.bias - mean.float() * scale
        found: Tensor = wide * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)
        return found.to(x.dtype)


class _Sum(torch.autograd.Function):
    """The sum over the processes; the gradient is that of the sum of their losses."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, *args: Any) -> Tensor:
        total: Tensor = _sum(args[0])
        return total

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        total: Tensor = _sum(gradient)
        return total


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _sum(x: Tensor) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total


def _union(here: Tensor) -> Tensor:
    """Elementwise, of bool tensors on the CPU."""
    if size() == 1:
        return here
    found = here.to(torch.uint8)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return found.bool()


def _stop_at(error: Exception | None) -> None:
    """Raise it; exit where another process has one, which says what it is."""
    failed = any_of(error is not None)
    if error is not None:
        raise error
    if failed:
        raise SystemExit(1)


def _local_rank() -> int:
    return int(os.environ["LOCAL_RANK"])

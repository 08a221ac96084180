"""What `pool.run` does, on a Ray cluster: of this machine, or of many.

Each worker is an actor with one CPU on any machine of the cluster, and keeps the networks that it
has loaded. The task of a worker that is lost, alone or with its machine, is done by another.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from comrec import __version__
from comrec.batch.pool import Failure, attempt
from comrec.errors import ComrecError, MissingExtraError
from comrec.inference import session
from comrec.signals import ENDING

Task = TypeVar("Task")
Result = TypeVar("Result")

_TRIES = 3  # workers that a task may lose
_STARTS = 3  # workers that may fail to start, one after the other
_PATIENCE = 10.0  # seconds, for a connection
_QUICK = 1.0  # seconds; sending takes a noticeable part of tasks that take less


@contextmanager
def connected(address: str | None, cpus: int) -> Iterator[Cluster]:
    """A cluster, until the end of the block.

    Args:
        address: of one that runs: host:port, ray://host:port, or "auto". None: one of this machine
            is started, and ended.
        cpus: of the one that is started.
    Raises:
        MissingExtraError: Ray is not installed.
        ComrecError: there is no cluster, or it cannot be used.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # It prints what its machines tell on standard output, whatever its settings: no such line.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "^")
    try:
        import ray
    except ImportError:
        raise MissingExtraError("--engine ray", "ray") from None
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is None:
        options |= {"num_cpus": cpus, "include_dashboard": False}
    try:
        if address is not None and address != "auto":
            _reach(address)
        with _our_signals():
            ray.init(address or "local", **options)
    except Exception as error:  # Ray has no common class for these
        where = "Ray cannot be started here" if address is None else f"{address}: no Ray cluster"
        raise ComrecError(f"{where} ({_reason(error)})") from None
    try:
        yield Cluster(int(ray.cluster_resources().get("CPU", 0)))
    finally:
        with _our_signals():
            ray.shutdown()


def _reach(address: str) -> None:
    """Raises OSError or ValueError: nobody listens there. Ray itself would try for minutes."""
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    if parts.hostname is None or parts.port is None:
        raise ValueError("expected host:port, ray://host:port or auto")
    socket.create_connection((parts.hostname, parts.port), _PATIENCE).close()


@contextmanager
def _our_signals() -> Iterator[None]:
    """Ray replaces handlers of signals: ours are put back."""
    ours = {number: signal.getsignal(number) for number in ENDING}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in ours.items():
                if handler is not None:  # None: it is not Python's
                    signal.signal(number, handler)


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster.

    Attributes:
        cpus: of all its machines, as it is connected.
    """

    cpus: int

    def run(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        jobs: int,
        cost: Callable[[Task], int],
        most: int | None = None,
    ) -> Generator[tuple[Task, Result | Failure]]:
        """Each task with its result, in order of completion.

        Args:
            function: importable by name on all machines.
            tasks: taken one by one, as workers become free.
            jobs: number of workers, at least 1.
            cost: bytes that a task takes while it runs.
            most: the largest sum of costs on one machine; by default, the memory that Ray counts
                for it. A task that takes more runs alone there.
        Returns:
            A generator; closing it ends the workers.
        Raises:
            ComrecError: no worker can be started.
        """
        crew = _Crew(function, tasks, jobs, cost, most)
        try:
            yield from crew.answers()
        finally:
            crew.end()


class _Actor:
    """A worker, where it runs."""

    def __init__(self) -> None:
        session.limit(1)

    def facts(self) -> tuple[str, str]:
        """The machine's identity in the cluster, and the version of comrec."""
        import ray

        return ray.get_runtime_context().get_node_id(), __version__

    def do(self, function: Callable[[Task], Result], task: Task) -> Result | Failure:
        return attempt(function, task)


@dataclass
class _Given(Generic[Task]):
    """A task.

    Attributes:
        lost: number of workers that were lost with it.
    """

    task: Task
    cost: int
    lost: int = 0


@dataclass
class _Worker(Generic[Task]):
    """A worker, as we see it.

    Attributes:
        actor: its handle.
        started: what `_Actor.facts` will return.
        node: its machine; None until it has started.
        given: its tasks with what they will return, in the order in which it does them.
        quick: whether the last took less than `_QUICK`.
    """

    actor: Any
    started: Any
    node: str | None = None
    given: deque[tuple[Any, _Given[Task]]] = field(default_factory=deque)
    since: float = 0.0
    quick: bool = False

    @property
    def cost(self) -> int:
        """Of the one that runs; at most this."""
        return max((each.cost for _, each in self.given), default=0)


class _Crew(Generic[Task, Result]):
    """The workers of a run, and the tasks that they have."""

    def __init__(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        jobs: int,
        cost: Callable[[Task], int],
        most: int | None,
    ) -> None:
        import ray

        self._ray = ray
        self._function = ray.put(function)
        self._tasks, self._cost, self._most = iter(tasks), cost, most
        self._again: deque[_Given[Task]] = deque()
        self._memory: dict[str, int] = {}
        self._failed = 0  # starts, one after the other
        self._workers: list[_Worker[Task]] = []
        for _ in range(jobs):
            self._start()

    def _start(self) -> None:
        # A lost one is replaced by us, not restarted by Ray: that would keep its task for it, even
        # where the cluster has no place for it any more.
        actor: Any = self._ray.remote(num_cpus=1, max_restarts=0)(_Actor).remote()
        self._workers.append(_Worker(actor, actor.facts.remote()))

    def end(self) -> None:
        """Kill the workers."""
        for worker in self._workers:
            with suppress(Exception):
                self._ray.kill(worker.actor)

    def answers(self) -> Generator[tuple[Task, Result | Failure]]:
        while True:
            left = self._give()
            awaited = {
                worker.given[0][0] if worker.node is not None else worker.started: worker
                for worker in self._workers
                if worker.given or (left and worker.node is None)
            }
            if not awaited:
                return
            ready, _ = self._ray.wait(list(awaited), num_returns=1)
            worker = awaited[ready[0]]
            if worker.node is None:
                self._started(worker)
            elif (answer := self._answer(worker)) is not None:
                yield answer

    def _give(self) -> bool:
        """Give tasks to workers that take one; whether there is one left that none takes."""
        load = Counter[str]()
        for worker in self._workers:
            if worker.node is not None:
                load[worker.node] += worker.cost
        while True:
            if not self._again:
                for task in self._tasks:
                    self._again.append(_Given(task, self._cost(task)))
                    break
                else:
                    return False
            given = self._again[0]
            takes = [each for each in self._workers if self._takes(each, given, load)]
            if not takes:
                return True
            self._again.popleft()
            worker = min(takes, key=lambda each: len(each.given))
            assert worker.node is not None
            load[worker.node] -= worker.cost
            if not worker.given:
                worker.since = time.monotonic()
            worker.given.append((worker.actor.do.remote(self._function, given.task), given))
            load[worker.node] += worker.cost

    def _takes(self, worker: _Worker[Task], given: _Given[Task], load: Counter[str]) -> bool:
        """Whether a worker is free, or soon will be, and its machine has the memory."""
        if worker.node is None or len(worker.given) > worker.quick:
            return False
        others = load[worker.node] - worker.cost
        if not load[worker.node]:
            return True
        return others + max(worker.cost, given.cost) <= self._memory[worker.node]

    def _started(self, worker: _Worker[Task]) -> None:
        try:
            node, version = self._ray.get(worker.started)
        except self._ray.exceptions.RayError as error:
            self._workers.remove(worker)
            self._failed += 1
            if self._failed < _STARTS:
                self._start()
            elif not any(each.node for each in self._workers):
                raise ComrecError(
                    f"no worker starts on the Ray cluster ({_reason(error)}); its machines need "
                    f"comrec {__version__}"
                ) from None
            return
        if version != __version__:
            raise ComrecError(
                f"the Ray cluster has comrec {version}, and this machine {__version__}; install "
                "the same"
            )
        self._failed = 0
        if node not in self._memory:
            self._memory |= {
                each["NodeID"]: int(each["Resources"].get("memory", 0))
                if self._most is None
                else self._most
                for each in self._ray.nodes()
            }
        worker.node = node

    def _answer(self, worker: _Worker[Task]) -> tuple[Task, Result | Failure] | None:
        """A task that is done; None where it is to be done again."""
        result, given = worker.given.popleft()
        now = time.monotonic()
        worker.quick, worker.since = now - worker.since < _QUICK, now
        try:
            return given.task, self._ray.get(result)
        except self._ray.exceptions.RayTaskError as error:  # it could not be read there
            return given.task, Failure(_reason(error))
        except self._ray.exceptions.RayError as error:
            self._workers.remove(worker)
            with suppress(Exception):  # it may be there still, out of reach
                self._ray.kill(worker.actor)
            self._start()
            self._again.extendleft(each for _, each in reversed(worker.given))
            given.lost += 1
            if given.lost == _TRIES:
                return given.task, Failure(f"lost {_TRIES} workers ({_reason(error)})")
            self._again.appendleft(given)
            return None


def _reason(error: Exception) -> str:
    """The last line of what Ray says, which has the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__

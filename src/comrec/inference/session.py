"""ONNX Runtime sessions, made once per network and kept; all threads of a process share them."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from comrec.errors import WeightsError
from comrec.inference.store import Network

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_sessions: dict[str, InferenceSession] = {}
_most: int | None = None
_making = threading.RLock()
_inherited: list[dict[str, InferenceSession]] = []
"""Of the process that this one was forked from. Their threads are not here: to run them, or even to
end them, could wait for ever."""


def _leave_behind() -> None:
    global _sessions, _making
    _inherited.append(_sessions)
    _sessions, _making = {}, threading.RLock()  # another thread may have held the old one


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_behind)


def threads() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return cores if _most is None else min(cores, _most)


def limit(cores: int) -> None:
    """Use no more cores than this, whatever the process may use."""
    global _most
    _most = cores


def session(network: Network) -> InferenceSession:
    """The session of a network; its weights are checked on the first use.

    Raises:
        WeightsError: the file is missing or altered, or ONNX Runtime cannot use it.
    """
    found = _sessions.get(network.sha256)
    if found is not None:
        return found
    with _making:
        if network.sha256 not in _sessions:
            _sessions[network.sha256] = _made(network)
        return _sessions[network.sha256]


def _made(network: Network) -> InferenceSession:
    data = network.load()
    try:
        import onnxruntime  # a slow import that `info` and the plain codecs do without
    except ImportError as error:
        raise WeightsError(
            f"the package onnxruntime cannot be imported ({error}); reinstall it"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    # From a tile's second run on, a pattern takes as much memory again: one block beside the first
    # run's pieces, which are kept.
    options.enable_mem_pattern = False
    options.log_severity_level = 4  # errors are raised, and told by whoever catches them
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own classes have no common base
        raise _unusable(network, error) from None


def run(network: Network, feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """The outputs of a network, in its order, for inputs by name.

    Raises:
        WeightsError: as `session`; or it cannot be run with these.
    """
    running = session(network)
    try:
        return [np.asarray(output) for output in running.run(None, feed)]
    except MemoryError:
        raise
    except Exception as error:
        raise _unusable(network, error) from None


def _unusable(network: Network, error: Exception) -> WeightsError:
    from onnxruntime import __version__ as version

    reason = " ".join(str(error).split())[:300]
    return WeightsError(
        f"{network.path.name} cannot be used by onnxruntime {version} ({reason}); upgrade "
        "onnxruntime, or reinstall comrec"
    )


def forget() -> None:
    """Drop all sessions. The next use of a network reads its file again, checked."""
    _sessions.clear()

"""ONNX Runtime sessions, made once per network and kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from comrec.inference.store import Network

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_sessions: dict[str, InferenceSession] = {}


def threads() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def session(network: Network) -> InferenceSession:
    """The session of a network; its weights are checked on the first use."""
    import onnxruntime  # a slow import that `info` and the plain codecs do without

    if network.sha256 not in _sessions:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.log_severity_level = 3
        _sessions[network.sha256] = onnxruntime.InferenceSession(
            network.load(), options, providers=["CPUExecutionProvider"]
        )
    return _sessions[network.sha256]


def forget() -> None:
    """Drop all sessions. The next use of a network reads its file again, checked."""
    _sessions.clear()

"""Networks with a state, which is among their inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from comrec.inference import session
from comrec.inference.store import Network

_BAND = 128  # rows at once, so that memory is bounded
_STATE = "state"  # inputs' names begin so, in the order of the outputs after the first


class Recurrence:
    """A network that is run once an iteration.

    It takes planes, "iteration" and its state; its first output is the result, the others are the
    state. Its convolutions together reach one row; in bands of rows the result is the same.

    Args:
        height, width: of all planes.
    """

    def __init__(self, network: Network, height: int, width: int) -> None:
        self._network = network
        given = session.session(network).get_inputs()
        self._state = {
            each.name: np.zeros((1, each.shape[1], height, width), np.float32)
            for each in given
            if each.name.startswith(_STATE)
        }

    def step(self, iteration: int, planes: Mapping[str, NDArray[np.float32]]) -> NDArray[Any]:
        """The result (C, h, w) of planes (C', h, w) by name."""
        height = next(iter(planes.values())).shape[1]
        whole = {name: plane[None] for name, plane in planes.items()} | self._state
        outputs: list[list[NDArray[Any]]] = []
        for top in range(0, height, _BAND):
            end = min(top + _BAND, height)
            above = max(top - 1, 0)
            feed: dict[str, NDArray[Any]] = {
                name: np.ascontiguousarray(plane[:, :, above : end + 1])
                for name, plane in whole.items()
            }
            feed["iteration"] = np.array(iteration, np.int64)
            found = session.run(self._network, feed)
            outputs.append([plane[:, :, top - above : end - above] for plane in found])
        result, *state = (np.concatenate(parts, 2) for parts in zip(*outputs, strict=True))
        self._state = dict(zip(self._state, state, strict=True))
        alone: NDArray[Any] = result[0]
        return alone

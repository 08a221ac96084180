"""Networks that are run once an iteration, and those with a state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from comrec.inference import session
from comrec.inference.store import Network

Planes = NDArray[Any]

_BAND = 128  # rows at once, so that memory is bounded
_STATE = "state"  # inputs' names begin so, in the order of the outputs after the first


def banded(network: Network, iteration: int, planes: Mapping[str, Planes]) -> list[Planes]:
    """The outputs (1, C', h, w) of a network that takes "iteration" and planes (1, C, h, w), by
    name.

    Its convolutions together reach one row; in bands of rows the outputs are the same.
    """
    height = next(iter(planes.values())).shape[2]
    bands: list[list[Planes]] = []
    for top in range(0, height, _BAND):
        above, end = max(top - 1, 0), min(top + _BAND, height)
        feed = {
            name: np.ascontiguousarray(plane[:, :, above : end + 1])
            for name, plane in planes.items()
        }
        feed["iteration"] = np.array(iteration, np.int64)
        found = session.run(network, feed)
        bands.append([plane[:, :, top - above : end - above] for plane in found])
    return [np.concatenate(parts, 2) for parts in zip(*bands, strict=True)]


class Recurrence:
    """A network with a state: its inputs are planes and the state, as those of `banded`, its first
    output is the result, and the others are the next state.

    Args:
        shape: height and width of all planes.
    """

    def __init__(self, network: Network, shape: tuple[int, int]) -> None:
        self._network = network
        given = session.session(network).get_inputs()
        self._state = {
            each.name: np.zeros((1, each.shape[1], *shape), np.float32)
            for each in given
            if each.name.startswith(_STATE)
        }

    def step(self, iteration: int, planes: Mapping[str, NDArray[np.float32]]) -> Planes:
        """The result (C, h, w) of planes (C', h, w) by name."""
        whole = {name: plane[None] for name, plane in planes.items()}
        result, *state = banded(self._network, iteration, whole | self._state)
        self._state = dict(zip(self._state, state, strict=True))
        alone: Planes = result[0]
        return alone

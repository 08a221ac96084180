"""Latents coded by what is known around them: which table a value has, by integers alone.

A hyper-decoder gives every latent an index, how widely it may vary, and a mean. The values coded
before tell more: large ones lie together. So each latent's table is looked up by its index, by
the magnitudes of the four nearest latents of its channel, and by those of the channels before it
at its place.

Channels are coded in groups, the strongest first; within a group the four phases of the grid one
after the other, so that all latents of a phase are coded at once:

    0 2 0 2      phase 0 knows no neighbour, 1 the four at its corners,
    3 1 3 1      2 and 3 the four at its sides
    0 2 0 2
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from comrec.entropy.coder import Decoder, Encoder
from comrec.entropy.tables import Table, pack, unpack
from comrec.errors import WeightsError

Integers = NDArray[np.integer[Any]]

INDICES = 64
"""A hyper-decoder's index is 0..INDICES - 1: how widely a latent may vary."""
MEAN_STEPS = 4
"""Means are in steps of 1 / MEAN_STEPS, and so are magnitudes."""

_PHASES = ((0, 0), (1, 1), (0, 1), (1, 0))
_CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1))

_LARGEST = 255  # magnitudes beyond are as good as this
_NEAR = np.array([1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160, 320])
_BEFORE = np.array([2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024])
_BEFORE_LARGEST = 32
_BINS = 16  # of four indices each

_NEARS = 1 + 2 * (len(_NEAR) + 1)  # phase 0; corners; sides
_SHAPE = (_NEARS, len(_BEFORE) + 1, _BINS)
CONTEXTS = int(np.prod(_SHAPE))
"""Of each group: a context is a number below."""

_HEAD = struct.Struct(">HB")


Visit = Callable[[int, slice, slice, slice, Integers], Integers]
"""Group, channels (in coding order), rows, columns, and contexts there: gives the distances."""


def walk(groups: tuple[int, ...], index: Integers, mean: Integers, visit: Visit) -> None:
    """Go through all latents in coding order.

    Args:
        groups: how many channels each has.
        index, mean: (M, h, w), channels in coding order; indices below `INDICES`, means in steps
            of 1 / `MEAN_STEPS`.
    """
    height, width = index.shape[1:]
    before = np.zeros((height, width), np.int64)
    first = 0
    for group, count in enumerate(groups):
        channels = slice(first, first + count)
        first += count
        # A border of zeros: there is nothing outside.
        around = np.zeros((count, height + 2, width + 2), np.int16)
        for phase, (top, left) in enumerate(_PHASES):
            rows, columns = slice(top, None, 2), slice(left, None, 2)
            bins = index[channels, rows, columns] // (INDICES // _BINS)
            if not bins.size:
                continue
            near = _near(around, phase, bins.shape)
            earlier = np.searchsorted(_BEFORE, before[rows, columns], side="right")
            contexts = np.ravel_multi_index(
                (near, np.broadcast_to(earlier, bins.shape), bins), _SHAPE
            )
            distances = visit(group, channels, rows, columns, contexts)
            values = MEAN_STEPS * distances.astype(np.int64) + mean[channels, rows, columns]
            around[:, 1 + top : -1 : 2, 1 + left : -1 : 2] = np.minimum(np.abs(values), _LARGEST)
        inner = around[:, 1:-1, 1:-1]
        before += np.minimum(inner, _BEFORE_LARGEST).sum(0)


def _near(around: Integers, phase: int, shape: tuple[int, ...]) -> Integers:
    """The level of what is known of the four neighbours, of one phase's latents."""
    if phase == 0:
        return np.zeros(shape, np.int64)
    top, left = _PHASES[phase]
    rows, columns = shape[1:]
    total = np.zeros(shape, np.int64)
    for down, along in _CORNERS if phase == 1 else _SIDES:
        y, x = 1 + top + down, 1 + left + along
        total += around[:, y : y + 2 * rows - 1 : 2, x : x + 2 * columns - 1 : 2]
    level = np.searchsorted(_NEAR, total, side="right")
    return level + (1 if phase == 1 else 2 + len(_NEAR))


@dataclass(frozen=True)
class ContextModel:
    """Which table each latent has; made when a network is trained, and stored with its weights.

    Attributes:
        order: the M channels as they are coded.
        groups: how many channels each group has; M together.
        table_of: (groups, CONTEXTS) uint8, places in ``tables``.
        tables: at most 256.
    """

    order: NDArray[np.int64]
    groups: tuple[int, ...]
    table_of: NDArray[np.uint8]
    tables: tuple[Table, ...]

    def encode(
        self, encoder: Encoder, distances: Integers, index: Integers, mean: Integers
    ) -> None:
        """Add latents, as distances from their means, (M, h, w)."""
        ordered = distances[self.order]

        def visit(
            group: int, channels: slice, rows: slice, columns: slice, contexts: Integers
        ) -> Integers:
            found = ordered[channels, rows, columns]
            encoder.add(found, self.table_of[group][contexts], self.tables)
            return found

        walk(self.groups, index[self.order], mean[self.order], visit)

    def decode(self, decoder: Decoder, index: Integers, mean: Integers) -> Integers:
        """The distances that were added, (M, h, w).

        Raises:
            DamagedFileError: as `Decoder.take`.
        """
        ordered = np.empty(index.shape, np.int32)

        def visit(
            group: int, channels: slice, rows: slice, columns: slice, contexts: Integers
        ) -> Integers:
            found = decoder.take(self.table_of[group][contexts], self.tables)
            ordered[channels, rows, columns] = found
            return found

        walk(self.groups, index[self.order], mean[self.order], visit)
        distances = np.empty_like(ordered)
        distances[self.order] = ordered
        return distances

    def pack(self) -> bytes:
        """As bytes, big-endian: M (2 bytes), how many groups (1), the order (2 each), the groups'
        sizes (2 each), table_of, and the tables as `tables.pack` packs them."""
        head = _HEAD.pack(len(self.order), len(self.groups))
        numbers = np.array([*self.order, *self.groups], ">u2").tobytes()
        return head + numbers + self.table_of.tobytes() + pack(self.tables)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """
        Raises:
            WeightsError: the bytes are damaged.
        """
        try:
            latents, count = _HEAD.unpack_from(data)
            numbers = np.frombuffer(data, ">u2", latents + count, _HEAD.size).astype(np.int64)
            at = _HEAD.size + numbers.size * 2
            table_of = np.frombuffer(data, np.uint8, count * CONTEXTS, at)
        except (struct.error, ValueError):
            raise WeightsError("damaged context model (cut short); reinstall comrec") from None
        order, groups = numbers[:latents], tuple(numbers[latents:].tolist())
        tables = unpack(data[at + table_of.size :])
        whole = sorted(order.tolist()) == list(range(latents)) and sum(groups) == latents
        if not (whole and table_of.size and table_of.max() < len(tables)):
            raise WeightsError("damaged context model (it does not fit together); reinstall comrec")
        return cls(order, groups, table_of.reshape(count, CONTEXTS), tables)

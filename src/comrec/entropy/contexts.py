"""Latents coded by what is known around them: predicted, and each under a table of its context.

A hyper-decoder gives every latent an index, how widely it may vary, and a mean. The values coded
before tell more. How far its neighbours in the channel are from their means moves a latent's own
mean; and its table is looked up by its index, by how far these neighbours were from what was
predicted, and by how far the channels before it were at its place.

Channels are coded in groups, the strongest first; within a group the phases of the grid one after
the other, so that all latents of a phase are coded at once:

    0 5 2 5 0 5 2 5     0       knows no neighbour
    6 4 6 4 6 4 6 4     1       the four at its corners that are 0
    3 5 1 5 3 5 1 5     2, 3    the four at its sides that are 0 and 1
    6 4 6 4 6 4 6 4     4       the four at its corners
    0 5 2 5 0 5 2 5     5, 6    the four at its sides
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from comrec.entropy.coder import Decoder, Encoder
from comrec.entropy.tables import Table, pack, unpack
from comrec.errors import WeightsError

Integers = NDArray[np.integer[Any]]

INDICES = 64
"""A hyper-decoder's index is 0..INDICES - 1: how widely a latent may vary."""
MEAN_STEPS = 4
"""Means, and latents as decoded, are in steps of 1 / MEAN_STEPS."""
KINDS = 4
"""Of known neighbours: corners and sides at distance 2, corners and sides at distance 1."""
ONE = 1 << 12
"""What a coefficient of prediction of 1 is stored as."""


class Phase(NamedTuple):
    """A part of the grid.

    Attributes:
        top, left, stride: where its latents are.
        kind: of its neighbours, 0..KINDS - 1; None where there are none.
        neighbours: rows and columns to them.
    """

    top: int
    left: int
    stride: int
    kind: int | None
    neighbours: tuple[tuple[int, int], ...]


_CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1))
_FAR_CORNERS = tuple((2 * down, 2 * along) for down, along in _CORNERS)
_FAR_SIDES = tuple((2 * down, 2 * along) for down, along in _SIDES)

PHASES = (
    Phase(0, 0, 4, None, ()),
    Phase(2, 2, 4, 0, _FAR_CORNERS),
    Phase(0, 2, 4, 1, _FAR_SIDES),
    Phase(2, 0, 4, 1, _FAR_SIDES),
    Phase(1, 1, 2, 2, _CORNERS),
    Phase(0, 1, 2, 3, _SIDES),
    Phase(1, 0, 2, 3, _SIDES),
)
BORDER = 2
"""How far neighbours can lie outside."""

_LARGEST = 63  # distances beyond are as good as this
_NEAR = np.array([1, 2, 3, 4, 6, 9, 14, 22, 36, 60, 110])
_BEFORE = np.array([1, 2, 4, 7, 12, 20, 32, 50, 80, 128, 200])
_BEFORE_LARGEST = 8
_BINS = 16  # of four indices each
_CHARTED = 64  # distances beyond are said to cost as much
_FARTHEST = 1 << 20  # distances; and, in steps, predictions and what they are made of

_SHAPE = (1 + KINDS * (len(_NEAR) + 1), len(_BEFORE) + 1, _BINS)
CONTEXTS = int(np.prod(_SHAPE))
"""Of each group: a context is a number below."""

_HEAD = struct.Struct(">HB")


class Place(NamedTuple):
    """Latents that are coded at once.

    Attributes:
        group: their group.
        where: channels in coding order, rows and columns.
        contexts: of each.
        mean: of each, as predicted, in steps.
    """

    group: int
    where: tuple[slice, slice, slice]
    contexts: Integers
    mean: Integers


def walk(
    groups: tuple[int, ...],
    coefficients: Integers,
    index: Integers,
    mean: Integers,
    visit: Callable[[Place], Integers],
) -> NDArray[np.int64]:
    """Go through all latents in coding order.

    Args:
        groups: how many channels each has.
        coefficients: (M, KINDS), see `ContextModel`.
        index, mean: (M, h, w), channels in coding order; means in steps.
        visit: gives how far latents are from their predicted means, in whole numbers.
    Returns:
        (M, h, w) the latents, in steps.
    """
    height, width = index.shape[1:]
    latents = np.empty(index.shape, np.int64)
    before = np.zeros((height, width), np.int64)
    first = 0
    for group, count in enumerate(groups):
        channels = slice(first, first + count)
        # There is nothing outside: zeros.
        shape = count, height + 2 * BORDER, width + 2 * BORDER
        away = np.zeros(shape, np.int32)  # from the hyper-decoder's means, in steps
        missed = np.zeros(shape, np.uint8)  # by the prediction
        for phase in PHASES:
            rows = slice(phase.top, None, phase.stride)
            columns = slice(phase.left, None, phase.stride)
            where = channels, rows, columns
            bins = index[where].astype(np.int64) // (INDICES // _BINS)
            if not bins.size:
                continue
            near = np.zeros(bins.shape, np.int64)
            predicted = mean[where].astype(np.int64)
            if phase.kind is not None:
                level = np.searchsorted(_NEAR, _around(missed, phase, bins.shape), side="right")
                near = 1 + phase.kind * (len(_NEAR) + 1) + level
                lean = coefficients[channels, phase.kind].astype(np.int64)[:, None, None]
                moved = (lean * _around(away, phase, bins.shape) + 2 * ONE) // (4 * ONE)
                predicted += np.clip(moved, -_FARTHEST, _FARTHEST)
            level = np.searchsorted(_BEFORE, before[rows, columns], side="right")
            contexts = (near * _SHAPE[1] + level) * _SHAPE[2] + bins
            distances = visit(Place(group, where, contexts, predicted)).astype(np.int64)
            latents[where] = MEAN_STEPS * distances + predicted
            inside = (
                slice(None),
                slice(BORDER + phase.top, -BORDER, phase.stride),
                slice(BORDER + phase.left, -BORDER, phase.stride),
            )
            away[inside] = np.clip(latents[where] - mean[where], -_FARTHEST, _FARTHEST)
            missed[inside] = np.minimum(np.abs(distances), _LARGEST)
        inner = missed[:, BORDER:-BORDER, BORDER:-BORDER]
        before += np.minimum(inner, _BEFORE_LARGEST).sum(0, dtype=np.int64)
        first += count
    return latents


def _around(values: Integers, phase: Phase, shape: tuple[int, ...]) -> Integers:
    """The sum over the neighbours of each latent of a phase."""
    height, width = (phase.stride * (side - 1) + 1 for side in shape[1:])
    total = np.zeros(shape, np.int64)
    for down, along in phase.neighbours:
        y, x = BORDER + phase.top + down, BORDER + phase.left + along
        total += values[:, y : y + height : phase.stride, x : x + width : phase.stride]
    return total


@dataclass(frozen=True)
class ContextModel:
    """How latents are coded; made when a network is trained, and stored with its weights.

    Attributes:
        order: the M channels as they are coded.
        groups: how many channels each group has; M together.
        coefficients: (M, KINDS) int16, channels in coding order: of the mean of its four
            neighbours' distances from the hyper-decoder's means, how much a latent's own is
            likely to be; in 1 / `ONE`.
        table_of: (groups, CONTEXTS) uint8, places in ``tables``.
        tables: at most 256.
    """

    order: NDArray[np.int64]
    groups: tuple[int, ...]
    coefficients: NDArray[np.int16]
    table_of: NDArray[np.uint8]
    tables: tuple[Table, ...]

    def encode(
        self, encoder: Encoder, y: NDArray[np.float32], index: Integers, mean: Integers
    ) -> None:
        """Round latents, (M, h, w), to whole distances from what is predicted, and add these."""
        ordered = y[self.order]

        def visit(place: Place) -> Integers:
            distances = rounded(ordered, place)
            encoder.add(distances, self.table_of[place.group][place.contexts], self.tables)
            return distances

        walk(self.groups, self.coefficients, index[self.order], mean[self.order], visit)

    def decode(self, decoder: Decoder, index: Integers, mean: Integers) -> NDArray[np.float32]:
        """The latents that were added, as they were rounded, (M, h, w).

        Raises:
            DamagedFileError: as `Decoder.take`.
        """

        def visit(place: Place) -> Integers:
            return decoder.take(self.table_of[place.group][place.contexts], self.tables)

        ordered = walk(self.groups, self.coefficients, index[self.order], mean[self.order], visit)
        latents = np.empty(ordered.shape, np.float32)
        latents[self.order] = ordered
        return latents / np.float32(MEAN_STEPS)

    def surroundings(
        self, y: NDArray[np.float32], index: Integers, mean: Integers
    ) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Of each latent, were these encoded: its predicted mean, in steps; its table's number."""
        ordered = y[self.order]
        predicted, table = np.empty(y.shape, np.int32), np.empty(y.shape, np.uint8)

        def visit(place: Place) -> Integers:
            predicted[place.where] = place.mean
            table[place.where] = self.table_of[place.group][place.contexts]
            return rounded(ordered, place)

        walk(self.groups, self.coefficients, index[self.order], mean[self.order], visit)
        back = np.argsort(self.order)
        return predicted[back], table[back]

    def bits(self, table: NDArray[np.uint8], distances: NDArray[np.float32]) -> NDArray[np.float32]:
        """What whole distances cost under tables of these numbers; far ones as much as nearer."""
        limits = np.clip(distances, -_CHARTED, _CHARTED).astype(np.int64)
        return self._costs[table, limits + _CHARTED]

    @cached_property
    def _costs(self) -> NDArray[np.float32]:
        values = np.arange(-_CHARTED, _CHARTED + 1)
        return np.array([table.bits(values) for table in self.tables], np.float32)

    def pack(self) -> bytes:
        """As bytes, big-endian: M (2 bytes), how many groups (1); then, compressed (zlib), the
        order (2 each), the groups' sizes (2 each), coefficients (2 each, signed), table_of, and
        the tables as `tables.pack` packs them."""
        parts = (
            np.array([*self.order, *self.groups], ">u2").tobytes(),
            self.coefficients.astype(">i2").tobytes(),
            self.table_of.tobytes(),
            pack(self.tables),
        )
        return _HEAD.pack(len(self.order), len(self.groups)) + zlib.compress(b"".join(parts), 9)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """
        Raises:
            WeightsError: the bytes are damaged.
        """
        try:
            latents, count = _HEAD.unpack_from(data)
            parts = zlib.decompress(data[_HEAD.size :])
            numbers = np.frombuffer(parts, ">u2", latents + count).astype(np.int64)
            at = 2 * numbers.size
            coefficients = np.frombuffer(parts, ">i2", latents * KINDS, at).astype(np.int16)
            at += 2 * coefficients.size
            table_of = np.frombuffer(parts, np.uint8, count * CONTEXTS, at)
        except (struct.error, zlib.error, ValueError):
            raise WeightsError("damaged context model (cut short); reinstall comrec") from None
        order, groups = numbers[:latents], tuple(numbers[latents:].tolist())
        tables = unpack(parts[at + table_of.size :])
        whole = sorted(order.tolist()) == list(range(latents)) and sum(groups) == latents
        if not (whole and table_of.size and table_of.max() < len(tables)):
            raise WeightsError("damaged context model (it does not fit together); reinstall comrec")
        return cls(
            order, groups, coefficients.reshape(-1, KINDS), table_of.reshape(count, -1), tables
        )


def rounded(y: NDArray[np.float32], place: Place) -> NDArray[np.int32]:
    """Whole distances from the predicted means, of latents (M, h, w) in coding order."""
    far = np.rint(y[place.where] - place.mean.astype(np.float32) / np.float32(MEAN_STEPS))
    return np.clip(far, -_FARTHEST, _FARTHEST).astype(np.int32)

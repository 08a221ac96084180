"""Context-based coding of latents: each is predicted and coded under a table of its context.

A hyper-decoder gives each latent a scale index, which says how widely it may vary, and a mean.
Latents coded before it improve both. The mean is corrected by how far the latent's neighbours in
the channel are from their means. The residual, latent - corrected mean, is rounded to an integer
and coded; its table is looked up by the scale index, by the residuals of these neighbours, and by
the residuals at the same position in the channels before.

Channels are coded in groups, the strongest first. A group is coded in seven passes over the grid;
all latents of a pass are coded at once:

    0 5 2 5 0 5 2 5     pass 0      has no known neighbours
    6 4 6 4 6 4 6 4     pass 1      the four diagonal ones at distance 2, of pass 0
    3 5 1 5 3 5 1 5     pass 2, 3   the four direct ones at distance 2, of passes 0 and 1
    6 4 6 4 6 4 6 4     pass 4      the four diagonal ones at distance 1
    0 5 2 5 0 5 2 5     pass 5, 6   the four direct ones at distance 1
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from comrec.entropy.coder import Decoder, Encoder
from comrec.entropy.packing import Packed, unpacked
from comrec.entropy.tables import Table, code_lengths

Integers = NDArray[np.integer[Any]]

INDICES = 64
"""Scale indices are 0..INDICES - 1; a larger one means a wider distribution."""
MEAN_STEPS = 4
"""Means and decoded latents are multiples of 1 / MEAN_STEPS."""
KINDS = 4
"""Kinds of known neighbours: diagonal, direct at distance 2; diagonal, direct at distance 1."""
ONE = 1 << 12
"""Prediction coefficients are stored in units of 1 / ONE."""


class Pass(NamedTuple):
    """A part of the grid that is coded at once.

    Attributes:
        top, left, stride: positions of its latents.
        kind: of its neighbours, 0..KINDS - 1; None where there are none.
        neighbours: row and column offsets to them.
    """

    top: int
    left: int
    stride: int
    kind: int | None
    neighbours: tuple[tuple[int, int], ...]


_DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_DIRECT = ((-1, 0), (1, 0), (0, -1), (0, 1))
_FAR_DIAGONAL = tuple((2 * down, 2 * along) for down, along in _DIAGONAL)
_FAR_DIRECT = tuple((2 * down, 2 * along) for down, along in _DIRECT)

PASSES = (
    Pass(0, 0, 4, None, ()),
    Pass(2, 2, 4, 0, _FAR_DIAGONAL),
    Pass(0, 2, 4, 1, _FAR_DIRECT),
    Pass(2, 0, 4, 1, _FAR_DIRECT),
    Pass(1, 1, 2, 2, _DIAGONAL),
    Pass(0, 1, 2, 3, _DIRECT),
    Pass(1, 0, 2, 3, _DIRECT),
)
BORDER = 2
"""How far neighbours can lie outside the grid."""

_LARGEST = 63  # magnitudes of residuals are clipped to this for the neighbours' sum
_NEAR = np.array([1, 2, 3, 4, 6, 9, 14, 22, 36, 60, 110])
_BEFORE = np.array([1, 2, 4, 7, 12, 20, 32, 50, 80, 128, 200])
_BEFORE_LARGEST = 8  # the same for the sum over the channels before
_BINS = 16  # of four scale indices each
_CHARTED = 64  # larger residuals are taken to cost as much as this
_FARTHEST = 1 << 20  # bound of residuals, and of corrections and their terms in 1 / MEAN_STEPS

_SHAPE = (1 + KINDS * (len(_NEAR) + 1), len(_BEFORE) + 1, _BINS)
CONTEXTS = int(np.prod(_SHAPE))
"""Contexts of each group: a context is 0..CONTEXTS - 1."""

# A context is the sum of three parts. The first, by the kind of the neighbours and the sum of their
# residuals' magnitudes; the second, by the sum over the channels before, up to the last threshold;
# the third is the bin of the scale index.
_NEAR_LEVEL = np.searchsorted(_NEAR, np.arange(4 * _LARGEST + 1), side="right")
_NEAR_PART = (
    _SHAPE[1] * _SHAPE[2] * np.add.outer(1 + (len(_NEAR) + 1) * np.arange(KINDS), _NEAR_LEVEL)
)
_BEFORE_PART = _SHAPE[2] * np.searchsorted(_BEFORE, np.arange(_BEFORE[-1] + 1), side="right")


class Place(NamedTuple):
    """The latents of one group in one pass.

    Attributes:
        group: number of the group.
        where: slices of channels in coding order, rows and columns.
        contexts: of each latent, 0..CONTEXTS - 1.
        mean: corrected mean of each latent, in 1 / `MEAN_STEPS`.
    """

    group: int
    where: tuple[slice, slice, slice]
    contexts: Integers
    mean: Integers


def walk(
    groups: tuple[int, ...],
    coefficients: Integers,
    scale_index: Integers,
    mean: Integers,
    visit: Callable[[Place], Integers],
) -> NDArray[np.int64]:
    """Visit all latents in coding order.

    Args:
        groups: number of channels of each.
        coefficients: (M, KINDS), see `ContextModel`.
        scale_index, mean: (M, h, w), channels in coding order; means in 1 / `MEAN_STEPS`.
        visit: returns the residuals of the latents of a place, integers.
    Returns:
        (M, h, w) the latents, in 1 / `MEAN_STEPS`.
    """
    height, width = scale_index.shape[1:]
    latents = np.empty(scale_index.shape, np.int64)
    bins = scale_index // (INDICES // _BINS)
    before = np.zeros((height, width), np.int64)
    first = 0
    for group, count in enumerate(groups):
        channels = slice(first, first + count)
        # Zeros outside the grid.
        shape = count, height + 2 * BORDER, width + 2 * BORDER
        offsets = np.zeros(
            shape, np.int32
        )  # latents - the hyper-decoder's means, in 1 / MEAN_STEPS
        magnitudes = np.zeros(shape, np.uint8)  # of residuals, clipped
        for part in PASSES:
            rows = slice(part.top, None, part.stride)
            columns = slice(part.left, None, part.stride)
            where = channels, rows, columns
            given = mean[where].astype(np.int32)
            if not given.size:
                continue
            contexts = _BEFORE_PART[np.minimum(before[rows, columns], _BEFORE[-1])] + bins[where]
            corrected = given
            if part.kind is not None:
                contexts += _NEAR_PART[part.kind][_around(magnitudes, part, given.shape)]
                weight = coefficients[channels, part.kind].astype(np.int64)[:, None, None]
                correction = (weight * _around(offsets, part, given.shape) + 2 * ONE) // (4 * ONE)
                corrected = given + np.clip(correction, -_FARTHEST, _FARTHEST).astype(np.int32)
            residuals = visit(Place(group, where, contexts, corrected))
            found = MEAN_STEPS * residuals.astype(np.int64) + corrected
            latents[where] = found
            inside = (
                slice(None),
                slice(BORDER + part.top, -BORDER, part.stride),
                slice(BORDER + part.left, -BORDER, part.stride),
            )
            offsets[inside] = np.clip(found - given, -_FARTHEST, _FARTHEST)
            magnitudes[inside] = np.minimum(np.abs(residuals), _LARGEST)
        inner = magnitudes[:, BORDER:-BORDER, BORDER:-BORDER]
        before += np.minimum(inner, _BEFORE_LARGEST).sum(0, dtype=np.int64)
        first += count
    return latents


def _around(values: Integers, part: Pass, shape: tuple[int, ...]) -> Integers:
    """The sum over the neighbours of each latent of a pass; it must fit in the type of values."""
    height, width = (part.stride * (side - 1) + 1 for side in shape[1:])
    total = np.zeros(shape, values.dtype)
    for down, along in part.neighbours:
        y, x = BORDER + part.top + down, BORDER + part.left + along
        total += values[:, y : y + height : part.stride, x : x + width : part.stride]
    return total


@dataclass(frozen=True)
class ContextModel:
    """How latents are coded; fitted when a network is trained, and stored with its weights.

    Attributes:
        order: the M channels in coding order.
        groups: number of channels of each group; M in total.
        coefficients: (M, KINDS) int16, channels in coding order, in 1 / `ONE`. The correction of a
            latent's mean is this times the mean over its four neighbours of latent - the
            hyper-decoder's mean.
        table_of: (groups, CONTEXTS) uint8, positions in ``tables``.
        tables: at most 256.
    """

    order: NDArray[np.int64]
    groups: tuple[int, ...]
    coefficients: NDArray[np.int16]
    table_of: NDArray[np.uint8]
    tables: tuple[Table, ...]

    def encode(
        self, encoder: Encoder, y: NDArray[np.float32], scale_index: Integers, mean: Integers
    ) -> None:
        """Round the residuals of latents and add them to an encoder.

        Args:
            y: (M, h, w), in quantisation steps.
            scale_index: (M, h, w), 0..INDICES - 1.
            mean: (M, h, w), in 1 / `MEAN_STEPS`.
        """
        ordered = y[self.order]

        def visit(place: Place) -> Integers:
            residuals = rounded(ordered, place)
            encoder.add(residuals, self.table_of[place.group].take(place.contexts), self.tables)
            return residuals

        self._walk(scale_index, mean, visit)

    def decode(
        self, decoder: Decoder, scale_index: Integers, mean: Integers
    ) -> NDArray[np.float32]:
        """The latents that were added, (M, h, w): rounded residuals + corrected means.

        Raises:
            DamagedFileError: as `Decoder.take`.
        """

        def visit(place: Place) -> Integers:
            return decoder.take(self.table_of[place.group].take(place.contexts), self.tables)

        ordered = self._walk(scale_index, mean, visit)
        latents = np.empty(ordered.shape, np.float32)
        latents[self.order] = ordered
        return latents / np.float32(MEAN_STEPS)

    def surroundings(
        self, y: NDArray[np.float32], scale_index: Integers, mean: Integers
    ) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Each latent's corrected mean, in 1 / `MEAN_STEPS`, and number of its table."""
        ordered = y[self.order]
        corrected, table = np.empty(y.shape, np.int32), np.empty(y.shape, np.uint8)

        def visit(place: Place) -> Integers:
            corrected[place.where] = place.mean
            table[place.where] = self.table_of[place.group].take(place.contexts)
            return rounded(ordered, place)

        self._walk(scale_index, mean, visit)
        back = np.argsort(self.order)
        return corrected[back], table[back]

    def _walk(
        self, scale_index: Integers, mean: Integers, visit: Callable[[Place], Integers]
    ) -> NDArray[np.int64]:
        """`walk`, over channels in their own order."""
        return walk(
            self.groups, self.coefficients, scale_index[self.order], mean[self.order], visit
        )

    def bits(self, table: NDArray[np.uint8], residuals: NDArray[np.float32]) -> NDArray[np.float32]:
        """Code length of integer residuals under tables of these numbers. Beyond -64..64 it is that
        of the nearest bound."""
        limits = np.clip(residuals, -_CHARTED, _CHARTED).astype(np.int64)
        return self._code_lengths[table, limits + _CHARTED]

    @cached_property
    def _code_lengths(self) -> NDArray[np.float32]:
        return code_lengths(self.tables, _CHARTED)

    def pack(self) -> bytes:
        """As `packing` has it; its own arrays: coefficients (2 bytes each, signed), table_of."""
        arrays = self.coefficients.astype(">i2"), self.table_of
        return Packed(self.order, self.groups, arrays, self.tables).bytes()

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """
        Raises:
            WeightsError: the bytes are damaged.
        """

        def layout(channels: int, groups: int) -> list[tuple[str, int]]:
            return [(">i2", channels * KINDS), ("u1", groups * CONTEXTS)]

        order, groups, (coefficients, table_of), tables = unpacked(data, "context model", layout)
        return cls(
            order,
            groups,
            coefficients.astype(np.int16).reshape(-1, KINDS),
            table_of.reshape(len(groups), -1),
            tables,
        )


def rounded(y: NDArray[np.float32], place: Place) -> NDArray[np.int32]:
    """Rounded residuals at a place, of latents (M, h, w) in coding order."""
    residuals = np.rint(y[place.where] - place.mean.astype(np.float32) / np.float32(MEAN_STEPS))
    return np.clip(residuals, -_FARTHEST, _FARTHEST).astype(np.int32)

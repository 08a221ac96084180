"""What latents cost in bit-planes, and what their neighbouring values would.

For an encoder that chooses among values. The values are those that a decoder can tell apart at the
place where a stream ends: a latent that is known down to a step has the value floor(|y| / step),
with its sign. Contexts are taken as they are: what a value would change for others is left out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from comrec.entropy.planes import (
    CONTEXTS,
    LATTICES,
    Integers,
    Part,
    PlaneModel,
    Predict,
    Wanted,
)
from comrec.entropy.tables import code_lengths

Floats = NDArray[np.float32]

_CHARTED = 64  # symbols beyond are taken to cost as much as this
_FAR = np.float32(12)  # bits; of the first value other than zero in a channel without any


class Costs(NamedTuple):
    """Costs of latents (M, h, w), of this shape but for ``bits``.

    Attributes:
        bits: of all.
        step: down to which each is known, in finest steps; 0 where nothing of it is coded.
        above: bits that the next higher value costs more than a latent's own; 0 where step is.
        below: bits that a latent's own value costs more than the next lower one; the same.
    """

    bits: float
    step: Floats
    above: Floats
    below: Floats


def costs(model: PlaneModel, y: Floats, predict: Predict, place: float) -> Costs:
    """Costs of latents (M, h, w), in finest steps, in a stream up to a place (`Known`)."""
    pricing = _Pricing(model, y)
    model.walk(y.shape[1:], predict, pricing, model.parts_until(place))
    step, out, within = (
        _whole(parts, y.shape) for parts in (pricing.step, pricing.out, pricing.within)
    )
    out[step == 0] = 0
    negative = y < 0
    above, below = np.where(negative, -within, out), np.where(negative, -out, within)
    return Costs(pricing.bits, step, above, below)


class _Pricing:
    """Adds up what `PlaneModel.walk` comes to. Values by lattice, flattened (see `Part`).

    Plane by plane: a value is its parent, the value in the plane before, and one symbol. A
    magnitude m and m + 1 have the same parent if m is even, else neighbouring ones.

    Attributes:
        bits: of all so far.
        step: as `Costs` has it, so far.
        out: bits that the next larger magnitude costs more than a latent's own.
        within: bits that its own costs more than the next smaller one; where it is zero, than one
            of the other sign.
    """

    def __init__(self, model: PlaneModel, y: Floats) -> None:
        self._model, self._wanted = model, Wanted(y, model.planes)
        self._lengths = code_lengths(model.tables, _CHARTED)
        most = np.abs(y).astype(np.int64)
        self._magnitudes = [most[:, top::2, left::2].reshape(-1) for top, left in LATTICES]
        self._sides = [
            np.where(y[:, top::2, left::2] < 0, -1, 1).reshape(-1) for top, left in LATTICES
        ]
        self.bits = 0.0
        self.step = [np.zeros(m.shape, np.float32) for m in self._magnitudes]
        self.out = [np.full(m.shape, _FAR) for m in self._magnitudes]
        self.within = [np.zeros(m.shape, np.float32) for m in self._magnitudes]

    def active(self, plane: int, channels: Integers) -> NDArray[np.bool_]:
        found = self._wanted.active(plane, channels)
        self.bits += float(self._cost(self._model.flags[plane][channels], found).sum())
        return found

    def symbols(self, part: Part) -> tuple[Integers, None]:
        symbols = self._wanted.symbols(part)
        table_of = self._model.table_of[part.plane]
        self.bits += float(self._cost(table_of[part.contexts], symbols).sum(dtype=np.float64))
        here, at = part.lattice, part.at
        plane = self._model.planes - 1 - part.plane
        size = self._magnitudes[here][at] >> plane
        side = self._sides[here][at]
        if part.plane == 0:
            table = table_of[part.contexts]
            less, own, more = (
                self._cost(table, part.flip * (side * (size + by) - part.base)) for by in (-1, 0, 1)
            )
            out, within = more - own, own - less
        else:
            # Of a latent that is zero in the plane before, and of another.
            fresh = part.contexts % (CONTEXTS // 2)
            tables = table_of[fresh], table_of[fresh + CONTEXTS // 2]
            outwards = part.flip * side
            zero, appears, other = (self._cost(tables[0], by * outwards) for by in (0, 1, -1))
            up, down = (self._cost(tables[1], by * outwards) for by in (1, -1))
            # A magnitude of one comes to be by its sign, a larger odd one by a move outwards.
            crossing = down - up
            out = np.where(size & 1, self.out[here][at] + crossing, -crossing)
            out = np.where(size == 1, self.out[here][at] + down - appears, out)
            out = np.where(size == 0, appears - zero, out)
            within = np.where(size & 1, -crossing, self.within[here][at] + crossing)
            within = np.where(size == 2, self.within[here][at] + down - appears, within)
            within = np.where(size == 1, appears - zero, within)
            within = np.where(size == 0, zero - other, within)
        self.out[here][at], self.within[here][at] = out, within
        self.step[here][at] = 1 << plane
        return symbols, None

    def _cost(self, tables: Integers, symbols: Any) -> Floats:
        found: Floats = self._lengths[tables, np.clip(symbols, -_CHARTED, _CHARTED) + _CHARTED]
        return found


def _whole(parts: list[Floats], shape: tuple[int, ...]) -> Floats:
    """(M, h, w), of values by lattice."""
    found = np.empty(shape, np.float32)
    for (top, left), values in zip(LATTICES, parts, strict=True):
        lattice = found[:, top::2, left::2]
        lattice[...] = values.reshape(lattice.shape)
    return found

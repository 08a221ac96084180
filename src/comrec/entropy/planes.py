"""Bit-planes of latents, coded from the coarsest to the finest, so that a prefix is a picture.

A latent y, in units of the finest step, has the magnitude floor(|y|); plane p knows it down to
2**p. In the first plane a latent's sign and whole magnitude are coded. In each that follows, a
latent that was zero stays zero or becomes 1 with a sign ("significance"); of any other one bit is
coded ("refinement"): as in embedded zero-tree coding (Shapiro 1993) and EBCOT (Taubman 2000).
Channels in which nothing is significant yet are skipped, for one flag each in every plane.

What is coded, and under which table, is decided by integers alone: a network (`train.planes`)
predicts from the values that are known in the neighbourhood, of all channels, a scale index for
each latent and a lean, the way by which it is expected to differ from the middle of what is known
of it. A plane is coded in four lattices, each knowing those before it:

    0 2 0 2
    3 1 3 1
    0 2 0 2

and a lattice in groups of channels, the strongest first; a latent's table also depends on how much
more than expected has become significant at its place in the groups before. First comes, in all
lattices, what is likely to become significant, since this improves the picture most for its bits;
then, in all lattices, the rest.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from comrec.entropy.levels import sided
from comrec.entropy.packing import Packed, unpacked
from comrec.entropy.queue import QueueDecoder, QueueEncoder
from comrec.entropy.tables import Table
from comrec.errors import DamagedFileError

Integers = NDArray[np.integer[Any]]
Flags = NDArray[np.bool_]

PLANES = 6
"""Of networks that do not say how many they have."""
LATTICES = ((0, 0), (1, 1), (0, 1), (1, 0))
"""Row and column offset of each, on a pitch of 2."""
NETWORKS_PER_PLANE = 3
"""The last two lattices have neighbours alike."""
INDICES = 64
"""Scale indices are 0..INDICES - 1; a larger one means a wider distribution."""
LEAN_STEPS = 16
"""Leans are in 1 / LEAN_STEPS of the plane's step."""
LEAN_LIMIT = 127
"""Leans are -LEAN_LIMIT..LEAN_LIMIT."""
EARLY = 25
"""From this index on, what is not significant is coded early in a plane: one in sixteen becomes
so."""

LARGEST = 1000
"""Of magnitudes in the first plane, in its steps."""

_LEANS = np.searchsorted([3, 7, 13, 24, 44], np.arange(LEAN_LIMIT + 1), side="right")
_LEAN_BINS = 6
_INDEX_BINS = INDICES // 2
_SURPRISES = np.array([-160, -32, 64, 256, 768])  # in 1 / _ONE latents
_SURPRISE_BINS = len(_SURPRISES) + 1
_ONE = 256
_KINDS = 2  # significance and refinement; in the first plane, what is coded there
_SHAPE = (_KINDS, _INDEX_BINS, _LEAN_BINS, _SURPRISE_BINS)
CONTEXTS = int(np.prod(_SHAPE))
"""Contexts of each plane: a context is 0..CONTEXTS - 1."""


def network_of(number: int, lattice: int) -> int:
    """Which predictor is asked, for a plane (0 the first) and a lattice."""
    return number * NETWORKS_PER_PLANE + min(lattice, NETWORKS_PER_PLANE - 1)


class Predict(Protocol):
    """A predictor's scale index and lean of some channels in a lattice, int32 (A, h', w') each.

    Args:
        number: see `network_of`.
        levels: uint8 (2 M, h + 2 - top, w + 2 - left), from the lattice's first place on, with a
            border of one: 8 log2(1 + |value|), rounded, of each channel's positive and then its
            negative values, which are in half steps of the plane.
        channels: int64 (A,), those asked for; all others are zero.
    """

    def __call__(
        self, number: int, levels: NDArray[np.uint8], channels: NDArray[np.int64]
    ) -> tuple[Integers, Integers]: ...


class Part(NamedTuple):
    """Latents that are coded at once: of a group of channels, of a lattice, in a plane.

    Attributes:
        plane: number of the plane, 0 the first.
        lattice: number of the lattice.
        at: positions of the latents among the lattice's, (M, h', w') flattened; what follows has
            one value for each.
        bins: of the scale index, for statistics.
        contexts: 0..CONTEXTS - 1.
        flip: -1 where the coded symbol has the other sign, else 1.
        base: what is added to the coded symbol after that.
        refined: whether the symbol is a refinement.
    """

    plane: int
    lattice: int
    at: Integers
    bins: Integers
    contexts: Integers
    flip: Integers
    base: Integers
    refined: Flags


class Visitor(Protocol):
    """Codes, decodes or counts what `walk` comes to."""

    def active(self, plane: int, channels: Integers) -> Flags | None:
        """Which of these channels have their first significant latent in a plane; None if the
        bytes have run out."""
        ...

    def symbols(self, part: Part) -> tuple[Integers, Flags | None]:
        """The symbols of a part, and which of them are known (None: all)."""
        ...


class Known(NamedTuple):
    """What was decoded.

    Attributes:
        latents: float32 (M, h, w), in finest steps: the middle of what is known of each.
        place: 0 where the first plane is there, 1 where all are.
    """

    latents: NDArray[np.float32]
    place: float


class _State:
    """What is known while latents are coded.

    Attributes:
        values: int32 (M, h' w') of each lattice: the middle of what is known of each latent, in
            half steps of the plane.
        active: (M,) whether something in a channel is significant.
        done: parts that are there; of the last, a share.
        ended: whether the bytes have run out.
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        self.shape = channels, height, width
        self.shapes = [(-(-(height - y) // 2), -(-(width - x) // 2)) for y, x in LATTICES]
        self.values = [np.zeros((channels, h * w), np.int32) for h, w in self.shapes]
        self.active = np.zeros(channels, np.bool_)
        self.done = 0.0
        self.ended = False

    def whole(self) -> NDArray[np.int32]:
        """All values, (M, h, w)."""
        found = np.empty(self.shape, np.int32)
        for (top, left), values, sides in zip(LATTICES, self.values, self.shapes, strict=True):
            found[:, top::2, left::2] = values.reshape(len(values), *sides)
        return found


class _Lattice:
    """The latents of active channels in a lattice and a plane, and what is predicted of them.

    Attributes:
        channels: those, in coding order.
        bounds: where among them each group begins, and the last ends.
        early: (A, h' w') which are coded early.
        surprise: (h' w',) what became significant more than was expected, in 1 / `_ONE`.
    """

    def __init__(
        self, number: int, channels: Integers, bounds: Integers, old: Integers,
        index: Integers, lean: Integers,
    ) -> None:  # fmt: skip
        self.number, self.channels, self.bounds = number, channels, bounds
        self.index, self.lean = index.reshape(old.shape), lean.reshape(old.shape)
        self.early = (old == 0) & (self.index >= EARLY)
        self.surprise = np.zeros(old.shape[1], np.int64)


@dataclass(frozen=True)
class PlaneModel:
    """How bit-planes are coded; counted when a network is trained, and stored with its weights.

    Attributes:
        order: the M channels in coding order.
        groups: number of channels of each; M in total.
        expected: (planes, _INDEX_BINS) int, how many latents of an index become significant, in
            1 / 256.
        flags: (planes, M) uint8, positions in ``tables``, by channel.
        table_of: (planes, CONTEXTS) uint8, positions in ``tables``.
        tables: at most 256.
    """

    order: NDArray[np.int64]
    groups: tuple[int, ...]
    expected: NDArray[np.int64]
    flags: NDArray[np.uint8]
    table_of: NDArray[np.uint8]
    tables: tuple[Table, ...]

    @property
    def planes(self) -> int:
        """Their number."""
        return len(self.flags)

    def parts_until(self, place: float) -> int:
        """The number of parts of a stream that ends at a place, 0..1."""
        each = 2 * len(LATTICES) * len(self.groups)
        return each + round(place * (self.planes - 1) * each)

    def encode(self, y: NDArray[np.float32], predict: Predict, place: float) -> bytes:
        """The bytes of latents (M, h, w), in finest steps, up to a place (`Known`)."""
        coder = QueueEncoder()
        encoding = _Encoding(self, coder, Wanted(y, self.planes))
        self.walk(y.shape[1:], predict, encoding, self.parts_until(place))
        return coder.finish()

    def decode(
        self, data: bytes, predict: Predict, height: int, width: int, place: float, cut: bool
    ) -> Known:
        """What bytes hold.

        Args:
            place: up to which they were encoded.
            cut: whether only the first of them are there.
        Raises:
            DamagedFileError: they cannot come from an encoder.
        """
        decoding = _Decoding(self, QueueDecoder(data, cut))
        return self.walk((height, width), predict, decoding, self.parts_until(place))

    def walk(self, shape: tuple[int, ...], predict: Predict, visitor: Visitor, count: int) -> Known:
        """Visit so many parts in coding order."""
        height, width = shape
        state = _State(len(self.order), height, width)
        starts = np.cumsum([0, *self.groups])
        plane, left = -1, count
        while left and not state.ended:
            plane += 1
            for values in state.values:
                values *= 2
            waiting = self.order[~state.active[self.order]]
            new = visitor.active(plane, waiting)
            if new is None:
                break
            state.active[waiting[new]] = True
            active = state.active[self.order]
            channels = self.order[active]
            bounds = np.concatenate([[0], np.cumsum(active)])[starts]
            levels = _leveled(state.whole())
            lattices: list[_Lattice] = []
            for late in (False, True):
                for number, (top, start) in enumerate(LATTICES):
                    if not (left and not state.ended):
                        break
                    old = state.values[number][channels]
                    if not late:
                        index, lean = predict(
                            network_of(plane, number), levels[:, top:, start:], channels
                        )
                        lattices.append(_Lattice(number, channels, bounds, old, index, lean))
                    lattice = lattices[number]
                    parts = min(left, len(self.groups))
                    left -= parts
                    self._visit(visitor, state, plane, lattice, old, parts, late)
                    if not late:
                        sides = state.shapes[number]
                        found = state.values[number][channels].reshape(len(channels), *sides)
                        _update(levels, channels, (top, start), found)
        place = max(0.0, (state.done / self.parts_until(0.0) - 1) / (self.planes - 1))
        scale = np.float32(2.0 ** (self.planes - 2 - plane))
        return Known(state.whole().astype(np.float32) * scale, place)

    def _visit(
        self,
        visitor: Visitor,
        state: _State,
        plane: int,
        lattice: _Lattice,
        old: Integers,
        parts: int,
        late: bool,
    ) -> None:
        """Code what comes early, or late, in a lattice: so many parts of it."""
        places = old.shape[1]
        chosen = np.flatnonzero(~lattice.early if late else lattice.early)
        bounds = np.searchsorted(chosen, lattice.bounds * places)
        before = old.ravel()[chosen]
        index, lean = lattice.index.ravel()[chosen], lattice.lean.ravel()[chosen]
        channel, place = np.divmod(chosen, max(1, places))
        at = lattice.channels[channel] * places + place
        refined = before != 0
        bins = index >> 1
        contexts = (refined * np.int32(_INDEX_BINS) + bins) * _LEAN_BINS + _LEANS[np.abs(lean)]
        contexts *= _SURPRISE_BINS
        flip = np.where(lean < 0, np.int32(-1), np.int32(1))
        base = (lean + LEAN_STEPS // 2) // LEAN_STEPS if plane == 0 else np.zeros_like(lean)
        expected = self.expected[plane][bins]
        values = state.values[lattice.number].reshape(-1)
        for start, end in itertools.pairwise(bounds[: parts + 1].tolist()):
            if start == end:
                state.done += 1
                continue
            these = slice(start, end)
            surprise = lattice.surprise[place[these]]
            level = np.searchsorted(_SURPRISES, surprise, side="right")
            part = Part(
                plane, lattice.number, at[these], bins[these], contexts[these] + level,
                flip[these], base[these], refined[these],
            )  # fmt: skip
            symbols, certain = visitor.symbols(part)
            after = _changed(part, before[these], symbols)
            if certain is not None and not certain.all():
                values[part.at] = np.where(certain, after, before[these])
                state.ended = True
                state.done += float(certain.mean())
                return
            values[part.at] = after
            state.done += 1
            more = ~part.refined * (_ONE * (after != 0) - expected[these])
            # Sums of so few integers are exact.
            lattice.surprise += np.bincount(place[these], more, places).astype(np.int64)

    def pack(self) -> bytes:
        """As `packing` has it; its own arrays: expected (2 bytes each), flags, table_of."""
        arrays = self.expected.astype(">u2"), self.flags, self.table_of
        return Packed(self.order, self.groups, arrays, self.tables).bytes()

    @classmethod
    def unpack(cls, data: bytes, planes: int = PLANES) -> Self:
        """
        Args:
            planes: their number.
        Raises:
            WeightsError: the bytes are damaged.
        """

        def layout(channels: int, _: int) -> list[tuple[str, int]]:
            sizes = (_INDEX_BINS, channels, CONTEXTS)
            return [(kind, planes * n) for kind, n in zip((">u2", "u1", "u1"), sizes, strict=True)]

        order, groups, arrays, tables = unpacked(data, "model of planes", layout)
        expected, flags, table_of = (array.reshape(planes, -1) for array in arrays)
        return cls(order, groups, expected.astype(np.int64), flags, table_of, tables)


class Wanted:
    """What `walk` is to find in latents.

    Args:
        y: (M, h, w) float, in finest steps.
        planes: number of planes.
    """

    def __init__(self, y: NDArray[np.float32], planes: int) -> None:
        self._finest = planes - 1
        most = (LARGEST << self._finest) - 1
        magnitudes = np.minimum(np.abs(y), most).astype(np.int32)
        self._largest = magnitudes.max((1, 2), initial=0)
        signed = np.where(y < 0, -magnitudes, magnitudes)
        self._lattices = [signed[:, top::2, left::2].reshape(-1) for top, left in LATTICES]

    def active(self, plane: int, channels: Integers) -> Flags:
        """Which of these channels have something significant in a plane."""
        found: Flags = self._largest[channels] >> self._finest - plane > 0
        return found

    def symbols(self, part: Part) -> Integers:
        """The symbols of a part."""
        signed = self._lattices[part.lattice][part.at]
        whole = np.abs(signed) >> self._finest - part.plane
        # A refinement is the last bit, as a move outwards or inwards.
        size = np.where(part.refined, 2 * (whole & 1) - 1, whole)
        moved = np.where(signed < 0, -size, size)
        return np.asarray(part.flip * (moved - part.base), np.int32)


class _Encoding:
    """Gives an encoder what `walk` comes to."""

    def __init__(self, model: PlaneModel, coder: QueueEncoder, wanted: Wanted) -> None:
        self._model, self._coder, self._wanted = model, coder, wanted

    def active(self, plane: int, channels: Integers) -> Flags:
        found = self._wanted.active(plane, channels)
        tables = self._model.flags[plane][channels]
        self._coder.add(found.astype(np.int32), tables, self._model.tables)
        return found

    def symbols(self, part: Part) -> tuple[Integers, None]:
        symbols = self._wanted.symbols(part)
        tables = self._model.table_of[part.plane].take(part.contexts)
        self._coder.add(symbols, tables, self._model.tables)
        return symbols, None


class _Decoding:
    """Takes from a decoder what `walk` comes to."""

    def __init__(self, model: PlaneModel, coder: QueueDecoder) -> None:
        self._model, self._coder = model, coder

    def active(self, plane: int, channels: Integers) -> Flags | None:
        tables = self._model.flags[plane][channels]
        found, known = self._coder.take(tables, self._model.tables)
        return found > 0 if known.all() else None

    def symbols(self, part: Part) -> tuple[Integers, Flags]:
        tables = self._model.table_of[part.plane].take(part.contexts)
        found, known = self._coder.take(tables, self._model.tables)
        most = 1 if part.plane else LARGEST + LEAN_LIMIT
        if np.abs(found).max(initial=0) > most:
            raise DamagedFileError("input: damaged coded values (a latent is out of range)")
        return found, known


def _changed(part: Part, old: Integers, symbols: Integers) -> Integers:
    """New values, in half steps, from the old and the symbols of a part."""
    moved = part.flip * symbols + part.base
    fresh = 2 * moved + np.sign(moved)
    return np.asarray(np.where(part.refined, old + moved, fresh), np.int32)


def _leveled(values: Integers) -> NDArray[np.uint8]:
    """The levels that predictors take, of all values, with a border of zeros."""
    count, height, width = values.shape
    levels = np.zeros((2 * count, height + 2, width + 2), np.uint8)
    levels[0::2, 1:-1, 1:-1], levels[1::2, 1:-1, 1:-1] = sided(values)
    return levels


def _update(
    levels: NDArray[np.uint8], channels: Integers, at: tuple[int, int], values: Integers
) -> None:
    """Put the levels of new values of a lattice into those of all."""
    rows, columns = (slice(1 + start, -1, 2) for start in at)
    positive, negative = sided(values)
    levels[2 * channels, rows, columns] = positive
    levels[2 * channels + 1, rows, columns] = negative

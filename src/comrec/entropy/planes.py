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

import struct
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from comrec.entropy.queue import QueueDecoder, QueueEncoder
from comrec.entropy.tables import Table, pack, unpack
from comrec.errors import WeightsError

Integers = NDArray[np.integer[Any]]
Flags = NDArray[np.bool_]

PLANES = 6
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
TOP = 127
"""Levels are 0..TOP."""
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

_HEAD = struct.Struct(">HB")
_LEVELS = np.minimum(np.rint(8 * np.log2(1 + np.arange(1 << 16))), TOP).astype(np.uint8)


def network_of(number: int, lattice: int) -> int:
    """Which predictor is asked, for a plane (0 the first) and a lattice."""
    return number * NETWORKS_PER_PLANE + min(lattice, NETWORKS_PER_PLANE - 1)


class Predict(Protocol):
    """A predictor's scale index and lean, each int (M, h', w'), of a lattice.

    Args:
        number: see `network_of`.
        levels: uint8 (2 M, h + 2 - top, w + 2 - left), from the lattice's first place on, with a
            border of one: 8 log2(1 + |value|), rounded, of each channel's positive and then its
            negative values, which are in half steps of the plane.
    """

    def __call__(self, number: int, levels: NDArray[np.uint8]) -> tuple[Integers, Integers]: ...


class Part(NamedTuple):
    """Latents that are coded at once: a group of channels, of a lattice, in a plane.

    Attributes:
        plane: number of the plane, 0 the first.
        channels: those of the group in which something is significant.
        where: rows and columns of the lattice.
        chosen: (channels, h', w') which of these are coded; what follows has one value for each.
        bins: of each latent's scale index, for statistics.
        contexts: of each latent, 0..CONTEXTS - 1.
        flip: -1 where the coded symbol has the other sign, else 1.
        base: what is added to the coded symbol after that.
        refined: whether the symbol is a refinement.
    """

    plane: int
    channels: NDArray[np.int64]
    where: tuple[slice, slice]
    chosen: Flags
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
        values: int32 (M, h, w): the middle of what is known of each, in half steps of the plane.
        levels: see `Predict`.
        active: (M,) whether something in a channel is significant.
        done: parts that are there; of the last, a share.
        ended: whether the bytes have run out.
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        self.values = np.zeros((channels, height, width), np.int32)
        self.levels = np.empty(0, np.uint8)
        self.active = np.zeros(channels, np.bool_)
        self.done = 0.0
        self.ended = False


class _Lattice:
    """A lattice in a plane: its first place, what is predicted, what has surprised, and what was
    coded early."""

    def __init__(self, top: int, start: int, index: Integers, lean: Integers) -> None:
        self.top, self.start = top, start
        self.where = slice(top, None, 2), slice(start, None, 2)
        self.index, self.lean = index, lean
        self.surprise = np.zeros(index.shape[1:], np.int32)
        self.coded = np.zeros(index.shape, np.bool_)


def parts_until(place: float, groups: int) -> int:
    """The number of parts of a stream that ends at a place, 0..1."""
    each = 2 * len(LATTICES) * groups
    return each + round(place * (PLANES - 1) * each)


@dataclass(frozen=True)
class PlaneModel:
    """How bit-planes are coded; counted when a network is trained, and stored with its weights.

    Attributes:
        order: the M channels in coding order.
        groups: number of channels of each; M in total.
        expected: (PLANES, _INDEX_BINS) int, how many latents of an index become significant, in
            1 / 256.
        flags: (PLANES, M) uint8, positions in ``tables``, by channel.
        table_of: (PLANES, CONTEXTS) uint8, positions in ``tables``.
        tables: at most 256.
    """

    order: NDArray[np.int64]
    groups: tuple[int, ...]
    expected: NDArray[np.int64]
    flags: NDArray[np.uint8]
    table_of: NDArray[np.uint8]
    tables: tuple[Table, ...]

    def encode(self, y: NDArray[np.float32], predict: Predict, place: float) -> bytes:
        """The bytes of latents (M, h, w), in finest steps, up to a place (`Known`)."""
        coder = QueueEncoder()
        count = parts_until(place, len(self.groups))
        self.walk(y.shape[1:], predict, Encoding(self, coder, y), count)
        return coder.finish()

    def decode(
        self, data: bytes, predict: Predict, height: int, width: int, place: float, cut: bool
    ) -> Known:
        """What bytes hold.

        Args:
            place: up to which they were encoded.
            cut: whether only the first of them are there.
        Raises:
            DamagedFileError: they cannot come from an encoder, or end in the first plane.
        """
        count = parts_until(place, len(self.groups))
        decoding = _Decoding(self, QueueDecoder(data, cut))
        return self.walk((height, width), predict, decoding, count)

    def walk(self, shape: tuple[int, ...], predict: Predict, visitor: Visitor, count: int) -> Known:
        """Visit so many parts in coding order."""
        state = _State(len(self.order), *shape)
        split = np.split(self.order, np.cumsum(self.groups)[:-1])
        plane, left = -1, count
        while left and not state.ended:
            plane += 1
            state.values *= 2
            waiting = self.order[~state.active[self.order]]
            new = visitor.active(plane, waiting)
            if new is None:
                break
            state.active[waiting[new]] = True
            state.levels = _leveled(state.values)
            lattices: list[_Lattice] = []
            for late in (False, True):
                for number, (top, start) in enumerate(LATTICES):
                    if not late and left:
                        index, lean = predict(
                            network_of(plane, number), state.levels[:, top:, start:]
                        )
                        lattices.append(_Lattice(top, start, index, lean))
                    for group in split:
                        if left and not state.ended:
                            left -= 1
                            self._visit(visitor, state, plane, lattices[number], group, late)
        each = parts_until(0.0, len(self.groups))
        place = max(0.0, (state.done / each - 1) / (PLANES - 1))
        scale = np.float32(2.0 ** (PLANES - 2 - plane))
        return Known(state.values.astype(np.float32) * scale, place)

    def _visit(
        self,
        visitor: Visitor,
        state: _State,
        plane: int,
        lattice: _Lattice,
        group: NDArray[np.int64],
        late: bool,
    ) -> None:
        """Code a part: of a lattice, a group of channels, early or late."""
        channels = group[state.active[group]]
        index, lean = lattice.index[channels], lattice.lean[channels]
        old = state.values[channels, *lattice.where]
        if late:
            chosen = ~lattice.coded[channels]
        else:
            chosen = (old == 0) & (index >= EARLY)
            lattice.coded[channels] = chosen
        if not chosen.any():
            state.done += 1
            return
        before, index, lean = old[chosen], index[chosen], lean[chosen]
        surprise = np.broadcast_to(lattice.surprise, old.shape)[chosen]
        part = self._part(plane, channels, lattice.where, chosen, before, index, lean, surprise)
        symbols, certain = visitor.symbols(part)
        after = _changed(part, before, symbols)
        if certain is not None and not certain.all():
            after = np.where(certain, after, before)
            state.ended = True
            state.done += float(certain.mean())
        else:
            state.done += 1
        new = old.copy()
        new[chosen] = after
        state.values[channels, *lattice.where] = new
        if not late:
            _update(state.levels, channels, lattice, new)
        fresh = before == 0
        surplus = np.zeros(old.shape, np.int32)
        surplus[chosen] = fresh * (_ONE * (after != 0) - self.expected[plane][part.bins])
        lattice.surprise += surplus.sum(0, dtype=np.int32)

    def _part(
        self,
        plane: int,
        channels: NDArray[np.int64],
        where: tuple[slice, slice],
        chosen: Flags,
        old: Integers,
        index: Integers,
        lean: Integers,
        surprise: Integers,
    ) -> Part:
        refined = old != 0
        bins = index >> 1
        contexts = (refined * np.int32(_INDEX_BINS) + bins) * _LEAN_BINS + _LEANS[np.abs(lean)]
        contexts = contexts * _SURPRISE_BINS + np.searchsorted(_SURPRISES, surprise, side="right")
        flip = np.where(lean < 0, -1, 1)
        base = (lean + LEAN_STEPS // 2) // LEAN_STEPS if plane == 0 else np.zeros_like(lean)
        return Part(plane, channels, where, chosen, bins, contexts, flip, base, refined)

    def pack(self) -> bytes:
        """As bytes, big-endian.

        M (2 bytes), number of groups (1); then, compressed (zlib): order (2 each), sizes of groups
        (2 each), expected (2 each), flags and table_of (1 each), and the tables as `tables.pack`
        packs them.
        """
        parts = (
            np.array([*self.order, *self.groups], ">u2").tobytes(),
            self.expected.astype(">u2").tobytes(),
            self.flags.tobytes(),
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
            at = 0

            def take(kind: str, size: int) -> NDArray[Any]:
                nonlocal at
                found = np.frombuffer(parts, kind, size, at)
                at += found.nbytes
                return found

            numbers = take(">u2", latents + count).astype(np.int64)
            expected = take(">u2", PLANES * _INDEX_BINS).astype(np.int64)
            flags = take("u1", PLANES * latents)
            table_of = take("u1", PLANES * CONTEXTS)
        except (struct.error, zlib.error, ValueError):
            raise WeightsError("damaged model of planes (cut short); reinstall comrec") from None
        order, groups = numbers[:latents], tuple(numbers[latents:].tolist())
        tables = unpack(parts[at:])
        whole = sorted(order.tolist()) == list(range(latents)) and sum(groups) == latents
        if not (whole and max(table_of.max(), flags.max()) < len(tables)):
            raise WeightsError("damaged model of planes (it does not fit together)")
        return cls(
            order,
            groups,
            expected.reshape(PLANES, -1),
            flags.reshape(PLANES, -1),
            table_of.reshape(PLANES, -1),
            tables,
        )


class Encoding:
    """Gives an encoder what `walk` comes to.

    Args:
        y: (M, h, w) float, in finest steps.
    """

    def __init__(self, model: PlaneModel, coder: QueueEncoder, y: NDArray[np.float32]) -> None:
        self._model, self._coder = model, coder
        most = (LARGEST << PLANES - 1) - 1
        self._magnitudes = np.minimum(np.abs(y), most).astype(np.int32)
        self._signs = np.where(y < 0, -1, 1).astype(np.int32)
        self._largest = self._magnitudes.max((1, 2), initial=0)

    def active(self, plane: int, channels: Integers) -> Flags:
        found = self.becoming(plane, channels)
        tables = self._model.flags[plane][channels]
        self._coder.add(found.astype(np.int32), tables, self._model.tables)
        return found

    def becoming(self, plane: int, channels: Integers) -> Flags:
        """Which of these channels have something significant in a plane."""
        found: Flags = self._largest[channels] >> PLANES - 1 - plane > 0
        return found

    def symbols(self, part: Part) -> tuple[Integers, None]:
        symbols = self.wanted(part)
        tables = self._model.table_of[part.plane].take(part.contexts)
        self._coder.add(symbols, tables, self._model.tables)
        return symbols, None

    def wanted(self, part: Part) -> Integers:
        """The symbols of a part."""
        at = part.channels, *part.where
        whole = self._magnitudes[at][part.chosen] >> PLANES - 1 - part.plane
        sign = self._signs[at][part.chosen]
        # A refinement is the last bit, as a move outwards or inwards.
        moved = np.where(part.refined, (2 * (whole & 1) - 1) * sign, whole * sign)
        return np.asarray(part.flip * (moved - part.base), np.int32)


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
        return self._coder.take(tables, self._model.tables)


def _changed(part: Part, old: Integers, symbols: Integers) -> Integers:
    """New values, in half steps, from the old and the symbols of a part."""
    moved = part.flip * symbols + part.base
    size = 2 * np.abs(moved) + 1
    fresh = np.where(moved == 0, 0, np.where(moved < 0, -size, size))
    return np.where(part.refined, old + moved, fresh).astype(np.int32)


def _leveled(values: Integers) -> NDArray[np.uint8]:
    """The levels that predictors take, of all values, with a border of zeros."""
    count, height, width = values.shape
    levels = np.zeros((2 * count, height + 2, width + 2), np.uint8)
    inner = levels[:, 1:-1, 1:-1]
    inner[0::2] = _LEVELS[np.clip(values, 0, len(_LEVELS) - 1)]
    inner[1::2] = _LEVELS[np.clip(-values, 0, len(_LEVELS) - 1)]
    return levels


def _update(
    levels: NDArray[np.uint8], channels: Integers, lattice: _Lattice, values: Integers
) -> None:
    """Put the levels of new values of a lattice into those of all."""
    rows, columns = slice(1 + lattice.top, -1, 2), slice(1 + lattice.start, -1, 2)
    levels[2 * channels, rows, columns] = _LEVELS[np.clip(values, 0, len(_LEVELS) - 1)]
    levels[2 * channels + 1, rows, columns] = _LEVELS[np.clip(-values, 0, len(_LEVELS) - 1)]

"""Binary codes of a recurrent codec, iteration by iteration, so that a prefix is a picture.

In each iteration every place has `BITS` bits, 1 or -1; in the last one only the places that go on,
which a flag each says. Under which table a flag or a bit is coded is decided by integers alone:

    index = base + what neighbours have + what the place has in earlier groups

The base of bits comes from a network (`train.bitmodel`) that sees roughly what the latents are
known to be; that of flags says how many places go on. An iteration is coded in two lattices, as on
a chessboard, and a lattice in groups: flags, if there are any, then four groups of bits. The second
lattice knows what its four neighbours of the first have in the same position, and each bit what its
place has in earlier groups.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from comrec.entropy.levels import sided
from comrec.entropy.queue import QueueDecoder, QueueEncoder
from comrec.entropy.tables import Table, pack, unpack
from comrec.errors import DamagedFileError, WeightsError

Integers = NDArray[np.integer[Any]]
Flags = NDArray[np.bool_]

ITERATIONS = 16
BITS = 32
SYMBOLS = BITS + 1
"""Of a place in an iteration: symbol 0 is the flag, the others are the bits."""
GROUPS = ((0, 1), (1, 9), (9, 17), (17, 25), (25, 33))
"""First symbol of each, and the one after its last."""
STEPS = 8
"""Indices are in 1 / STEPS of a logit."""
MIDDLE = 63
"""The index for even chances; indices are 0..INDICES - 1."""
INDICES = 2 * MIDDLE + 1
SHARES = 256
"""The share of places that go on in the last iteration is counted in 1 / SHARES; SHARES is all."""
UNIT = 4
"""What is roughly known of a latent is counted in 1 / UNIT of the finest step."""
NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""Row and column offsets."""

_HEAD = struct.Struct(">H")

Predict = Callable[[int, NDArray[np.uint8]], Integers]
"""The bases (SYMBOLS, h, w) of an iteration, from levels (2M, h, w): 8 log2(1 + |value|), rounded,
of each latent's positive and then its negative values, in 1 / `UNIT` of the finest step. That of
the flag is not used."""
Choose = Callable[[int], tuple[Flags, NDArray[np.int8]]]
"""From an iteration to which places (h, w) go on, and the bits (BITS, h, w) of all. Before the last
iteration all go on."""


class Visitor(Protocol):
    """Codes, decodes or counts what `BitModel.walk` comes to."""

    def begin(self, iteration: int) -> None:
        """An iteration begins."""
        ...

    def symbols(self, first: int, places: Integers, indices: Integers) -> Integers:
        """The symbols (n, p) from a first one on, at p places, flat: 1, -1, or 0 where the bytes
        have run out.

        Args:
            indices: (n, p), 0..INDICES - 1.
        """
        ...

    def end(self, bits: NDArray[np.int8]) -> None:
        """An iteration's bits (BITS, h, w), as far as they are there."""
        ...


@dataclass(frozen=True)
class BitModel:
    """How bits are coded; made when a network is trained, and stored with its weights.

    Attributes:
        latents: M, their channels.
        channel: (ITERATIONS, BITS), of the latents that a bit is mostly about; none twice in an
            iteration.
        off, on: int (ITERATIONS, BITS), what -1 or 1 adds to it, in 1 / `UNIT` finest steps.
        neighbours: int8 (ITERATIONS, SYMBOLS, 4), what a neighbour's symbol adds to the index.
        earlier: int8 (ITERATIONS, SYMBOLS, SYMBOLS), what the place's symbols (the last axis) add.
        tables: one for each index.
    """

    latents: int
    channel: NDArray[np.int64]
    off: NDArray[np.int32]
    on: NDArray[np.int32]
    neighbours: NDArray[np.int8]
    earlier: NDArray[np.int8]
    tables: tuple[Table, ...]

    def encode(
        self,
        shape: tuple[int, int],
        predict: Predict,
        iterations: int,
        share: int,
        choose: Choose,
    ) -> bytes:
        """The bytes of so many iterations of places (h, w).

        Args:
            share: roughly of the places that go on in the last one, 1..`SHARES`.
        """
        coder = QueueEncoder()
        self.walk(shape, predict, iterations, share, _Encoding(coder, self.tables, choose))
        return coder.finish()

    def decode(
        self,
        data: bytes,
        cut: bool,
        shape: tuple[int, int],
        predict: Predict,
        iterations: int,
        share: int,
        each: Callable[[NDArray[np.int8]], None],
    ) -> None:
        """Hand on the bits of each iteration that bytes hold, as far as they are there.

        Args:
            cut: whether only the first bytes are there.
            iterations, share: that were encoded; or fewer, and `SHARES`.
            each: takes int8 (BITS, h, w): 1, -1, or 0 where a bit is not there.
        Raises:
            DamagedFileError: the bytes cannot come from an encoder.
        """
        decoding = _Decoding(QueueDecoder(data, cut), self.tables, each)
        self.walk(shape, predict, iterations, share, decoding)

    def walk(
        self,
        shape: tuple[int, int],
        predict: Predict,
        iterations: int,
        share: int,
        visitor: Visitor,
    ) -> None:
        """Visit so many iterations in coding order."""
        known = np.zeros((self.latents, *shape), np.int32)
        for iteration in range(iterations):
            visitor.begin(iteration)
            base = predict(iteration, _leveled(known)).astype(np.int32)
            flagged = share < SHARES and iteration == iterations - 1
            base[0] = base_of_flags(share) if flagged else 0
            symbols, ended = self._iteration(iteration, base, flagged, visitor)
            bits = symbols[1:]
            visitor.end(bits)
            if ended:
                return
            off, on = (part[iteration][:, None, None] for part in (self.off, self.on))
            known[self.channel[iteration]] += np.where(bits > 0, on, off) * (bits != 0)

    def _iteration(
        self, iteration: int, base: Integers, flagged: bool, visitor: Visitor
    ) -> tuple[NDArray[np.int8], bool]:
        """The symbols (SYMBOLS, h, w) of an iteration, and whether the bytes ran out."""
        shape = base.shape[1:]
        symbols = np.zeros((SYMBOLS, *shape), np.int8)
        flat = symbols.reshape(SYMBOLS, -1)
        white = np.add.outer(*map(np.arange, shape)) % 2 == 0
        earlier = self.earlier[iteration].astype(np.int32)
        for lattice in (white, ~white):
            total = (base + self._near(iteration, symbols)).reshape(SYMBOLS, -1)
            places = np.flatnonzero(lattice)
            for start, stop in GROUPS if flagged else GROUPS[1:]:
                own = earlier[start:stop, 1:start] @ flat[1:start, places].astype(np.int32)
                index = np.clip(total[start:stop, places] + own, -MIDDLE, MIDDLE) + MIDDLE
                found = visitor.symbols(start, places, index)
                flat[start:stop, places] = found
                if not found.all():
                    return symbols, True
                if start == 0:
                    places = places[found[0] > 0]
        return symbols, False

    def _near(self, iteration: int, symbols: NDArray[np.int8]) -> NDArray[np.int32]:
        """What the neighbours' symbols add, as far as they are known."""
        height, width = symbols.shape[1:]
        padded = np.pad(symbols, ((0, 0), (1, 1), (1, 1))).astype(np.int32)
        weights = self.neighbours[iteration].astype(np.int32)[:, :, None, None]
        total = np.zeros(symbols.shape, np.int32)
        for number, (down, along) in enumerate(NEIGHBOURS):
            part = padded[:, 1 + down : 1 + down + height, 1 + along : 1 + along + width]
            total += weights[:, number] * part
        return total

    def pack(self) -> bytes:
        """M (2 bytes, big-endian); then, compressed (zlib): channel (2 bytes each, big-endian), off
        and on (4 each), neighbours, earlier, and the tables as `tables.pack` packs them."""
        parts = [
            self.channel.astype(">u2"),
            self.off.astype(">i4"),
            self.on.astype(">i4"),
            self.neighbours,
            self.earlier,
        ]
        whole = b"".join(part.tobytes() for part in parts) + pack(self.tables)
        return _HEAD.pack(self.latents) + zlib.compress(whole, 9)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """
        Raises:
            WeightsError: the bytes are damaged.
        """
        layout = (
            (">u2", np.int64, (ITERATIONS, BITS)),
            (">i4", np.int32, (ITERATIONS, BITS)),
            (">i4", np.int32, (ITERATIONS, BITS)),
            ("i1", np.int8, (ITERATIONS, SYMBOLS, len(NEIGHBOURS))),
            ("i1", np.int8, (ITERATIONS, SYMBOLS, SYMBOLS)),
        )
        found: list[NDArray[Any]] = []
        try:
            (latents,) = _HEAD.unpack_from(data)
            whole, at = zlib.decompress(data[_HEAD.size :]), 0
            for kind, own, shape in layout:
                part = np.frombuffer(whole, kind, int(np.prod(shape)), at)
                at += part.nbytes
                found.append(part.astype(own).reshape(shape))
        except (struct.error, zlib.error, ValueError):
            raise WeightsError("damaged model of bits (cut short); reinstall comrec") from None
        tables = unpack(whole[at:])
        if len(tables) != INDICES or found[0].max() >= latents:
            raise WeightsError("damaged model of bits (it does not fit together); reinstall comrec")
        channel, off, on, neighbours, earlier = found
        return cls(latents, channel, off, on, neighbours, earlier, tables)


class _Encoding:
    """Gives an encoder what `walk` comes to."""

    def __init__(self, coder: QueueEncoder, tables: tuple[Table, ...], choose: Choose) -> None:
        self._coder, self._tables, self._choose = coder, tables, choose
        self._wanted = np.empty((SYMBOLS, 0), np.int8)

    def begin(self, iteration: int) -> None:
        going, bits = self._choose(iteration)
        flags = np.where(going, 1, -1).astype(np.int8)
        self._wanted = np.concatenate([flags[None], bits]).reshape(SYMBOLS, -1)

    def symbols(self, first: int, places: Integers, indices: Integers) -> Integers:
        found: Integers = self._wanted[first : first + len(indices), places]
        self._coder.add((found > 0).astype(np.int32), indices, self._tables)
        return found

    def end(self, bits: NDArray[np.int8]) -> None: ...


class _Decoding:
    """Takes from a decoder what `walk` comes to."""

    def __init__(
        self,
        coder: QueueDecoder,
        tables: tuple[Table, ...],
        each: Callable[[NDArray[np.int8]], None],
    ) -> None:
        self._coder, self._tables, self._each = coder, tables, each

    def begin(self, iteration: int) -> None: ...

    def symbols(self, first: int, places: Integers, indices: Integers) -> Integers:
        values, known = self._coder.take(indices, self._tables)
        if values.size and (values.min() < 0 or values.max() > 1):
            raise DamagedFileError("input: damaged coded values (a bit is out of range)")
        return np.where(known, 2 * values - 1, 0)

    def end(self, bits: NDArray[np.int8]) -> None:
        self._each(bits)


def base_of_flags(share: int) -> int:
    """The base of flags, of which a share is set."""
    return round(STEPS * math.log(share / (SHARES - share)))


def _leveled(known: NDArray[np.int32]) -> NDArray[np.uint8]:
    """The levels that the network takes."""
    levels: NDArray[np.uint8] = np.stack(sided(known), 1).reshape(-1, *known.shape[1:])
    return levels

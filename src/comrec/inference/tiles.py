"""A network over arrays of any size: tiles, padding, and back to pixels.

Large arrays are cut into tiles that overlap by the network's reach on all sides: the same values
as in one piece, in bounded memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from comrec.inference import session
from comrec.inference.store import Network

Pixels = NDArray[np.uint8]
Planes = NDArray[Any]
"""(C, H, W)."""
Window = tuple[slice, slice]
"""Rows and columns."""

_MARGIN = 8  # input pixels of repeated edge on each side


def run(
    network: Network,
    pixels: Pixels,
    quality: float,
    full_chroma: bool = False,
    *,
    strength: float = 1.0,
    within: Window | None = None,
) -> Pixels:
    """Apply a network that turns pixels into pixels.

    The picture is extended by repeating its edges, so that the zero padding of convolutions
    begins eight pixels outside.

    Args:
        pixels: (H, W, C) uint8 with the network's number of channels.
        quality, full_chroma: see `comrec.sandwich.conditions`; ignored by networks that do not
            take them.
        strength, within: see `apply`.
    Returns:
        uint8: (ceil(H*up/down), ceil(W*up/down), C), or what is ``within`` of it.
    """
    sides = pixels.shape[:2]
    up, down, align = network.up, network.down, network.align
    margin = -(-_MARGIN // align) * align
    rows, columns = (
        np.clip(np.arange(-margin, side + margin + -side % align), 0, side - 1) for side in sides
    )

    def crop(window: Window) -> Planes:
        return from_pixels(pixels[rows[window[0]]][:, columns[window[1]]].transpose(2, 0, 1))

    start = margin * up // down
    shape = len(rows), len(columns)
    wanted = _whole(network, *sides) if within is None else within
    shifted = _moved(wanted[0], start), _moved(wanted[1], start)
    out: Pixels | None = None
    for place, (piece,) in _pieces(network, shape, crop, quality, full_chroma, strength, shifted):
        if out is None:
            out = np.empty((*map(_length, wanted), len(piece)), np.uint8)
        out[place] = np.stack([*to_pixels(piece)], axis=2)  # faster than to transpose
    assert out is not None
    return out


def _whole(network: Network, rows: int, columns: int) -> Window:
    """The output of a whole array."""
    height, width = (-(-side * network.up // network.down) for side in (rows, columns))
    return slice(0, height), slice(0, width)


def _moved(side: slice, by: int) -> slice:
    return slice(side.start + by, side.stop + by)


def _length(side: slice) -> int:
    return int(side.stop - side.start)


def _overlap(place: Window, wanted: Window) -> tuple[Window, Window]:
    """What of the wanted window a place covers, from its start; and with what, from the place's."""
    to, part = [], []
    for there, side in zip(place, wanted, strict=True):
        low, high = max(there.start, side.start), min(there.stop, side.stop)
        to.append(slice(low - side.start, high - side.start))
        part.append(slice(low - there.start, high - there.start))
    return (to[0], to[1]), (part[0], part[1])


def from_pixels(planes: Pixels) -> Planes:
    """uint8 as the input of networks: float32 in 0..1."""
    return np.ascontiguousarray(planes, dtype=np.float32) * np.float32(1 / 255)


def to_pixels(result: Planes) -> Pixels:
    """A network's picture as uint8."""
    scaled = result * np.float32(255)
    np.rint(scaled, out=scaled)
    np.clip(scaled, 0, 255, out=scaled)
    pixels: Pixels = scaled.astype(np.uint8)
    return pixels


def apply(
    network: Network,
    planes: Planes,
    quality: float = 0.0,
    before: Callable[[Planes], Planes] = np.ascontiguousarray,
    *after: Callable[[Planes], Planes],
    full_chroma: bool = False,
    strength: float = 1.0,
    within: Window | None = None,
) -> tuple[Planes, ...]:
    """Apply any network, tile by tile.

    Args:
        planes: (C, H, W).
        quality, full_chroma: as in `run`.
        before: makes the network's input of a tile.
        after: what is kept of each output; by default all, as it is.
        strength: 0..1, the share of the way from input to output that is gone. Less than 1 needs
            a network whose output has the shape of its input.
        within: rows and columns of the outputs that are wanted; by default all. Only the tiles that
            they lie in are evaluated, so that values are those of the whole.
    Returns:
        the outputs, (C', ceil(H*up/down), ceil(W*up/down)), or what is ``within`` of them.
    """
    shape = planes.shape[1], planes.shape[2]
    wanted = _whole(network, *shape) if within is None else within
    outputs: list[Planes] = []

    def crop(window: Window) -> Planes:
        return before(planes[:, *window])

    for place, pieces in _pieces(network, shape, crop, quality, full_chroma, strength, wanted):
        for number, piece in enumerate(pieces):
            kept = after[number](piece) if after else piece
            if number == len(outputs):
                outputs.append(np.empty((len(kept), *map(_length, wanted)), kept.dtype))
            outputs[number][:, *place] = kept
    return tuple(outputs)


def _pieces(
    network: Network,
    shape: tuple[int, int],
    crop: Callable[[Window], Planes],
    quality: float,
    full_chroma: bool,
    strength: float,
    wanted: Window,
) -> Iterator[tuple[Window, list[Planes]]]:
    """What is wanted of the outputs, for each tile that has some of it: where it is in that window,
    and it."""
    up, down = network.up, network.down

    def grown(sides: Window) -> Window:
        across, along = (
            slice(-(-side.start * up // down), -(-side.stop * up // down)) for side in sides
        )
        return across, along

    for outer, inner, where in windows(*shape, network):
        place, part = _overlap(grown(where), wanted)
        if any(_length(side) <= 0 for side in place):
            continue
        given = crop(outer)
        pieces = _evaluate(network, given, quality, full_chroma)
        if strength != 1:
            pieces = [given + np.float32(strength) * (piece - given) for piece in pieces]
        yield place, [piece[:, *grown(inner)][:, *part] for piece in pieces]


def windows(rows: int, columns: int, network: Network) -> Iterator[tuple[Window, Window, Window]]:
    """The tiles of an array, rows and columns of each: with what lies around it, as far as the
    network reaches; of the tile in that; of the tile in the array."""
    reach = -(-network.reach // network.align) * network.align
    for top, bottom in _cuts(rows, network.tile):
        for left, right in _cuts(columns, network.tile):
            y, x = max(0, top - reach), max(0, left - reach)
            outer = slice(y, min(rows, bottom + reach)), slice(x, min(columns, right + reach))
            inner = slice(top - y, bottom - y), slice(left - x, right - x)
            yield outer, inner, (slice(top, bottom), slice(left, right))


def _cuts(length: int, tile: int) -> list[tuple[int, int]]:
    """Tile borders along one side. A last piece shorter than half a tile joins its neighbour."""
    starts = [s for s in range(0, length, tile) if s == 0 or length - s > tile // 2]
    return list(zip(starts, [*starts[1:], length], strict=True))


def _conditions(network: Network, quality: float, full_chroma: bool) -> dict[str, NDArray[Any]]:
    """Of what a network could be told, as it takes it: the inputs that it has."""
    told = {"quality": quality / 100, "full_chroma": full_chroma}
    names = {given.name for given in session.session(network).get_inputs()}
    return {name: np.array([value], np.float32) for name, value in told.items() if name in names}


def _evaluate(network: Network, planes: Planes, quality: float, full_chroma: bool) -> list[Planes]:
    """The outputs for one tile, (C', h, w) each."""
    feed = {session.session(network).get_inputs()[0].name: planes[None]}
    feed |= _conditions(network, quality, full_chroma)
    return [output[0] for output in session.run(network, feed)]

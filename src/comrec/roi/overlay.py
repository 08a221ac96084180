"""Importance maps for people."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from comrec.picture import Picture
from comrec.preparation import orientation
from comrec.roi.sources import Given, map_of

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float32]

_SHARE = 0.55
"""Of the colour, in the overlay."""
_COLOURS = np.array(
    [(48, 18, 110), (0, 110, 200), (30, 190, 150), (250, 200, 40), (230, 40, 20)], np.float32
)
"""From least to most important, evenly spaced."""


def heat(rgb: Pixels, plane: Plane) -> Pixels:
    """A map in colours over its picture in gray: (H, W, 3).

    Args:
        rgb: (H, W, 3).
        plane: (H, W) in 0..1.
    """
    levels, places = np.arange(256) / 255, np.linspace(0, 1, len(_COLOURS))
    table = np.stack([np.interp(levels, places, channel) for channel in _COLOURS.T], axis=1)
    colour = table.astype(np.float32)[np.rint(plane * 255).astype(np.uint8)]
    gray = rgb.mean(axis=2, keepdims=True, dtype=np.float32)
    mixed: Pixels = np.rint(_SHARE * colour + (1 - _SHARE) * gray).astype(np.uint8)
    return mixed


def shown(picture: Picture, given: Given, *, plain: bool = False) -> Picture:
    """The picture, upright, under its map.

    Args:
        plain: the map alone, in gray: white matters.
    Raises:
        OptionError, InputError, WeightsError: see `sources.map_of`.
    """
    upright = orientation.upright(picture)
    plane = map_of(upright, given)
    pixels = np.rint(plane * 255).astype(np.uint8) if plain else heat(upright.rgb, plane)
    return Picture(pixels)

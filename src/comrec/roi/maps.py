"""Importance maps as codecs take them: turned as the picture is, in whole blocks, as weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from comrec import options
from comrec.errors import OptionError
from comrec.picture import Picture
from comrec.preparation import orientation
from comrec.roi.sources import Given, map_of

Plane = NDArray[np.float32]

BLOCK = 16
"""Side of the squares that a map is aligned to: MCUs of JPEG with 4:2:0, and blocks of 8."""
STRENGTHS = (0.0, 30.0)
"""Least and greatest strength, in dB."""
DEFAULT_STRENGTH = 6.0
"""At equal bytes, the important part gains more than 1 dB over `jpeg-tuned`, and the whole loses
less than half of one, on validation photographs."""


def check_strength(strength: float) -> float:
    """A strength as a float.

    Raises:
        OptionError: it is no number in `STRENGTHS`.
    """
    found = options.number(strength)
    least, greatest = STRENGTHS
    if found is None or not least <= found <= greatest:
        raise OptionError(
            f"roi_strength must be {least:g} to {greatest:g} dB, not {options.shown(strength)}"
        )
    return found


def weights(plane: Plane, strength: float) -> Plane:
    """The weights of squared errors: 1 where a map is 1, ``strength`` dB less where it is 0.

    Raises:
        OptionError: see `check_strength`.
    """
    weighed: Plane = 10 ** (np.float32(check_strength(strength) / 10) * (plane - 1))
    return weighed


def aligned(plane: Plane) -> Plane:
    """A map that is constant in squares of `BLOCK`: the most important place counts."""
    height, width = plane.shape
    padded = np.pad(plane, ((0, -height % BLOCK), (0, -width % BLOCK)), mode="edge")
    rows, columns = (side // BLOCK for side in padded.shape)
    most = padded.reshape(rows, BLOCK, columns, BLOCK).max(axis=(1, 3))
    spread = np.repeat(np.repeat(most, BLOCK, axis=0), BLOCK, axis=1)
    return np.ascontiguousarray(spread[:height, :width])


def stored(picture: Picture, given: Given) -> Plane:
    """The map of a picture, (H, W) in 0..1, as its pixels are stored: sources speak of the picture
    as it is shown (`preparation.orientation`).

    Raises:
        OptionError, InputError, WeightsError: see `sources.map_of`.
    """
    upright = orientation.upright(replace(picture, alpha=None, importance=None))
    plane = map_of(upright, given)
    found = orientation.turned_back(replace(upright, importance=plane)).importance
    assert found is not None
    return found


def marked(picture: Picture, given: Given, strength: float = DEFAULT_STRENGTH) -> Picture:
    """The picture with importance: what codecs weigh its errors by.

    Args:
        strength: by how many dB errors count less where the picture matters least.
    Raises:
        OptionError, InputError, WeightsError: see `stored` and `weights`.
    """
    return replace(picture, importance=weights(aligned(stored(picture, given)), strength))

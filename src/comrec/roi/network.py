"""The network that this package has for importance maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from comrec.errors import WeightsError
from comrec.inference import session, store, tiles
from comrec.inference.store import Network

Plane = NDArray[np.float32]

LONGEST = 192
"""The longest side at which the network sees a picture, in pixels."""
ALIGN = 32
"""The network's input has sides of multiples of this."""
PITCH = 16
"""Input pixels per place of the network's map."""

_LOW, _HIGH = 50, 80
"""Percentiles of the network's map that become 0 and 1: a fifth of the picture matters fully."""


def sides(height: int, width: int) -> tuple[int, int]:
    """Height and width at which the network sees a picture."""
    scale = LONGEST / max(height, width)
    high, wide = (max(1, round(side * scale / ALIGN)) * ALIGN for side in (height, width))
    return high, wide


def network() -> Network:
    """The network of importance maps.

    Raises:
        WeightsError: it is not in the package.
    """
    found = store.find("roi", "activation", "map", down=PITCH)
    if found is None:
        raise WeightsError("this version ships no network of importance maps")
    return found


def activation(rgb: NDArray[np.uint8]) -> Plane:
    """What the network says of an upright picture, (H, W, 3): (h, w) in 0..1, coarse."""
    high, wide = sides(*rgb.shape[:2])
    small = np.asarray(Image.fromarray(rgb).resize((wide, high), Image.Resampling.BILINEAR))
    feed = {"picture": tiles.from_pixels(small.transpose(2, 0, 1))[None]}
    found: Plane = session.run(network(), feed)[0][0, 0]
    return found


def fine(rgb: NDArray[np.uint8]) -> Plane:
    """The same for each pixel, smoothly enlarged: (H, W)."""
    height, width = rgb.shape[:2]
    coarse = Image.fromarray(activation(rgb))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def importance(rgb: NDArray[np.uint8]) -> Plane:
    """The importance map of an upright picture, (H, W, 3): (H, W) in 0..1.

    The network's map, stretched: the least important half of the picture is 0, the most important
    fifth 1.
    """
    plane = fine(rgb)
    low, high = np.percentile(plane, (_LOW, _HIGH))
    if not high > low:  # such as of a picture of a few pixels
        return np.ones(plane.shape, np.float32)
    stretched: Plane = np.clip((plane - np.float32(low)) / np.float32(high - low), 0, 1)
    return stretched

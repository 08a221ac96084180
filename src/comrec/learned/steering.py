"""Importance maps as the encoders of learned codecs take them: a weight for each place of latents.

Networks know nothing of importance. It says where an encoder spends bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from comrec.errors import UnsupportedPictureError
from comrec.picture import Picture

Floats = NDArray[np.float32]

_LEAST = np.float32(1e-3)  # no place is given up


def weights(picture: Picture, align: int, pitch: int) -> Floats | None:
    """(h, w): the mean importance of the pixels of each place, relative to the mean of all, so that
    a map of one value changes nothing; None without a map.

    Args:
        align: sides are extended to multiples of it, as `pixels.planes_of` does.
        pitch: pixels per place, along each side.
    """
    plane = picture.importance
    if plane is None:
        return None
    below, right = (-side % align for side in plane.shape)
    padded = np.pad(plane, ((0, below), (0, right)), mode="edge")
    rows, columns = (side // pitch for side in padded.shape)
    means = padded.reshape(rows, pitch, columns, pitch).mean(axis=(1, 3), dtype=np.float32)
    found: Floats = np.maximum(means, _LEAST)
    mean = found.mean(dtype=np.float64)
    return np.asarray(found / mean, np.float32)


def check_steps(codec_id: str, steps: int) -> None:
    """Refuse importance where latents are not refined.

    Raises:
        UnsupportedPictureError: ``steps`` is 0.
    """
    if not steps:
        raise UnsupportedPictureError(
            f"{codec_id} makes use of an importance map (--roi) from effort 6 on: raise --effort, "
            "or leave the map out"
        )


def check_size(codec_id: str, planes: NDArray[np.uint8], least: int) -> None:
    """Refuse importance in pictures that are too small to be refined.

    Args:
        planes: (3, H, W).
        least: pixels along each side.
    Raises:
        UnsupportedPictureError: a side is shorter.
    """
    if min(planes.shape[1:]) < least:
        raise UnsupportedPictureError(
            f"{codec_id} makes use of an importance map (--roi) in pictures of {least} pixels or "
            "more along each side: leave the map out"
        )

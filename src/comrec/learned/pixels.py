"""The pixels of pictures as the planes that networks take and give."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from comrec.formats.cmr import Header
from comrec.metrics import luma
from comrec.picture import Picture, Pixels


def planes_of(picture: Picture, align: int) -> NDArray[np.uint8]:
    """(3, H, W): RGB, extended to sides in multiples of ``align`` by repeating its edges."""
    rows, columns = (-side % align for side in (picture.height, picture.width))
    padded = np.pad(picture.rgb, ((0, rows), (0, columns), (0, 0)), mode="edge")
    return padded.transpose(2, 0, 1)


def grid(head: Header, align: int, pitch: int) -> tuple[int, int]:
    """Rows and columns of the latents of a file's picture, extended as `planes_of` does.

    Args:
        pitch: pixels per latent, along each side.
    """
    rows, columns = (-(-side // align) * align // pitch for side in (head.height, head.width))
    return rows, columns


def pixels_of(planes: NDArray[Any], channels: int) -> Pixels:
    """Planes, uint8 (3, H, W), as the pixels of a picture: (H, W, 3), or (H, W) of a gray one."""
    pixels = np.stack([*planes], axis=2)  # much faster than a contiguous array of the transpose
    return np.rint(luma(pixels)).astype(np.uint8) if channels == 1 else pixels

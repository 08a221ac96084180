"""From the decoded compact picture to the full one: RecCNN on gray, luma or RGB."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from comrec.inference import tiles
from comrec.inference.store import Network

Pixels = NDArray[np.uint8]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def rebuild(network: Network, compact: Pixels, condition: float, size: tuple[int, int]) -> Pixels:
    """Apply a RecCNN.

    Args:
        compact: decoded pixels, (h, w) gray or (h, w, 3) RGB.
        condition: see `conditions`.
        size: (width, height) of the full picture; h and w are its halves, rounded up, where
            the network's scale is 2.
    Returns:
        (height, width) or (height, width, 3), as compact is gray or RGB.
    """
    width, height = size
    if network.channels == 1:
        full = _by_luma(network, compact, condition)
    elif compact.ndim == 2:
        coloured = np.repeat(compact[..., None], 3, axis=2)
        result = tiles.run(network, coloured, condition)
        full = np.rint(result @ _LUMA).astype(np.uint8)
    else:
        full = tiles.run(network, compact, condition)
    return np.ascontiguousarray(full[:height, :width])


def _by_luma(network: Network, compact: Pixels, condition: float) -> Pixels:
    """Luma through the network; chroma bicubically upsampled."""
    if compact.ndim == 2:
        return tiles.run(network, compact[..., None], condition)[..., 0]
    luma, *chroma = Image.fromarray(compact).convert("YCbCr").split()
    rebuilt = tiles.run(network, np.asarray(luma)[..., None], condition)[..., 0]
    size = rebuilt.shape[1], rebuilt.shape[0]
    planes = [plane.resize(size, Image.Resampling.BICUBIC) for plane in chroma]
    return np.asarray(Image.merge("YCbCr", [Image.fromarray(rebuilt), *planes]).convert("RGB"))

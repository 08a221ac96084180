"""A network over a picture of any size: padding, tiles, and back to pixels.

The picture is extended by repeating its edges, so that the zero padding of convolutions
begins eight pixels outside. Large pictures are cut into tiles that overlap by the network's
reach on all sides: the same pixels as in one piece, in bounded memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from comrec.inference.session import session
from comrec.inference.store import Network

Pixels = NDArray[np.uint8]

_MARGIN = 8  # input pixels of repeated edge on each side


def run(network: Network, pixels: Pixels, quality: float) -> Pixels:
    """Apply a network.

    Args:
        pixels: (H, W, C) uint8 with the network's number of channels.
        quality: 0..100; ignored by networks that are not conditioned on it.
    Returns:
        uint8. "com" of scale s: (ceil(H/s), ceil(W/s), C); "rec" of scale s: (H*s, W*s, C).
    """
    height, width, channels = pixels.shape
    up, down = (network.scale, 1) if network.role == "rec" else (1, network.scale)
    align = network.align
    margin = -(-_MARGIN // align) * align
    reach = -(-network.reach // align) * align
    padded = np.pad(
        pixels,
        ((margin, margin + -height % align), (margin, margin + -width % align), (0, 0)),
        mode="edge",
    )
    rows, columns = padded.shape[:2]
    out = np.empty((rows * up // down, columns * up // down, channels), np.uint8)
    for top, bottom in _cuts(rows, network.tile):
        for left, right in _cuts(columns, network.tile):
            y0, y1 = max(0, top - reach), min(rows, bottom + reach)
            x0, x1 = max(0, left - reach), min(columns, right + reach)
            piece = _apply(network, padded[y0:y1, x0:x1], quality)
            inner = piece[
                (top - y0) * up // down : (bottom - y0) * up // down,
                (left - x0) * up // down : (right - x0) * up // down,
            ]
            out[
                top * up // down : bottom * up // down,
                left * up // down : right * up // down,
            ] = inner
    start = margin * up // down
    return out[start : start + -(-height * up // down), start : start + -(-width * up // down)]


def _cuts(length: int, tile: int) -> list[tuple[int, int]]:
    """Tile borders along one side. A last piece shorter than half a tile joins its neighbour."""
    starts = [s for s in range(0, length, tile) if s == 0 or length - s > tile // 2]
    return list(zip(starts, [*starts[1:], length], strict=True))


def _apply(network: Network, pixels: Pixels, quality: float) -> Pixels:
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32)
    planes *= np.float32(1 / 255)
    feed = {"picture": planes}
    if network.conditioned:
        feed["quality"] = np.array([quality / 100], np.float32)
    (result,) = session(network).run(None, feed)
    scaled = np.asarray(result)[0].transpose(1, 2, 0) * np.float32(255)
    pixels_out: Pixels = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return pixels_out

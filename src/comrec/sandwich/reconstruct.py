"""The networks on gray, luma or RGB: ComCNN before the codec, RecCNN after it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from comrec import regions
from comrec.blocks import rgb_to_ycc, ycc_to_rgb
from comrec.inference import tiles
from comrec.inference.store import Network
from comrec.regions import Region
from comrec.sandwich.conditions import Condition

Pixels = NDArray[np.uint8]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def reconstruct(
    network: Network,
    small: Pixels,
    condition: Condition,
    size: tuple[int, int],
    *,
    strength: float = 1.0,
    region: Region | None = None,
) -> Pixels:
    """Apply a RecCNN.

    Args:
        small: decoded pixels, (h, w) gray or (h, w, 3) RGB.
        condition: see `conditions`.
        size: (width, height) of the full picture; h and w are its halves, rounded up, where
            the network doubles sides.
        strength: see `apply`.
        region: the part of the full picture that is wanted; by default all.
    Returns:
        (height, width) or (height, width, 3), of the region, as ``small`` is gray or RGB.
    Raises:
        OptionError: the region lies outside.
    """
    part = regions.within(region, *size)
    return apply(network, small, condition, strength=strength, region=part)


def apply(
    network: Network,
    pixels: Pixels,
    condition: Condition,
    *,
    strength: float = 1.0,
    region: Region | None = None,
) -> Pixels:
    """Apply a network as it is trained, on luma or RGB.

    Args:
        pixels: (H, W) gray or (H, W, 3) RGB.
        condition: see `conditions`.
        strength: 0..1, the share of what the network changes that is applied; 1 where it takes
            luma or resizes.
        region: the part of the result that is wanted; by default all.
    Returns:
        gray or RGB as ``pixels`` is, with sides of ceil(H*up/down) and ceil(W*up/down), or those
        of the region.
    """
    within = None if region is None else region.window
    if network.channels == 3:
        if pixels.ndim == 3:
            return tiles.run(network, pixels, *condition, strength=strength, within=within)
        gray = np.repeat(pixels[..., None], 3, axis=2)
        coloured = tiles.run(network, gray, *condition, strength=strength, within=within)
        luma: Pixels = np.rint(coloured @ _LUMA).astype(np.uint8)
        return luma
    if pixels.ndim == 2:
        return tiles.run(network, pixels[..., None], *condition, within=within)[..., 0]
    return _by_luma(network, pixels, condition, within)


def _by_luma(
    network: Network, pixels: Pixels, condition: Condition, within: tiles.Window | None
) -> Pixels:
    """Luma through the network; chroma resized bicubically."""
    height, width = pixels.shape[:2]
    if network.role == "com":  # odd sides: the chroma grids must lie on each other
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    ycc = np.clip(np.rint(rgb_to_ycc(pixels)), 0, 255).astype(np.uint8)
    luma = tiles.run(network, ycc[..., :1], *condition, within=within)[..., 0]
    rows, columns = (-(-side * network.up // network.down) for side in ycc.shape[:2])
    part = (slice(rows), slice(columns)) if within is None else within
    chroma = [
        np.asarray(Image.fromarray(ycc[..., i]).resize((columns, rows), Image.Resampling.BICUBIC))[
            part
        ]
        for i in (1, 2)
    ]
    return ycc_to_rgb(np.stack([luma, *chroma], axis=2))

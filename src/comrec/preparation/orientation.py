"""EXIF orientation, for formats that store the picture upright.

Readers of JPEG XL and HEIC must ignore the EXIF tag; their decoders return the picture upright.
Encoding therefore rotates the pixels upright, and decoding rotates them back. The tag is kept, and
a `Picture` holds the pixels as they were before encoding, as with the other codecs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from comrec.errors import DamagedFileError
from comrec.formats import tiff
from comrec.picture import EXIF_HEAD, Picture

UPRIGHT = 1

_TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: np.fliplr,
    3: lambda plane: np.rot90(plane, 2),
    4: np.flipud,
    5: lambda plane: plane.swapaxes(0, 1),
    6: lambda plane: np.rot90(plane, -1),
    7: lambda plane: np.rot90(plane, 2).swapaxes(0, 1),
    8: lambda plane: np.rot90(plane),
}
"""The operation that makes a picture upright, by EXIF orientation."""

_BACK = {6: 8, 8: 6}  # the others are their own inverse


def upright(picture: Picture) -> Picture:
    """The picture rotated or mirrored by its EXIF orientation; the tag is unchanged."""
    return _turned(picture, orientation_of(picture.metadata.exif))


def turned_back(picture: Picture) -> Picture:
    """The inverse of `upright`."""
    tag = orientation_of(picture.metadata.exif)
    return _turned(picture, _BACK.get(tag, tag))


def size_turned_back(size: tuple[int, int], tag: int) -> tuple[int, int]:
    """The (width, height) before `upright`, from that after it."""
    return (size[1], size[0]) if tag >= 5 else size


def orientation_of(exif: bytes | None) -> int:
    """EXIF orientation, 1..8; 1 (upright) if the tag is absent or invalid.

    Of several values the first counts, as in viewers.
    """
    try:
        tag = tiff.directory((exif or b"").removeprefix(EXIF_HEAD)).integer(
            tiff.ORIENTATION, UPRIGHT
        )
    except DamagedFileError:
        return UPRIGHT
    return tag if tag in _TURNS else UPRIGHT


def _turned(picture: Picture, tag: int) -> Picture:
    if tag == UPRIGHT:
        return picture
    metadata = picture.metadata
    if tag >= 5 and metadata.resolution is not None:
        metadata = replace(metadata, resolution=metadata.resolution[::-1])
    return replace(picture.mapped(_TURNS[tag]), metadata=metadata)

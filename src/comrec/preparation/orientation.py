"""EXIF orientation, for formats whose files show the picture upright by themselves.

Readers of JPEG XL and HEIC must ignore EXIF's tag, and their decoders give the picture upright.
So pixels are turned upright on the way in and back on the way out. The tag stays as it is, and
`Picture` holds the pixels as they were given, as with the other codecs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from PIL import ExifTags, Image

from comrec.picture import DECODER_ERRORS, Picture, Pixels

_TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    2: np.fliplr,
    3: lambda plane: np.rot90(plane, 2),
    4: np.flipud,
    5: lambda plane: plane.swapaxes(0, 1),
    6: lambda plane: np.rot90(plane, -1),
    7: lambda plane: np.rot90(plane, 2).swapaxes(0, 1),
    8: lambda plane: np.rot90(plane),
}
"""What makes a picture upright, by EXIF's tag."""

_BACK = {6: 8, 8: 6}  # all others undo themselves


def upright(picture: Picture) -> Picture:
    """The picture turned as its EXIF orientation asks; EXIF itself unchanged."""
    return _turned(picture, orientation_of(picture.metadata.exif))


def turned_back(picture: Picture) -> Picture:
    """The inverse of `upright`."""
    tag = orientation_of(picture.metadata.exif)
    return _turned(picture, _BACK.get(tag, tag))


def size_turned_back(size: tuple[int, int], exif: bytes | None) -> tuple[int, int]:
    """(width, height) before `upright`, of the size after it."""
    return (size[1], size[0]) if orientation_of(exif) >= 5 else size


def orientation_of(exif: bytes | None) -> int:
    """EXIF's tag: 2..8; 1 (upright) too where it is absent or nonsense."""
    found = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.load(exif or b"")
            tag = found.get(ExifTags.Base.Orientation)
    except DECODER_ERRORS:
        return 1
    return int(tag) if tag in _TURNS else 1


def _turned(picture: Picture, tag: int) -> Picture:
    if tag == 1:
        return picture
    turn = _TURNS[tag]
    alpha = None if picture.alpha is None else np.ascontiguousarray(turn(picture.alpha))
    return Picture(np.ascontiguousarray(turn(picture.pixels)), alpha, picture.metadata)

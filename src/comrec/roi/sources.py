"""Where an importance map comes from: the network, the centre, a mask, or rectangles."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from comrec import preparation, regions
from comrec.errors import InputError, OptionError
from comrec.options import shown
from comrec.picture import Picture
from comrec.preparation import Preparation
from comrec.regions import Region
from comrec.roi import network

Plane = NDArray[np.float32]

AUTO = "auto"
CENTRE = "centre"

Given = str | os.PathLike[str] | Image.Image | NDArray[np.generic]
"""What says which part of a picture matters:

* "auto": the network; "centre": a bell in the middle;
* "120,80,400x300": the rectangle of 400x300 pixels whose first pixel is at x 120, y 80, as the
  picture is shown; several are joined by semicolons;
* a mask: the path of a picture file, a Pillow image, or (h, w) truth values, 0..255 in uint8, or
  0..1 in floats: white matters. It is stretched over the picture, as that is shown.
"""

_LIKE_RECTANGLES = re.compile(r"[\d\s,;x.+-]+")
_MASK = Preparation(background="black", depth=8, colorspace="srgb", frame=0, metadata="none")
_WANTED = "auto, centre, a mask's file, or rectangles such as 120,80,400x300;600,80,90x90"


def check(given: Given) -> Given:
    """What was given, where it is a source, as far as can be seen without a picture.

    Raises:
        OptionError: it is none, or a rectangle is wrong.
    """
    if isinstance(given, str):
        if not given.strip():
            raise OptionError(f"a region of interest must be {_WANTED}, not {shown(given)}")
        if given not in (AUTO, CENTRE) and _LIKE_RECTANGLES.fullmatch(given):
            _rectangles(given)
    elif isinstance(given, np.ndarray):
        _of_array(given)
    elif not isinstance(given, os.PathLike | Image.Image):
        raise OptionError(f"a region of interest must be {_WANTED}, not {shown(given)}")
    return given


def map_of(upright: Picture, given: Given) -> Plane:
    """The map of an upright picture: (H, W) in 0..1.

    Raises:
        OptionError: as `check`; or a rectangle lies outside of the picture.
        InputError: the mask's file cannot be read.
        WeightsError: the network is missing.
    """
    check(given)
    if isinstance(given, str):
        if given == AUTO:
            return network.importance(upright.rgb)
        if given == CENTRE:
            return _bell(upright.height, upright.width)
        if _LIKE_RECTANGLES.fullmatch(given):
            return _filled(upright, _rectangles(given))
    mask = _of_array(given) if isinstance(given, np.ndarray) else _of_picture(given)
    image = Image.fromarray(mask)
    stretched = image.resize((upright.width, upright.height), Image.Resampling.BILINEAR)
    return np.clip(np.asarray(stretched, np.float32), 0, 1)


def _bell(height: int, width: int) -> Plane:
    """1 in the middle, exp(-2) in the middle of each edge."""
    y, x = (2 * (np.arange(side) + 0.5) / side - 1 for side in (height, width))
    bell: Plane = np.exp(-2 * (y[:, None] ** 2 + x**2)).astype(np.float32)
    return bell


def _rectangles(text: str) -> list[Region]:
    """
    Raises:
        OptionError: one is not as `Given` says.
    """
    return list(map(regions.parse, text.split(";")))


def _filled(upright: Picture, rectangles: list[Region]) -> Plane:
    plane = np.zeros((upright.height, upright.width), np.float32)
    for rectangle in rectangles:
        plane[rectangle.within(upright.width, upright.height).window] = 1
    return plane


def _of_array(mask: NDArray[np.generic]) -> Plane:
    """(h, w) in 0..1.

    Raises:
        OptionError: the array has another shape, type or range.
    """
    if mask.ndim != 2 or 0 in mask.shape:
        raise OptionError(f"a mask is (h, w); this array is {mask.shape}")
    if mask.dtype == np.uint8:
        return mask.astype(np.float32) / np.float32(255)
    if mask.dtype == np.bool_ or np.issubdtype(mask.dtype, np.floating):
        plane = mask.astype(np.float32)
        if plane.min() >= 0 and plane.max() <= 1:  # NaN is refused too
            return plane
        raise OptionError("a mask of floats must lie in 0..1")
    raise OptionError(f"a mask has truth values, uint8 or floats, not {mask.dtype}")


def _of_picture(given: str | os.PathLike[str] | Image.Image) -> Plane:
    if isinstance(given, Image.Image):
        picture = preparation.from_image(given, _MASK)
    else:
        path = Path(given)
        try:
            data = path.read_bytes()
        except OSError as error:
            hint = "" if isinstance(given, os.PathLike) else f"; a region of interest is {_WANTED}"
            raise InputError(f"{path}: {error.strerror}{hint}") from None
        except ValueError as error:  # no file can have this name
            raise InputError(f"{str(path)!r}: {error}") from None
        picture = preparation.read(data, str(path), _MASK)
    plane: Plane = picture.rgb.mean(axis=2, dtype=np.float32) / np.float32(255)
    return plane

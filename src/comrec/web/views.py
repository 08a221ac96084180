"""Pictures on the way to the page: pixels in files, and parts of them as PNG."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from comrec import preparation, roi
from comrec.errors import OptionError
from comrec.picture import Picture
from comrec.preparation import Preparation
from comrec.web import limits

Pixels = NDArray[np.uint8]

_AS_SHOWN = Preparation(metadata="none")
GAIN = 8
"""By how much differences are enlarged."""


@dataclass(frozen=True)
class Box:
    """A part of a picture, and the size that it is shown at, in pixels.

    Raises:
        OptionError: it is larger than `limits.VIEW`.
    """

    left: int
    top: int
    width: int
    height: int
    across: int
    down: int

    def __post_init__(self) -> None:
        if not (1 <= self.across <= limits.VIEW and 1 <= self.down <= limits.VIEW):
            raise OptionError(f"a view has 1 to {limits.VIEW} pixels along each side")


def save(picture: Picture, path: str) -> None:
    """Write the pixels of a picture as viewers show it: upright, sRGB. (H, W, 1..4) uint8."""
    shown = preparation.with_metadata(picture, _AS_SHOWN)
    planes = [np.atleast_3d(shown.pixels)]
    if shown.alpha is not None:
        planes.append(shown.alpha[..., None])
    np.save(path, np.concatenate(planes, axis=2) if len(planes) > 1 else planes[0])


def load(path: Path | str) -> Picture:
    """The picture that `save` wrote; its pixels stay in the file until they are asked for."""
    planes = np.load(path, mmap_mode="r")
    channels = planes.shape[2]
    alpha = planes[..., -1] if channels in (2, 4) else None
    return Picture(planes[..., 0] if channels < 3 else planes[..., :3], alpha)


def png(picture: Picture, box: Box) -> bytes:
    """A part of a picture.

    Raises:
        OptionError: the box does not lie inside the picture.
    """
    return _png(_cut(picture, box).to_pil(), box)


def difference(ours: Picture, theirs: Picture, box: Box) -> bytes:
    """How far a part of two pictures of one size is apart, times `GAIN`: black where it is equal.

    Raises:
        OptionError: as `png`.
    """
    a, b = _cut(ours, box).rgb, _cut(theirs, box).rgb
    if a.shape != b.shape:
        raise OptionError("the pictures differ in size")
    apart = np.maximum(a, b) - np.minimum(a, b)
    return _png(Image.fromarray(np.minimum(apart, 255 // GAIN) * np.uint8(GAIN)), box)


def heat(picture: Picture, importance: Picture, box: Box) -> bytes:
    """A part of a picture under its importance map, as `comrec.roi.heat`.

    Raises:
        OptionError: as `png`.
    """
    plane = _cut(importance, box).pixels.astype(np.float32) / np.float32(255)
    return _png(Image.fromarray(roi.heat(_cut(picture, box).rgb, plane)), box)


def _cut(picture: Picture, box: Box) -> Picture:
    return picture.cropped(box.left, box.top, box.width, box.height)


def _png(image: Image.Image, box: Box) -> bytes:
    if image.size != (box.across, box.down):
        image = image.resize((box.across, box.down), Image.Resampling.BOX, reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()

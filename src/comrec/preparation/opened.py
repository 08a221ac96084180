"""A picture file that Pillow has opened."""

from __future__ import annotations

from dataclasses import dataclass

from PIL.ImageFile import ImageFile


@dataclass(frozen=True)
class Opened:
    """A frame or page of a file, which is not yet decoded.

    Attributes:
        image: at the frame.
        data: the file that ``image`` reads; the page is the first in it.
        frames: number of frames or pages of the whole file.
        notes: on what is left out (see `Picture.notes`).
        unspecified: whether the file does not say that its alpha is alpha.
    """

    image: ImageFile
    data: bytes
    frames: int = 1
    notes: tuple[str, ...] = ()
    unspecified: bool = False

"""A picture in memory: pixels, alpha and metadata."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from comrec.errors import OptionError
from comrec.regions import Region

Pixels = NDArray[np.uint8]
Importance = NDArray[np.float32]

MAX_PIXELS = 1 << 28
"""Larger pictures, of more than 268 megapixels, are refused before they are decoded."""

EXIF_HEAD = b"Exif\x00\x00"
"""Prefix of an EXIF block in JPEG files and in Pillow."""


@dataclass(frozen=True)
class Metadata:
    """Metadata of a picture; None where absent. Blocks are raw bytes, and empty ones are absent.

    Attributes:
        exif: an EXIF block: a TIFF file without the prefix `EXIF_HEAD`, which is removed if given.
            Orientation remains a tag; pixels are not rotated.
        icc: an ICC colour profile.
        xmp: an XMP packet.
        resolution: (horizontal, vertical) in pixels per inch, where the file states it outside
            EXIF.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    resolution: tuple[float, float] | None = None

    @property
    def size(self) -> int:
        """Bytes of all blocks."""
        return sum(len(block or b"") for block in (self.exif, self.icc, self.xmp))

    def __post_init__(self) -> None:
        exif = self.exif and self.exif.removeprefix(EXIF_HEAD)
        for name, block in (("exif", exif), ("icc", self.icc), ("xmp", self.xmp)):
            object.__setattr__(self, name, block or None)


@dataclass(frozen=True)
class Picture:
    """An 8-bit picture.

    Attributes:
        pixels: (H, W) gray or (H, W, 3) RGB, uint8.
        alpha: (H, W) uint8, 255 opaque; or None.
        metadata: EXIF, ICC and XMP.
        importance: (H, W) float32 in 0..1, the weight of each pixel, for codecs with spatially
            variable quality; or None. It is not stored in files.
        notes: what reading the file changed, left out or worked around, one sentence each without
            a full stop. They are not stored in files.
        exact: whether samples where alpha is 0 are to be kept. Otherwise lossy codecs get others.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    metadata: Metadata = field(default_factory=Metadata)
    importance: Importance | None = None
    notes: tuple[str, ...] = ()
    exact: bool = False

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or not (
            len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)
        ):
            raise OptionError(
                f"a picture is (H, W) or (H, W, 3) uint8; this array is {shape} {self.pixels.dtype}"
            )
        if 0 in shape:
            raise OptionError(f"a picture has at least one pixel; this array is {shape}")
        if self.alpha is not None and (
            self.alpha.shape != shape[:2] or self.alpha.dtype != np.uint8
        ):
            raise OptionError(f"alpha must be {shape[:2]} uint8, not {self.alpha.shape}")
        if self.importance is not None:
            self._check_importance(self.importance)

    def _check_importance(self, importance: Importance) -> None:
        shape = self.pixels.shape[:2]
        if importance.shape != shape or importance.dtype != np.float32:
            raise OptionError(
                f"importance must be {shape} float32, not {importance.shape} {importance.dtype}"
            )
        if not (importance.min() >= 0 and importance.max() <= 1):  # NaN is refused too
            raise OptionError("importance must lie in 0..1")

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def is_gray(self) -> bool:
        return self.pixels.ndim == 2

    @property
    def rgb(self) -> Pixels:
        """(H, W, 3) uint8, gray repeated."""
        return np.repeat(self.pixels[..., None], 3, axis=2) if self.is_gray else self.pixels

    @property
    def bare(self) -> Picture:
        """This picture without metadata."""
        return replace(self, metadata=Metadata())

    def mapped(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> Picture:
        """This picture with a function of (H, W, ...) applied to pixels, alpha and importance."""
        alpha, importance = (
            None if plane is None else np.ascontiguousarray(function(plane))
            for plane in (self.alpha, self.importance)
        )
        pixels = np.ascontiguousarray(function(self.pixels))
        return replace(self, pixels=pixels, alpha=alpha, importance=importance)

    def noting(self, *notes: str) -> Picture:
        """This picture with more notes; each is told once."""
        return replace(self, notes=tuple(dict.fromkeys((*self.notes, *notes))))

    def with_pixels(self, pixels: Pixels) -> Picture:
        """This picture with other pixels of the same size."""
        return replace(self, pixels=pixels)

    def cropped(self, left: int, top: int, width: int, height: int) -> Picture:
        """The crop of ``width`` x ``height`` pixels with its first pixel at (left, top).

        Raises:
            OptionError: the crop does not lie inside the picture.
        """
        inside = 0 <= left < left + width <= self.width and 0 <= top < top + height <= self.height
        if not inside:
            raise OptionError(
                f"a crop of {width}x{height} at ({left}, {top}) does not lie inside "
                f"{self.width}x{self.height} pixels"
            )
        window = slice(top, top + height), slice(left, left + width)
        return self.mapped(lambda plane: plane[window])

    def part(self, region: Region) -> Picture:
        """What this picture has of a region.

        Raises:
            OptionError: nothing.
        """
        return self.cropped(*region.within(self.width, self.height))

    def halved(self, pixels: Pixels) -> Picture:
        """A picture of half the sides, rounded up, with this metadata and importance.

        Importance is averaged over 2x2 squares. Alpha is left out: no codec downsamples it.

        Args:
            pixels: of half the sides, rounded up; gray or RGB.
        """
        importance = self.importance
        if importance is not None:
            padding = (0, self.height % 2), (0, self.width % 2)
            padded = np.pad(importance, padding, mode="edge")
            shape = padded.shape[0] // 2, 2, padded.shape[1] // 2, 2
            importance = padded.reshape(shape).mean(axis=(1, 3), dtype=np.float32)
        return Picture(pixels, None, self.metadata, importance)

    def to_pil(self) -> Image.Image:
        """An L, LA, RGB or RGBA image; metadata and a tuple of notes, if any, in ``image.info``."""
        image = Image.fromarray(self.pixels)
        if self.alpha is not None:
            image.putalpha(Image.fromarray(self.alpha))
        if self.metadata.exif is not None:
            image.info["exif"] = EXIF_HEAD + self.metadata.exif
        if self.metadata.icc is not None:
            image.info["icc_profile"] = self.metadata.icc
        if self.metadata.xmp is not None:
            image.info["xmp"] = self.metadata.xmp
        if self.metadata.resolution is not None:
            image.info["dpi"] = self.metadata.resolution
        if self.notes:
            image.info["notes"] = self.notes
        return image

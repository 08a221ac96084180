"""A picture in memory: pixels, alpha and metadata; from and to Pillow images and files."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from comrec.errors import (
    DamagedFileError,
    OptionError,
    TooLargeError,
    UnknownFormatError,
    UnsupportedPictureError,
)

Pixels = NDArray[np.uint8]

MAX_PIXELS = 178_956_970
"""Larger pictures are refused before they are decoded (the limit at which Pillow refuses)."""

PLUGIN = "COMREC"
"""What our plug-in is called in Pillow's list of formats (see `pillow_plugin`)."""


@dataclass(frozen=True)
class Metadata:
    """What travels beside the pixels, as raw bytes; None where absent.

    Attributes:
        exif: an EXIF block as Pillow gives it (orientation stays a tag; pixels are not turned).
        icc: an ICC colour profile.
        xmp: an XMP packet.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None


@dataclass(frozen=True)
class Picture:
    """An 8-bit picture.

    Attributes:
        pixels: (H, W) gray or (H, W, 3) RGB, uint8.
        alpha: (H, W) uint8, 255 opaque; or None.
        metadata: EXIF, ICC and XMP.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    metadata: Metadata = field(default_factory=Metadata)

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

    def with_pixels(self, pixels: Pixels) -> Picture:
        """The same alpha and metadata around other pixels."""
        return Picture(pixels, self.alpha, self.metadata)

    def to_pil(self) -> Image.Image:
        """An L, LA, RGB or RGBA image; metadata in ``image.info``."""
        image = Image.fromarray(self.pixels)
        if self.alpha is not None:
            image.putalpha(Image.fromarray(self.alpha))
        for key, value in (
            ("exif", self.metadata.exif),
            ("icc_profile", self.metadata.icc),
            ("xmp", self.metadata.xmp),
        ):
            if value is not None:
                image.info[key] = value
        return image


DECODER_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, ArithmeticError, TypeError,
    RuntimeError, struct.error,
)  # fmt: skip
"""What Pillow and its libraries raise on damaged data."""


def from_pil(image: Image.Image) -> Picture:
    """A Picture of a Pillow image.

    Raises:
        UnsupportedPictureError: for modes of more than 8 bits a sample and for CMYK.
        DamagedFileError: the image's data cannot be decoded.
    """
    metadata = Metadata(_exif(image), image.info.get("icc_profile"), image.info.get("xmp"))
    transparent = "transparency" in image.info
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode == "P" or (transparent and image.mode in ("L", "RGB")):
        image = image.convert("RGBA" if transparent else "RGB")
    elif image.mode == "YCbCr":
        image = image.convert("RGB")
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise UnsupportedPictureError(
            f"pictures of mode {image.mode} are not supported yet; convert to 8-bit gray or RGB"
        )
    samples = np.asarray(image)
    if image.mode in ("LA", "RGBA"):
        alpha = np.ascontiguousarray(samples[..., -1])
        colour = samples[..., 0] if image.mode == "LA" else samples[..., :3]
        return Picture(np.ascontiguousarray(colour), alpha, metadata)
    return Picture(np.ascontiguousarray(samples), None, metadata)


def _exif(image: Image.Image) -> bytes | None:
    """The EXIF block; None too where it is damaged beyond writing it again."""
    if image.info.get("exif"):
        return bytes(image.info["exif"])
    try:
        return image.getexif().tobytes() if image.getexif() else None
    except DECODER_ERRORS:
        return None


def read(source: bytes | Path, name: str | None = None) -> Picture:
    """Decode any file that Pillow reads.

    Args:
        source: the file's bytes or its path.
        name: what to call it in errors; the path by default.
    Raises:
        UnknownFormatError, DamagedFileError, TooLargeError, UnsupportedPictureError.
    """
    with open_image(source, name) as image:
        try:
            return from_pil(image)
        except UnsupportedPictureError as error:
            raise error.naming(_label(source, name)) from None


def _label(source: bytes | Path, name: str | None) -> str:
    return name or (str(source) if isinstance(source, Path) else "input")


def pillow_open(data: bytes) -> Image.Image:
    """``Image.open`` without our own plug-in, which would look for a mark and decode in full."""
    formats = [name for name in Image.ID if name != PLUGIN] if PLUGIN in Image.OPEN else None
    return Image.open(io.BytesIO(data), formats=formats)


def open_image(source: bytes | Path, name: str | None = None) -> Image.Image:
    """A fully loaded Pillow image, with every failure as one of our errors."""
    label = _label(source, name)
    data = source if isinstance(source, bytes) else source.read_bytes()
    if not data:
        raise DamagedFileError(f"{label}: the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = pillow_open(data)
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            image.load()
    except Image.DecompressionBombError:
        raise TooLargeError(
            f"{label}: declares more than {MAX_PIXELS:,} pixels; refused before decoding"
        ) from None
    except UnidentifiedImageError:
        known = _known_signature(data)
        if known:
            raise DamagedFileError(f"{label}: damaged or cut short ({known})") from None
        raise UnknownFormatError(f"{label}: not a picture file that comrec reads") from None
    except DECODER_ERRORS as error:
        raise DamagedFileError(f"{label}: damaged or cut short ({error})") from None
    return image


SIGNATURES = {
    "jpeg": (0, b"\xff\xd8\xff"),
    "png": (0, b"\x89PNG\r\n\x1a\n"),
    "webp": (8, b"WEBP"),
    "jpeg2000": (4, b"jP  \r\n\x87\n"),
    "avif": (4, b"ftypavif"),
}
"""Offset and bytes that tell each standard format."""


def _known_signature(data: bytes) -> str | None:
    return next(
        (n for n, (at, magic) in SIGNATURES.items() if data[at : at + len(magic)] == magic), None
    )


def format_of(data: bytes, name: str = "input") -> str:
    """The id of the standard codec whose file this is.

    Raises:
        UnknownFormatError: none of ours.
    """
    known = _known_signature(data)
    if known is None:
        if not data:
            raise DamagedFileError(f"{name}: the file is empty")
        raise UnknownFormatError(f"{name}: not a file of any codec here ({', '.join(SIGNATURES)})")
    return known

"""A picture in memory: pixels, alpha and metadata; from and to Pillow images and files."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from comrec.errors import (
    ComrecError,
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


EXIF_HEAD = b"Exif\x00\x00"
"""What JPEG, and so Pillow, puts before an EXIF block."""


@dataclass(frozen=True)
class Metadata:
    """What travels beside the pixels, as raw bytes; None where absent.

    Attributes:
        exif: an EXIF block: a TIFF file, without `EXIF_HEAD`, which may be given. Orientation
            stays a tag; pixels are not turned.
        icc: an ICC colour profile.
        xmp: an XMP packet.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None

    def __post_init__(self) -> None:
        if self.exif is not None:
            object.__setattr__(self, "exif", self.exif.removeprefix(EXIF_HEAD))


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

    @property
    def bare(self) -> Picture:
        """The same without metadata."""
        return Picture(self.pixels, self.alpha)

    def with_pixels(self, pixels: Pixels) -> Picture:
        """The same alpha and metadata around other pixels."""
        return Picture(pixels, self.alpha, self.metadata)

    def to_pil(self) -> Image.Image:
        """An L, LA, RGB or RGBA image; metadata in ``image.info``."""
        image = Image.fromarray(self.pixels)
        if self.alpha is not None:
            image.putalpha(Image.fromarray(self.alpha))
        if self.metadata.exif is not None:
            image.info["exif"] = EXIF_HEAD + self.metadata.exif
        if self.metadata.icc is not None:
            image.info["icc_profile"] = self.metadata.icc
        if self.metadata.xmp is not None:
            image.info["xmp"] = self.metadata.xmp
        return image


DECODER_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, ArithmeticError, TypeError,
    RuntimeError, struct.error,
)  # fmt: skip
"""What Pillow and its libraries raise on damaged data."""


_EQUIVALENT = {"1": "L", "YCbCr": "RGB", "RGBX": "RGB", "RGBa": "RGBA", "La": "LA"}
"""Modes that are 8-bit gray or RGB in another guise."""


def from_pil(image: Image.Image) -> Picture:
    """A Picture of a Pillow image of 8-bit gray or colour.

    Palettes become their colours, 1 bit becomes gray; a colour that stands for transparency
    becomes alpha.

    Raises:
        UnsupportedPictureError: for all other modes (`comrec.preparation` converts most).
        DamagedFileError: the image's data cannot be decoded.
    """
    metadata = metadata_of(image)
    key = image.info.get("transparency")
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.mode in _EQUIVALENT:
        image = image.convert(_EQUIVALENT[image.mode])
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise UnsupportedPictureError(
            f"pictures of mode {image.mode} are not supported; convert to gray or RGB"
        )
    samples: Pixels = np.asarray(image)
    alpha = None
    if image.mode in ("LA", "RGBA"):
        alpha = np.ascontiguousarray(samples[..., -1])
        samples = samples[..., 0] if image.mode == "LA" else samples[..., :3]
    elif key is not None:
        alpha = key_alpha(samples, key)
    return Picture(np.ascontiguousarray(samples), alpha, metadata)


def key_alpha(samples: NDArray[np.integer[Any]], key: Any) -> Pixels:
    """The alpha, (H, W), that a transparent colour stands for: 0 where samples equal it."""
    same = samples == np.asarray(key)
    return np.where(same if samples.ndim == 2 else same.all(axis=2), 0, 255).astype(np.uint8)


def metadata_of(image: Image.Image) -> Metadata:
    """EXIF, ICC and XMP of a loaded Pillow image."""
    try:
        exif = _exif(image)
    except DECODER_ERRORS:  # damaged beyond writing it again
        exif = None
    return Metadata(exif, image.info.get("icc_profile") or None, image.info.get("xmp") or None)


def _exif(image: Image.Image) -> bytes | None:
    if image.info.get("exif"):
        return bytes(image.info["exif"])
    if "Raw profile type exif" in image.info:  # of PNG files before the eXIf chunk
        return image.getexif().tobytes()
    if image.format != "TIFF":
        return None
    found = without_storage(image.getexif()).tobytes()
    return None if found == Image.Exif().tobytes() else found


_IN_BLOCKS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_STORAGE = {
    *range(254, 267), 273, *range(277, 282), *range(284, 294), *range(317, 348), *range(512, 533),
    700, 33723, 34377, 34675, *_IN_BLOCKS,
}  # fmt: skip


def without_storage(exif: Image.Exif) -> Image.Exif:
    """EXIF without the tags by which a TIFF file says how its pixels are stored.

    Both share one numbering. XMP, ICC, IPTC and Photoshop's own lie there too, and are left out.
    """
    kept = Image.Exif()
    kept.update({tag: value for tag, value in exif.items() if tag not in _STORAGE})
    for block in _IN_BLOCKS:
        if tags := exif.get_ifd(block):
            kept.get_ifd(block).update(tags)
    return kept


def pillow_open(data: bytes) -> ImageFile.ImageFile:
    """``Image.open`` without our own plug-in, which would look for a mark and decode in full.

    Raises:
        Image.DecompressionBombError: it declares more than `MAX_PIXELS`.
    """
    formats = [name for name in Image.ID if name != PLUGIN] if PLUGIN in Image.OPEN else None
    image = Image.open(io.BytesIO(data), formats=formats)
    refuse_bomb(image.width, image.height)
    return image


def refuse_bomb(width: int, height: int) -> None:
    """Stop before a picture of such a size is decoded; `decoding` says it in our words.

    Raises:
        Image.DecompressionBombError: it has more than `MAX_PIXELS`.
    """
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError


@contextmanager
def decoding(data: bytes, name: str) -> Iterator[None]:
    """Every failure of Pillow on a file, as one of our errors, which call it ``name``."""
    if not data:
        raise DamagedFileError(f"{name}: the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ComrecError:
        raise
    except Image.DecompressionBombError:
        raise TooLargeError(
            f"{name}: declares more than {MAX_PIXELS:,} pixels; refused before decoding"
        ) from None
    except UnidentifiedImageError:
        known = _known_signature(data)
        if known:
            raise DamagedFileError(f"{name}: damaged or cut short ({known})") from None
        raise UnknownFormatError(f"{name}: not a picture file that comrec reads") from None
    except DECODER_ERRORS as error:
        raise DamagedFileError(f"{name}: damaged or cut short ({error})") from None


def open_image(path: Path) -> Image.Image:
    """A fully loaded Pillow image, with every failure as one of our errors."""
    data = path.read_bytes()
    with decoding(data, str(path)):
        image = pillow_open(data)
        image.load()
    return image


SIGNATURES: dict[str, tuple[tuple[int, bytes], ...]] = {
    "jpeg": ((0, b"\xff\xd8\xff"),),
    "png": ((0, b"\x89PNG\r\n\x1a\n"),),
    "webp": ((8, b"WEBP"),),
    "jpeg2000": ((4, b"jP  \r\n\x87\n"),),
    "bpg": ((0, b"BPG\xfb"),),
    "jpegxl": ((0, b"\xff\x0a"), (0, b"\0\0\0\x0cJXL \r\n\x87\n")),
    "cmr": ((0, b"\x89CMR\r\n\x1a\n"),),
}
"""Offset and bytes that tell each format; AVIF and HEIC are told by `BRANDS`."""

BRANDS = {
    b"avif": "avif",
    b"avis": "avif",
    b"heic": "heic",
    b"heix": "heic",
    b"heim": "heic",
    b"heis": "heic",
}
"""What the first box of an ISO base media file calls each format."""

_FORMATS = sorted({*SIGNATURES, *BRANDS.values()})

_BRANDED = b"ftyp"


def may_be_ours(start: bytes) -> bool:
    """Whether a file of these first 16 bytes can be of a format that `format_of` knows."""
    return start[4:8] == _BRANDED or _known_signature(start) is not None


def _known_signature(data: bytes) -> str | None:
    for name, signatures in SIGNATURES.items():
        if any(data[at : at + len(magic)] == magic for at, magic in signatures):
            return name
    return _known_brand(data) if data[4:8] == _BRANDED else None


def _known_brand(data: bytes) -> str | None:
    """By the major brand, else by the first compatible one: "mif1" alone says neither."""
    length = min(int.from_bytes(data[:4], "big"), 1024)
    brands = data[8:12] + data[16:length]  # a version lies between
    each = (brands[at : at + 4] for at in range(0, len(brands), 4))
    return next((BRANDS[brand] for brand in each if brand in BRANDS), None)


def format_of(data: bytes, name: str = "input") -> str:
    """The id of the standard codec whose file this is; "cmr" for those of learned codecs.

    Raises:
        UnknownFormatError: none of ours.
    """
    known = _known_signature(data)
    if known is None:
        if not data:
            raise DamagedFileError(f"{name}: the file is empty")
        raise UnknownFormatError(f"{name}: not a file of any codec here ({', '.join(_FORMATS)})")
    return known


def expect(data: bytes, codec_id: str) -> None:
    """Check that a file is a standard codec's.

    Raises:
        UnknownFormatError: it is another's, or none of ours.
    """
    found = format_of(data)
    if found != codec_id:
        raise UnknownFormatError(f"input: a {found} file, not {codec_id}")

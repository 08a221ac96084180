"""Pictures from Pillow images and files; Pillow's exceptions become those of `comrec.errors`."""

from __future__ import annotations

import io
import logging
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from comrec.errors import (
    ComrecError,
    DamagedFileError,
    TooLargeError,
    UnknownFormatError,
    UnsupportedPictureError,
)
from comrec.formats import detection, extended_xmp, items, resolution, sizes, unsupported
from comrec.picture import MAX_PIXELS, Metadata, Picture, Pixels

# Pillow's errors are raised; without a handler, Python would print its log on standard error too.
logging.getLogger("PIL").addHandler(logging.NullHandler())

PLUGIN = "COMREC"
"""The name of comrec's plug-in in Pillow's list of formats (see `pillow_plugin`)."""

DECODER_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, ArithmeticError, TypeError,
    RuntimeError, AssertionError, AttributeError, struct.error, Warning,
)  # fmt: skip
"""Exceptions that Pillow and its libraries raise on damaged data.

Pillow warns of some damage, such as EXIF that is cut short, and goes on. Whether that is shown is
for the application to say: to change the filters of warnings here would change them in its other
threads. Where it makes warnings errors (``python -W error``), such files are damaged ones.
"""

_CHECKED = {"AVIF": "avif", "JPEG2000": "jpeg2000"}
"""Our names of the formats whose sizes are compared, by Pillow's."""

_PILLOWS_LIMIT = (1 << 30) // 4 // 3
"""The default of ``Image.MAX_IMAGE_PIXELS``; of more than twice as many nothing is opened."""
_raising = threading.Lock()

_rooms: list[int] = []
_usual_room = 0
_changing = threading.Lock()

_BAND = 1 << 20
"""Pixels that are copied at a time."""

_EQUIVALENT = {"1": "L", "YCbCr": "RGB", "RGBX": "RGB", "RGBa": "RGBA", "La": "LA"}
"""Modes that convert to 8-bit gray or RGB without loss."""


def from_pil(image: Image.Image) -> Picture:
    """The Picture of a Pillow image of 8-bit gray or colour.

    Palettes are expanded to RGB, 1 bit to gray, and a transparent colour to alpha.

    Raises:
        UnsupportedPictureError: all other modes (`comrec.preparation` converts most).
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
    return Picture(*_arrays(image, key), metadata)


def _arrays(image: Image.Image, key: Any) -> tuple[Pixels, Pixels | None]:
    """Pixels and alpha, copied in bands: Pillow's own copies take twice their memory."""
    with_alpha = image.mode in ("LA", "RGBA")
    shape = image.height, image.width
    pixels = np.empty(shape if image.mode in ("L", "LA") else (*shape, 3), np.uint8)
    alpha = np.empty(shape, np.uint8) if with_alpha or key is not None else None
    image.load()
    step = max(1, _BAND // image.width)
    for top in range(0, image.height, step):
        rows = slice(top, min(image.height, top + step))
        samples = np.asarray(image.crop((0, rows.start, image.width, rows.stop)))
        if with_alpha:
            colour = samples[..., 0] if image.mode == "LA" else samples[..., :3]
        else:
            colour = samples
        pixels[rows] = colour
        if alpha is not None:
            alpha[rows] = samples[..., -1] if with_alpha else key_alpha(samples, key)
    return pixels, alpha


def key_alpha(samples: NDArray[np.integer[Any]], key: Any) -> Pixels:
    """Alpha of a transparent colour, (H, W) uint8: 0 where samples equal it, otherwise 255."""
    same = samples == np.asarray(key)
    return np.where(same if samples.ndim == 2 else same.all(axis=2), 0, 255).astype(np.uint8)


def metadata_of(image: Image.Image) -> Metadata:
    """EXIF, ICC, XMP and resolution of a loaded Pillow image."""
    try:
        exif = _exif(image)
    except Warning:  # an error by the application's will: not to be lost
        raise
    except DECODER_ERRORS:  # too damaged to be written again
        exif = None
    icc = image.info.get("icc_profile") or None
    return Metadata(exif, icc, _xmp(image), _resolution(image))


_PER_UNIT = (ExifTags.Base.XResolution, ExifTags.Base.YResolution)
_UNIT, _NO_UNIT = ExifTags.Base.ResolutionUnit, 1


def _resolution(image: Image.Image) -> tuple[float, float] | None:
    """Pixels per inch, unless Pillow only assumes them, or takes them from EXIF."""
    if "jfif" in image.info:
        known = image.info.get("jfif_unit", 0) in (1, 2)
    elif image.format == "TIFF":
        stated = getattr(image, "tag_v2", {})
        known = all(tag in stated for tag in _PER_UNIT)
    else:
        known = image.format not in ("JPEG", "MPO")
    found = image.info.get("dpi") if known else None
    return resolution.valid(found)


def _xmp(image: Image.Image) -> bytes | None:
    xmp = image.info.get("xmp") or None
    segments = getattr(image, "applist", None)  # of JPEG
    if xmp is None or not segments:
        return xmp
    return extended_xmp.merged(xmp, [body for name, body in segments if name == "APP1"])


def _exif(image: Image.Image) -> bytes | None:
    if image.info.get("exif"):
        return bytes(image.info["exif"])
    if "Raw profile type exif" in image.info:  # PNG files without an eXIf chunk
        return image.getexif().tobytes()
    if image.format != "TIFF":
        return None
    tags = without_storage(image.getexif())
    if tags.get(_UNIT) == _NO_UNIT and tags.get(_PER_UNIT[0]) == tags.get(_PER_UNIT[1]):
        for tag in (_UNIT, *_PER_UNIT):  # square pixels, which says nothing
            tags.pop(tag, None)
    found = tags.tobytes()
    return None if found == Image.Exif().tobytes() else found


_IN_BLOCKS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_STORAGE = {
    *range(254, 267), 273, *range(277, 282), *range(284, 294), *range(317, 348), *range(512, 533),
    700, 33723, 34377, 34675, *_IN_BLOCKS,
}  # fmt: skip


def without_storage(exif: Image.Exif) -> Image.Exif:
    """EXIF without the TIFF tags that describe how pixels are stored.

    EXIF and TIFF share one tag numbering. XMP, ICC, IPTC and Photoshop data are left out too.
    """
    kept = Image.Exif()
    kept.update({tag: value for tag, value in exif.items() if tag not in _STORAGE})
    for block in _IN_BLOCKS:
        if tags := exif.get_ifd(block):
            kept.get_ifd(block).update(tags)
    return kept


def pillow_open(data: bytes) -> ImageFile.ImageFile:
    """``Image.open`` without comrec's own plug-in, which would look for a mark and decode fully.

    Raises:
        Image.DecompressionBombError: the file declares more than `MAX_PIXELS`, or more than the
            application allows (``Image.MAX_IMAGE_PIXELS``).
        InputError: as `sizes.check` and `items.check_size`.
    """
    if data[4:8] == b"ftyp":
        items.check_size(data)  # libavif makes room for all parts that are declared
    formats = [name for name in Image.ID if name != PLUGIN] if PLUGIN in Image.OPEN else None
    try:
        image = Image.open(io.BytesIO(data), formats=formats)
    except Image.DecompressionBombError:
        with _limit_raised():
            image = Image.open(io.BytesIO(data), formats=formats)
    refuse_bomb(image.width, image.height)
    sizes.check(_CHECKED.get(image.format or "", ""), data)
    return image


@contextmanager
def _limit_raised() -> Iterator[None]:
    """Let Pillow open up to `MAX_PIXELS`, unless the application has set a limit of its own. The
    limit is of the whole process: in these milliseconds other threads have ours too."""
    with _raising:
        before = Image.MAX_IMAGE_PIXELS
        if before == _PILLOWS_LIMIT:
            Image.MAX_IMAGE_PIXELS = MAX_PIXELS
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


@contextmanager
def room(size: int) -> Iterator[None]:
    """Let Pillow's encoders have so many bytes for a file, at least. That is of the whole process,
    too; files are saved in several threads at once."""
    global _usual_room
    with _changing:
        if not _rooms:
            _usual_room = ImageFile.MAXBLOCK
        _rooms.append(size)
        ImageFile.MAXBLOCK = max(_usual_room, *_rooms)
    try:
        yield
    finally:
        with _changing:
            _rooms.remove(size)
            ImageFile.MAXBLOCK = max([_usual_room, *_rooms])


def refuse_bomb(width: int, height: int) -> None:
    """Refuse a picture that is too large before decoding; `decoding` converts the exception.

    Raises:
        Image.DecompressionBombError: the size is more than `MAX_PIXELS`.
    """
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError


@contextmanager
def decoding(data: bytes, name: str) -> Iterator[None]:
    """Convert Pillow's exceptions on a file to errors of comrec that name it ``name``.

    Raises:
        UnknownFormatError, DamagedFileError, TooLargeError.
        UnsupportedPictureError: the file is whole, but of a kind that is not read.
    """
    if not data:
        raise DamagedFileError(f"{name}: the file is empty")
    try:
        yield
    except ComrecError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise TooLargeError(
            f"{name}: declares more than {MAX_PIXELS:,} pixels; refused before decoding"
        ) from None
    except UnidentifiedImageError:
        if kind := unsupported.reason(data):
            raise UnsupportedPictureError(f"{name}: {kind}") from None
        known = detection.find(data)
        if known:
            raise DamagedFileError(f"{name}: damaged or cut short ({known})") from None
        raise UnknownFormatError(f"{name}: not in a picture format that comrec reads") from None
    except DECODER_ERRORS as error:
        if kind := unsupported.reason(data, str(error)):
            raise UnsupportedPictureError(f"{name}: {kind}") from None
        raise DamagedFileError(f"{name}: damaged or cut short ({error})") from None


def open_image(path: Path) -> Image.Image:
    """A fully loaded Pillow image.

    Raises:
        UnknownFormatError, DamagedFileError, TooLargeError.
    """
    data = path.read_bytes()
    with decoding(data, str(path)):
        image = pillow_open(data)
        image.load()
    return image

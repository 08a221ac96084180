"""TIFF files for Pillow: one page, with its samples as Pillow reads them rightly."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, _imaging
from PIL.ImageFile import ImageFile

from comrec import pillow_io
from comrec.errors import DamagedFileError
from comrec.formats import tiff
from comrec.formats.tiff import Directory
from comrec.picture import Metadata, Picture
from comrec.preparation.opened import Opened

_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
"""Colour samples per pixel, by photometric interpretation."""
_CMYK = 5
_UNSPECIFIED = 0
_ASSOCIATED, _UNASSOCIATED, _COREL = 1, 2, 999
_BLACK_IS_ZERO = 1
_SEPARATE = 2

_OF_PLANES = (
    tiff.WIDTH, tiff.HEIGHT, tiff.COMPRESSION, tiff.FILL_ORDER, tiff.ORIENTATION,
    tiff.ROWS_PER_STRIP, tiff.PREDICTOR, tiff.TILE_WIDTH, tiff.TILE_HEIGHT,
)  # fmt: skip
"""Tags with one integer each that a plane has in common with its page."""


def opened(data: bytes, frame: int) -> Opened:
    """A page of a TIFF file, the first if there is no such page.

    An extra sample of unspecified meaning is read as transparency, as by most viewers (see
    `with_extra_sample`).
    """
    _silence_libtiff()
    try:
        pages = tiff.pages(data)
        page = tiff.directory(data, pages.offsets[min(frame, len(pages.offsets) - 1)])
    except DamagedFileError:  # of which Pillow makes what it can
        return Opened(pillow_io.pillow_open(data), data)
    notes = []
    if pages.masks:
        notes.append("a page that is the transparency mask of another is left out")
    if pages.only_reduced:
        notes.append(
            "the file says that this picture is a reduced version of another, which is not in it "
            "or cannot be read"
        )
    left = _left_out(page)
    if left:
        what = "one further sample per pixel, which is no colour, is"
        if left > 1:
            what = f"{left} further samples per pixel, which are no colours, are"
        notes.append(f"{what} left out")
    unspecified = _is_unspecified(page)
    if unspecified and page.integers(tiff.EXTRA_SAMPLES):
        page = page.with_integer(tiff.EXTRA_SAMPLES, _UNASSOCIATED)
    alone = page.alone()
    image = pillow_io.pillow_open(alone)
    return Opened(image, alone, len(pages.offsets), tuple(notes), unspecified)


def _surplus(page: Directory) -> int:
    """Number of samples per pixel beyond the colours; 0 for an unknown colour space."""
    samples = page.integer(tiff.SAMPLES, 1)
    return samples - _COLOURS.get(page.integer(tiff.PHOTOMETRIC, _BLACK_IS_ZERO), samples)


def _is_unspecified(page: Directory) -> bool:
    """Whether there is one extra sample, of unspecified meaning, that can be read as alpha."""
    return (
        _surplus(page) == 1
        and page.integer(tiff.PHOTOMETRIC, _BLACK_IS_ZERO) != _CMYK
        and page.integers(tiff.EXTRA_SAMPLES) in ((), (_UNSPECIFIED,))
    )


def _left_out(page: Directory) -> int:
    """Number of samples per pixel that are neither colours nor read as alpha."""
    first = page.integer(tiff.EXTRA_SAMPLES, _UNSPECIFIED)
    alpha = first in (_ASSOCIATED, _UNASSOCIATED, _COREL) or _is_unspecified(page)
    return max(0, _surplus(page) - alpha)


def turned(metadata: Metadata, data: bytes) -> Metadata:
    """The metadata of a page that Pillow has rotated, with its resolution rotated too."""
    sideways = tiff.directory(data).integer(tiff.ORIENTATION, 1) in (5, 6, 7, 8)
    if metadata.resolution is None or not sideways:
        return metadata
    return replace(metadata, resolution=metadata.resolution[::-1])


def with_extra_sample(picture: Picture) -> Picture:
    """The picture with a note on its alpha, which the file does not declare as such.

    Where it is 0 everywhere it is padding, and left out.
    """
    if picture.alpha is None or picture.alpha.min() == 255:
        return picture
    if picture.alpha.max() == 0:
        return replace(picture, alpha=None).noting(
            "a further sample per pixel, 0 everywhere, is left out"
        )
    return picture.noting(
        "a further sample per pixel, whose meaning the file does not say, is taken as transparency"
    )


def places(image: ImageFile) -> tuple[int, ...]:
    """Pillow's indices of the pages of an open TIFF file."""
    _silence_libtiff()
    file = image.fp
    if file is None:  # closed after loading its only page
        return (image.tell(),)
    start = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(start)
    try:
        return tiff.pages(data).places
    except DamagedFileError:
        return (image.tell(),)


def is_associated(data: bytes) -> bool:
    """Whether colours of the first page are multiplied by alpha."""
    return tiff.directory(data).integers(tiff.EXTRA_SAMPLES)[:1] == (_ASSOCIATED,)


def is_misread(data: bytes) -> bool:
    """Whether Pillow misreads the first page: it needs `planes`."""
    page = tiff.directory(data)
    planar = page.integer(tiff.PLANES, 1) == _SEPARATE and page.integer(tiff.SAMPLES, 1) > 1
    return planar and (is_associated(data) or max(page.integers(tiff.BITS, (1,))) > 8)


def planes(image: ImageFile, data: bytes) -> NDArray[np.uint16]:
    """(H, W, channels) of a page that Pillow misreads; its planes, one by one, it reads rightly."""
    page = tiff.directory(data)
    image.getexif().pop(ExifTags.Base.Orientation, None)  # applied to each plane
    channels = len(image.getbands())
    return np.stack([_samples(_plane(page, index)) for index in range(channels)], axis=2)


def _samples(plane: Directory) -> NDArray[np.uint16]:
    image = pillow_io.pillow_open(plane.alone())
    image.load()
    return np.asarray(image).astype(np.uint16)


def _plane(page: Directory, index: int) -> Directory:
    """One plane of a page as a page of its own."""
    tags = {tag: page.integers(tag)[:1] for tag in _OF_PLANES if page.integers(tag)}
    tags |= {
        tiff.BITS: page.integers(tiff.BITS)[:1],
        tiff.PHOTOMETRIC: (_BLACK_IS_ZERO,),
        tiff.SAMPLES: (1,),
        tiff.PLANES: (1,),
    }
    for tag in (tiff.STRIP_OFFSETS, tiff.STRIP_BYTES, tiff.TILE_OFFSETS, tiff.TILE_BYTES):
        if numbers := page.integers(tag):
            each = len(numbers) // page.integer(tiff.SAMPLES, 1)
            tags[tag] = numbers[index * each : (index + 1) * each]
    return page.with_only(tags)


@cache
def _silence_libtiff() -> None:
    """Let libtiff no longer print on standard error; what fails is raised as ever.

    Pillow has no switch for it. Where its libtiff is not a shared library, nothing changes.
    """
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        try:
            setter = ctypes.CDLL(_imaging.__file__)[name]
        except (OSError, AttributeError):
            return
        setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
        setter(None)

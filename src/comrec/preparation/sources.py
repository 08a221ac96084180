"""Pictures from files that Pillow reads, and from Pillow images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image
from PIL.ImageFile import ImageFile

from comrec import pillow_io
from comrec.errors import DamagedFileError, UnsupportedPictureError
from comrec.formats import jp2
from comrec.picture import Metadata, Picture
from comrec.pillow_io import DECODER_ERRORS
from comrec.preparation import colour, depth, encodings, orientation
from comrec.preparation.finishing import finish
from comrec.preparation.header import CONVERTED, Header
from comrec.preparation.policy import STRICT, VIEWED, Preparation, allow

_ONE_PICTURE = ("MPO", "PSD")
"""Formats whose other frames are parts of the first: previews, gain maps, layers."""


def read(source: bytes | Path, name: str | None = None, how: Preparation = STRICT) -> Picture:
    """Read any file that Pillow reads, with all steps of the preparation.

    Args:
        source: bytes or path of the file.
        name: name of the file in errors; the path by default.
        how: the conversions.
    Raises:
        UnknownFormatError, DamagedFileError, TooLargeError.
        UnsupportedPictureError: the picture needs a conversion that ``how`` does not name.
    """
    return finish(view(source, name, how), how)


def view(source: bytes | Path, name: str | None = None, how: Preparation = VIEWED) -> Picture:
    """Read any file that Pillow reads, with all of its alpha and metadata.

    Args, Raises: as `read`.
    """
    label = name or (str(source) if isinstance(source, Path) else "input")
    data = source if isinstance(source, bytes) else source.read_bytes()
    with pillow_io.decoding(data, label):
        try:
            return _from_file(pillow_io.pillow_open(data), data, how)
        except UnsupportedPictureError as error:
            raise error.naming(label) from None


def from_image(image: Image.Image, how: Preparation = STRICT) -> Picture:
    """The picture of a Pillow image, which is left at the chosen frame.

    Raises:
        UnsupportedPictureError: the picture needs a conversion that ``how`` does not name.
        DamagedFileError: the image was opened from a file that cannot be decoded.
    """
    try:
        deep = image.mode.startswith("I;16")
        said = encodings.of_image(image)
        allow(replace(_header(image, 16 if deep else 8), hdr=said.hdr), how)
        image.seek(how.frame or 0)
        image.load()
    except DECODER_ERRORS as error:
        raise DamagedFileError(f"the image is damaged or cut short ({error})") from None
    eight = depth.rounded_gray(image) if deep else image
    picture = _from_eight_bits(eight, pillow_io.metadata_of(image))
    return finish(encodings.applied(picture, said), how)


def header_of(data: bytes) -> Header:
    """The header of a file that Pillow reads.

    Raises:
        UnknownFormatError, DamagedFileError, TooLargeError.
    """
    with pillow_io.decoding(data, "input"):
        image = pillow_io.pillow_open(data)
        tag = orientation.orientation_of(pillow_io.metadata_of(image).exif)
        header = _header(image, depth.bits(image, data), tag)
        return replace(header, hdr=encodings.of_file(image, data).hdr)


def _header(image: Image.Image, bits: int, orientation: int = 1) -> Header:
    channels = len(image.getbands())
    if image.mode in ("P", "PA") or "transparency" in image.info:
        channels = 4 if image.has_transparency_data else 3
    return Header(
        image.width, image.height, bits, channels, _frames(image), orientation, image.mode
    )


def _frames(image: Image.Image) -> int:
    return 1 if image.format in _ONE_PICTURE else getattr(image, "n_frames", 1)


def _from_file(image: ImageFile, data: bytes, how: Preparation) -> Picture:
    bits = depth.bits(image, data)
    said = encodings.of_file(image, data)
    allow(replace(_header(image, bits), hdr=said.hdr), how)
    image.seek(how.frame or 0)
    if image.format == "PNG":
        _scale_key(image)
    eight = depth.rounded(image, data) if bits > 8 else image
    image.load()
    found = jp2.metadata_of(data) if image.format == "JPEG2000" else pillow_io.metadata_of(image)
    return encodings.applied_to_file(_from_eight_bits(eight, found), said, image, data)


def _scale_key(image: ImageFile) -> None:
    """Scale the transparent gray level of 2- and 4-bit PNG, which Pillow leaves unscaled."""
    for bits in (2, 4):
        if image.tile[0].args == f"L;{bits}" and "transparency" in image.info:
            image.info["transparency"] *= 255 // ((1 << bits) - 1)


def _from_eight_bits(image: Image.Image, metadata: Metadata) -> Picture:
    if image.mode in CONVERTED:
        image = colour.to_rgb(image, metadata.icc)
        metadata = replace(metadata, icc=None)
    return replace(pillow_io.from_pil(image), metadata=metadata)

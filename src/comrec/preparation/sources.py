"""Pictures from files that Pillow reads, and from Pillow images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image
from PIL.ImageFile import ImageFile

from comrec import pillow_io
from comrec.errors import DamagedFileError, InputError, UnsupportedPictureError
from comrec.formats import aperture, jp2, lenient, psd, tiff
from comrec.picture import Metadata, Picture
from comrec.pillow_io import DECODER_ERRORS
from comrec.preparation import colour, depth, encodings, orientation, tiffs, truncated
from comrec.preparation.finishing import finish
from comrec.preparation.header import CONVERTED, Header
from comrec.preparation.opened import Opened
from comrec.preparation.policy import STRICT, VIEWED, Preparation, allow


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


def view(
    source: bytes | Path,
    name: str | None = None,
    how: Preparation = VIEWED,
    *,
    partial: bool = False,
) -> Picture:
    """Read any file that Pillow reads, with all of its alpha and metadata.

    Args, Raises: as `read`.
        partial: take what is there of a file that is cut short.
    """
    label = name or (str(source) if isinstance(source, Path) else "input")
    data = source if isinstance(source, bytes) else source.read_bytes()
    data, notes = lenient.mended(data)
    try:
        return _view(data, label, how).noting(*notes)
    except DamagedFileError as error:
        message = str(error)
    # Not in the handler: the exception would keep the first decoder's picture in memory.
    found = truncated.rescued(data, lambda completed: _view(completed, label, how))
    if found is None:
        raise DamagedFileError(message)
    picture, is_whole = found
    if not (is_whole or partial):
        raise DamagedFileError(f"{message}; comrec decode --allow-partial gives what is there")
    return picture.noting(*notes)


def _view(data: bytes, label: str, how: Preparation) -> Picture:
    with pillow_io.decoding(data, label):
        try:
            return _from_file(_opened(data, how.frame or 0), how)
        except (InputError, UnsupportedPictureError) as error:
            raise error.naming(label) from None


def from_image(image: Image.Image, how: Preparation = STRICT) -> Picture:
    """The picture of a Pillow image, which is left at the chosen frame.

    Raises:
        UnsupportedPictureError: the picture needs a conversion that ``how`` does not name.
        DamagedFileError: the image was opened from a file that cannot be decoded.
    """
    try:
        deep = image.mode.startswith("I;16")
        places = _places(image)
        said = encodings.of_image(image)
        allow(replace(_header(image, 16 if deep else 8, len(places)), hdr=said.hdr), how)
        _seek(image, places[how.frame or 0])
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
    data, _ = lenient.mended(data)
    try:
        return _header_of(data)
    except DamagedFileError:
        completion = next(lenient.completions(data), None)
        if completion is None:
            raise
        return _header_of(completion.data)


def _header_of(data: bytes) -> Header:
    with pillow_io.decoding(data, "input"):
        file = _opened(data, 0)
        tag = orientation.orientation_of(pillow_io.metadata_of(file.image).exif)
        header = _header(file.image, depth.bits(file.image, file.data), file.frames, tag)
        header = replace(header, hdr=encodings.of_file(file.image, file.data).hdr)
        shown = _shown(file)
        return header if shown is None else replace(header, width=shown[2], height=shown[3])


def _header(image: Image.Image, bits: int, frames: int, orientation: int = 1) -> Header:
    channels = len(image.getbands())
    if image.mode in ("P", "PA") or "transparency" in image.info:
        channels = 4 if image.has_transparency_data else 3
    return Header(image.width, image.height, bits, channels, frames, orientation, image.mode)


def _places(image: Image.Image) -> Sequence[int]:
    """Pillow's indices of the frames or pages of an image.

    Only one where the others are parts of it: layers of PSD, which Pillow counts from 1, and
    previews and gain maps of MPO.
    """
    if image.format == "TIFF" and isinstance(image, ImageFile):
        return tiffs.places(image)
    if image.format == "PSD":
        return (image.tell(),)
    # No tuple: a file can declare billions.
    return range(1 if image.format == "MPO" else getattr(image, "n_frames", 1))


def _seek(image: Image.Image, place: int) -> None:
    """Go to a frame; an image of one frame, of some formats, does not even allow its own."""
    if image.tell() != place:
        image.seek(place)


def _opened(data: bytes, frame: int) -> Opened:
    """The file at a frame, the first if there is no such frame."""
    if tiff.is_tiff(data):
        return tiffs.opened(data, frame)
    image = pillow_io.pillow_open(data)
    places = _places(image)
    notes = psd.notes(data) if image.format == "PSD" else ()
    if 0 < frame < len(places):
        _seek(image, places[frame])
    return Opened(image, data, len(places), notes)


def _shown(file: Opened) -> tuple[int, int, int, int] | None:
    """The window of the picture that viewers show: (left, top, width, height); None for all."""
    if file.image.format != "AVIF":
        return None
    return aperture.window(file.data, *file.image.size)


def _from_file(file: Opened, how: Preparation) -> Picture:
    image, data = file.image, file.data
    bits = depth.bits(image, data)
    said = encodings.of_file(image, data)
    allow(replace(_header(image, bits, file.frames), hdr=said.hdr), how)
    if image.format == "PNG":
        _scale_key(image)
    if bits > 8 or (image.format == "TIFF" and tiffs.is_misread(data)):
        eight = depth.rounded(image, data)
    else:
        eight = image
        image.load()
    found = jp2.metadata_of(data) if image.format == "JPEG2000" else pillow_io.metadata_of(image)
    if image.format == "TIFF":
        found = tiffs.turned(found, data)
    picture = encodings.applied_to_file(_from_eight_bits(eight, found), said, image, data)
    picture = picture.noting(*file.notes)
    if file.unspecified:
        picture = tiffs.with_extra_sample(picture)
    shown = _shown(file)
    return picture if shown is None else picture.cropped(*shown)


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

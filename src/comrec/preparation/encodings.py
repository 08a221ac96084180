"""Colour that a file says otherwise than by an ICC profile becomes one, or sRGB samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from comrec.formats import cicp
from comrec.formats.cicp import SRGB, SRGB_CURVE, SRGB_PRIMARIES, Encoding
from comrec.picture import Picture
from comrec.preparation import depth, hdr, profiles

_WEB = 2.2
"""The gamma that PNG prescribes as a fallback beside ``sRGB``, for readers without its curve."""

_TRANSFER_FUNCTION, _WHITE_POINT, _PRIMARY_CHROMATICITIES = 301, 318, 319  # tags of TIFF


def of_file(image: ImageFile, data: bytes) -> Encoding:
    """The encoding that a file declares, apart from its ICC profile.

    Args:
        image: opened, at the chosen frame.
        data: the bytes of its file.
    Raises:
        DamagedFileError, struct.error, IndexError: the file is damaged.
    """
    if image.format == "PNG":
        said = cicp.of_png(data)
        if said is not None and said.outranks_icc:
            return said
        other = of_image(image)
        return other if said is None else replace(other, notes=(*said.notes, *other.notes))
    if image.format == "AVIF":
        return cicp.of_items(data)
    if image.format == "JPEG2000":
        return cicp.of_jp2(data)
    if image.format == "TIFF" and image.mode in ("L", "RGB", "RGBA", "RGBX", "I;16", "I;16B"):
        return _of_tiff(image)
    return SRGB


def of_image(image: Image.Image) -> Encoding:
    """The encoding that Pillow, or its plug-in, found in a file; Pillow does not read all."""
    info = image.info
    if "nclx_profile" in info:
        return of_nclx(info)
    if "srgb" in info:
        return SRGB
    gamma, points = info.get("gamma"), info.get("chromaticity")
    if gamma is None and points is None:
        return SRGB
    return _of_png_values(gamma, points)


def of_nclx(info: Mapping[Any, Any]) -> Encoding:
    """The encoding of a picture of pillow-heif, by its ``info``."""
    said = info.get("nclx_profile")
    if said is None:
        return SRGB
    return cicp.of_codes(said["color_primaries"], said["transfer_characteristics"])


def _of_png_values(gamma: float | None, points: tuple[float, ...] | None) -> Encoding:
    """The encoding of ``gAMA`` (an exponent of the camera) and ``cHRM`` (white first)."""
    notes, primaries, curve = [], SRGB_PRIMARIES, SRGB_CURVE
    if points is not None:
        white, *colours = zip(points[::2], points[1::2], strict=True)
        primaries = (*colours, white)
        if not _is_possible(primaries):
            notes.append("the cHRM chunk is invalid, and ignored")
            primaries = SRGB_PRIMARIES
    web = Encoding("gamma 2.2", primaries)
    if gamma is not None and not 0.1 <= gamma <= 10:
        notes.append("the gAMA chunk is invalid, and ignored")
    elif gamma is not None and not (
        abs(1 / gamma - _WEB) < 0.01 and profiles.icc(web, gray=False) is None
    ):
        curve = cicp.power(1 / gamma)
    return Encoding("PNG gAMA and cHRM", primaries, curve, notes=tuple(notes))


def _of_tiff(image: ImageFile) -> Encoding:
    tags = image.tag_v2  # type: ignore[attr-defined]
    primaries, curve, notes = SRGB_PRIMARIES, SRGB_CURVE, []
    points = _numbers(tags.get(_PRIMARY_CHROMATICITIES))
    if points:
        flat = points + (_numbers(tags.get(_WHITE_POINT)) or SRGB_PRIMARIES[3])
        primaries = tuple(zip(flat[::2], flat[1::2], strict=False))
        if len(flat) != 8 or not _is_possible(primaries):
            notes.append("the chromaticities of TIFF are invalid, and ignored")
            primaries = SRGB_PRIMARIES
    table = _numbers(tags.get(_TRANSFER_FUNCTION))
    if table:
        third = len(table) // 3
        if len(table) % 3 == 0 and table[:third] == table[third : 2 * third] == table[2 * third :]:
            table = table[:third]
        if len(table) in (256, 65536):
            curve = tuple(value / 65535 for value in table[:: len(table) // 255])
        else:
            notes.append("the TransferFunction of TIFF is not supported, and ignored")
    return Encoding("TIFF chromaticities", primaries, curve, notes=tuple(notes))


def _numbers(values: Any) -> tuple[float, ...]:
    """The values of a tag; none if they are not numbers."""
    try:
        return tuple(float(value) for value in values or ())
    except (TypeError, ValueError):
        return ()


def _is_possible(primaries: cicp.Points) -> bool:
    try:
        profiles.luminance(primaries)
    except ValueError:
        return False
    return True


def applied(
    picture: Picture, said: Encoding, samples: NDArray[np.uint8 | np.uint16] | None = None
) -> Picture:
    """The picture with an ICC profile of its encoding; HDR and video range are converted.

    Args:
        picture: with the ICC profile of its file, which counts unless ``said`` outranks it.
        said: what else the file says.
        samples: (H, W) or (H, W, 3), all bits of the pixels; by default the pixels.
    """
    picture = picture.noting(*said.notes)
    metadata = picture.metadata
    if metadata.icc is not None and not said.outranks_icc:
        return picture
    if said.hdr is not None or not said.full_range:
        light = _relative(picture.pixels if samples is None else samples, said.full_range)
        if said.hdr is not None:
            bare = replace(picture, metadata=replace(metadata, icc=None))
            return bare.with_pixels(hdr.tone_mapped(light, said))
        picture = picture.with_pixels(np.rint(255 * light).astype(np.uint8))
    if said == SRGB:
        return picture
    return replace(picture, metadata=replace(metadata, icc=profiles.icc(said, picture.is_gray)))


def applied_to_file(picture: Picture, said: Encoding, image: ImageFile, data: bytes) -> Picture:
    """`applied`, with all bits of a file where Pillow can read them and they count."""
    deep = image.format == "PNG" and (said.hdr is not None or not said.full_range)
    return applied(picture, said, depth.colours(data, image.tell()) if deep else None)


def _relative(samples: NDArray[np.uint8 | np.uint16], full_range: bool) -> NDArray[np.float32]:
    """Samples in 0..1."""
    levels = 65535 if samples.dtype == np.uint16 else 255
    if full_range:
        return samples.astype(np.float32) / np.float32(levels)
    step = (levels + 1) // 256
    return ((samples.astype(np.float32) - 16 * step) / (219 * step)).clip(0, 1)

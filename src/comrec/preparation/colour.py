"""Conversion of colour spaces to sRGB, by the ICC profile if there is one."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from PIL import Image, ImageCms

from comrec.picture import Picture, Pixels
from comrec.pillow_io import DECODER_ERRORS

_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Pillow's modes by the colour space of an ICC profile."""


def to_rgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Convert a CMYK, Lab or HSV image to sRGB.

    CMYK without a profile, or with one that is damaged or of another colour space, becomes
    R = (1 - C) (1 - K), and likewise for G and B.
    """
    transform = _transform(icc) if icc is not None and image.mode == "CMYK" else None
    if transform is None or transform.input_mode != "CMYK":
        return image.convert("RGB")
    return _applied(transform, image)


def to_srgb(picture: Picture) -> Picture:
    """Convert a picture to sRGB, and remove its ICC profile.

    Gray stays gray. Pixels are unchanged if the profile equals sRGB, is damaged, or is of another
    colour space; viewers ignore the latter two.
    """
    icc = picture.metadata.icc
    if icc is None:
        return picture
    bare = replace(picture, metadata=replace(picture.metadata, icc=None))
    transform = _transform(icc)
    if transform is None or transform.input_mode not in ("RGB", "L"):
        return bare
    if transform.input_mode == "L" and not picture.is_gray:
        return bare
    if means_srgb(icc):
        return bare
    samples = np.arange(256, dtype=np.uint8)[None] if picture.is_gray else picture.pixels
    image = Image.fromarray(samples).convert(transform.input_mode)
    pixels: Pixels = np.asarray(_applied(transform, image))
    if picture.is_gray:  # stays neutral in sRGB: the channels differ by rounding only
        pixels = pixels[0, :, 1][picture.pixels]
    return bare.with_pixels(np.ascontiguousarray(pixels))


def means_srgb(icc: bytes) -> bool:
    """Whether a gray or RGB profile equals sRGB to within one level of 255.

    False for a damaged profile.
    """
    transform = _transform(icc)
    if transform is None or transform.input_mode not in ("RGB", "L"):
        return False
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    before = Image.fromarray(grid if transform.input_mode == "RGB" else steps[None])
    after = _applied(transform, before)
    change = np.asarray(after, np.int16) - np.asarray(before.convert("RGB"))
    return bool(np.abs(change).max() <= 1)


def _transform(icc: bytes) -> ImageCms.ImageCmsTransform | None:
    """The transform from a profile to sRGB; None if damaged or of an unlisted colour space."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        mode = _MODES[profile.profile.xcolor_space]
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
        if mode == "L":  # LittleCMS would approximate its curve, by up to 10 levels where dark
            flags |= ImageCms.Flags.NOOPTIMIZE
        return ImageCms.ImageCmsTransform(
            profile,
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=flags,
        )
    except (*DECODER_ERRORS, ImageCms.PyCMSError):
        return None


def _applied(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    found = ImageCms.applyTransform(image, transform)
    assert found is not None  # None only for transforms in place
    return found

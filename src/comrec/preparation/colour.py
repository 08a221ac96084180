"""Colour spaces: everything to sRGB, by the ICC profile where there is one."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from PIL import Image, ImageCms

from comrec.picture import DECODER_ERRORS, Picture, Pixels

_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""How Pillow calls the colour spaces of ICC profiles."""


def to_rgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """A CMYK, Lab or HSV image in sRGB.

    CMYK without a profile, or with one that is damaged or of another colour space, becomes
    (1 - C) (1 - K) and so on.
    """
    transform = _transform(icc) if icc is not None and image.mode == "CMYK" else None
    if transform is None or transform.input_mode != "CMYK":
        return image.convert("RGB")
    return _applied(transform, image)


def to_srgb(picture: Picture) -> Picture:
    """The picture in sRGB, and without its profile, which is no longer needed.

    Gray stays gray. Pixels of a profile that is sRGB's own stay as they are. So do those of a
    profile that is damaged or of another colour space: viewers pass over it.
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
    image = Image.fromarray(picture.pixels).convert(transform.input_mode)
    pixels: Pixels = np.asarray(_applied(transform, image))
    # Grays are neutral in sRGB too: its channels are equal but for rounding.
    return bare.with_pixels(np.ascontiguousarray(pixels[..., 1] if picture.is_gray else pixels))


def means_srgb(icc: bytes) -> bool:
    """Whether a profile, gray or RGB, gives samples the meaning that sRGB gives them.

    To within a level; a damaged one does not.
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
    """From a profile to sRGB; None if it is damaged or of a colour space not listed here."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        mode = _MODES[profile.profile.xcolor_space]
        return ImageCms.ImageCmsTransform(
            profile,
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (*DECODER_ERRORS, ImageCms.PyCMSError):
        return None


def _applied(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    found = ImageCms.applyTransform(image, transform)
    assert found is not None  # it would be None if done in place
    return found

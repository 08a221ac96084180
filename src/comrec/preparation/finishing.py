"""The last steps for all sources: colour, background, metadata."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from comrec.formats import xmp
from comrec.picture import Metadata, Picture, Pixels
from comrec.preparation import colour, orientation
from comrec.preparation.policy import Preparation, rgb_of


def finish(picture: Picture, how: Preparation) -> Picture:
    """Composite the picture over the background, and keep the chosen metadata and samples."""
    if "icc" not in how.kept:  # first: backgrounds are sRGB colours
        picture = colour.to_srgb(picture)
    picture = replace(picture, exact=picture.exact or how.exact)
    return with_metadata(_composited(picture, how.background), how)


def with_metadata(picture: Picture, how: Preparation) -> Picture:
    """The picture with the chosen metadata only.

    Orientation (EXIF) and colour profile (ICC) are applied to the pixels if they are removed.
    Entries of XMP that describe data outside it, such as gain maps, are removed.
    """
    if "icc" not in how.kept:
        picture = colour.to_srgb(picture)
    if "exif" not in how.kept:
        picture = _upright(picture)
    found = picture.metadata
    kept = {kind: getattr(found, kind) for kind in how.kept}
    if kept.get("xmp") is not None:
        kept["xmp"], notes = xmp.without_pointers(kept["xmp"])
        picture = picture.noting(*notes)
    resolution = found.resolution if kept else None
    return replace(picture, metadata=Metadata(**kept, resolution=resolution))


def _composited(picture: Picture, background: str | None) -> Picture:
    """The picture over a background; alpha that is opaque everywhere is removed."""
    if picture.alpha is None or (background is None and picture.alpha.min() < 255):
        return picture
    if background is None or picture.alpha.min() == 255:
        return replace(picture, alpha=None)
    below = np.array(rgb_of(background), np.uint16)
    if picture.is_gray and len(set(below)) > 1:  # becomes RGB, which a gray profile does not fit
        picture = colour.to_srgb(picture)
        picture = picture.with_pixels(picture.rgb)
    alpha = np.asarray(picture.alpha, np.uint16)[..., None]
    channels = 1 if picture.is_gray else 3
    above = picture.pixels.reshape(*alpha.shape[:2], channels)
    mixed = (above * alpha + below[:channels] * (255 - alpha) + 127) // 255
    pixels: Pixels = mixed.astype(np.uint8).reshape(picture.pixels.shape)
    return replace(picture, pixels=pixels, alpha=None)


def _upright(picture: Picture) -> Picture:
    """The picture rotated by its EXIF orientation, and XMP without its copy of the tag."""
    picture = orientation.upright(picture)
    metadata = picture.metadata
    if metadata.exif is not None and metadata.xmp is not None:
        metadata = replace(metadata, xmp=xmp.without_orientation(metadata.xmp))
    return replace(picture, metadata=metadata)

"""The verbs, on Pillow images and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from comrec import codec as registry
from comrec.errors import InputError, UnsupportedPictureError, WeightsError
from comrec.picture import Picture, from_pil
from comrec.wrapped import files

DEFAULT_CODEC = "comrec-jpeg"
DEFAULT_QUALITY = 50.0


def encode(
    image: Image.Image | NDArray[np.uint8] | Picture,
    codec: str = DEFAULT_CODEC,
    quality: float = DEFAULT_QUALITY,
    **options: Any,
) -> bytes:
    """A picture's file.

    Args:
        image: a Pillow image; or (H, W) or (H, W, 3) uint8; or a `Picture`.
        codec: an id of `codecs`.
        quality: 0 (smallest) to 100 (best).
        options: the codec's, such as ``effort=9`` or ``scale="1/2"``.
    Raises:
        UnknownCodecError, OptionError, UnsupportedPictureError.
    """
    if isinstance(image, Image.Image):
        picture = from_pil(image)
    else:
        picture = image if isinstance(image, Picture) else Picture(image)
    return registry.get(codec, **options).encode(picture, quality)


def decode(
    data: bytes, *, enhance: bool = False, plain: bool = False, name: str = "input"
) -> Image.Image:
    """The picture of a file of any codec here.

    Args:
        enhance: remove the artefacts of a plain JPEG, JPEG 2000, WebP or AVIF file.
        plain: what other viewers show: ignore the mark, run no network.
        name: what errors call the file.
    Raises:
        InputError: the file cannot be used.
        UnsupportedPictureError: its pixels are not 8-bit gray or RGB.
        WeightsError: its network is not in this version.
    """
    try:
        if plain:
            return files.plain(data).to_pil()
        return (files.enhance(data) if enhance else files.decode(data)).to_pil()
    except (InputError, UnsupportedPictureError, WeightsError) as error:
        raise error.naming(name) from None


def codecs() -> list[str]:
    """Ids of all codecs."""
    return registry.names()

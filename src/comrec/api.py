"""The verbs, on Pillow images and arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from comrec import codec as registry
from comrec import preparation
from comrec.errors import InputError
from comrec.picture import Picture
from comrec.preparation import Preparation
from comrec.targets import meet, only_one
from comrec.wrapped import files

DEFAULT_CODEC = "comrec-jpeg"
DEFAULT_QUALITY = 50.0


def encode(
    image: Image.Image | NDArray[np.uint8] | Picture | bytes | Path,
    codec: str = DEFAULT_CODEC,
    quality: float | None = None,
    *,
    target_size: int | None = None,
    target_bpp: float | None = None,
    target_psnr: float | None = None,
    target_ssim: float | None = None,
    target_msssim: float | None = None,
    background: str | None = None,
    depth: int | None = None,
    colorspace: str | None = None,
    frame: int | None = None,
    metadata: str = "all",
    **options: Any,
) -> bytes:
    """A picture's file.

    Args:
        image: a Pillow image; or (H, W) or (H, W, 3) uint8; or a `Picture`; or a picture file's
            path or bytes, of which nothing is lost that Pillow images do not hold.
        codec: an id of `codecs`.
        quality: 0 (smallest) to 100 (best); 50 where no target is given either.
        target_size, target_bpp: the best file of at most so many bytes, or bits a pixel.
        target_psnr, target_ssim, target_msssim: the smallest file found that decodes to at least
            so much fidelity: dB on RGB, SSIM of luma, MS-SSIM of RGB (see `targets.Target`).
        background, depth, colorspace, frame, metadata: what to do with what cannot be carried
            as it is, and which metadata to keep (see `preparation.Preparation`).
        options: the codec's, such as ``effort=9`` or ``scale="1/2"``.
    Raises:
        UnknownCodecError, OptionError, UnsupportedPictureError.
        InputError: the picture file cannot be used.
        TargetError: no file of this picture meets the target.
    """
    target = only_one(
        quality,
        {
            "size": target_size,
            "bpp": target_bpp,
            "psnr": target_psnr,
            "ssim": target_ssim,
            "msssim": target_msssim,
        },
    )
    how = Preparation(background, depth, colorspace, frame, metadata)
    if isinstance(image, Image.Image):
        picture = preparation.of_image(image, how)
    elif isinstance(image, Path):
        try:
            data = image.read_bytes()
        except OSError as error:
            raise InputError(f"{image}: {error.strerror}") from None
        picture = files.read(data, str(image), how)
    elif isinstance(image, bytes):
        picture = files.read(image, "input", how)
    else:
        picture = image if isinstance(image, Picture) else Picture(image)
        picture = preparation.finish(picture, how)
    coder = registry.get(codec, **options)
    if target is not None:
        return meet(coder, picture, target).fit.data
    return coder.encode(picture, DEFAULT_QUALITY if quality is None else quality)


def decode(
    data: bytes,
    *,
    enhance: bool = False,
    plain: bool = False,
    metadata: str = "all",
    name: str = "input",
) -> Image.Image:
    """The picture of a file of any codec here: gray or RGB of 8 bits, perhaps with alpha.

    Strangers' files of other kinds become that: deeper samples are rounded, CMYK is converted,
    of several frames the first is taken.

    Args:
        enhance: remove the artefacts of a plain file of a lossy codec.
        plain: what other viewers show: ignore the mark, run no network.
        metadata: what is kept of it (see `preparation.Preparation`).
        name: what errors call the file.
    Raises:
        InputError: the file cannot be used.
        UnsupportedPictureError: a kind of picture that cannot be converted.
        WeightsError, UnknownCodecError: its network or codec is not in this version.
        MissingExtraError: what reads its format is not installed.
    """
    how = Preparation(metadata=metadata)
    try:
        if plain:
            picture = files.plain(data)
        else:
            picture = files.enhance(data) if enhance else files.decode(data)
        return preparation.with_metadata(picture, how).to_pil()
    except files.UNUSABLE as error:
        raise error.naming(name) from None


def codecs() -> list[str]:
    """Ids of all codecs."""
    return registry.names()

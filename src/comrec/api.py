"""`encode`, `decode` and `codecs`, for Pillow images and arrays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from comrec import codec as registry
from comrec import confined, files, preparation, regions, roi, targets
from comrec.buffers import BYTES, bytes_of
from comrec.codec import Codec
from comrec.errors import InputError, OptionError
from comrec.options import shown
from comrec.picture import Picture
from comrec.preparation import Preparation
from comrec.sandwich.enhancement import Enhancing, enhancing

DEFAULT_CODEC = "comrec-jpeg"

Encodable = (
    Image.Image
    | NDArray[np.uint8]
    | Picture
    | bytes
    | bytearray
    | memoryview
    | str
    | os.PathLike[str]
)
"""What `encode` takes."""


def encode(
    image: Encodable,
    codec: str | Codec = DEFAULT_CODEC,
    quality: float | None = None,
    **options: Any,
) -> bytes:
    """Compress a picture.

    Args:
        image: a Pillow image; or (H, W) or (H, W, 3) uint8; or a `Picture`; or the path (a str or
            path object) or the bytes of a picture file, which can hold more than a Pillow image,
            such as deep samples.
        codec: an id of `codecs`, optionally with options: "liu2018:metric=ms-ssim"; or a `Codec`.
        quality: 0 (smallest) to 100 (best); by default 50, unless there is a target.
        options: ``target_size`` or ``target_bpp``: the best file of at most this many bytes, or
            bits per pixel. ``target_psnr``, ``target_ssim``, ``target_msssim`` or
            ``target_ssimulacra2``: the smallest file found with at least this fidelity (see
            `targets.Target`). ``match="jpeg:50"``: the best file of at most as many bytes as that
            codec's of this quality has. ``background``, ``depth``, ``colorspace``, ``frame``,
            ``metadata``: conversions of pictures that the codec cannot store, and the metadata to
            keep (see `preparation.Preparation`).
            ``roi``: which part of the picture matters, for codecs that can make it better than the
            rest: "auto", "centre", rectangles or a mask (see `roi.Given`); ``roi_strength``: by how
            many dB errors count less where it matters least, 0..30, 6 by default; alone it implies
            "auto".
            ``exact=True``: keep fully transparent colours, also in lossy codecs.
            ``untrusted=True``: read the picture file in a process of its own, with limits of
            memory and time (SECURITY.md).
            All others are options of the codec, such as ``effort=9``.
    Returns:
        The bytes of the file.
    Raises:
        UnknownCodecError, UnsupportedPictureError.
        OptionError: an argument is of another type than these, or out of range.
        InputError: the picture file cannot be read; a LimitError where only an untrusted one is
            refused.
        TargetError: the target cannot be met.
    """
    wanted = targets.choose(quality, options)
    for kind in targets.KINDS:
        options.pop(f"target_{kind}", None)
    options.pop("match", None)
    region, strength = (options.pop(name, None) for name in ("roi", "roi_strength"))
    untrusted = options.pop("untrusted", False)
    how = Preparation(**{name: options.pop(name) for name in _PREPARATION if name in options})
    if isinstance(codec, str):
        coder = registry.parse(codec, **options)
    elif not isinstance(codec, Codec):
        raise OptionError(f"codec must be an id of comrec.codecs() or a Codec, not {shown(codec)}")
    elif options:
        raise OptionError(f"options of {codec} are already set; unexpected: {', '.join(options)}")
    else:
        coder = codec
    if region is None and strength is None:
        picture = _picture(image, how, untrusted)
    else:
        coder.check_importance()
        region = roi.AUTO if region is None else region
        strength = roi.DEFAULT_STRENGTH if strength is None else strength
        picture = roi.marked(_picture(image, how, untrusted), region, strength)
    return targets.encode(coder, picture, wanted).point.data


_PREPARATION = tuple(option.name for option in Preparation().options)


def _picture(image: Encodable, how: Preparation, untrusted: bool) -> Picture:
    if isinstance(image, Image.Image):
        return preparation.from_image(image, how)
    if isinstance(image, str | os.PathLike):
        path = Path(os.fsdecode(image))
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None
        except ValueError as error:  # no file can have this name
            raise InputError(f"{str(path)!r}: {error}") from None
        return files.read(data, str(path), how, untrusted=untrusted)
    if isinstance(image, BYTES):
        return files.read(bytes_of(image), "input", how, untrusted=untrusted)
    if isinstance(image, np.ndarray):
        image = Picture(image)
    if not isinstance(image, Picture):
        raise OptionError(
            "a picture is a Pillow image, an array, a Picture, or a file's path or bytes; "
            f"not {type(image).__name__}"
        )
    return preparation.finish(image, how)


def decode(
    data: bytes | bytearray | memoryview,
    *,
    enhance: bool = False,
    strength: float | None = None,
    network: str | None = None,
    plain: bool = False,
    allow_partial: bool = False,
    iterations: int | None = None,
    allow_large: bool = False,
    region: tuple[int, int, int, int] | None = None,
    metadata: str = "all",
    untrusted: bool = False,
    name: str = "input",
) -> Image.Image:
    """Decode a file of any codec to 8-bit gray or RGB, with alpha if the file has it.

    Third-party files are converted: samples of more than 8 bits are rounded, CMYK becomes sRGB,
    and the first of several frames is taken. ``image.info["notes"]`` is a tuple of sentences that
    say so, and what else decoding left out or worked around.

    Args:
        data: the file.
        enhance: also remove the artefacts of a plain file of a lossy codec.
        strength: of that, 0 (as it is decoded) to 1 (the default; as the network gives it).
        network: the size of the network that does it: "fast", "default" or "best". Where a format
            has none of this size, the default one does it, and a note says so.
        plain: decode as other viewers do: ignore the mark, run no network.
        allow_partial: decode as much as there is of a file that is cut short.
        iterations: decode the first 1..16 iterations of a recurrent codec's file, which is faster
            and coarser; by default all.
        allow_large: decode files of less than 1 MB too that hold more than 200 million samples (150
            in WebP, JPEG 2000 and JPEG XL), such as large blank scans.
        region: left, top, width and height of the part that is wanted, in pixels of the whole as it
            is decoded without this (EXIF orientation not applied), cut at its edges. Networks run
            on no more than the tiles around it; a note says where the rest is decoded all the same.
        metadata: which metadata to keep (see `preparation.Preparation`).
        untrusted: decode in a process of its own, which is used again, with limits of memory and
            time that grow with the file, and more with ``allow_large`` (SECURITY.md).
        name: name of the file in errors.
    Raises:
        OptionError: ``data`` is of another type, there is no such metadata, ``strength`` or
            ``network`` is out of range or given without ``enhance``, ``iterations`` are out of
            range or the file's codec has none, or the region is none or lies outside of the
            picture.
        InputError: the file cannot be decoded; a LimitError where only an untrusted one is refused.
        UnsupportedPictureError: the kind of picture cannot be converted.
        WeightsError, UnknownCodecError: its network or codec is not in this version.
        MissingExtraError: the library for its format is not installed.
    """
    how = Preparation(metadata=metadata)
    enhanced = enhancing(enhance=enhance, strength=strength, network=network)
    part = None if region is None else regions.check(region)
    data = bytes_of(data)
    given = data, how, enhanced, plain, allow_partial, iterations, allow_large, part
    try:
        if not untrusted:
            return _decoded(*given).to_pil()
        limits = confined.Limits.of(len(data), large=allow_large)
        return confined.call(_decoded, *given, limits=limits, name="input").to_pil()
    except files.UNUSABLE as error:
        raise error.naming(name) from None


def _decoded(
    data: bytes,
    how: Preparation,
    enhanced: Enhancing | None,
    plain: bool,
    partial: bool,
    iterations: int | None,
    large: bool,
    region: regions.Region | None,
) -> Picture:
    """As `decode`."""
    file = files.parse(data, iterations)
    if not large:
        file.check_density(plain=plain)
    if plain:
        picture = file.plain(partial=partial, region=region)
    elif enhanced is not None:
        picture = file.enhance(enhanced, region)
    else:
        picture = file.decode(partial=partial, region=region)
    return preparation.with_metadata(picture, how)


def codecs() -> list[str]:
    """Ids of all codecs."""
    return registry.names()

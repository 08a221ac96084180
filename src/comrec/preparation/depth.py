"""Samples of more than 8 bits: detection, and rounding to 8 bits."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from comrec import pillow_io
from comrec.errors import UnsupportedPictureError
from comrec.formats import boxes, jp2

_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # tags of TIFF
_WHITE_IS_ZERO = 0
_HALVABLE = ("RGB;16", "RGBX;16", "RGBA;16", "RGBa;16", "CMYK;16")


def bits(image: ImageFile, data: bytes) -> int:
    """Bits per sample that the file declares, of an image that is opened but not yet loaded."""
    if image.mode in ("I", "F") and image.format != "PPM":
        return 8  # no defined white level: refused in any case
    if image.format == "TIFF":
        return int(max(_tag(image, _BITS_PER_SAMPLE, (1,))))
    if image.format == "JPEG2000":
        return jp2.bits_of(data)
    if image.format == "AVIF":
        return _bits_of_items(data)
    if image.format == "PPM" and isinstance(image.tile[0].args, tuple):
        return int(image.tile[0].args[-1]).bit_length()  # of the maximum value
    return 16 if any(";16" in _raw_mode(tile) for tile in image.tile) else 8


def _bits_of_items(data: bytes) -> int:
    """Bits of the deepest channel in the ``pixi`` boxes of an AVIF or HEIC file; 8 without one."""
    properties = boxes.find(data, b"meta", b"iprp", b"ipco") or b""
    depths = [body[5:] for _, kind, body in boxes.walk(properties) if kind == b"pixi"]
    return max(b"".join(depths), default=8)


def rounded(image: ImageFile, data: bytes) -> Image.Image:
    """Round a deep image to 8 bits: each sample to the nearest level of the same relative value.

    Where Pillow's libraries convert to 8 bits themselves (JPEG 2000, AVIF), their result is
    returned; it differs by at most one level.

    Args:
        image: opened, not yet loaded; this loads it.
        data: the bytes of its file.
    Raises:
        UnsupportedPictureError: planar TIFF, which Pillow misreads.
    """
    modes = {_raw_mode(tile) for tile in image.tile}
    if image.format == "TIFF" and len(modes) > 1:
        raise UnsupportedPictureError(
            "TIFF files of more than 8 bits with separate planes are not supported; "
            "save with interleaved samples"
        )
    mode = modes.pop()
    if mode == "LA;16B":
        return _gray_and_alpha(image)
    if mode.startswith(_HALVABLE):
        return _from_halves(image, data, mode)
    image.load()
    return rounded_gray(image) if image.mode.startswith("I") else image


def rounded_gray(image: Image.Image) -> Image.Image:
    """Round a loaded image of deep gray samples to 8 bits."""
    samples = np.asarray(image)
    levels = 65535
    if image.format == "TIFF":
        levels = (1 << max(_tag(image, _BITS_PER_SAMPLE, (16,)))) - 1
        if _tag(image, _PHOTOMETRIC, None) == _WHITE_IS_ZERO:
            samples = levels - samples
    return _image(samples, levels, "L", image.info.get("transparency"))


def _tag(image: Image.Image, tag: int, default: Any) -> Any:
    return image.tag_v2.get(tag, default)  # type: ignore[attr-defined]


def _raw_mode(tile: Any) -> str:
    return str(tile.args if isinstance(tile.args, str) else tile.args[0])


def _gray_and_alpha(image: ImageFile) -> Image.Image:
    """16-bit gray with alpha of PNG. Read as RGBA, Pillow returns its four bytes per pixel."""
    image.tile = [tile._replace(args="RGBA") for tile in image.tile]
    image.load()
    return _image(np.asarray(image).copy().view(">u2"), 65535, "LA")


def _from_halves(image: ImageFile, data: bytes, mode: str) -> Image.Image:
    """16-bit colour. Pillow keeps one byte per sample, so the image is read once per byte."""
    again = pillow_io.pillow_open(data)
    again.seek(image.tell())
    first, second = (_bytes(image, mode, "B"), _bytes(again, mode, "L"))
    big_endian = mode.endswith("B") or (mode.endswith("N") and sys.byteorder == "big")
    samples = first << 8 | second if big_endian else second << 8 | first
    if mode.startswith("RGBa"):  # colours multiplied by alpha
        alpha = samples[..., 3:].astype(np.uint32)
        colours = (samples[..., :3] * np.uint32(65535) + alpha // 2) // np.maximum(alpha, 1)
        samples[..., :3] = np.minimum(colours, 65535)
    return _image(samples, 65535, image.mode, image.info.get("transparency"))


def _bytes(image: ImageFile, mode: str, order: str) -> NDArray[np.uint16]:
    """The high byte of each sample in byte order ``order``, "B" or "L"."""
    mode = mode[:-1].replace("a", "A") + order
    image.tile = [
        tile._replace(args=mode if isinstance(tile.args, str) else (mode, *(tile.args or ())[1:]))
        for tile in image.tile
    ]
    image.load()
    return np.asarray(image).astype(np.uint16)


def colours(data: bytes, frame: int) -> NDArray[np.uint16] | None:
    """All bits of the gray, (H, W), or colour, (H, W, 3), of a 16-bit PNG; None of other PNGs."""
    image = pillow_io.pillow_open(data)
    image.seek(frame)
    mode = _raw_mode(image.tile[0])
    if ";16" not in mode:
        return None
    if mode.startswith("RGB"):
        again = pillow_io.pillow_open(data)
        again.seek(frame)
        return (_bytes(image, mode, "B") * 256 + _bytes(again, mode, "L"))[..., :3]
    if mode == "LA;16B":
        image.tile = [tile._replace(args="RGBA") for tile in image.tile]
        image.load()
        return np.asarray(image).copy().view(">u2")[..., 0].astype(np.uint16)
    image.load()
    return np.asarray(image).astype(np.uint16)


def _image(
    samples: NDArray[np.integer[Any]], levels: int, mode: str, key: Any = None
) -> Image.Image:
    """The 8-bit image of samples in 0..``levels``; samples equal to ``key`` are transparent."""
    eight = (samples.astype(np.uint32) * 255 + levels // 2) // levels
    image = Image.fromarray(eight.astype(np.uint8), mode)
    if key is not None:
        image.putalpha(Image.fromarray(pillow_io.key_alpha(samples, key)))
    return image

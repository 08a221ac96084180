"""Samples of more than 8 bits: detection, and rounding to 8 bits."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from comrec import pillow_io
from comrec.formats import items, jp2
from comrec.preparation import tiffs

_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # tags of TIFF
_WHITE_IS_ZERO = 0
_BAND = 1 << 20
"""Pixels that are rounded at a time."""

Samples = NDArray[np.integer[Any]]

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
    depths = [body[5:] for kind, body in items.properties(data) if kind == b"pixi"]
    return max(b"".join(depths), default=8)


def rounded(image: ImageFile, data: bytes) -> Image.Image:
    """Round a deep image to 8 bits: each sample to the nearest level of the same relative value.

    Where Pillow's libraries convert to 8 bits themselves (JPEG 2000, AVIF), their result is
    returned; it differs by at most one level.

    Args:
        image: opened, not yet loaded; this loads it, except for TIFF of separate planes.
        data: the bytes of its file.
    """
    if image.format == "TIFF" and tiffs.is_misread(data):
        levels = (1 << bits(image, data)) - 1
        samples, associated = tiffs.planes(image, data), tiffs.is_associated(data)

        def rows(top: int, bottom: int) -> Samples:
            part = samples[top:bottom]
            return _divided(part, levels) if associated else part

        key = image.info.get("transparency")
        return _filled(Image.new(image.mode, image.size), rows, levels, key)
    mode = _raw_mode(image.tile[0])
    if mode == "LA;16B":
        return _gray_and_alpha(image)
    if mode.startswith(_HALVABLE):
        return _from_halves(image, data, mode)
    image.load()
    return rounded_gray(image) if image.mode.startswith("I") else image


def rounded_gray(image: Image.Image) -> Image.Image:
    """Round a loaded image of deep gray samples to 8 bits."""
    levels, inverted = 65535, False
    if image.format == "TIFF":
        levels = (1 << max(_tag(image, _BITS_PER_SAMPLE, (16,)))) - 1
        inverted = _tag(image, _PHOTOMETRIC, None) == _WHITE_IS_ZERO

    def rows(top: int, bottom: int) -> Samples:
        samples = _rows(image, top, bottom)
        return levels - samples if inverted else samples

    result = Image.new("L", image.size)
    return _filled(result, rows, levels, image.info.get("transparency"))


def _tag(image: Image.Image, tag: int, default: Any) -> Any:
    return image.tag_v2.get(tag, default)  # type: ignore[attr-defined]


def _raw_mode(tile: Any) -> str:
    args = tile.args if isinstance(tile.args, str | None) else tile.args[0]  # QOI and XBM: None
    return str(args)


def _gray_and_alpha(image: ImageFile) -> Image.Image:
    """16-bit gray with alpha of PNG. Read as RGBA, Pillow returns its four bytes per pixel."""
    image.tile = [tile._replace(args="RGBA") for tile in image.tile]
    image.load()

    def rows(top: int, bottom: int) -> Samples:
        return _rows(image, top, bottom).copy().view(">u2")

    return _filled(Image.new("LA", image.size), rows, 65535)


def _from_halves(image: ImageFile, data: bytes, mode: str) -> Image.Image:
    """16-bit colour. Pillow keeps one byte per sample, so the image is read once per byte."""
    again = pillow_io.pillow_open(data)
    again.seek(image.tell())
    _load_bytes(image, mode, "B")
    _load_bytes(again, mode, "L")
    big_endian = mode.endswith("B") or (mode.endswith("N") and sys.byteorder == "big")
    high, low = (image, again) if big_endian else (again, image)

    def rows(top: int, bottom: int) -> Samples:
        samples = _rows(high, top, bottom).astype(np.uint16) << 8 | _rows(low, top, bottom)
        return _divided(samples, 65535) if mode.startswith("RGBa") else samples

    return _filled(image, rows, 65535, image.info.pop("transparency", None))


def _divided(samples: Samples, levels: int) -> Samples:
    """Colour in 0..``levels`` that was multiplied by its alpha, divided by it in place."""
    alpha = samples[..., 3:].astype(np.uint32)
    colours = (samples[..., :3] * np.uint32(levels) + alpha // 2) // np.maximum(alpha, 1)
    samples[..., :3] = np.minimum(colours, levels)
    return samples


def _load_bytes(image: ImageFile, mode: str, order: str) -> None:
    """Load the high byte of each sample in byte order ``order``, "B" or "L"."""
    mode = mode[:-1].replace("a", "A") + order
    image.tile = [
        tile._replace(args=mode if isinstance(tile.args, str) else (mode, *(tile.args or ())[1:]))
        for tile in image.tile
    ]
    image.load()


def _rows(image: Image.Image, top: int, bottom: int) -> Samples:
    return np.asarray(image.crop((0, top, image.width, bottom)))


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
        _load_bytes(image, mode, "B")
        _load_bytes(again, mode, "L")
        high: NDArray[np.integer[Any]] = np.asarray(image).astype(np.uint16) << 8
        every: NDArray[np.uint16] = (high | np.asarray(again)).astype(np.uint16)
        return every[..., :3]
    if mode == "LA;16B":
        image.tile = [tile._replace(args="RGBA") for tile in image.tile]
        image.load()
        gray: NDArray[np.uint16] = np.asarray(image).copy().view(">u2")[..., 0].astype(np.uint16)
        return gray
    image.load()
    return np.asarray(image).astype(np.uint16)


def _filled(
    image: Image.Image, rows: Callable[[int, int], Samples], levels: int, key: Any = None
) -> Image.Image:
    """Fill an 8-bit image with rounded samples, in bands: deep samples take many times its memory.

    Args:
        image: of the size and mode of the result. Its rows may be the source of ``rows``.
        rows: the samples of the rows from one to before another, in 0..``levels``.
        key: samples equal to it are transparent.
    """
    mask = None if key is None else Image.new("L", image.size)
    step = max(1, _BAND // image.width)
    for top in range(0, image.height, step):
        samples = rows(top, min(image.height, top + step))
        eight = (samples.astype(np.uint32) * 255 + levels // 2) // levels
        image.paste(Image.fromarray(eight.astype(np.uint8), image.mode), (0, top))
        if mask is not None:
            mask.paste(Image.fromarray(pillow_io.key_alpha(samples, key)), (0, top))
    if mask is not None:
        image.putalpha(mask)
    return image

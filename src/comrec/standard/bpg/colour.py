"""RGB to planes and back, in the integer arithmetic of the reference programs.

The BPG specification leaves rounding and chroma filters to implementations. Decoded pixels are
identical to those that ``bpgdec`` writes as 8-bit PNG; encoding follows ``bpgenc``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from comrec.standard.bpg.container import ColourSpace, Header, PixelFormat

Pixels = NDArray[np.uint8]
Plane = NDArray[np.unsignedinteger[Any]]
"""(H, W) samples: uint8 for 8 bits, otherwise uint16."""

_Integers = NDArray[np.int32]
_Wide = NDArray[np.signedinteger[Any]]

_RED_BLUE = {
    ColourSpace.BT601: (0.299, 0.114),
    ColourSpace.BT709: (0.2126, 0.0722),
    ColourSpace.BT2020: (0.2627, 0.0593),
}
"""Weights of red and blue in luma."""

_HALVE = (2, -4, -8, 17, 57, 57, 17, -8, -4, 2)
"""128ths; between the middle two samples."""

_QUARTER_BEFORE = (2, -6, 18, 57, -10, 4, -1)
"""64ths; a quarter of a sample before the middle one."""

_QUARTER_BEHIND = _QUARTER_BEFORE[::-1]

_MIDDLE = (-1, 4, -11, 40, 40, -11, 4, -1)
"""64ths; between the middle two samples."""

_BAND = 64  # rows; even


def deepen(samples: Pixels, bit_depth: int) -> Plane:
    """Scale 8-bit samples to another depth; 255 becomes the largest value."""
    if bit_depth == 8:
        return samples
    shift = 31 - bit_depth
    scaled = samples.astype(np.int32) * round(_one(8, bit_depth, shift))
    return _clipped(_rounded(scaled, shift), bit_depth)


def flatten(plane: Plane, bit_depth: int) -> Pixels:
    """Scale full-range samples of any depth to 8 bits."""
    if bit_depth == 8:
        return np.ascontiguousarray(plane, dtype=np.uint8)
    return _to_bytes(plane.astype(np.int32) * round(_one(bit_depth, 8, 22)) + (1 << 21))


def ycc_planes(rgb: Pixels, chroma_format: int, bit_depth: int) -> list[Plane]:
    """Y, Cb and Cr (BT.601, full range) of (H, W, 3) RGB.

    Args:
        chroma_format: 1 for 4:2:0, 2 for 4:2:2, 3 for 4:4:4; chroma of odd sides is rounded up.
    """
    shift = 31 - bit_depth
    one = _one(8, bit_depth, shift)
    red, blue = _RED_BLUE[ColourSpace.BT601]
    green = 1 - red - blue
    weights = (
        (red, green, blue),
        (-0.5 * red / (1 - blue), -0.5 * green / (1 - blue), 0.5),
        (0.5, -0.5 * green / (1 - red), -0.5 * blue / (1 - red)),
    )
    middle = 1 << bit_depth - 1
    planes = [np.empty(rgb.shape[:2], _kind(bit_depth)) for _ in weights]
    for rows in _bands(len(rgb)):
        r, g, b = (rgb[rows, :, channel].astype(np.int32) for channel in range(3))
        for plane, centre, row in zip(planes, (0, middle, middle), weights, strict=True):
            for_r, for_g, for_b = (round(weight * one) for weight in row)
            values = _rounded(r * for_r + g * for_g + b * for_b, shift) + centre
            plane[rows] = np.clip(values, 0, (1 << bit_depth) - 1)
    if chroma_format < 3:
        planes[1:] = (_halved(plane, bit_depth, chroma_format == 1) for plane in planes[1:])
    return planes


def gbr_planes(rgb: Pixels, bit_depth: int) -> list[Plane]:
    """G, B and R of (H, W, 3) RGB, lossless."""
    return [deepen(np.ascontiguousarray(rgb[..., channel]), bit_depth) for channel in (1, 2, 0)]


def pixels(header: Header, planes: Sequence[Plane]) -> Pixels:
    """8-bit pixels: (H, W) gray of one plane, (H, W, 3) RGB of three."""
    shape = (header.height, header.width)
    out = np.empty(shape if len(planes) == 1 else (*shape, 3), np.uint8)
    for rows in _bands(header.height):
        for at, values in enumerate(_channels(header, planes, rows)):
            channel = out if len(planes) == 1 else out[..., at]
            channel[rows] = _to_bytes(values)
    return out


def _channels(header: Header, planes: Sequence[Plane], rows: slice) -> Sequence[_Wide]:
    """Gray; or red, green and blue; scaled by 2**22."""
    depth = header.bit_depth
    chroma_one = _one(depth, 8, 22)
    luma_one, offset = round(chroma_one), 1 << 21
    if header.limited_range:
        chroma_one = 255 * (1 << 22) / (224 << depth - 8)
        luma_one = round(255 * (1 << 22) / (219 << depth - 8))
        offset -= (16 << depth - 8) * luma_one
    y = _wide(header, planes[0][rows])
    if header.pixel_format is PixelFormat.GRAY:
        return (y * luma_one + offset,)
    cb, cr = (_wide(header, _full_size(header, plane, rows)) for plane in planes[1:])
    if header.colour_space is ColourSpace.GBR:
        return [plane * luma_one + offset for plane in (cr, y, cb)]
    cb = cb - (1 << depth - 1)
    cr = cr - (1 << depth - 1)
    if header.colour_space is ColourSpace.YCGCO:
        rest = y - cb
        return [values * luma_one + offset for values in (rest + cr, y + cb, rest - cr)]
    red, blue = _RED_BLUE[header.colour_space]
    green = 1 - blue - red
    y = y * luma_one + offset
    return (
        y + cr * round(2 * (1 - red) * chroma_one),
        y
        - cb * round(2 * blue * (1 - blue) / green * chroma_one)
        - cr * round(2 * red * (1 - red) / green * chroma_one),
        y + cb * round(2 * (1 - blue) * chroma_one),
    )


def divided(premultiplied: Pixels, alpha: Pixels) -> Pixels:
    """Undo premultiplication by alpha, (H, W) or (H, W, 3); white where alpha is 0."""
    opacity = alpha.astype(np.int64).reshape(alpha.shape + (1,) * (premultiplied.ndim - 2))
    divisor = np.maximum(opacity, 1)
    inverse = ((255 << 16) + divisor // 2 + 128) // divisor
    quotient = premultiplied * inverse + (1 << 15) >> 16
    return np.where(premultiplied >= opacity, 255, quotient).astype(np.uint8)


def darkened(rgb: Pixels, white: Plane, bit_depth: int) -> Pixels:
    """CMYK as RGB: colour times the white plane."""
    product = rgb * white[..., None].astype(np.int32)
    return (product + (1 << bit_depth - 1) >> bit_depth).astype(np.uint8)


def _wide(header: Header, plane: Plane) -> _Wide:
    # In limited range, samples outside the range would overflow 32 bits.
    return plane.astype(np.int64) if header.limited_range else plane.astype(np.int32)


def _one(from_depth: int, to_depth: int, shift: int) -> float:
    """Scale factor from one sample depth to another, times 2**shift."""
    return ((1 << to_depth) - 1) * (1 << shift) / ((1 << from_depth) - 1)


def _rounded(values: _Integers, shift: int) -> _Integers:
    """Divide by 2**shift, rounding half up, in place."""
    values += np.int32((1 << shift) >> 1)
    values >>= np.int32(shift)
    return values


def _kind(bit_depth: int) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if bit_depth == 8 else np.uint16


def _clipped(values: _Integers, bit_depth: int) -> Plane:
    clipped: Plane = np.clip(values, 0, (1 << bit_depth) - 1).astype(_kind(bit_depth))
    return clipped


def _to_bytes(values: _Wide) -> Pixels:
    """8-bit samples of values scaled by 2**22, clipped."""
    samples: Pixels = np.clip(values >> 22, 0, 255).astype(np.uint8)
    return samples


def _bands(height: int) -> list[slice]:
    """Bands of rows, to limit memory and stay in the cache."""
    return [slice(top, min(top + _BAND, height)) for top in range(0, height, _BAND)]


def _rows(plane: Plane, first: int, end: int) -> _Integers:
    """Rows of a plane; beyond its edges, the first or last row repeated."""
    return plane[np.clip(np.arange(first, end), 0, len(plane) - 1)].astype(np.int32)


def _widened(lines: _Integers, before: int, behind: int) -> _Integers:
    """Pad with the first and the last column repeated."""
    return np.pad(lines, ((0, 0), (before, behind)), mode="edge")


def _filtered(
    plane: _Integers, taps: Sequence[int], axis: int, count: int, step: int = 1
) -> _Integers:
    """FIR filter along an axis: ``count`` outputs, ``step`` samples apart."""
    span = (count - 1) * step + 1
    parts = [
        plane[at : at + span : step] if axis == 0 else plane[:, at : at + span : step]
        for at in range(len(taps))
    ]
    out = parts[0] * taps[0]
    for part, tap in zip(parts[1:], taps[1:], strict=True):
        out += part * tap
    return out


def _halved(plane: Plane, bit_depth: int, rows: bool) -> Plane:
    """Downsample chroma to half the width and, with ``rows``, half the height; centred siting."""
    height, width = plane.shape
    count = (width + 1) // 2
    out = np.empty(((height + 1) // 2 if rows else height, count), _kind(bit_depth))
    for band in _bands(len(out)):
        if rows:
            lines = _rows(plane, 2 * band.start - 4, 2 * band.stop + 4)
            half = _filtered(_widened(lines, 4, 5), _HALVE, 1, count, 2)
            half = _filtered(_rounded(half, bit_depth - 7), _HALVE, 0, band.stop - band.start, 2)
            out[band] = _clipped(_rounded(half, 21 - bit_depth), bit_depth)
        else:
            lines = plane[band].astype(np.int32)
            half = _filtered(_widened(lines, 4, 5), _HALVE, 1, count, 2)
            out[band] = _clipped(_rounded(half, 7), bit_depth)
    return out


def _full_size(header: Header, plane: Plane, rows: slice) -> Plane:
    """Upsample chroma for some rows of the picture; the first row is even."""
    layout, depth = header.pixel_format, header.bit_depth
    if layout.chroma_format == 3:
        return plane[rows]
    if layout.chroma_format == 1:
        first, end = rows.start // 2, (rows.stop + 1) // 2
        lines = _rows(plane, first - 3, end + 3)
        values = np.empty((2 * (end - first), plane.shape[1]), np.int32)
        for phase, taps in enumerate((_QUARTER_BEFORE, _QUARTER_BEHIND)):
            values[phase::2] = _rounded(_filtered(lines, taps, 0, end - first), depth - 8)
        values, shift = values[: rows.stop - rows.start], 14 - depth
    else:
        values, shift = plane[rows].astype(np.int32), 0
    count = plane.shape[1]
    samples = _widened(values, 3, 4)
    out = np.empty((len(values), 2 * count), np.int32)
    if layout.cosited:
        out[:, 0::2] = _rounded(values, shift)
        out[:, 1::2] = _rounded(_filtered(samples, _MIDDLE, 1, count), 6 + shift)
    else:
        for phase, taps in enumerate((_QUARTER_BEFORE, _QUARTER_BEHIND)):
            out[:, phase::2] = _rounded(_filtered(samples, taps, 1, count), 6 + shift)
    return _clipped(out[:, : header.width], depth)

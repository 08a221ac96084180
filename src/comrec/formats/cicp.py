"""How samples mean colour, where a file says so by other means than an ICC profile.

Code points are those of ITU-T H.273 (CICP): in PNG's ``cICP`` (PNG, third edition, 11.3.2.6), in
``colr`` boxes of kind ``nclx`` of AVIF and HEIC (ISO/IEC 23008-12, 6.5.5), and in those of method 5
of JPEG 2000 (ITU-T T.801), which also enumerates colour spaces (ITU-T T.800, I.5.3.3).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from comrec.formats import boxes, items, png

Points = tuple[tuple[float, float], ...]
Curve = tuple[float, ...]

SRGB_CURVE: Curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_SMPTE_240M = (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0912)


def power(exponent: float) -> Curve:
    """The parameters of Y = X^exponent."""
    return (exponent, 1.0, 0.0, 0.0, 0.0)


_D65, _C, _E, _DCI = (0.3127, 0.3290), (0.310, 0.316), (1 / 3, 1 / 3), (0.314, 0.351)
_DIGITAL_CINEMA = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))

SRGB_PRIMARIES: Points = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)
_PRIMARIES: dict[int, tuple[str, Points]] = {
    1: ("BT.709", SRGB_PRIMARIES),
    4: ("BT.470 M", ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C)),
    5: ("BT.470 BG", ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65)),
    6: ("SMPTE 170M", ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65)),
    7: ("SMPTE 240M", ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65)),
    8: ("film", ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C)),
    9: ("BT.2020", ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65)),
    10: ("XYZ", ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), _E)),
    11: ("DCI P3", (*_DIGITAL_CINEMA, _DCI)),
    12: ("P3 D65", (*_DIGITAL_CINEMA, _D65)),
    22: ("EBU 3213", ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65)),
}
_ROMM: Points = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585))

_CURVES: dict[int, tuple[str, Curve]] = {
    # The curves of BT.709, SMPTE 170M, xvYCC, BT.1361 and BT.2020 are those of cameras. Pictures
    # that declare them are shown as sRGB.
    **dict.fromkeys((1, 6, 11, 12, 13, 14, 15), ("sRGB", SRGB_CURVE)),
    4: ("gamma 2.2", power(2.2)),
    5: ("gamma 2.8", power(2.8)),
    7: ("SMPTE 240M", _SMPTE_240M),
    8: ("linear", power(1.0)),
    17: ("gamma 2.6", power(2.6)),
}
_HDR = {16: "PQ", 18: "HLG"}
_UNSPECIFIED, _BT2020 = 2, 9


@dataclass(frozen=True)
class Encoding:
    """The meaning of RGB or gray samples.

    Attributes:
        name: for people.
        primaries: CIE 1931 (x, y) of red, green, blue and white.
        curve: light in 0..1 by sample in 0..1: g, a, b, c, d of Y = (aX + b)^g for X >= d, and cX
            below (parametric curve 3 of ICC.1:2010, 10.16); or a table of more values, equally
            spaced.
        hdr: "PQ" or "HLG" (ITU-R BT.2100), whatever `curve` is; or None.
        full_range: False if samples have video range: 16 to 235, of 8 bits.
        outranks_icc: whether an ICC profile of the same file is to be ignored.
        notes: on what was not understood (see `Picture.notes`).
    """

    name: str = "sRGB"
    primaries: Points = SRGB_PRIMARIES
    curve: Curve = SRGB_CURVE
    hdr: str | None = None
    full_range: bool = True
    outranks_icc: bool = False
    notes: tuple[str, ...] = ()


SRGB = Encoding()
"""sRGB, which is also meant where a file says nothing."""


def of_codes(primaries: int, transfer: int) -> Encoding:
    """The encoding of two code points; what is unspecified is that of sRGB."""
    unknown = []
    for kind, code, known in (
        ("colour primaries", primaries, _PRIMARIES.keys()),
        ("transfer characteristics", transfer, _CURVES.keys() | _HDR.keys()),
    ):
        if code != _UNSPECIFIED and code not in known:
            unknown.append(f"the {kind} {code} are not supported, and taken as those of sRGB")
    hdr = _HDR.get(transfer)
    colours, points = _PRIMARIES.get(primaries, _PRIMARIES[_BT2020 if hdr else 1])
    curve_name, curve = _CURVES.get(transfer, ("sRGB", SRGB_CURVE))
    name = "Display P3" if (primaries, curve_name) == (12, "sRGB") else f"{colours}, {curve_name}"
    return Encoding(name, points, curve, hdr, notes=tuple(unknown))


def of_png(data: bytes) -> Encoding | None:
    """What the ``cICP`` chunk of a PNG says; None without one, or if it leaves all unspecified."""
    body = png.find(data, b"cICP")
    if body is None:
        return None
    if len(body) != 4 or body[2] != 0 or body[3] > 1:  # only RGB is allowed
        return Encoding(notes=("the cICP chunk is invalid, and ignored",))
    if body[0] == body[1] == _UNSPECIFIED and body[3]:
        return None
    said = of_codes(body[0], body[1])
    return replace(said, full_range=body[3] == 1, outranks_icc=True)


def of_items(data: bytes) -> Encoding:
    """What ``nclx`` of the primary picture of an AVIF or HEIC file says.

    Raises:
        DamagedFileError, struct.error, IndexError: the boxes are damaged.
    """
    for kind, body in items.of_primary(data):
        if kind == b"colr" and body[:4] == b"nclx":
            return of_codes(*struct.unpack_from(">HH", body, 4))
    return SRGB


def of_jp2(data: bytes) -> Encoding:
    """What the first ``colr`` box of a JPEG 2000 file says, if it is not an ICC profile.

    Raises:
        DamagedFileError, struct.error: the boxes are damaged.
    """
    body = b"" if data.startswith(b"\xff\x4f") else boxes.find(data, b"jp2h", b"colr") or b""
    if body[:1] == b"\x05":
        return of_codes(*struct.unpack_from(">HH", body, 3))
    if body[:1] != b"\x01":
        return SRGB
    (space,) = struct.unpack_from(">I", body, 3)
    if space == 21:
        return Encoding("ROMM RGB", _ROMM, (1.8, 1.0, 0.0, 1 / 16, 1 / 32))
    if space in (0, 12, 15, 16, 17, 18):  # bi-level, CMYK, sRGB, gray and sYCC
        return SRGB
    return Encoding(
        notes=(f"the enumerated colour space {space} is not supported, and taken as sRGB",)
    )


def of_icc(icc: bytes) -> Encoding | None:
    """What the ``cicp`` tag of an ICC profile says (ICC.1:2022, 9.2.17); None without one."""
    if len(icc) < 132:
        return None
    (count,) = struct.unpack_from(">I", icc, 128)
    for at in range(132, min(132 + 12 * count, len(icc) - 11), 12):
        name, start, length = struct.unpack_from(">4sII", icc, at)
        body = icc[start : start + length]
        if name == b"cicp" and len(body) >= 12:
            return of_codes(body[8], body[9])
    return None

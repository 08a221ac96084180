"""ICC profiles of colour encodings: three primaries and a curve, or gray (ICC.1:2004-10)."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from comrec.formats.cicp import SRGB_CURVE, SRGB_PRIMARIES, Encoding, Points
from comrec.preparation.colour import means_srgb

Matrix = NDArray[np.float64]

_D50 = np.array([0.9642, 1.0, 0.8249])  # of the profile connection space
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_DATE = (2026, 1, 1, 0, 0, 0)  # fixed, so that the same encoding gives the same bytes
_LARGEST = 4.0
"""Primaries of larger XYZ, white having Y = 1, are impossible."""


def icc(encoding: Encoding, gray: bool) -> bytes | None:
    """The profile of an encoding, whose `hdr` is None; None if it equals sRGB to within one level.

    Raises:
        ValueError: the primaries or the white point are impossible.
    """
    if (encoding.primaries, encoding.curve) == (SRGB_PRIMARIES, SRGB_CURVE):
        return None
    matrix, adaptation = _to_d50(encoding.primaries)
    curve = _curve(encoding.curve)
    tags = {
        b"desc": _text(encoding.name),
        b"cprt": _text("No copyright"),
        b"wtpt": _xyz(_D50),
        b"chad": b"sf32" + bytes(4) + _fixed(adaptation),
    }
    if gray:
        tags[b"kTRC"] = curve
    else:
        for at, colour in enumerate((b"r", b"g", b"b")):
            tags |= {colour + b"XYZ": _xyz(matrix[:, at]), colour + b"TRC": curve}
    profile = _profile(b"GRAY" if gray else b"RGB ", tags)
    return None if means_srgb(profile) else profile


def to_srgb(primaries: Points) -> Matrix:
    """The 3x3 matrix from linear light of these primaries to that of sRGB, white to white.

    Raises:
        ValueError: the primaries or the white point are impossible.
    """
    return np.asarray(np.linalg.inv(_to_d50(SRGB_PRIMARIES)[0]) @ _to_d50(primaries)[0])


def luminance(primaries: Points) -> Matrix:
    """The (3,) luminances of the primaries, whose sum is 1.

    Raises:
        ValueError: the primaries or the white point are impossible.
    """
    return np.asarray(_to_xyz(primaries)[1])


def _to_xyz(primaries: Points) -> Matrix:
    """The matrix from linear light to XYZ; its columns are those of the primaries."""
    *colours, white = (np.array([x, y, 1 - x - y]) for x, y in primaries)
    directions = np.stack(colours, axis=1)
    if not np.isfinite(primaries).all() or white[1] <= 0:
        raise ValueError("impossible primaries")
    if abs(np.linalg.det(directions)) < 1e-4:
        raise ValueError("impossible primaries")
    scaled = directions * np.linalg.solve(directions, white / white[1])
    if not np.abs(scaled).max() <= _LARGEST:
        raise ValueError("impossible primaries")
    return np.asarray(scaled)


def _to_d50(primaries: Points) -> tuple[Matrix, Matrix]:
    """As `_to_xyz`, with white adapted to D50 by Bradford's method; and that adaptation."""
    matrix = _to_xyz(primaries)
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ matrix.sum(axis=1))
    adaptation = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD
    return adaptation @ matrix, adaptation


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    places: dict[bytes, int] = {}  # equal bodies are stored once
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        if data not in places:
            places[data] = start + len(body)
            body += data + bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, places[data], len(data))
    head = struct.pack(">I4sI4s4s4s6H4s", start + len(body), b"", 0x04200000, b"mntr", space,
                       b"XYZ ", *_DATE, b"acsp")  # fmt: skip
    illuminant = bytes(28) + _fixed(_D50)  # after platform, flags, device and intent
    return (head + illuminant).ljust(128, b"\0") + table + body


def _curve(curve: tuple[float, ...]) -> bytes:
    if len(curve) == 5:
        kind = 0 if curve[1:] == (1, 0, 0, 0) else 3
        return b"para" + struct.pack(">IHH", 0, kind, 0) + _fixed(curve[:1] if not kind else curve)
    samples = np.rint(np.array(curve) * 65535).astype(">u2")
    return b"curv" + struct.pack(">II", 0, len(curve)) + bytes(samples.tobytes())


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _fixed(values: NDArray[np.float64] | tuple[float, ...]) -> bytes:
    """s15Fixed16 numbers."""
    return bytes(np.rint(np.asarray(values) * 65536).astype(">i4").tobytes())


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    head = struct.pack(">IIIHHII", 0, 1, 12, 0x656E, 0x5553, len(encoded), 28)  # "en", "US"
    return b"mluc" + head + encoded

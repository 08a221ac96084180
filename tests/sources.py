"""Files of every kind of picture, made by hand where Pillow writes none, and ICC profiles."""

from __future__ import annotations

import io
import struct
import zlib
from itertools import product
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from comrec.formats import boxes

HEIGHT, WIDTH = 20, 24


def smooth(channels: int) -> NDArray[np.uint8]:
    """(20, 24) or (20, 24, channels): gradients that every codec keeps well."""
    down, across = np.mgrid[0 : HEIGHT - 1 : HEIGHT * 1j, 0 : WIDTH - 1 : WIDTH * 1j]
    planes = [40 + 8 * down, 30 + 8 * across, 220 - 4 * down - 4 * across, 60 + 9 * down]
    stacked = np.stack(planes[:channels], axis=2).astype(np.uint8)
    return stacked[..., 0] if channels == 1 else stacked


def alpha() -> NDArray[np.uint8]:
    """Opaque above, half-transparent below."""
    plane = np.full((HEIGHT, WIDTH), 255, np.uint8)
    plane[HEIGHT // 2 :] = 100
    return plane


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(samples: NDArray[np.generic], bits: int, colour_type: int, *extra: bytes) -> bytes:
    """A PNG of samples that may be of 16 bits; of fewer than 8 bits, given as packed rows.

    Args:
        samples: (H, W) or (H, W, channels).
        colour_type: 0 gray, 2 RGB, 4 gray with alpha, 6 RGB with alpha.
        extra: chunks before the data.
    """
    height, width = samples.shape[:2]
    rows = b"".join(
        b"\0" + row.astype(">u2" if bits == 16 else np.uint8).tobytes() for row in samples
    )
    header = struct.pack(">IIBBBBB", width * max(1, 8 // bits), height, bits, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [
            png_chunk(b"IHDR", header),
            *extra,
            png_chunk(b"IDAT", zlib.compress(rows)),
            png_chunk(b"IEND", b""),
        ]
    )


def tiff(samples: NDArray[np.generic], photometric: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, photometric=photometric, **options)
    return buffer.getvalue()


def pages(*each: tuple[NDArray[Any], dict[str, Any]], **options: Any) -> bytes:
    """A TIFF of several pages, each given by its samples and tifffile's options."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, **options) as writer:
        for samples, tags in each:
            writer.write(samples, contiguous=False, **tags)
    return buffer.getvalue()


def psd(channels: int, mode: int, planes: NDArray[np.uint8]) -> bytes:
    """A Photoshop file without layers, of 8 bits, in a numbered colour mode: 1 gray, 3 RGB."""
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, channels, HEIGHT, WIDTH, 8, mode)
    return head + bytes(12) + b"\0\0" + planes.tobytes()


def jpeg_of_12_bits() -> bytes:
    """A JPEG file that declares 12 bits per sample."""
    data = saved(Image.fromarray(smooth(3)), "JPEG")
    at = data.index(b"\xff\xc0")
    return data[: at + 1] + b"\xc1" + data[at + 2 : at + 4] + b"\x0c" + data[at + 5 :]


def clap(width: int, height: int, right: tuple[int, int], down: tuple[int, int]) -> tuple[int, ...]:
    """The numbers of a clean aperture: its size, and the fractions by which its centre is off."""
    return (width, 1, height, 1, *right, *down)


def with_aperture(data: bytes, numbers: tuple[int, ...]) -> bytes:
    """An AVIF file of Pillow with a ``clap`` property of its picture, which is the first item."""
    out, grown = b"", 0
    for _, kind, body in boxes.walk(data):
        if kind == b"meta":
            inner = b""
            for _, name, part in boxes.walk(body[4:]):
                if name == b"iprp":
                    (_, _, ipco), (_, _, ipma) = boxes.walk(part)
                    property_ = boxes.pack(b"clap", struct.pack(">IIIIiIiI", *numbers))
                    place = 1 + sum(1 for _ in boxes.walk(ipco))
                    count = ipma[10]
                    ipma = ipma[:10] + bytes([count + 1, 0x80 | place]) + ipma[11:]
                    inner += boxes.pack(
                        b"iprp", boxes.pack(b"ipco", ipco + property_) + boxes.pack(b"ipma", ipma)
                    )
                else:
                    inner += boxes.pack(name, part)
            grown = len(inner) + 4 - len(body)
            body = body[:4] + inner
        out += boxes.pack(kind, body)
    at = out.index(b"iloc") + 12  # the items' offsets count from the start of the file
    (items,) = struct.unpack_from(">H", out, at - 2)
    for _ in range(items):
        where = at + 6
        (offset,) = struct.unpack_from(">I", out, where)
        out = out[:where] + struct.pack(">I", offset + grown) + out[where + 4 :]
        at += 14
    return out


# ICC profiles (ICC.1:2001-04)


def _profile(space: bytes, connection: bytes, device: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s12s4s28x", start + len(body), b"", 0x02100000, device, space,
                       connection, bytes(12), b"acsp")  # fmt: skip
    white = struct.pack(">iii", round(0.9642 * 65536), 65536, round(0.8249 * 65536))
    return (head + white).ljust(128, b"\0") + table + body


def _described(tags: dict[bytes, bytes]) -> dict[bytes, bytes]:
    name = b"test\0"
    return {
        b"desc": b"desc" + struct.pack(">II", 0, len(name)) + name + bytes(78),
        b"cprt": b"text" + bytes(4) + b"public domain\0",
        b"wtpt": _xyz(0.9642, 1, 0.8249),
        **tags,
    }


def _xyz(*values: float) -> bytes:
    return b"XYZ " + struct.pack(">Iiii", 0, *(round(value * 65536) for value in values))


def _gamma(value: float) -> bytes:
    return b"curv" + struct.pack(">IIH", 0, 1, round(value * 256))


PRIMARIES = np.array(
    [[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0010, 0.0419, 0.7841]]
)
"""Display P3's, adapted to D50: columns are the XYZ of red, green and blue."""


def rgb_profile() -> bytes:
    """Display P3's primaries with a gamma of 2.2."""
    tags = {name + b"XYZ": _xyz(*PRIMARIES[:, i]) for i, name in enumerate((b"r", b"g", b"b"))}
    tags |= {name + b"TRC": _gamma(2.2) for name in (b"r", b"g", b"b")}
    return _profile(b"RGB ", b"XYZ ", b"mntr", _described(tags))


def gray_profile(gamma: float) -> bytes:
    return _profile(b"GRAY", b"XYZ ", b"mntr", _described({b"kTRC": _gamma(gamma)}))


INKS = np.array([[55, -37, -50], [48, 74, -3], [89, -5, 93], [20, 0, 0]], float)
"""L*a*b* of cyan, magenta, yellow and black on white paper."""


def cmyk_profile() -> bytes:
    """A printer whose inks are duller than the simple formula has them."""
    corners = []
    for inks in product((0, 1), repeat=4):
        lab = np.array([100.0, 0, 0])
        for on, ink in zip(inks, INKS, strict=True):
            if on:
                lab = np.array([lab[0] * ink[0] / 100, lab[1] + ink[1], lab[2] + ink[2]])
        if inks[3]:
            lab[1:] = 0
        corners.append([lab[0] * 2.55, lab[1] + 128, lab[2] + 128])
    ramp = bytes(range(256))
    grid = np.clip(np.rint(corners), 0, 255).astype(np.uint8).tobytes()
    identity = struct.pack(">9i", *(np.eye(3).ravel() * 65536).astype(int))
    table = b"mft1" + bytes([0, 0, 0, 0, 4, 3, 2, 0]) + identity + 4 * ramp + grid + 3 * ramp
    return _profile(b"CMYK", b"Lab ", b"prtr", _described({b"A2B0": table}))


def srgb_profile(padding: int = 0) -> bytes:
    """sRGB, with so many bytes more in a private tag."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if not padding:
        return profile
    (count,) = struct.unpack_from(">I", profile, 128)
    tags = {}
    for at in range(132, 132 + 12 * count, 12):
        name, offset, length = struct.unpack_from(">4sII", profile, at)
        tags[name] = profile[offset : offset + length]
    return _profile(b"RGB ", b"XYZ ", b"mntr", tags | {b"padd": b"data" + bytes(padding)})


# Colour that is not said by ICC


def nclx_avif(samples: NDArray[np.uint8], primaries: int, transfer: int) -> bytes:
    """An AVIF of these colour primaries and transfer characteristics (ITU-T H.273)."""
    data = saved(Image.fromarray(samples), "AVIF", quality=95, subsampling="4:4:4")
    head = b"colrnclx" + struct.pack(">HH", 1, 13)
    assert data.count(head) == 1
    return data.replace(head, b"colrnclx" + struct.pack(">HH", primaries, transfer))


def cicp(primaries: int, transfer: int, matrix: int = 0, full_range: int = 1) -> bytes:
    """The chunk of PNG."""
    return png_chunk(b"cICP", bytes([primaries, transfer, matrix, full_range]))


def gama_chrm(gamma: float, points: tuple[float, ...]) -> bytes:
    """The chunks of PNG.

    Args:
        gamma: of the display, such as 2.2.
        points: x and y of white, red, green and blue.
    """
    scaled = [round(100_000 * value) for value in (1 / gamma, *points)]
    return png_chunk(b"gAMA", struct.pack(">I", scaled[0])) + png_chunk(
        b"cHRM", struct.pack(">8I", *scaled[1:])
    )


def jp2_colour(samples: NDArray[np.uint8], colour: bytes) -> bytes:
    """A JP2 with this body of its ``colr`` box."""
    data = saved(Image.fromarray(samples), "JPEG2000")
    header = b"".join(
        boxes.pack(kind, colour if kind == b"colr" else body)
        for _, kind, body in boxes.walk(boxes.find(data, b"jp2h") or b"")
    )
    return b"".join(
        boxes.pack(kind, header if kind == b"jp2h" else body) for _, kind, body in boxes.walk(data)
    )


def pq(light: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """PQ samples in 0..1 of light in cd/m2 (SMPTE ST 2084)."""
    power = (light / 10_000) ** (2610 / 16384)
    ratio = (3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)
    return np.asarray(ratio ** (2523 / 32))

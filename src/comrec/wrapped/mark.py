"""The mark: what tells comrec that a standard file holds a compact picture.

32 bytes, big-endian, specified in docs/format.md:

    6  magic "comrec"
    1  format version, 1
    1  scale: 1 or 2 (the compact picture has 1/scale of each side)
    2  quality in hundredths, 0..10000
    4  width   of the full picture
    4  height
    10 network: the first 10 bytes of the SHA-256 of the RecCNN's ONNX file
    4  CRC-32 of the 28 bytes before
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from comrec.errors import DamagedFileError

MAGIC = b"comrec"
VERSION = 1
_BODY = struct.Struct(">6sBBHII10s")
SIZE = _BODY.size + 4


@dataclass(frozen=True)
class Mark:
    """What the decoder must know beside the standard file itself.

    Attributes:
        scale: 1 or 2.
        quality: 0..100, what the networks are conditioned on; kept to 1/100.
        width, height: of the full picture, pixels.
        network: 20 hexadecimal digits, the head of the RecCNN's SHA-256.
    """

    scale: int
    quality: float
    width: int
    height: int
    network: str

    def pack(self) -> bytes:
        body = _BODY.pack(
            MAGIC,
            VERSION,
            self.scale,
            round(self.quality * 100),
            self.width,
            self.height,
            bytes.fromhex(self.network),
        )
        return body + struct.pack(">I", zlib.crc32(body))


def unpack(data: bytes) -> Mark:
    """The mark of its bytes.

    Raises:
        DamagedFileError: the checksum or a field is wrong, or a later version wrote it.
    """
    if len(data) < SIZE or data[:6] != MAGIC:
        raise DamagedFileError("input: the comrec mark is cut short")
    version = data[6]
    if version != VERSION:
        raise DamagedFileError(
            f"input: comrec mark of version {version}; this comrec reads version {VERSION}: "
            "upgrade comrec"
        )
    body, (checksum,) = data[: _BODY.size], struct.unpack(">I", data[_BODY.size : SIZE])
    if zlib.crc32(body) != checksum:
        raise DamagedFileError("input: the comrec mark is damaged (checksum)")
    _, _, scale, quality, width, height, network = _BODY.unpack(body)
    if scale not in (1, 2) or quality > 10000 or 0 in (width, height):
        raise DamagedFileError("input: the comrec mark has impossible fields")
    return Mark(scale, quality / 100, width, height, network.hex())

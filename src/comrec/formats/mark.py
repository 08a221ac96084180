"""The mark: a data block in standard files that comrec's decoder reconstructs by a network.

32 bytes, big-endian, specified in docs/format.md:

    6  magic "comrec"
    1  format version: 1, or 2 where a JPEG XL codestream holds what a JPEG file would
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
UUID = bytes.fromhex("636f6d7265632d6d61726b2d76310000")  # "comrec-mark-v1"
"""Type of the ``uuid`` box of the mark, in formats with boxes."""

VERSION = 1
RECOMPRESSED = 2
"""Version of marks in JPEG XL files that hold the coefficients of a JPEG file: readers of version 1
alone would give RecCNN pixels that it is not made for."""

_BODY = struct.Struct(">6sBBHII10s")
SIZE = _BODY.size + 4


@dataclass(frozen=True)
class Mark:
    """Side information for the decoder.

    Attributes:
        scale: 1 or 2; the stored picture has 1/scale of each side.
        quality: 0..100, input of the networks; stored in steps of 0.01.
        width, height: of the full picture, pixels.
        network: the first 20 hexadecimal digits of the SHA-256 of the RecCNN.
        recompressed: whether the file is JPEG XL with the coefficients of a JPEG file.
    """

    scale: int
    quality: float
    width: int
    height: int
    network: str
    recompressed: bool = False

    def fits(self, width: int, height: int) -> bool:
        """Whether a stored picture of this size is what the mark was written for.

        It is not after a program that keeps unknown data has resized, cropped or rotated it.
        """
        return (width, height) == (-(-self.width // self.scale), -(-self.height // self.scale))

    def pack(self) -> bytes:
        body = _BODY.pack(
            MAGIC,
            RECOMPRESSED if self.recompressed else VERSION,
            self.scale,
            round(self.quality * 100),
            self.width,
            self.height,
            bytes.fromhex(self.network),
        )
        return body + struct.pack(">I", zlib.crc32(body))


def unpack(data: bytes) -> Mark:
    """Parse a mark.

    Raises:
        DamagedFileError: truncated, the checksum or a field is wrong, or of another version.
    """
    if len(data) < SIZE or data[:6] != MAGIC:
        raise DamagedFileError("input: the comrec mark is cut short")
    version = data[6]
    if version not in (VERSION, RECOMPRESSED):
        raise DamagedFileError(
            f"input: comrec mark of version {version}; this comrec reads versions {VERSION} and "
            f"{RECOMPRESSED}: upgrade comrec"
        )
    body, (checksum,) = data[: _BODY.size], struct.unpack(">I", data[_BODY.size : SIZE])
    if zlib.crc32(body) != checksum:
        raise DamagedFileError("input: the comrec mark is damaged (checksum)")
    _, _, scale, quality, width, height, network = _BODY.unpack(body)
    if scale not in (1, 2) or quality > 10000 or 0 in (width, height):
        raise DamagedFileError("input: the comrec mark has invalid fields")
    recompressed = version == RECOMPRESSED
    return Mark(scale, quality / 100, width, height, network.hex(), recompressed)

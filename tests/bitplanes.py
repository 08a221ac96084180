"""A small progressive codec for tests: every prefix of its files is a worse picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from comrec import codec
from comrec.codec import check_quality
from comrec.errors import DamagedFileError
from comrec.formats import cmr
from comrec.learned import progressive
from comrec.learned.files import picture as picture_of
from comrec.learned.files import write
from comrec.learned.progressive import ProgressiveCodec
from comrec.picture import Picture

NETWORK = "00112233445566778899"
LEAST = 10
"""Bytes of a stream that are needed."""


@dataclass(frozen=True)
class BitPlanes(ProgressiveCodec):
    """Eight planes of bits, the most significant first, as they are.

    Bits that are missing count as 0, so that with each that is there no sample gets worse.
    """

    id, summary = "bit-planes", "for tests"
    quality_step = 12.5

    def encode(self, picture: Picture, quality: float) -> bytes:
        self.check(picture)
        planes = [np.packbits(picture.pixels >> (7 - i) & 1).tobytes() for i in range(8)]
        stream = b"".join(planes)
        count = max(LEAST, round(len(stream) * check_quality(quality) / 100))
        return write(picture, self.id, NETWORK, quality, progressive.payloads(stream[:count]))

    def decode(self, data: bytes, *, partial: bool = False) -> Picture:
        file = cmr.parse(data, partial=partial)
        head, stream = file.header, progressive.stream(file)
        if len(stream.data) < LEAST:
            raise DamagedFileError("input: cut short: too few bytes")
        shape = (head.height, head.width, 3)[: 2 if head.channels == 1 else 3]
        planes = stream.data.ljust(_size(head), b"\0")
        bits = np.unpackbits(np.frombuffer(planes, np.uint8).reshape(8, -1), axis=1)
        pixels = np.packbits(bits[:, : np.prod(shape)], axis=0)
        return picture_of(file, pixels.reshape(shape))

    def quality_of(self, data: bytes) -> float:
        file = cmr.parse(data)
        return 100 * len(progressive.stream(file).data) / _size(file.header)

    def enough(self, data: bytes) -> bool:
        try:
            return len(progressive.stream(cmr.parse(data)).data) >= LEAST
        except DamagedFileError:
            return False


def _size(head: cmr.Header) -> int:
    """Bytes of all planes of a picture."""
    return 8 * -(-head.width * head.height * head.channels // 8)


@contextmanager
def registered() -> Iterator[None]:
    """The codec is in the registry."""
    codec.register(BitPlanes.id, BitPlanes)
    yield
    codec.unregister(BitPlanes.id)

"""The .cmr file of learned codecs, specified in docs/format.md.

A magic of 8 bytes in the manner of PNG, then chunks: length of the body, type of four letters,
body, CRC-32 of type and body. ``HEAD`` is the first; then ``exif``, ``icc ``, ``xmp `` and
``ALPH``, a gray PNG file; then ``DATA``, once or more. A chunk of an unknown type is skipped, but
not if its first letter is a capital. One bad byte is located by its chunk, and progressive codecs
decode a file up to there.

HEAD, big-endian:

    1   format version, 1
    1   channels: 1 (gray) or 3 (RGB)
    4   width
    4   height
    2   quality in hundredths, 0..10000
    10  network: the first 10 bytes of the SHA-256 that its entry in the weight store has
    2   how many DATA chunks there are, at least 1
    1.. codec: its id, 1 to 64 printable ASCII characters
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from comrec.codec import check_quality
from comrec.errors import (
    DamagedFileError,
    InputError,
    OptionError,
    TooLargeError,
    UnknownFormatError,
)
from comrec.picture import MAX_PIXELS, SIGNATURES, Metadata, Picture, Pixels, format_of
from comrec.standard.png import Png

FORMAT = "cmr"
"""What `comrec.picture.format_of` calls it."""

EXTENSION = ".cmr"

MAGIC = SIGNATURES[FORMAT][0][1]
VERSION = 1

_FIELDS = struct.Struct(">BBIIH10sH")
_FRAME = struct.Struct(">I4s")
_CRC = struct.Struct(">I")
_AROUND = _FRAME.size + _CRC.size
_MOST_PAYLOADS = (1 << 16) - 1
_CODEC_ID = re.compile(r"[!-~]{1,64}")

_METADATA = {b"exif": "exif", b"icc ": "icc", b"xmp ": "xmp"}


@dataclass(frozen=True)
class Header:
    """What the file says of its picture.

    Attributes:
        codec: the id in the registry that decodes it.
        network: 20 hexadecimal digits, the head of the SHA-256 of its network.
        width, height: pixels.
        channels: 1 (gray) or 3 (RGB); alpha is not counted.
        quality: 0..100, kept to 1/100: an encoder that needs it exactly rounds it first.
        payloads: how many there are.
    """

    codec: str
    network: str
    width: int
    height: int
    channels: int
    quality: float
    payloads: int

    def pack(self) -> bytes:
        fields = _FIELDS.pack(
            VERSION,
            self.channels,
            self.width,
            self.height,
            round(self.quality * 100),
            bytes.fromhex(self.network),
            self.payloads,
        )
        return fields + self.codec.encode("ascii")


@dataclass(frozen=True)
class Container:
    """A file taken apart; nothing in it is decoded.

    Attributes:
        header: the picture's size, the codec, the network.
        metadata: EXIF, ICC and XMP.
        alpha: a gray PNG file; None where the picture is opaque.
        payloads: what the codec wrote, in order; fewer than the header says of a file cut short.
    """

    header: Header
    metadata: Metadata
    alpha: bytes | None
    payloads: tuple[bytes, ...]

    def picture(self, pixels: Pixels) -> Picture:
        """The pixels that the codec decoded, with the file's alpha and metadata.

        Raises:
            DamagedFileError: alpha cannot be decoded, or is of another size.
        """
        return Picture(pixels, self._alpha_plane(), self.metadata)

    def _alpha_plane(self) -> Pixels | None:
        if self.alpha is None:
            return None
        size = self.header.width, self.header.height
        try:
            found = Png().size(self.alpha)
            if found != size:  # before the decoder takes memory for it
                raise DamagedFileError(f"{found[0]}x{found[1]}, not {size[0]}x{size[1]}")
            plane = Png().decode(self.alpha)
            if not plane.is_gray:
                raise DamagedFileError("RGB, not gray")
        except InputError as error:
            reason = str(error).removeprefix("input: ")
            raise DamagedFileError(f"input: damaged chunk ALPH ({reason})") from None
        return plane.pixels


def write(
    picture: Picture, codec_id: str, network: str, quality: float, payloads: Sequence[bytes]
) -> bytes:
    """The file of a picture that a learned codec coded.

    Args:
        picture: whose size, alpha and metadata go into the file.
        codec_id: the codec's id in the registry.
        network: 20 hexadecimal digits, as `comrec.inference.store.Network.id`.
        quality: 0..100.
        payloads: the coded pixels: one, or those of a progressive codec, coarse ones first.
    Raises:
        OptionError: quality out of range, or no payload, or over 65535.
    """
    check_quality(quality)
    if not 1 <= len(payloads) <= _MOST_PAYLOADS:
        raise OptionError(f"a .cmr file has 1..{_MOST_PAYLOADS} payloads, not {len(payloads)}")
    header = Header(
        codec_id,
        network,
        picture.width,
        picture.height,
        1 if picture.is_gray else 3,
        quality,
        len(payloads),
    )
    chunks = [(b"HEAD", header.pack())]
    for kind, name in _METADATA.items():
        body = getattr(picture.metadata, name)
        if body is not None:
            chunks.append((kind, body))
    if picture.alpha is not None:
        chunks.append((b"ALPH", Png().encode(Picture(picture.alpha), 100)))
    chunks += [(b"DATA", payload) for payload in payloads]
    return MAGIC + b"".join(_framed(kind, body) for kind, body in chunks)


def _framed(kind: bytes, body: bytes) -> bytes:
    return _FRAME.pack(len(body), kind) + body + _CRC.pack(zlib.crc32(kind + body))


def header(data: bytes) -> Header:
    """The header of a file, or of its first bytes.

    Raises:
        UnknownFormatError: not a .cmr file.
        DamagedFileError: the header is damaged, or of a later version.
        TooLargeError: it declares more than `MAX_PIXELS`.
    """
    return _header(next(_chunks(data)))


def parse(data: bytes, *, partial: bool = False) -> Container:
    """Take a file apart; bytes behind its last payload are ignored.

    Args:
        partial: of a file that is cut short or damaged, take the payloads before that, if there
            is one at least.
    Raises:
        InputError: as `header`; a DamagedFileError names the chunk.
    """
    chunks = _chunks(data)
    head = _header(next(chunks))
    found: dict[bytes, bytes] = {}
    payloads: list[bytes] = []
    try:
        for chunk in chunks:
            if chunk.kind == b"DATA":
                payloads.append(chunk.body)
                if len(payloads) == head.payloads:
                    break
            elif chunk.kind in (*_METADATA, b"ALPH") and chunk.kind not in found and not payloads:
                found[chunk.kind] = chunk.body
            elif chunk.kind in (b"HEAD", *_METADATA, b"ALPH"):
                raise DamagedFileError(f"input: damaged: {chunk.name} is out of place")
            elif chunk.kind[:1].isupper():
                raise DamagedFileError(
                    f"input: {chunk.name} is of a kind that this comrec does not know: "
                    "upgrade comrec"
                )
    except DamagedFileError:
        if not (partial and payloads):
            raise
    metadata = {name: found.get(kind) for kind, name in _METADATA.items()}
    return Container(head, Metadata(**metadata), found.get(b"ALPH"), tuple(payloads))


@dataclass(frozen=True)
class _Chunk:
    number: int
    at: int
    kind: bytes
    body: bytes

    @property
    def name(self) -> str:
        """As messages call it."""
        return _name(self.number, self.at, self.kind)


def _name(number: int, at: int, kind: bytes) -> str:
    return f"chunk {number} ({kind.decode('ascii', 'backslashreplace')}, at byte {at:,})"


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """The chunks from the first on, without end: the reader knows which is the last."""
    if not data.startswith(MAGIC):
        raise UnknownFormatError(f"input: a {format_of(data)} file, not {FORMAT}")
    at, number = len(MAGIC), 1
    while True:
        if at + _FRAME.size > len(data):
            raise DamagedFileError(f"input: cut short: no chunk {number} after {len(data):,} bytes")
        length, kind = _FRAME.unpack_from(data, at)
        end = at + _AROUND + length
        if end > len(data):
            raise DamagedFileError(
                f"input: cut short in {_name(number, at, kind)}: it has {length + _AROUND:,} "
                f"bytes, of which {len(data) - at:,} are here"
            )
        body = data[at + _FRAME.size : end - _CRC.size]
        (checksum,) = _CRC.unpack_from(data, end - _CRC.size)
        if zlib.crc32(kind + body) != checksum:
            raise DamagedFileError(f"input: {_name(number, at, kind)} is damaged (checksum)")
        yield _Chunk(number, at, kind, body)
        at, number = end, number + 1


def _header(chunk: _Chunk) -> Header:
    body = chunk.body
    if chunk.kind != b"HEAD" or not body:
        raise DamagedFileError(f"input: damaged: {chunk.name} is no header")
    if body[0] != VERSION:
        raise DamagedFileError(
            f"input: a .cmr file of version {body[0]}; this comrec reads version {VERSION}: "
            "upgrade comrec"
        )
    codec_id = body[_FIELDS.size :].decode("latin-1")
    if len(body) < _FIELDS.size or not _CODEC_ID.fullmatch(codec_id):
        raise DamagedFileError(f"input: {chunk.name} has impossible fields")
    _, channels, width, height, quality, network, payloads = _FIELDS.unpack_from(body)
    if channels not in (1, 3) or quality > 10000 or 0 in (width, height, payloads):
        raise DamagedFileError(f"input: {chunk.name} has impossible fields")
    if width * height > MAX_PIXELS:
        raise TooLargeError(
            f"input: declares {width}x{height}, more than {MAX_PIXELS:,} pixels; "
            "refused before decoding"
        )
    return Header(codec_id, network.hex(), width, height, channels, quality / 100, payloads)

"""The .cmr file of learned codecs, specified in docs/format.md.

A magic number of 8 bytes, as in PNG, then chunks: length of the body, four-letter type, body,
CRC-32 of type and body. ``HEAD`` is the first; then the optional ``exif``, ``icc ``, ``xmp `` and
``ALPH`` (a gray PNG file); then one or more ``DATA``. Chunks of unknown type are skipped if the
first letter is lower case, otherwise refused. Errors name the damaged chunk; progressive codecs
can decode the file up to it.

HEAD, big-endian:

    1   format version, 1
    1   channels: 1 (gray) or 3 (RGB)
    4   width
    4   height
    2   quality in hundredths, 0..10000
    10  network: the first 10 bytes of its SHA-256 in the weight store
    2   number of DATA chunks, at least 1
    1.. codec: its id, 1 to 64 printable ASCII characters
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from comrec.errors import DamagedFileError, OptionError, TooLargeError, UnknownFormatError
from comrec.formats import detection
from comrec.formats.detection import Signature
from comrec.picture import MAX_PIXELS, Metadata

FORMAT = "cmr"
"""The id of this format in `detection`."""

EXTENSION = ".cmr"

MAGIC = b"\x89CMR\r\n\x1a\n"
detection.register(FORMAT, (Signature(MAGIC),))
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
    """The fields of the ``HEAD`` chunk.

    Attributes:
        codec: id of the codec in the registry.
        network: the first 20 hexadecimal digits of the SHA-256 of its network.
        width, height: pixels.
        channels: 1 (gray) or 3 (RGB), without alpha.
        quality: 0..100, stored in steps of 0.01; an encoder that needs the exact value rounds it
            first.
        payloads: number of ``DATA`` chunks.
    """

    codec: str
    network: str
    width: int
    height: int
    channels: int
    quality: float
    payloads: int = 1

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
    """The parsed content of a file; payloads and alpha are not decoded.

    Attributes:
        header: the picture's size, the codec, the network.
        metadata: EXIF, ICC and XMP.
        alpha: a gray PNG file; None if the picture is opaque.
        payloads: the output of the codec, in order; fewer than in the header if the file is
            truncated or damaged.
        broken: whether the last payload is but the part of it that a truncated file has, whose
            checksum is missing.
    """

    header: Header
    metadata: Metadata
    alpha: bytes | None
    payloads: tuple[bytes, ...]
    broken: bool = False


def write(
    header: Header, metadata: Metadata, alpha: bytes | None, payloads: Sequence[bytes]
) -> bytes:
    """Write a .cmr file.

    Args:
        header: the field `payloads` is set here.
        metadata: EXIF, ICC and XMP.
        alpha: a gray PNG file of the same size; None if the picture is opaque.
        payloads: the coded pixels: one payload, or several of a progressive codec, coarse to fine.
    Raises:
        OptionError: no payload, or more than 65535.
    """
    if not 1 <= len(payloads) <= _MOST_PAYLOADS:
        raise OptionError(f"a .cmr file has 1..{_MOST_PAYLOADS} payloads, not {len(payloads)}")
    chunks = [(b"HEAD", replace(header, payloads=len(payloads)).pack())]
    for kind, name in _METADATA.items():
        body = getattr(metadata, name)
        if body is not None:
            chunks.append((kind, body))
    if alpha is not None:
        chunks.append((b"ALPH", alpha))
    chunks += [(b"DATA", payload) for payload in payloads]
    return MAGIC + b"".join(_framed(kind, body) for kind, body in chunks)


def cut(data: bytes, budget: int) -> bytes | None:
    """Shorten a file to ``budget`` bytes, by whole payloads and a part of the next.

    Only for progressive codecs, whose payloads together are one stream of which a prefix decodes.

    Returns:
        The file; None if not even one byte of the first payload fits.
    Raises:
        InputError: as `parse`.
    """
    file = parse(data)
    bare = write(file.header, file.metadata, file.alpha, [b""])
    left = budget - len(bare) + _AROUND
    kept: list[bytes] = []
    for payload in file.payloads:
        left -= _AROUND
        if left <= 0:
            break
        kept.append(payload[:left])
        left -= len(payload)
    if not kept:
        return None
    return write(file.header, file.metadata, file.alpha, kept)


def bodies(data: bytes) -> tuple[range, ...]:
    """Where the payloads lie in a file; no checksum is looked at.

    Of a truncated file those whose chunk has begun, the last of which may lie beyond its end.

    Raises:
        InputError: as `header`.
    """
    at, found, count = len(MAGIC), list[range](), header(data).payloads
    while len(found) < count and at + _FRAME.size <= len(data):
        length, kind = _FRAME.unpack_from(data, at)
        if kind == b"DATA":
            found.append(range(at + _FRAME.size, at + _FRAME.size + length))
        at += _AROUND + length
    return tuple(found)


def ends(data: bytes) -> tuple[int, ...]:
    """Where the chunks of `bodies` end, in bytes from the start of the file.

    Raises:
        InputError: as `header`.
    """
    return tuple(body.stop + _CRC.size for body in bodies(data))


def _framed(kind: bytes, body: bytes) -> bytes:
    return _FRAME.pack(len(body), kind) + body + _CRC.pack(zlib.crc32(kind + body))


def header(data: bytes) -> Header:
    """The header of a file; its first bytes are enough.

    Raises:
        UnknownFormatError: not a .cmr file.
        DamagedFileError: the header is damaged, or of a later version.
        TooLargeError: it declares more pixels than `MAX_PIXELS`.
    """
    return _header(next(_chunks(data)))


def parse(data: bytes, *, partial: bool = False) -> Container:
    """Parse a file; bytes after its last payload are ignored.

    Args:
        partial: of a truncated or damaged file, return the payloads before that place; of a
            truncated one also what is there of the next. At least one byte must be there.
    Raises:
        InputError: as `header`; a DamagedFileError names the chunk.
    """
    chunks = _chunks(data)
    head = _header(next(chunks))
    found: dict[bytes, bytes] = {}
    payloads: list[bytes] = []
    broken = False
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
                    f"input: {chunk.name} is of a type unknown to this version of comrec: "
                    "upgrade comrec"
                )
    except _CutShortError as error:
        if not (partial and (payloads or error.kind == b"DATA")):
            raise
        broken = error.kind == b"DATA" and error.body != b""
        if broken:
            payloads.append(error.body)
        if not payloads:
            raise
    except DamagedFileError:
        if not (partial and payloads):
            raise
    exif, icc, xmp = (found.get(kind) for kind in _METADATA)
    alpha = found.get(b"ALPH")
    return Container(head, Metadata(exif, icc, xmp), alpha, tuple(payloads), broken)


class _CutShortError(DamagedFileError):
    """The file ends within a chunk, whose kind and the first of whose bytes are there."""

    def __init__(self, message: str, kind: bytes, body: bytes) -> None:
        super().__init__(message)
        self.kind, self.body = kind, body


@dataclass(frozen=True)
class _Chunk:
    number: int
    at: int
    kind: bytes
    body: bytes

    @property
    def name(self) -> str:
        """The name of the chunk in error messages."""
        return _name(self.number, self.at, self.kind)


def _name(number: int, at: int, kind: bytes) -> str:
    return f"chunk {number} ({kind.decode('ascii', 'backslashreplace')}, at byte {at:,})"


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """The chunks in order. The caller stops after the last; reading on raises an error."""
    if not data.startswith(MAGIC):
        raise UnknownFormatError(f"input: a {detection.format_of(data)} file, not {FORMAT}")
    at, number = len(MAGIC), 1
    while True:
        if at + _FRAME.size > len(data):
            raise DamagedFileError(
                f"input: cut short: chunk {number} is missing after {len(data):,} bytes"
            )
        length, kind = _FRAME.unpack_from(data, at)
        end = at + _AROUND + length
        if end > len(data):
            raise _CutShortError(
                f"input: cut short in {_name(number, at, kind)}: it has {length + _AROUND:,} "
                f"bytes, of which {len(data) - at:,} are present",
                kind,
                data[at + _FRAME.size : end - _CRC.size],
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
        raise DamagedFileError(f"input: damaged: {chunk.name} is not a header")
    if body[0] != VERSION:
        raise DamagedFileError(
            f"input: a .cmr file of version {body[0]}; this comrec reads version {VERSION}: "
            "upgrade comrec"
        )
    codec_id = body[_FIELDS.size :].decode("latin-1")
    if len(body) < _FIELDS.size or not _CODEC_ID.fullmatch(codec_id):
        raise DamagedFileError(f"input: {chunk.name} has invalid fields")
    _, channels, width, height, quality, network, payloads = _FIELDS.unpack_from(body)
    if channels not in (1, 3) or quality > 10000 or 0 in (width, height, payloads):
        raise DamagedFileError(f"input: {chunk.name} has invalid fields")
    if width * height > MAX_PIXELS:
        raise TooLargeError(
            f"input: declares {width}x{height}, more than {MAX_PIXELS:,} pixels; "
            "refused before decoding"
        )
    return Header(codec_id, network.hex(), width, height, channels, quality / 100, payloads)

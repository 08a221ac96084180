"""The BPG file (specification 0.9.5): header, extensions, HEVC headers and NAL units.

    42 50 47 fb   magic
    u3 pixel format, u1 alpha, u4 bit depth - 8
    u4 colour space, u1 extensions follow, u1 alpha's kind, u1 limited range, u1 animation
    ue7 width, ue7 height, ue7 length of the body (0: to the end of the file)
    [ue7 length of extensions, then for each: ue7 tag, ue7 length, bytes]
    body: [hevc_header of alpha], hevc_header of colour, NAL units

The NAL units are as in Annex B, without the first start code and without parameter sets other
than the PPS. Those of alpha have nuh_layer_id 1; each is before the corresponding one of colour.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import zip_longest

from comrec.errors import DamagedFileError, TooLargeError
from comrec.formats.detection import expect
from comrec.picture import MAX_PIXELS
from comrec.standard.bpg import parameters
from comrec.standard.bpg.bits import pack_ue7, read_ue7
from comrec.standard.bpg.parameters import SPS, VPS, HevcHeader

MAGIC = b"BPG\xfb"

START_CODE = b"\0\0\1"
"""Before each NAL unit except the first."""

EXIF, ICC, XMP = 1, 2, 3
"""Extension tags."""

_EXTENSIONS = 1 << 3
_SUFFIX_SEI = 40
_MOST_EXTENSIONS = 1000  # files have a handful; each costs far more memory than its two bytes


class PixelFormat(IntEnum):
    """Chroma subsampling and siting: between luma samples (as JPEG), or cosited (as MPEG-2)."""

    GRAY = 0
    YUV420 = 1
    YUV422 = 2
    YUV444 = 3
    YUV420_MPEG2 = 4
    YUV422_MPEG2 = 5

    @property
    def chroma_format(self) -> int:
        """chroma_format_idc of HEVC."""
        return self - 3 if self > 3 else int(self)

    @property
    def cosited(self) -> bool:
        """Whether chroma samples are horizontally cosited with luma samples."""
        return self > 3


class ColourSpace(IntEnum):
    """The conversion of planes to RGB."""

    BT601 = 0
    GBR = 1
    YCGCO = 2
    BT709 = 3
    BT2020 = 4


class Alpha(IntEnum):
    """Kind of the fourth plane: (alpha1_flag, alpha2_flag) as two bits."""

    NONE = 0b00
    WHITE = 0b01
    STRAIGHT = 0b10
    PREMULTIPLIED = 0b11


@dataclass(frozen=True)
class Header:
    """The fields of the file header.

    Attributes:
        pixel_format, colour_space, alpha: see the types.
        bit_depth: bits per sample, 8..14.
        limited_range: whether colour has limited (video) range; alpha always has full range.
        animation: whether more frames follow the first.
        width, height: pixels; the coded picture may be larger.
    """

    pixel_format: PixelFormat
    colour_space: ColourSpace
    alpha: Alpha
    bit_depth: int
    limited_range: bool
    animation: bool
    width: int
    height: int


@dataclass(frozen=True)
class BpgFile:
    """A parsed BPG file, the body as bytes.

    Attributes:
        header: the fields of the file header.
        extensions: (tag, bytes) in the order of the file.
        body: HEVC headers and NAL units, see `streams` and `pack_streams`.
    """

    header: Header
    extensions: tuple[tuple[int, bytes], ...]
    body: bytes

    def extension(self, tag: int) -> bytes | None:
        """The content of the first extension with this tag; None if absent."""
        return next((payload for found, payload in self.extensions if found == tag), None)

    def pack(self) -> bytes:
        """The bytes of the file, with the length of the body, which makes truncation detectable."""
        head = self.header
        flags = bytes(
            [
                head.pixel_format << 5 | head.alpha >> 1 << 4 | head.bit_depth - 8,
                head.colour_space << 4
                | bool(self.extensions) << 3
                | (head.alpha & 1) << 2
                | head.limited_range << 1
                | head.animation,
            ]
        )
        sizes = b"".join(map(pack_ue7, (head.width, head.height, len(self.body))))
        extensions = b"".join(
            pack_ue7(tag) + pack_ue7(len(payload)) + payload for tag, payload in self.extensions
        )
        if extensions:
            extensions = pack_ue7(len(extensions)) + extensions
        return MAGIC + flags + sizes + extensions + self.body


def _header(data: bytes) -> tuple[Header, int]:
    """The header, and the offset after width and height."""
    expect(data, "bpg")
    if len(data) < 6:
        raise DamagedFileError("input: damaged or cut short BPG header")
    first, second = data[4], data[5]
    width, at = read_ue7(data, 6)
    height, at = read_ue7(data, at)
    try:
        header = Header(
            PixelFormat(first >> 5),
            ColourSpace(second >> 4),
            Alpha(first >> 3 & 2 | second >> 2 & 1),
            8 + (first & 15),
            bool(second & 2),
            bool(second & 1),
            width,
            height,
        )
    except ValueError as error:
        raise DamagedFileError(f"input: damaged BPG header ({error})") from None
    gray_misfit = header.pixel_format is PixelFormat.GRAY and (
        header.colour_space is not ColourSpace.BT601 or header.alpha is Alpha.WHITE
    )
    if header.bit_depth > 14 or 0 in (width, height) or gray_misfit:
        raise DamagedFileError("input: damaged BPG header (invalid fields)")
    if width * height > MAX_PIXELS:
        raise TooLargeError(
            f"input: declares {width}x{height}, more than {MAX_PIXELS:,} pixels; "
            "refused before decoding"
        )
    return header, at


def parse(data: bytes) -> BpgFile:
    """Parse a file. Bytes after its body are ignored.

    Raises:
        UnknownFormatError: not a BPG file.
        DamagedFileError: cut short or altered.
        TooLargeError: declares more pixels than `MAX_PIXELS`.
    """
    header, at = _header(data)
    length, at = read_ue7(data, at)
    extensions: list[tuple[int, bytes]] = []
    if data[5] & _EXTENSIONS:
        room, at = read_ue7(data, at)
        end = at + room
        while at < end:
            tag, at = read_ue7(data, at)
            room, at = read_ue7(data, at)
            extensions.append((tag, data[at : at + room]))
            at += room
            if len(extensions) > _MOST_EXTENSIONS:
                raise DamagedFileError(
                    f"input: damaged BPG file (more than {_MOST_EXTENSIONS:,} extensions)"
                )
        if at != end:
            raise DamagedFileError("input: damaged BPG extensions")
    body = data[at : at + length] if length else data[at:]
    if not body or len(body) < length:
        raise DamagedFileError(
            f"input: cut short: the BPG file has at least {at + max(length, 1):,} bytes, "
            f"of which {len(data):,} are present"
        )
    return BpgFile(header, tuple(extensions), body)


def extension(data: bytes, tag: int) -> bytes | None:
    """The content of the first extension of a file with this tag; None if absent.

    Raises:
        InputError: as `parse`.
    """
    return parse(data).extension(tag)


def with_extension(data: bytes, tag: int, payload: bytes) -> bytes:
    """The file with an extension, which replaces those of the same tag.

    Raises:
        InputError: as `parse`.
    """
    file = parse(data)
    kept = tuple(item for item in file.extensions if item[0] != tag)
    return replace(file, extensions=(*kept, (tag, payload))).pack()


@dataclass(frozen=True)
class Stream:
    """One coded picture: header, and NAL units with nuh_layer_id 0, the PPS first."""

    header: HevcHeader
    units: list[bytes]


def pack_streams(colour: Stream, alpha: Stream | None) -> bytes:
    """The body of a file with these streams."""
    headers, units = [], []
    for stream in (alpha, colour):
        if stream is not None:
            packed = stream.header.pack()
            headers.append(pack_ue7(len(packed)) + packed)
    alphas = [bytes([unit[0], unit[1] | 8]) + unit[2:] for unit in alpha.units] if alpha else []
    for pair in zip_longest(alphas, colour.units):
        units += [unit for unit in pair if unit is not None]
    return b"".join(headers) + START_CODE.join(units)


def split_units(data: bytes) -> list[bytes]:
    """The NAL units between start codes, in linear time.

    Zeros before a start code are part of it: no NAL unit ends with a zero byte.
    """
    *units, last = data.split(START_CODE)
    return [*(unit.rstrip(b"\0") for unit in units), last]


def streams(file: BpgFile) -> tuple[Stream, Stream | None]:
    """The streams of colour and, if present, of alpha; of an animation, the first frame.

    Raises:
        DamagedFileError: cut short or altered.
    """
    at, headers = 0, []
    for _ in range(1 if file.header.alpha is Alpha.NONE else 2):
        length, at = read_ue7(file.body, at)
        headers.append(parameters.unpack(file.body[at : at + length]))
        at += length
    layers: tuple[list[bytes], list[bytes]] = [], []
    for unit in split_units(file.body[at:]):
        # Parameter sets in the body, which BPG forbids, would replace those of the header.
        if len(unit) > 2 and unit[0] >> 1 & 63 not in (VPS, SPS):
            is_alpha = len(headers) == 2 and unit[1] >> 3 == 1
            layers[is_alpha].append(bytes([unit[0], unit[1] & 7]) + unit[2:])
    colour = Stream(headers[-1], _first_picture(layers[0]))
    return colour, Stream(headers[0], _first_picture(layers[1])) if len(headers) == 2 else None


def _first_picture(units: list[bytes]) -> list[bytes]:
    """The NAL units of the first picture."""
    out: list[bytes] = []
    started = False
    for unit in units:
        kind = unit[0] >> 1 & 63
        is_slice = kind < 32
        if started and not (kind == _SUFFIX_SEI or (is_slice and not unit[2] >> 7)):
            break
        started |= is_slice
        out.append(unit)
    if not started:
        raise DamagedFileError("input: damaged BPG file (no picture in it)")
    return out

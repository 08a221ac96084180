"""HEVC parameter sets: the fields that BPG stores, and their reconstruction (H.265, 7.3.2).

BPG drops the video and sequence parameter sets and stores a few fields of the latter, the
`HevcHeader`. The other fields are fixed, or have no effect on intra pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

from comrec.errors import DamagedFileError, UnsupportedPictureError
from comrec.formats.bits import BitReader
from comrec.standard.bpg.bits import BitWriter, escape, unescape

_FILE = "BPG file"  # in errors
VPS, SPS = 32, 33
"""NAL unit types."""

_PROFILE, _LEVEL = 4, 255  # format range extensions, unconstrained level
_IMPLICIT_RDPCM = 0b001000000


@dataclass(frozen=True)
class HevcHeader:
    """The fields of a sequence parameter set that BPG stores, as coded.

    Attributes:
        blocks: log2_min_luma_coding_block_size_minus3, log2_diff_max_min_luma_coding_block_size,
            log2_min_transform_block_size_minus2, log2_diff_max_min_transform_block_size.
        depth: max_transform_hierarchy_depth_intra.
        offset: sample_adaptive_offset_enabled_flag.
        pcm: bit depths of luma and chroma minus 1, log2 of the smallest block minus 3, log2 of
            largest to smallest, loop filter disabled; None where PCM is disabled.
        strong: strong_intra_smoothing_enabled_flag.
        range_flags: the nine flags of the range extension, the first as the highest bit;
            None where it is absent.
    """

    blocks: tuple[int, int, int, int]
    depth: int
    offset: bool
    pcm: tuple[int, int, int, int, int] | None
    strong: bool
    range_flags: int | None

    @property
    def smallest_block(self) -> int:
        """Side of the smallest coding block; coded sizes are multiples of it."""
        return 8 << self.blocks[0]

    @property
    def implicit_rdpcm(self) -> bool:
        return bool((self.range_flags or 0) & _IMPLICIT_RDPCM)

    def pack(self) -> bytes:
        """The bytes of BPG's hevc_header, without the length field."""
        writer = BitWriter()
        self._write_blocks(writer)
        writer.golomb(self.depth)
        self._write_tools(writer)
        writer.flag(self.strong)
        self._write_extension(writer)
        return writer.packed()

    def _write_blocks(self, writer: BitWriter) -> None:
        for size in self.blocks:
            writer.golomb(size)

    def _write_tools(self, writer: BitWriter) -> None:
        writer.flag(self.offset)
        writer.flag(self.pcm is not None)
        if self.pcm is not None:
            writer.bits(self.pcm[0], 4)
            writer.bits(self.pcm[1], 4)
            writer.golomb(self.pcm[2])
            writer.golomb(self.pcm[3])
            writer.bits(self.pcm[4], 1)

    def _write_extension(self, writer: BitWriter) -> None:
        writer.flag(self.range_flags is not None)
        if self.range_flags is not None:
            writer.bits(0b1000_0000, 8)
            writer.bits(self.range_flags, 9)


def unpack(data: bytes) -> HevcHeader:
    """Parse the bytes that `HevcHeader.pack` writes.

    Raises:
        DamagedFileError: truncated, or block sizes that HEVC does not allow.
    """
    reader = BitReader(data, _FILE)
    blocks = _read_blocks(reader)
    depth = reader.golomb()
    offset, pcm = _read_tools(reader)
    strong = reader.flag()
    range_flags = _read_extension(reader)
    smallest, largest = blocks[0] + 3, blocks[0] + 3 + blocks[1]
    transform, widest = blocks[2] + 2, blocks[2] + 2 + blocks[3]
    if not (largest <= 6 and transform < smallest and widest <= min(largest, 5) and depth <= 4):
        raise DamagedFileError("input: damaged BPG file (invalid block sizes)")
    return HevcHeader(blocks, depth, offset, pcm, strong, range_flags)


def _read_blocks(reader: BitReader) -> tuple[int, int, int, int]:
    return reader.golomb(), reader.golomb(), reader.golomb(), reader.golomb()


def _read_tools(reader: BitReader) -> tuple[bool, tuple[int, int, int, int, int] | None]:
    offset = reader.flag()
    if not reader.flag():
        return offset, None
    depths = reader.bits(4), reader.bits(4)
    return offset, (*depths, reader.golomb(), reader.golomb(), reader.bits(1))


def _read_extension(reader: BitReader) -> int | None:
    """The range extension's flags; other extensions do not exist in BPG."""
    if not reader.flag() or not reader.bits(8) >> 7:
        return None
    return reader.bits(9)


def _profile(writer: BitWriter) -> None:
    """profile_tier_level of a stream without sub-layers."""
    writer.bits(_PROFILE, 8)  # profile space 0, main tier
    writer.bits(1 << 31 - _PROFILE, 32)  # compatibility flags
    writer.bits(0b1001 << 44, 48)  # progressive frames, no further constraint
    writer.bits(_LEVEL, 8)


def _nal_unit(kind: int, writer: BitWriter) -> bytes:
    writer.bits(1, 1)  # stop bit
    return bytes([kind << 1, 1]) + escape(writer.packed())


def video_parameter_set() -> bytes:
    """The NAL unit of a VPS for one picture."""
    writer = BitWriter()
    writer.bits(0b0000_11_000000_000_1, 16)  # id 0, base layer inside, one layer and sub-layer
    writer.bits(0xFFFF, 16)
    _profile(writer)
    writer.flag(True)
    for value in (0, 0, 0):  # one picture in the buffer, none reordered, no limit of latency
        writer.golomb(value)
    writer.bits(0, 6)
    writer.golomb(0)
    writer.bits(0, 2)  # no timing, no extension
    return _nal_unit(VPS, writer)


def sequence_parameter_set(
    header: HevcHeader, width: int, height: int, chroma_format: int, bit_depth: int
) -> bytes:
    """The NAL unit of the SPS of a BPG stream.

    Args:
        width, height: coded size, multiples of `HevcHeader.smallest_block`.
        chroma_format: 0 for 4:0:0, 1 for 4:2:0, 2 for 4:2:2, 3 for 4:4:4.
    """
    writer = BitWriter()
    writer.bits(0b0000_000_1, 8)  # VPS 0, one sub-layer
    _profile(writer)
    writer.golomb(0)
    writer.golomb(chroma_format)
    if chroma_format == 3:
        writer.flag(False)  # planes not coded separately
    writer.golomb(width)
    writer.golomb(height)
    writer.flag(False)  # no conformance window: the BPG header has the cropped size
    writer.golomb(bit_depth - 8)
    writer.golomb(bit_depth - 8)
    writer.golomb(4)  # picture order counts of 8 bits, as BPG fixes them
    writer.flag(True)
    for value in (0, 0, 0):
        writer.golomb(value)
    header._write_blocks(writer)
    writer.golomb(header.depth)  # inter, as BPG fixes it
    writer.golomb(header.depth)
    writer.bits(0b01, 2)  # no scaling lists; asymmetric partitions
    header._write_tools(writer)
    writer.golomb(0)
    writer.bits(0b01, 2)  # no long-term references; temporal motion vectors
    writer.flag(header.strong)
    writer.flag(False)
    header._write_extension(writer)
    return _nal_unit(SPS, writer)


def read_sequence(nal: bytes) -> HevcHeader:
    """The fields that BPG stores, from the NAL unit of an SPS.

    Raises:
        UnsupportedPictureError: the SPS uses features that BPG does not have, such as scaling
            lists.
    """
    reader = BitReader(unescape(nal[2:]), _FILE)
    reader.bits(4)
    if reader.bits(3):
        raise _inexpressible("sub-layers")
    reader.bits(1 + 96)  # nesting; profile, tier and level
    reader.golomb()
    if reader.golomb() == 3:
        reader.bits(1)
    for _ in range(2):  # coded size
        reader.golomb()
    if reader.flag():
        raise _inexpressible("a conformance window")
    for _ in range(3):  # bit depths, picture order counts
        reader.golomb()
    reader.bits(1)
    for _ in range(3):
        reader.golomb()
    blocks = _read_blocks(reader)
    reader.golomb()
    depth = reader.golomb()
    if reader.flag():
        raise _inexpressible("scaling lists")
    reader.bits(1)
    offset, pcm = _read_tools(reader)
    if reader.golomb():
        raise _inexpressible("reference picture sets")
    if reader.flag():
        raise _inexpressible("long-term references")
    reader.bits(1)
    strong = reader.flag()
    if reader.flag():
        _skip_usability(reader)
    return HevcHeader(blocks, depth, offset, pcm, strong, _read_extension(reader))


def _skip_usability(reader: BitReader) -> None:
    """Skip the video usability information (H.265, E.2.1)."""
    if reader.flag() and reader.bits(8) == 255:  # aspect ratio
        reader.bits(32)
    if reader.flag():  # overscan
        reader.bits(1)
    if reader.flag():  # video signal
        reader.bits(4)
        if reader.flag():
            reader.bits(24)
    if reader.flag():  # chroma location
        reader.golomb()
        reader.golomb()
    reader.bits(3)
    if reader.flag():  # display window
        for _ in range(4):
            reader.golomb()
    if reader.flag():  # timing
        reader.bits(64)
        if reader.flag():
            reader.golomb()
        if reader.flag():
            raise _inexpressible("a hypothetical reference decoder")
    if reader.flag():  # restrictions
        reader.bits(3)
        for _ in range(5):
            reader.golomb()


def _inexpressible(what: str) -> UnsupportedPictureError:
    return UnsupportedPictureError(f"x265 coded this picture with {what}, which BPG does not have")

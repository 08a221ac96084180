"""Quantised DCT coefficients to a baseline JPEG file (ITU-T T.81), Huffman tables of Annex K.

This is the lossless step; `trellis` chooses the coefficients. `mozjpeg_lossless_optimization`
then rewrites the file as optimised progressive scans with the same coefficients.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from comrec.jpegtuning.trellis import magnitude_category

Int = NDArray[np.int16]

_BLOCKS = 1 << 13
"""Coded at a time, so that memory is bounded."""

# T.81 Annex K.3: number of codes of each length 1..16, then the symbols in code order.
_DC_LUMA = ("00010501010101010100000000000000", "000102030405060708090a0b")
_DC_CHROMA = ("00030101010101010101010000000000", "000102030405060708090a0b")
_AC_LUMA = (
    "0002010303020403050504040000017d",
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718"
    "191a25262728292a3435363738393a434445464748494a535455565758595a636465666768696a737475"
    "767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3"
    "c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa",
)
_AC_CHROMA = (
    "00020102040403040705040400010277",
    "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125"
    "f11718191a262728292a35363738393a434445464748494a535455565758595a636465666768696a7374"
    "75767778797a82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9ba"
    "c2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa",
)


class _Huffman:
    def __init__(self, spec: tuple[str, str]) -> None:
        self.counts = bytes.fromhex(spec[0])
        self.symbols = bytes.fromhex(spec[1])
        self.code = np.zeros(256, np.uint64)
        self.length = np.zeros(256, np.uint64)
        code, taken = 0, 0
        for length, count in enumerate(self.counts, start=1):
            for symbol in self.symbols[taken : taken + count]:
                self.code[symbol], self.length[symbol] = code, length
                code += 1
            taken += count
            code <<= 1


_TABLES = {
    "dc": (_Huffman(_DC_LUMA), _Huffman(_DC_CHROMA)),
    "ac": (_Huffman(_AC_LUMA), _Huffman(_AC_CHROMA)),
}


@dataclass(frozen=True)
class Component:
    """One colour component.

    Attributes:
        levels: (rows, columns, 64) quantised coefficients, zigzag order; rows and columns
            are multiples of ``sampling``.
        table: 0 for luma, 1 for chroma: of Huffman tables.
        sampling: 2 for luma of 4:2:0, otherwise 1 (both directions).
        steps: which quantisation table; by default that of the same number as ``table``.
    """

    levels: Int
    table: int
    sampling: int
    steps: int | None = None


def write_jpeg(
    width: int,
    height: int,
    components: list[Component],
    steps: Sequence[NDArray[np.number]],
    *,
    jfif: bool = True,
) -> bytes:
    """A baseline file with the given coefficients.

    Args:
        width, height: size of the picture before padding, pixels, 1..65535.
        components: Y; or Y, Cb, Cr.
        steps: the (64,) quantisation tables, at most four, zigzag order, steps 1..255.
        jfif: whether it has a JFIF segment.
    """
    out = bytearray(b"\xff\xd8")

    def segment(marker: int, body: bytes) -> None:
        out.extend(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body)

    if jfif:
        segment(0xE0, b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")
    for number, table in enumerate(steps):
        segment(0xDB, bytes([number]) + table.astype(np.uint8).tobytes())
    frame = struct.pack(">BHHB", 8, height, width, len(components))
    for number, component in enumerate(components, start=1):
        used = component.table if component.steps is None else component.steps
        frame += bytes([number, component.sampling * 17, used])
    segment(0xC0, frame)
    for number in sorted({component.table for component in components}):
        for kind, tables in (("dc", 0), ("ac", 16)):
            huffman = _TABLES[kind][number]
            segment(0xC4, bytes([tables + number]) + huffman.counts + huffman.symbols)
    scan = bytes([len(components)])
    for number, component in enumerate(components, start=1):
        scan += bytes([number, component.table * 17])
    segment(0xDA, scan + b"\x00\x3f\x00")
    out += _entropy_coded(components)
    out += b"\xff\xd9"
    return bytes(out)


def _entropy_coded(components: list[Component]) -> bytes:
    """Huffman codes of all blocks in MCU order, byte-stuffed: a few rows of MCUs at a time."""
    interleaved = len(components) > 1
    sides = [component.sampling if interleaved else 1 for component in components]
    rows, columns = (size // sides[0] for size in components[0].levels.shape[:2])
    blocks = columns * sum(side**2 for side in sides)  # in a row of MCUs
    height = max(1, _BLOCKS // blocks)
    before = [0] * len(components)
    packer = Packer()
    for top in range(0, rows, height):
        bands = [
            _in_order(component.levels[top * side : (top + height) * side], side)
            for component, side in zip(components, sides, strict=True)
        ]
        packer.add(*_codes(bands, components, sides, before))
        before = [int(band[-1, 0]) for band in bands]
    return packer.finish()


def _in_order(levels: Int, side: int) -> Int:
    """(N, 64): blocks by MCUs of so many rows and columns of them."""
    rows, columns = levels.shape[:2]
    squares = levels.reshape(rows // side, side, columns // side, side, 64)
    return squares.transpose(0, 2, 1, 3, 4).reshape(-1, 64)


def _codes(
    bands: list[Int], components: list[Component], sides: list[int], before: list[int]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Code words of the blocks of all components in the order of the file, and their lengths."""
    per_mcu = sum(side**2 for side in sides)
    parts = []
    place = 0
    for band, component, side, direct in zip(bands, components, sides, before, strict=True):
        count = np.arange(len(band))
        sequence = (count // side**2) * per_mcu + place + count % side**2
        parts.append(_component_codes(band, component.table, sequence, direct))
        place += side**2
    code, length, order = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.argsort(order, kind="stable")
    return code[order], length[order]


def _component_codes(
    blocks: Int, table: int, sequence: NDArray[np.int64], before: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]]:
    """Code words, their lengths, and sort keys (block sequence * 256 + position in block).

    Args:
        before: the DC level before those of these blocks.
    """
    dc, ac = _TABLES["dc"][table], _TABLES["ac"][table]
    direct = blocks[:, 0].astype(np.int32)
    difference = direct - np.concatenate([[np.int32(before)], direct[:-1]])
    block, position = np.nonzero(blocks[:, 1:])
    value = blocks[block, position + 1].astype(np.int32)
    previous = np.full(len(block), -1)
    same = block[1:] == block[:-1]
    previous[1:][same] = position[:-1][same]
    run = position - previous - 1

    parts = [(*_with_bits(dc, magnitude_category(difference), difference), sequence * 256)]
    symbol = (run % 16) * 16 + magnitude_category(value)
    parts.append((*_with_bits(ac, symbol, value), sequence[block] * 256 + position * 3 + 3))
    for zeros in range(1, 4):  # a run of 16 zeros each
        long = run >= 16 * zeros
        parts.append(_plain(ac, 0xF0, sequence[block[long]] * 256 + position[long] * 3 + 1))
    short = blocks[:, 63] == 0
    parts.append(_plain(ac, 0x00, sequence[short] * 256 + 255))
    code, length, order = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return code, length, order


def _with_bits(
    huffman: _Huffman, symbol: NDArray[np.integer], value: NDArray[np.int32]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    size = (symbol & 15).astype(np.uint64)
    extra = np.where(value < 0, value + (1 << size.astype(np.int64)) - 1, value)
    code = (huffman.code[symbol] << size) | extra.astype(np.uint64)
    return code, huffman.length[symbol] + size


def _plain(
    huffman: _Huffman, symbol: int, order: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]]:
    n = len(order)
    return np.full(n, huffman.code[symbol]), np.full(n, huffman.length[symbol]), order


class Packer:
    """Concatenates codes of at most 32 bits; stuffs a zero after each 0xFF."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._rest = 0, 0  # bits that fill no byte yet, and how many they are

    def add(self, codes: NDArray[np.uint64], lengths: NDArray[np.uint64]) -> None:
        rest, count = (np.array([value], np.uint64) for value in self._rest)
        packed, total = _packed(np.concatenate([rest, codes]), np.concatenate([count, lengths]))
        whole, left = divmod(total, 8)
        self._out += packed[:whole].replace(b"\xff", b"\xff\x00")
        self._rest = packed[whole] >> (8 - left), left

    def finish(self) -> bytes:
        """All bytes; the last is padded with ones."""
        missing = -self._rest[1] % 8
        ones = (1 << missing) - 1
        self.add(np.array([ones], np.uint64), np.array([missing], np.uint64))
        return bytes(self._out)


def _packed(codes: NDArray[np.uint64], lengths: NDArray[np.uint64]) -> tuple[bytes, int]:
    """Codes of at most 32 bits one after another, padded with zeros; and how many bits they are."""
    ends = np.cumsum(lengths)
    total = int(ends[-1])
    words = np.zeros(total // 64 + 2, np.uint64)
    start = ends - lengths
    word, offset = (start // np.uint64(64)).astype(np.int64), start % np.uint64(64)
    room = np.uint64(64) - offset
    fits = lengths <= room
    left = np.where(fits, room - lengths, np.uint64(0))
    spill = np.where(fits, np.uint64(0), lengths - room)
    np.bitwise_or.at(words, word, np.where(fits, codes << left, codes >> spill))
    rest = ~fits
    np.bitwise_or.at(words, word[rest] + 1, codes[rest] << (np.uint64(64) - spill[rest]))
    return words.byteswap().tobytes(), total

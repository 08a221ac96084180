"""Bit output, and the integer codes of BPG and HEVC headers."""

from __future__ import annotations

import re

from comrec.errors import DamagedFileError


class BitWriter:
    """Writes the codes that `comrec.formats.bits.BitReader` reads."""

    def __init__(self) -> None:
        self._bits: list[str] = []

    def bits(self, value: int, count: int) -> None:
        self._bits.append(f"{value:0{count}b}")

    def flag(self, value: bool) -> None:
        self.bits(int(value), 1)

    def golomb(self, value: int) -> None:
        code = f"{value + 1:b}"
        self._bits.append("0" * (len(code) - 1) + code)

    def packed(self) -> bytes:
        """All bits written, padded with zeros to whole bytes."""
        bits = "".join(self._bits)
        bits += "0" * (-len(bits) % 8)
        return int(bits or "0", 2).to_bytes(len(bits) // 8)


def read_ue7(data: bytes, at: int) -> tuple[int, int]:
    """The ue7(32) value at an offset, and the offset after it.

    Seven bits per byte, most significant first; the eighth bit is set if more bytes follow.
    Only the shortest form is valid.

    Raises:
        DamagedFileError: cut short, too large, or not the shortest form.
    """
    value, start = 0, at
    while at < len(data):
        byte = data[at]
        if byte == 0x80 and at == start:
            break
        value = value << 7 | byte & 0x7F
        at += 1
        if value >= 1 << 32:
            break
        if byte < 0x80:
            return value, at
    raise DamagedFileError("input: damaged or cut short BPG header")


def pack_ue7(value: int) -> bytes:
    """The shortest ue7 form of a value below 2**32."""
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(value & 0x7F | 0x80)
    return bytes(reversed(out))


def escape(payload: bytes) -> bytes:
    """Insert the emulation prevention bytes of a NAL unit."""
    return re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\0\0\3", payload)


def unescape(payload: bytes) -> bytes:
    """Remove emulation prevention bytes: the inverse of `escape`."""
    return payload.replace(b"\0\0\3", b"\0\0")

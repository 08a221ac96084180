"""Bits of headers, and the integer codes of BPG and HEVC."""

from __future__ import annotations

from comrec.errors import DamagedFileError


class TruncatedError(DamagedFileError):
    """A header ends too early."""


class BitReader:
    """Reads unsigned integers, most significant bit first.

    Every method raises `TruncatedError` at the end of the data.

    Args:
        file: what errors call the file.
    """

    def __init__(self, data: bytes, file: str) -> None:
        self._value = int.from_bytes(data)
        self._left = 8 * len(data)
        self._file = file

    def bits(self, count: int) -> int:
        """An integer of ``count`` bits: u(count)."""
        if count > self._left:
            raise TruncatedError(f"input: damaged {self._file} (truncated header)")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def flag(self) -> bool:
        return bool(self.bits(1))

    def golomb(self) -> int:
        """An Exp-Golomb code of order 0: ue(v), below 2**32.

        Raises:
            DamagedFileError: a larger code.
        """
        zeros = 0
        while not self.bits(1):
            zeros += 1
            if zeros > 32:
                raise DamagedFileError(f"input: damaged {self._file} (invalid code in a header)")
        return (1 << zeros) - 1 + self.bits(zeros)

"""Detection of file formats by the first bytes of a file.

Each codec declares signatures; `comrec.codec.register` registers them here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from comrec.errors import DamagedFileError, UnknownFormatError

_BOX = b"ftyp"
LONGEST = 16
"""Number of first bytes that `may_be_ours` needs."""


@dataclass(frozen=True)
class Signature:
    """Bytes at a fixed offset, within the first `LONGEST` bytes."""

    magic: bytes
    offset: int = 0


@dataclass(frozen=True)
class Brand:
    """A four-character brand in the first box (``ftyp``) of an ISO base media file."""

    name: bytes


_signatures: dict[Signature | Brand, str] = {}


def register(format_id: str, signatures: Sequence[Signature | Brand]) -> None:
    """Register the signatures of a format; a later registration of a signature replaces it."""
    _signatures.update(dict.fromkeys(signatures, format_id))


def unregister(format_id: str) -> None:
    """Remove the signatures of a format."""
    for signature in [key for key, found in _signatures.items() if found == format_id]:
        del _signatures[signature]


def may_be_ours(start: bytes) -> bool:
    """Whether a file with these first `LONGEST` bytes can have a registered format."""
    return start[4:8] == _BOX or find(start) is not None


def find(data: bytes) -> str | None:
    """The format id of a file; None if no registered signature matches."""
    for signature, format_id in _signatures.items():
        if isinstance(signature, Signature) and data.startswith(signature.magic, signature.offset):
            return format_id
    return _branded(data) if data[4:8] == _BOX else None


def _branded(data: bytes) -> str | None:
    """By the major brand, else by the first compatible one: "mif1" alone is ambiguous."""
    length = min(int.from_bytes(data[:4], "big"), 1024)
    brands = data[8:12] + data[16:length]  # the minor version is in between
    each = (brands[at : at + 4] for at in range(0, len(brands), 4))
    found = (_signatures.get(Brand(brand)) for brand in each)
    return next((format_id for format_id in found if format_id is not None), None)


def format_of(data: bytes) -> str:
    """The format id of a file: that of its standard codec, or "cmr" of learned codecs.

    Raises:
        DamagedFileError: the file is empty.
        UnknownFormatError: no registered format.
    """
    found = find(data)
    if found is None:
        if not data:
            raise DamagedFileError("input: the file is empty")
        formats = ", ".join(sorted(set(_signatures.values())))
        raise UnknownFormatError(f"input: not a file of a known format ({formats})")
    return found


def expect(data: bytes, format_id: str) -> None:
    """Check that a file has a format.

    Raises:
        DamagedFileError: the file is empty.
        UnknownFormatError: it has another format, or no registered one.
    """
    found = format_of(data)
    if found != format_id:
        raise UnknownFormatError(f"input: a {found} file, not {format_id}")

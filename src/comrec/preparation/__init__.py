"""Conversion of pictures of all kinds to a `Picture`: 8-bit gray or RGB, optionally with alpha.

    file ── frame ── 8 bits ── gray or RGB ── sRGB ── background ── metadata ──► Picture

What a `Picture` or its codec cannot store is refused with an error that names the option for
its conversion. Nothing is dropped silently. docs/pictures.md has a table of all kinds.
"""

from comrec.preparation.finishing import finish, with_metadata
from comrec.preparation.header import Header
from comrec.preparation.policy import STRICT, VIEWED, Preparation, allow
from comrec.preparation.sources import from_image, header_of, read, view

__all__ = [
    "STRICT",
    "VIEWED",
    "Header",
    "Preparation",
    "allow",
    "finish",
    "from_image",
    "header_of",
    "read",
    "view",
    "with_metadata",
]

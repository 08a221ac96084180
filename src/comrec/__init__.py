"""comrec makes image files smaller with neural networks, on ordinary computers.

    data = comrec.encode(image, codec="comrec-jpeg", quality=30)   # bytes any viewer opens
    image = comrec.decode(data)                                    # better than they show

Importing comrec loads no network and no training code.
"""

from __future__ import annotations

from comrec import errors, jpegtuning, learned, standard, wrapped
from comrec.api import codecs, decode, encode
from comrec.information import Information, info
from comrec.pillow_plugin import register_pillow

__version__ = "0.1.0"

__all__ = [
    "Information",
    "codecs",
    "decode",
    "encode",
    "errors",
    "info",
    "jpegtuning",
    "learned",
    "register_pillow",
    "standard",
    "wrapped",
]

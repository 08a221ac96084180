"""comrec makes image files smaller with neural networks, on ordinary computers.

    data = comrec.encode(image, codec="comrec-jpeg", quality=30)   # bytes any viewer opens
    image = comrec.decode(data)                                    # better than they show

Importing comrec loads no network and no training code.
"""

from __future__ import annotations

from comrec import codec, errors, jpegtuning, learned, sandwich, standard
from comrec.api import codecs, decode, encode
from comrec.codec import Codec
from comrec.information import Information, ProgressiveInformation, info
from comrec.picture import Metadata, Picture
from comrec.pillow_plugin import register_pillow
from comrec.preparation import Header

__version__ = "0.1.0"

__all__ = [
    "Codec",
    "Header",
    "Information",
    "Metadata",
    "Picture",
    "ProgressiveInformation",
    "codec",
    "codecs",
    "decode",
    "encode",
    "errors",
    "info",
    "jpegtuning",
    "learned",
    "register_pillow",
    "sandwich",
    "standard",
]

"""Standard codecs, through Pillow."""

from comrec.codec import register
from comrec.standard.avif import Avif
from comrec.standard.jpeg import Jpeg
from comrec.standard.jpeg2000 import Jpeg2000
from comrec.standard.png import Png
from comrec.standard.webp import Webp

for _codec in (Jpeg, Jpeg2000, Webp, Avif, Png):
    register(_codec.id, _codec)

__all__ = ["Avif", "Jpeg", "Jpeg2000", "Png", "Webp"]

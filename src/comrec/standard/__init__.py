"""Standard codecs, by Pillow or by libraries that are extras."""

from comrec.codec import register
from comrec.standard.avif import Avif
from comrec.standard.bpg import Bpg
from comrec.standard.heic import Heic
from comrec.standard.jpeg import Jpeg
from comrec.standard.jpeg2000 import Jpeg2000
from comrec.standard.jpegli import Jpegli
from comrec.standard.jpegxl import Jpegxl
from comrec.standard.png import Png
from comrec.standard.webp import Webp

for _codec in (Jpeg, Jpeg2000, Webp, Avif, Bpg, Jpegxl, Heic, Png, Jpegli):
    register(_codec.id, _codec)

__all__ = ["Avif", "Bpg", "Heic", "Jpeg", "Jpeg2000", "Jpegli", "Jpegxl", "Png", "Webp"]

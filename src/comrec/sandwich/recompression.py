"""JPEG files as JPEG XL codestreams with the same coefficients, and back.

JPEG XL codes the coefficients and tables of a JPEG file in fewer bytes. Its files can say how the
JPEG file was laid out (ISO/IEC 18181-2, box ``jbrd``), so that it can be had back; here that is
left out, and all are restored in one layout. JPEG decoders then decode the coefficients, as RecCNN
was trained; libjxl moves them a little.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from comrec import pillow_io
from comrec.formats import boxes, jxl
from comrec.jpegtuning.bitstream import Component, write_jpeg
from comrec.picture import Metadata, Picture
from comrec.standard import jpegxl
from comrec.standard.jpeg import Jpeg
from comrec.standard.jpegxl import Jpegxl


def shell(metadata: Metadata) -> bytes:
    """A JPEG XL file with metadata around a codestream of no interest.

    Raises:
        UnsupportedPictureError: JPEG XL cannot store the metadata.
        MissingExtraError: pyjpegxl is not installed.
    """
    pixel = np.zeros((1, 1), np.uint8)
    return Jpegxl(effort=1).encode(Picture(pixel, metadata=metadata), 0)


def recompressed(jpeg: bytes, around: bytes) -> bytes:
    """A JPEG XL file with the coefficients of a JPEG file, gray or YCbCr.

    Args:
        around: the file that takes them, see `shell`.
    """
    stream = jxl.codestream(jpegxl.load().jpeg_to_jxl(jpeg))
    return jxl.with_codestream(around, stream)


def restored(data: bytes) -> bytes:
    """The coefficients of a JPEG XL file as a baseline JPEG file without metadata.

    Raises:
        DamagedFileError: it does not hold a JPEG file's.
        MissingExtraError: pyjpegxl is not installed.
    """
    stream = jxl.codestream(data)
    with pillow_io.decoding(data, "input"):
        file = jxl.with_reconstruction(stream, _layout(_is_gray(stream)))
        jpeg: bytes = jpegxl.load().jxl_to_jpeg(file)
    return jpeg


def upright(data: bytes, jpeg: bytes) -> Picture:
    """The picture of a JPEG XL file as libjpeg decodes its coefficients, with its metadata.

    It is upright, whatever the metadata says: see `comrec.preparation.orientation`.

    Args:
        jpeg: `restored` from the file.
    Raises:
        InputError: it cannot be used.
    """
    metadata, notes = Jpegxl().metadata(data)
    return replace(Jpeg().decode(jpeg), metadata=metadata, notes=notes)


def _is_gray(stream: bytes) -> bool:
    with pillow_io.decoding(stream, "input"):
        found = jpegxl.load().probe(stream)
        pillow_io.refuse_bomb(found.width, found.height)
    return bool(found.num_color_channels == 1)


@cache
def _layout(gray: bool) -> bytes:
    """The body of the box of a baseline file with Annex K's Huffman tables and a quantisation table
    for each component: the same whatever the picture."""
    count = 1 if gray else 3
    block = np.zeros((1, 1, 64), np.int16)
    components = [Component(block, min(i, 1), 1, i) for i in range(count)]
    plain = write_jpeg(8, 8, components, [np.ones(64)] * count, jfif=False)
    box = boxes.find(jpegxl.load().jpeg_to_jxl(plain), b"jbrd")
    assert box is not None
    return box

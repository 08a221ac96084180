"""JPEG XL (ISO/IEC 18181), by libjxl through pyjpegxl: the extra ``jpegxl``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from comrec import picture as pictures
from comrec.codec import Codec, check_effort, check_quality
from comrec.errors import (
    MissingExtraError,
    UnsupportedPictureError,
)
from comrec.formats import boxes, jxl
from comrec.picture import DECODER_ERRORS, Metadata, Picture
from comrec.preparation import Kind, orientation
from comrec.preparation.colour import means_srgb

if TYPE_CHECKING:
    import pyjpegxl

_SPEEDS = (
    "Lightning", "Thunder", "Falcon", "Cheetah", "Hare", "Wombat", "Squirrel", "Kitten",
    "Tortoise", "Tortoise",
)  # fmt: skip
"""libjxl's efforts 1 to 9. pyjpegxl has no 10, which is for lossless files alone."""

COARSEST = 9.9
"""Of the Butteraugli distances. From 10 up libjxl 0.12 halves the picture: files get larger and
worse. (And above 15 pyjpegxl takes a distance for a percentage.)"""

_TIFF_HEADS = (b"II*\0", b"MM\0*")


class Jpegxl(Codec):
    """JPEG XL, lossy (VarDCT, XYB), or lossless.

    A file without metadata is a bare codestream, 4:4:4. The codestream says sRGB, so only ICC
    profiles that mean sRGB are carried; they lie in pyjpegxl's box ``prof``. libjxl is
    deterministic whatever the number of threads.

    Args:
        effort: cjxl's; 10 is 9.
        lossless: code the same pixels; quality then changes nothing.
    """

    id = "jpegxl"
    summary = "JPEG XL"
    extension = ".jxl"
    extra = "jpegxl"
    step = 0.1

    def __init__(self, effort: int = 7, lossless: bool = False) -> None:
        self.effort = check_effort(effort)
        self.lossless = lossless
        if lossless:
            self.step = math.inf

    def encode(self, picture: Picture, quality: float) -> bytes:
        check_quality(quality)
        library = _library()
        icc = picture.metadata.icc
        if icc is not None and not means_srgb(icc):
            raise UnsupportedPictureError(
                "jpegxl carries pictures in sRGB only: --metadata exif,xmp converts this one from "
                "its ICC profile; or use avif, heic or webp, which carry any profile"
            )
        stored = orientation.upright(picture)
        samples = stored.pixels
        if stored.alpha is not None:
            samples = np.dstack([samples, stored.alpha])
        exif = picture.metadata.exif
        try:
            data: bytes = library.encode_from_numpy(
                np.ascontiguousarray(samples),
                lossless=self.lossless,
                quality=distance(quality),
                speed=getattr(library.EncoderSpeed, _SPEEDS[self.effort - 1]),
                exif=None if exif is None else bytes(4) + exif,  # where the TIFF header begins
                xmp=picture.metadata.xmp,
                icc=icc,
            )
        except DECODER_ERRORS as error:
            raise UnsupportedPictureError(
                f"jpegxl cannot carry this picture of {picture.width}x{picture.height} or its "
                f"metadata ({error}): --metadata none leaves that out"
            ) from None
        return data

    def decode(self, data: bytes) -> Picture:
        found = _probe(data)
        if jxl.is_animated(data):
            raise UnsupportedPictureError(
                "input: an animation, of which pyjpegxl gives the last frame only; convert it first"
            )
        with pictures.decoding(data, "input"):
            _, samples = _library().decode_to_numpy(data, dtype="uint8")
        alpha = np.ascontiguousarray(samples[..., -1]) if found.has_alpha else None
        colour = samples[..., : found.num_color_channels]
        pixels = colour[..., 0] if found.num_color_channels == 1 else colour
        return orientation.turned_back(
            Picture(np.ascontiguousarray(pixels), alpha, _metadata(found))
        )

    def size(self, data: bytes) -> tuple[int, int]:
        found = _probe(data)
        return orientation.size_turned_back((found.width, found.height), _exif(found))

    def kind(self, data: bytes) -> Kind:
        return Kind(_probe(data).bits_per_sample)


def distance(quality: float) -> float:
    """The Butteraugli distance of a quality.

    From 30 up it is cjxl's (`JxlEncoderDistanceFromQuality`): 0.1 at 100, 1 at 90, 6.4 at 30.
    Below, it grows evenly to `COARSEST` at 0, where cjxl's would reach 25.
    """
    if quality >= 30:
        return 0.1 + 0.09 * (100 - quality)
    return 6.4 + (COARSEST - 6.4) * (30 - quality) / 30


def _library() -> Any:
    try:
        import pyjpegxl
    except ImportError:
        raise MissingExtraError("JPEG XL", "jpegxl") from None
    return pyjpegxl


def _probe(data: bytes) -> pyjpegxl.Metadata:
    """What the header says.

    Raises:
        UnknownFormatError, DamagedFileError, TooLargeError.
    """
    pictures.expect(data, Jpegxl.id)
    if not data.startswith(jxl.CODESTREAM):
        list(boxes.walk(data, complete=True))  # pyjpegxl takes memory for what boxes declare
    with pictures.decoding(data, "input"):
        header: pyjpegxl.Metadata = _library().probe(data)
        pictures.refuse_bomb(header.width, header.height)
    return header


def _metadata(found: pyjpegxl.Metadata) -> Metadata:
    icc = found.icc
    if icc is not None and icc[4:8] == b"jxl " and means_srgb(icc):
        icc = None  # made by libjxl, where the file only says "sRGB"
    return Metadata(_exif(found), icc, found.xmp)


def _exif(found: pyjpegxl.Metadata) -> bytes | None:
    """The EXIF block without the offset before it, which some writers forget."""
    exif = found.exif
    if exif is None or exif.startswith((*_TIFF_HEADS, pictures.EXIF_HEAD)):
        return exif
    return exif[4 + int.from_bytes(exif[:4], "big") :] or None

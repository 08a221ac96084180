"""JPEG XL (ISO/IEC 18181), by pyjpegxl (libjxl): extra ``jpegxl``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from comrec import pillow_io
from comrec.codec import Codec, check_quality, effort_option
from comrec.errors import (
    MissingExtraError,
    UnsupportedPictureError,
)
from comrec.formats import boxes, brob, cicp, detection, jxl
from comrec.formats.cicp import SRGB, Encoding
from comrec.formats.detection import Signature
from comrec.formats.mark import UUID
from comrec.options import option
from comrec.picture import EXIF_HEAD, Metadata, Picture
from comrec.pillow_io import DECODER_ERRORS
from comrec.preparation import encodings, orientation
from comrec.preparation.colour import means_srgb
from comrec.preparation.header import Header

if TYPE_CHECKING:
    import pyjpegxl

_SPEEDS = (
    "Lightning", "Thunder", "Falcon", "Cheetah", "Hare", "Wombat", "Squirrel", "Kitten",
    "Tortoise", "Tortoise",
)  # fmt: skip
"""libjxl's efforts 1 to 9; 10, which only affects lossless files, is missing in pyjpegxl."""

COARSEST = 9.9
"""Largest Butteraugli distance. From 10 up libjxl 0.12 downsamples the picture, and files get
larger and worse. Above 15 pyjpegxl interprets the distance as a percentage."""

_LIBJXL = b"jxl "
"""The preferred colour module of profiles that libjxl makes."""

_TIFF_HEADS = (b"II*\0", b"MM\0*")


@dataclass(frozen=True)
class Jpegxl(Codec):
    """JPEG XL, lossy (VarDCT, XYB), or lossless.

    A file without metadata is a bare codestream, 4:4:4. The codestream declares sRGB, so only ICC
    profiles equal to sRGB can be stored; they are in pyjpegxl's box ``prof``. The output of
    libjxl does not depend on the number of threads.

    Attributes:
        effort: 1..10, that of cjxl; 10 is the same as 9.
        lossless: lossless coding; quality then has no effect.
    """

    id = "jpegxl"
    summary = "JPEG XL"
    extension = ".jxl"
    extra = "jpegxl"
    signatures = (Signature(jxl.CODESTREAM), Signature(jxl.BOXES))
    modules = ("pyjpegxl",)
    packages = ("pyjpegxl",)
    bench_qualities = (0, 20, 36, 52, 66, 78, 87, 93)
    mark_overhead = 64

    effort: int = effort_option("1 (fast) to 10 (small); 10 equals 9")
    lossless: bool = option(False, "lossless coding; quality then has no effect")

    @property
    def quality_step(self) -> float | None:
        return None if self.lossless else 0.1

    def check(self, picture: Picture) -> None:
        super().check(picture)
        if picture.exact and not self.lossless and picture.alpha is not None:
            raise UnsupportedPictureError(
                "lossy jpegxl does not keep fully transparent colours: leave --exact out, or use "
                "jpegxl:lossless=true, or another codec"
            )

    def encode(self, picture: Picture, quality: float) -> bytes:
        check_quality(quality)
        self.check(picture)
        library = load()
        icc = picture.metadata.icc
        if icc is not None and not means_srgb(icc):
            raise UnsupportedPictureError(
                "jpegxl can store sRGB only: --metadata exif,xmp converts this picture from its "
                "ICC profile; or use avif, heic or webp, which can store any profile"
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
                exif=None if exif is None else bytes(4) + exif,  # offset of the TIFF header
                xmp=picture.metadata.xmp,
                icc=icc,
            )
        except DECODER_ERRORS as error:
            raise UnsupportedPictureError(
                f"jpegxl cannot store this picture of {picture.width}x{picture.height} or its "
                f"metadata ({error}): --metadata none leaves that out"
            ) from None
        return data

    def decode(self, data: bytes, *, partial: bool = False) -> Picture:
        data, found, notes = _open(data)
        if jxl.is_animated(data):
            raise UnsupportedPictureError(
                "input: an animation, of which pyjpegxl decodes only the last frame; "
                "convert it first"
            )
        with pillow_io.decoding(data, "input"):
            _, samples = load().decode_to_numpy(data, dtype="uint8")
            said = _encoding(found)
            deep = None
            if said.hdr is not None:
                _, every = load().decode_to_numpy(data, dtype="uint16")
                deep = _colours(every, found)
        alpha = np.ascontiguousarray(samples[..., -1]) if found.has_alpha else None
        pixels = np.ascontiguousarray(_colours(samples, found))
        picture = Picture(pixels, alpha, _metadata(found), notes=notes)
        return orientation.turned_back(encodings.applied(picture, said, deep))

    def metadata(self, data: bytes) -> tuple[Metadata, tuple[str, ...]]:
        """Those of a file, and notes on what is left out of them, without decoding it.

        Raises:
            InputError: the file cannot be used.
            MissingExtraError: pyjpegxl is not installed.
        """
        _, found, notes = _open(data)
        return _metadata(found), notes

    def header(self, data: bytes) -> Header:
        _, found, _ = _open(data)
        tag = orientation.orientation_of(_exif(found))
        width, height = orientation.size_turned_back((found.width, found.height), tag)
        channels = found.num_color_channels + found.has_alpha
        return Header(
            width,
            height,
            found.bits_per_sample,
            channels,
            orientation=tag,
            hdr=_encoding(found).hdr,
        )

    def with_mark(self, data: bytes, mark: bytes) -> bytes:
        return boxes.insert_uuid(jxl.in_boxes(data), UUID, mark, before=(b"jxlc", b"jxlp"))

    def mark_in(self, data: bytes) -> bytes | None:
        return None if data.startswith(jxl.CODESTREAM) else boxes.find_uuid(data, UUID)


def distance(quality: float) -> float:
    """The Butteraugli distance of a quality in 0..100.

    From 30 up it is that of cjxl (`JxlEncoderDistanceFromQuality`): 0.1 at 100, 1 at 90, 6.4 at
    30. Below, it increases linearly to `COARSEST` at 0, where cjxl has 25.
    """
    if quality >= 30:
        return 0.1 + 0.09 * (100 - quality)
    return 6.4 + (COARSEST - 6.4) * (30 - quality) / 30


def load() -> Any:
    """The library pyjpegxl.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyjpegxl
    except ImportError:
        raise MissingExtraError("JPEG XL", "jpegxl") from None
    return pyjpegxl


def _open(data: bytes) -> tuple[bytes, pyjpegxl.Metadata, tuple[str, ...]]:
    """The file as libjxl may have it, the fields of its header, and notes on what is left out.

    Raises:
        UnknownFormatError, DamagedFileError, TooLargeError.
    """
    detection.expect(data, Jpegxl.id)
    notes: tuple[str, ...] = ()
    if not data.startswith(jxl.CODESTREAM):
        data = jxl.without_tail(data)
        list(boxes.walk(data, complete=True))  # pyjpegxl allocates what boxes declare
        data, notes = brob.limited(data)
    with pillow_io.decoding(data, "input"):
        header: pyjpegxl.Metadata = load().probe(data)
        pillow_io.refuse_bomb(header.width, header.height)
    return data, header, notes


def _colours(samples: NDArray[Any], found: pyjpegxl.Metadata) -> NDArray[Any]:
    """(H, W) gray or (H, W, 3) colour, without alpha."""
    return samples[..., 0] if found.num_color_channels == 1 else samples[..., :3]


def _encoding(found: pyjpegxl.Metadata) -> Encoding:
    """PQ or HLG. libjxl makes a profile of all else that a file declares by other means."""
    icc = found.icc
    said = cicp.of_icc(icc) if icc is not None and icc[4:8] == _LIBJXL else None
    return SRGB if said is None or said.hdr is None else replace(said, outranks_icc=True)


def _metadata(found: pyjpegxl.Metadata) -> Metadata:
    icc = found.icc
    if icc is not None and icc[4:8] == _LIBJXL and means_srgb(icc):
        icc = None  # made by libjxl for a file that only declares sRGB
    return Metadata(_exif(found), icc, found.xmp)


def _exif(found: pyjpegxl.Metadata) -> bytes | None:
    """The EXIF block without the offset before it, which some encoders omit."""
    exif = found.exif
    if exif is None or exif.startswith((*_TIFF_HEADS, EXIF_HEAD)):
        return exif
    return exif[4 + int.from_bytes(exif[:4], "big") :] or None

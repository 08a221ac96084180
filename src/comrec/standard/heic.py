"""HEIC (ISO/IEC 23008-12 with HEVC), by pillow-heif (libheif, x265, libde265): extra ``heic``."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from comrec import pillow_io
from comrec.codec import Codec, check_quality, effort_option
from comrec.errors import (
    DamagedFileError,
    MissingExtraError,
    UnsupportedPictureError,
)
from comrec.formats import boxes, detection, items, sizes
from comrec.formats.detection import Brand
from comrec.formats.mark import UUID
from comrec.picture import Metadata, Picture
from comrec.pillow_io import DECODER_ERRORS
from comrec.preparation import encodings, orientation, sources
from comrec.preparation.header import Header
from comrec.preparation.policy import VIEWED
from comrec.standard import chroma
from comrec.standard.bpg import hevc
from comrec.standard.bpg.hevc import PRESETS
from comrec.standard.chroma import Subsampling, subsampling_option

if TYPE_CHECKING:
    import pillow_heif

_X265 = {
    # One thread without wavefronts, for the same bytes on every machine.
    "x265:pools": "none",
    "x265:frame-threads": "1",
    "x265:wpp": "0",
    # libheif uses smaller ones for narrow pictures, which HEVC forbids above level 4.
    "x265:ctu": "64",
}

_MOST = 142_606_336
"""Pixels that libheif lets x265 code."""


@dataclass(frozen=True)
class Heic(Codec):
    """HEIC: one HEVC intra picture, 8 bits, BT.601, 4:0:0 for gray.

    Quality is that of libheif: x265 with CRF (100 - quality) / 2, rounded down. Gray with alpha
    is decoded as RGB.

    Attributes:
        effort: 1..10, x265's presets from "ultrafast" to "placebo"; 7 is "slow".
        subsampling: chroma subsampling, "4:2:0", "4:4:4", or "auto": the better one (`chroma`). Not
            the default, because viewers exist that show 4:4:4 wrongly or not at all.
    """

    id = "heic"
    summary = "HEIC (HEVC intra)"
    extension = ".heic"
    aliases = (".heif",)
    signatures = tuple(Brand(name) for name in (b"heic", b"heix", b"heim", b"heis"))
    extra = "heic"
    modules = ("pillow_heif",)
    packages = ("pillow-heif",)
    quality_step = 2.0
    bench_qualities = (8, 16, 24, 31, 39, 47, 56, 66)
    mark_overhead = 24

    effort: int = effort_option()
    subsampling: Subsampling = subsampling_option("4:2:0")

    def check(self, picture: Picture) -> None:
        super().check(picture)
        if picture.width * picture.height > _MOST:
            raise UnsupportedPictureError(
                f"heic can store at most {_MOST:,} pixels, HEVC's level 7.2; this picture is "
                f"{picture.width}x{picture.height}"
            )

    def encode(self, picture: Picture, quality: float) -> bytes:
        check_quality(quality)
        self.check(picture)
        library = _library()
        stored = orientation.upright(picture)
        mode, samples = ("L" if stored.is_gray else "RGB"), stored.pixels
        if stored.alpha is not None:
            mode, samples = mode + "A", np.dstack([samples, stored.alpha])
        options: dict[str, Any] = {
            "quality": round(quality),
            "subsampling": chroma.Sample(stored).chosen(
                self.subsampling, hevc.step((100 - quality) / 2)
            ),
            "enc_params": {"preset": PRESETS[self.effort - 1], **_X265},
            "metadata": _items(picture.metadata),
        }
        if picture.metadata.icc is not None:
            options["icc_profile"] = picture.metadata.icc
        buffer = io.BytesIO()
        try:
            library.encode(
                mode, (stored.width, stored.height), samples.tobytes(), buffer, **options
            )
        except DECODER_ERRORS as error:
            raise UnsupportedPictureError(
                f"heic cannot store this picture of {picture.width}x{picture.height} or its "
                f"metadata ({error}): --metadata none leaves that out"
            ) from None
        return buffer.getvalue()

    def decode(self, data: bytes, *, partial: bool = False) -> Picture:
        file = _open(data)
        stated = file.size
        said = encodings.of_nclx(file.info)
        with pillow_io.decoding(data, "input"):
            image = file.to_pillow()
            if image.size != stated:  # libheif takes the size that it finds
                raise DamagedFileError(
                    f"input: damaged: its header says {stated[0]}x{stated[1]}, but the coded "
                    f"picture is {image.width}x{image.height}"
                )
            image.info.pop("nclx_profile", None)
            decoded = sources.from_image(image, VIEWED)
            deep = None if said.hdr is None else _all_bits(data, decoded.is_gray)
        coloured = encodings.applied(replace(decoded, metadata=_metadata(file)), said, deep)
        return orientation.turned_back(coloured)

    def header(self, data: bytes) -> Header:
        file = _open(data)
        tag = orientation.orientation_of(_metadata(file).exif)
        width, height = orientation.size_turned_back(file.size, tag)
        channels = (1 if file.mode.startswith("L") else 3) + file.has_alpha
        return Header(
            width,
            height,
            file.info["bit_depth"],
            channels,
            len(file),
            tag,
            hdr=encodings.of_nclx(file.info).hdr,
        )

    def with_mark(self, data: bytes, mark: bytes) -> bytes:
        # At the end, because the offsets of the item location box count from the start of the file.
        return data + boxes.pack_uuid(UUID, mark)

    def mark_in(self, data: bytes) -> bytes | None:
        return boxes.find_uuid(data, UUID)


def _library() -> Any:
    try:
        import pillow_heif
    except ImportError:
        raise MissingExtraError("HEIC", "heic") from None
    return pillow_heif


def _items(metadata: Metadata) -> list[dict[str, Any]]:
    """EXIF and XMP as items of the file.

    With the arguments ``exif`` and ``xmp``, pillow-heif would also rotate the picture.
    """
    found = []
    if metadata.exif is not None:  # preceded by the offset of its TIFF header
        found.append({"type": "Exif", "content_type": "", "data": bytes(4) + metadata.exif})
    if metadata.xmp is not None:
        kind = "application/rdf+xml"
        found.append({"type": "mime", "content_type": kind, "data": metadata.xmp})
    return found


def _open(data: bytes) -> pillow_heif.HeifFile:
    """The file, its primary picture not yet decoded.

    Raises:
        UnknownFormatError, DamagedFileError, TooLargeError.
    """
    detection.expect(data, Heic.id)
    library = _library()
    items.check_size(data)
    sizes.check(Heic.id, data)
    with pillow_io.decoding(data, "input"):
        file: pillow_heif.HeifFile = library.open_heif(data)
        pillow_io.refuse_bomb(*file.size)
    return file


def _all_bits(data: bytes, gray: bool) -> NDArray[np.uint8 | np.uint16]:
    """Gray, (H, W), or colour, (H, W, 3), of the picture; 16 bits of deeper than 8."""
    file = _library().open_heif(data, convert_hdr_to_8bit=False)
    samples = np.asarray(file)
    if samples.dtype == np.uint16:  # shifted to the top; repeated below, white is 65535
        samples = samples | samples >> file.info["bit_depth"]
    return samples[..., 0] if gray and samples.ndim == 3 else samples[..., : 1 if gray else 3]


def _metadata(file: pillow_heif.HeifFile) -> Metadata:
    info = file.info
    return Metadata(info["exif"], info.get("icc_profile"), info.get("xmp"))

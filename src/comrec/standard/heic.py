"""HEIC (ISO/IEC 23008-12 with HEVC), by libheif, x265 and libde265 through pillow-heif: the
extra ``heic``."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from comrec import picture as pictures
from comrec import preparation
from comrec.codec import Codec, check_effort, check_quality
from comrec.errors import (
    MissingExtraError,
    OptionError,
    UnsupportedPictureError,
)
from comrec.picture import DECODER_ERRORS, Metadata, Picture
from comrec.preparation import VIEWED, Kind, orientation
from comrec.standard.bpg.hevc import PRESETS
from comrec.standard.jpeg import Subsampling

if TYPE_CHECKING:
    import pillow_heif

_X265 = {
    # One thread without wavefronts: the same bytes on every machine.
    "x265:pools": "none",
    "x265:frame-threads": "1",
    "x265:wpp": "0",
    # For narrow pictures libheif takes smaller ones, which HEVC forbids beyond level 4.
    "x265:ctu": "64",
}


class Heic(Codec):
    """HEIC: one HEVC intra picture, 8 bits, BT.601, 4:0:0 for gray.

    Quality is libheif's: x265 at a constant rate factor of (100 - quality) / 2, rounded down.
    Gray with transparency comes back as RGB.

    Args:
        effort: x265's presets, "ultrafast" to "placebo"; 7 is "slow".
        subsampling: of chroma.
    """

    id = "heic"
    summary = "HEIC (HEVC intra), 4:2:0"
    extension = ".heic"
    extra = "heic"
    step = 2.0

    def __init__(self, effort: int = 7, subsampling: Subsampling = "4:2:0") -> None:
        self.effort = check_effort(effort)
        if subsampling not in ("4:2:0", "4:4:4"):
            raise OptionError(f"subsampling must be 4:2:0 or 4:4:4, not {subsampling}")
        self.subsampling = subsampling

    def encode(self, picture: Picture, quality: float) -> bytes:
        check_quality(quality)
        library = _library()
        stored = orientation.upright(picture)
        mode, samples = ("L" if stored.is_gray else "RGB"), stored.pixels
        if stored.alpha is not None:
            mode, samples = mode + "A", np.dstack([samples, stored.alpha])
        options: dict[str, Any] = {
            "quality": round(quality),
            "subsampling": self.subsampling,
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
                f"heic cannot carry this picture of {picture.width}x{picture.height} or its "
                f"metadata ({error}): --metadata none leaves that out"
            ) from None
        return buffer.getvalue()

    def decode(self, data: bytes) -> Picture:
        file = _open(data)
        with pictures.decoding(data, "input"):
            decoded = preparation.of_image(file.to_pillow(), VIEWED)
        return orientation.turned_back(replace(decoded, metadata=_metadata(file)))

    def size(self, data: bytes) -> tuple[int, int]:
        file = _open(data)
        return orientation.size_turned_back(file.size, _metadata(file).exif)

    def kind(self, data: bytes) -> Kind:
        file = _open(data)
        return Kind(file.info["bit_depth"], len(file))


def _library() -> Any:
    try:
        import pillow_heif
    except ImportError:
        raise MissingExtraError("HEIC", "heic") from None
    return pillow_heif


def _items(metadata: Metadata) -> list[dict[str, Any]]:
    """EXIF and XMP as items of the file.

    Given as ``exif`` and ``xmp``, pillow-heif would also turn the picture by what they say.
    """
    items = []
    if metadata.exif is not None:  # after the offset of its TIFF header
        items.append({"type": "Exif", "content_type": "", "data": bytes(4) + metadata.exif})
    if metadata.xmp is not None:
        kind = "application/rdf+xml"
        items.append({"type": "mime", "content_type": kind, "data": metadata.xmp})
    return items


def _open(data: bytes) -> pillow_heif.HeifFile:
    """The file, its primary picture not yet decoded.

    Raises:
        UnknownFormatError, DamagedFileError, TooLargeError.
    """
    pictures.expect(data, Heic.id)
    library = _library()
    with pictures.decoding(data, "input"):
        file: pillow_heif.HeifFile = library.open_heif(data)
        pictures.refuse_bomb(*file.size)
    return file


def _metadata(file: pillow_heif.HeifFile) -> Metadata:
    info = file.info
    return Metadata(info["exif"], info.get("icc_profile"), info.get("xmp"))

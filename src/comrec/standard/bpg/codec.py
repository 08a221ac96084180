"""The codec: pictures to BPG files and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from comrec.codec import Codec, check_effort, check_quality
from comrec.errors import OptionError
from comrec.picture import Metadata, Picture
from comrec.preparation import Kind
from comrec.standard.bpg import colour, container, hevc
from comrec.standard.bpg.colour import Plane
from comrec.standard.bpg.container import (
    EXIF,
    ICC,
    XMP,
    Alpha,
    BpgFile,
    ColourSpace,
    Header,
    PixelFormat,
    Stream,
)

Subsampling = Literal["4:2:0", "4:2:2", "4:4:4"]

_FORMATS = {
    "4:2:0": PixelFormat.YUV420,
    "4:2:2": PixelFormat.YUV422,
    "4:4:4": PixelFormat.YUV444,
}


class Bpg(Codec):
    """BPG: one HEVC intra picture in a small header, by x265 and FFmpeg.

    Colour is BT.601 full range. Gray is 4:0:0, alpha a second 4:0:0 picture. Quality is the QP,
    see `quantiser`; 100 is QP 0, near lossless.

    Args:
        effort: 1 to 10, x265's presets from ultrafast to placebo.
        subsampling: of chroma.
        bit_depth: that HEVC works at, 8, 10 or 12; pictures have 8 bits before and after.
        chroma_offset: added to the QP of chroma, -12 (finer) to 12.
        lossless: store GBR 4:4:4 without loss; quality, subsampling and offset are then ignored.
    Raises:
        OptionError: an option out of range.
    """

    id = "bpg"
    summary = "BPG (HEVC intra), 4:2:0"
    extension = ".bpg"
    extra = "bpg"
    step = 100 / 51  # one QP

    def __init__(
        self,
        effort: int = 7,
        subsampling: Subsampling = "4:2:0",
        bit_depth: int = 8,
        chroma_offset: int = 0,
        lossless: bool = False,
    ) -> None:
        if subsampling not in _FORMATS:
            raise OptionError(f"subsampling must be {', '.join(_FORMATS)}, not {subsampling}")
        if bit_depth not in (8, 10, 12):
            raise OptionError(f"bit_depth must be 8, 10 or 12, not {bit_depth}")
        if chroma_offset not in range(-12, 13):
            raise OptionError(f"chroma_offset must be in -12..12, not {chroma_offset}")
        self.effort = check_effort(effort)
        self.subsampling = subsampling
        self.bit_depth = bit_depth
        self.chroma_offset = chroma_offset
        self.lossless = lossless
        if lossless:
            self.step = math.inf

    def encode(self, picture: Picture, quality: float) -> bytes:
        """The file of a picture.

        Raises:
            MissingExtraError: PyAV is not installed.
        """
        check_quality(quality)
        depth = self.bit_depth
        layout, space = _FORMATS[self.subsampling], ColourSpace.BT601
        if picture.is_gray:
            layout, planes = PixelFormat.GRAY, [colour.deepen(picture.pixels, depth)]
        elif self.lossless:
            layout, space = PixelFormat.YUV444, ColourSpace.GBR
            planes = colour.gbr_planes(picture.pixels, depth)
        else:
            planes = colour.ycc_planes(picture.pixels, layout.chroma_format, depth)
        front = self._stream(planes, layout.chroma_format, quality)
        behind = None
        if picture.alpha is not None:
            behind = self._stream([colour.deepen(picture.alpha, depth)], 0, quality)
        header = Header(
            layout,
            space,
            Alpha.NONE if behind is None else Alpha.STRAIGHT,
            depth,
            False,
            False,
            picture.width,
            picture.height,
        )
        body = container.pack_streams(front, behind)
        return BpgFile(header, _extensions(picture.metadata), body).pack()

    def _stream(self, planes: Sequence[Plane], chroma_format: int, quality: float) -> Stream:
        return hevc.encode(
            planes,
            chroma_format,
            self.bit_depth,
            effort=self.effort,
            quantiser=None if self.lossless else quantiser(quality),
            chroma_offset=self.chroma_offset,
        )

    def decode(self, data: bytes) -> Picture:
        """The picture of a file, of an animation the first, with 8 bits a sample.

        Raises:
            InputError: the file cannot be used.
            UnsupportedPictureError: of a kind that FFmpeg does not decode.
            MissingExtraError: PyAV is not installed.
        """
        file = container.parse(data)
        header = file.header
        front, behind = container.streams(file)
        width, height, depth = header.width, header.height, header.bit_depth
        planes = hevc.decode(front, width, height, header.pixel_format.chroma_format, depth)
        pixels = colour.pixels(header, planes)
        alpha = None
        if behind is not None:
            (plane,) = hevc.decode(behind, width, height, 0, depth)
            if header.alpha is Alpha.WHITE:
                pixels = colour.darkened(pixels, plane, depth)
            else:
                alpha = colour.flatten(plane, depth)
                if header.alpha is Alpha.PREMULTIPLIED:
                    pixels = colour.divided(pixels, alpha)
        return Picture(pixels, alpha, _metadata(file))

    def size(self, data: bytes) -> tuple[int, int]:
        return container.size(data)

    def kind(self, data: bytes) -> Kind:
        header = container.parse(data).header
        frames = 2 if header.animation else 1
        # The bit depth is no loss: encoders work with more bits than their sources have.
        return Kind(8, frames, "CMYK" if header.alpha is Alpha.WHITE else "RGB")


def quantiser(quality: float) -> int:
    """HEVC's QP, 0..51, for a quality: 51 at 0, one less for about every two, 0 at 100."""
    return round(51 * (100 - quality) / 100)


def _extensions(metadata: Metadata) -> tuple[tuple[int, bytes], ...]:
    blocks = ((EXIF, metadata.exif), (ICC, metadata.icc), (XMP, metadata.xmp))
    return tuple((tag, payload) for tag, payload in blocks if payload is not None)


def _metadata(file: BpgFile) -> Metadata:
    exif = file.extension(EXIF)
    if exif is not None:
        exif = exif.lstrip(b"\0")  # bpgenc leaves the last byte of "Exif\0\0" in front
    return Metadata(exif, file.extension(ICC), file.extension(XMP))

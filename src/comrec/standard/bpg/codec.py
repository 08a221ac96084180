"""The BPG codec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from comrec import preparation
from comrec.codec import Codec, check_quality, effort_option
from comrec.formats.detection import Signature
from comrec.options import option
from comrec.picture import Metadata, Picture
from comrec.preparation import orientation
from comrec.standard import chroma
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
from comrec.standard.chroma import subsampling_option

Subsampling = Literal["auto", "4:2:0", "4:2:2", "4:4:4"]

_MARK = 0x636D5243  # "cmRC": BPG's own tags are small numbers, and readers skip unknown tags

_FORMATS = {
    "4:2:0": PixelFormat.YUV420,
    "4:2:2": PixelFormat.YUV422,
    "4:4:4": PixelFormat.YUV444,
}


@dataclass(frozen=True)
class Bpg(Codec):
    """BPG: one HEVC intra picture with a small header, by x265 and FFmpeg.

    Colour is BT.601 full range. Gray is 4:0:0, alpha a second 4:0:0 picture. Quality maps to the
    QP (see `quantiser`); 100 is QP 0, near-lossless.

    Attributes:
        effort: 1..10, x265's presets from "ultrafast" to "placebo".
        subsampling: chroma subsampling, "4:2:0", "4:2:2", "4:4:4", or "auto": the better of the
            first and the last (`chroma`).
        bit_depth: internal bit depth of HEVC, 8, 10 or 12; pictures always have 8 bits.
        chroma_offset: added to the QP of chroma, -12 (finer) to 12.
        lossless: lossless GBR 4:4:4; quality, subsampling and offset then have no effect.
    Raises:
        OptionError: an option is out of range.
    """

    id = "bpg"
    summary = "BPG (HEVC intra)"
    extension = ".bpg"
    extra = "bpg"
    signatures = (Signature(container.MAGIC),)
    modules = ("av",)
    packages = ("av",)
    bench_qualities = (13, 20, 28, 36, 44, 52, 60, 68)
    mark_overhead = 7

    effort: int = effort_option()
    subsampling: Subsampling = subsampling_option("auto", "4:2:2")
    bit_depth: int = option(8, "internal bit depth; pictures always have 8 bits", (8, 10, 12))
    chroma_offset: int = option(0, "added to the QP of chroma; below 0 is finer", range(-12, 13))
    lossless: bool = option(False, "lossless coding; quality then has no effect")

    @property
    def quality_step(self) -> float | None:
        return None if self.lossless else 100 / 51  # one QP

    def encode(self, picture: Picture, quality: float) -> bytes:
        """Encode a picture at a quality in 0..100.

        Raises:
            UnsupportedPictureError: the picture cannot be stored.
            MissingExtraError: PyAV is not installed.
        """
        quality = check_quality(quality)
        self.check(picture)
        depth = self.bit_depth
        space = ColourSpace.BT601
        if picture.is_gray:
            layout, planes = PixelFormat.GRAY, [colour.deepen(picture.pixels, depth)]
        elif self.lossless:
            layout, space = PixelFormat.YUV444, ColourSpace.GBR
            planes = colour.gbr_planes(picture.pixels, depth)
        else:
            step = hevc.step(quantiser(quality))
            layout = _FORMATS[chroma.Sample(picture).chosen(self.subsampling, step)]
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

    def decode(self, data: bytes, *, partial: bool = False) -> Picture:
        """Decode a file to 8 bits per sample; of an animation, the first frame.

        Raises:
            InputError: the file cannot be decoded.
            UnsupportedPictureError: FFmpeg does not decode this kind.
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

    def header(self, data: bytes) -> preparation.Header:
        file = container.parse(data)
        header = file.header
        # The bit depth is not a loss: encoders use more bits than their sources have.
        return preparation.Header(
            header.width,
            header.height,
            channels=(1 if header.pixel_format is PixelFormat.GRAY else 3)
            + (header.alpha in (Alpha.STRAIGHT, Alpha.PREMULTIPLIED)),
            frames=2 if header.animation else 1,
            orientation=orientation.orientation_of(_metadata(file).exif),
            mode="CMYK" if header.alpha is Alpha.WHITE else "RGB",
        )

    def with_mark(self, data: bytes, mark: bytes) -> bytes:
        return container.with_extension(data, _MARK, mark)

    def mark_in(self, data: bytes) -> bytes | None:
        return container.extension(data, _MARK)


def quantiser(quality: float) -> int:
    """The QP of HEVC, 0..51, for a quality: 51 at 0, linear to 0 at 100, rounded."""
    return round(51 * (100 - quality) / 100)


def _extensions(metadata: Metadata) -> tuple[tuple[int, bytes], ...]:
    blocks = ((EXIF, metadata.exif), (ICC, metadata.icc), (XMP, metadata.xmp))
    return tuple((tag, payload) for tag, payload in blocks if payload is not None)


def _metadata(file: BpgFile) -> Metadata:
    exif = file.extension(EXIF)
    if exif is not None:
        exif = exif.lstrip(b"\0")  # bpgenc keeps the last byte of "Exif\0\0"
    return Metadata(exif, file.extension(ICC), file.extension(XMP))

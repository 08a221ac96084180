"""Pictures as people have them, made into `Picture`s: 8-bit gray or RGB, perhaps with alpha.

    file ── frame ── 8 bits ── gray or RGB ── sRGB ── background ── metadata ──► Picture

What a `Picture`, or the codec that gets it, cannot carry is refused in one sentence, which
names the option that says what to do with it. Nothing is dropped silently. The table of all
kinds is in docs/pictures.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor
from PIL.ImageFile import ImageFile

from comrec import picture as pictures
from comrec.errors import DamagedFileError, OptionError, UnsupportedPictureError
from comrec.formats import jp2
from comrec.picture import DECODER_ERRORS, Metadata, Picture, Pixels
from comrec.preparation import colour, depth, orientation

METADATA = ("exif", "icc", "xmp")
"""What `Preparation.metadata` may list."""


@dataclass(frozen=True)
class Preparation:
    """What to do with what cannot be carried; None refuses it.

    Attributes:
        background: a colour that Pillow knows, such as "white" or "#ff8000": transparent
            pictures are laid over it.
        depth: 8 rounds deeper samples to 8 bits.
        colorspace: "srgb" converts CMYK, Lab and HSV, by the ICC profile where there is one.
        frame: which one of an animation, or page of a document, is taken; 0 is the first.
        metadata: "all", "none", or some of exif, icc and xmp, comma-separated. Without exif the
            pixels are turned upright, without icc converted to sRGB: the picture looks the same.
    """

    background: str | None = None
    depth: int | None = None
    colorspace: str | None = None
    frame: int | None = None
    metadata: str = "all"

    def __post_init__(self) -> None:
        """Raises OptionError: a value is none of those above."""
        if self.depth not in (None, 8):
            raise OptionError(f"depth must be 8, not {self.depth}")
        if self.colorspace not in (None, "srgb"):
            raise OptionError(f"colorspace must be srgb, not {self.colorspace}")
        if self.frame is not None and self.frame < 0:
            raise OptionError(f"frame must be 0 or more, not {self.frame}")
        for kind in self.kept:
            if kind not in METADATA:
                raise OptionError(
                    f"metadata must be all, none or some of {','.join(METADATA)}, not {kind}"
                )
        if self.background is not None:
            _rgb(self.background)

    @cached_property
    def kept(self) -> frozenset[str]:
        """The kinds of metadata that are kept."""
        if self.metadata in ("all", "none"):
            return frozenset(METADATA if self.metadata == "all" else ())
        return frozenset(kind.strip() for kind in self.metadata.split(","))


STRICT = Preparation()
"""Refuses what cannot be carried."""

VIEWED = Preparation(depth=8, colorspace="srgb", frame=0)
"""What viewers do, and our decoders with strangers' files."""

_CONVERTED = ("CMYK", "LAB", "HSV")
_ONE_PICTURE = ("MPO", "PSD")
"""Formats whose further frames belong to the first: previews, gain maps, layers."""

_ORIENTATION_IN_XMP = re.compile(
    rb'\s*tiff:Orientation="\d"|\s*<tiff:Orientation>\d</tiff:Orientation>'
)


def read(source: bytes | Path, name: str | None = None, how: Preparation = STRICT) -> Picture:
    """The picture of any file that Pillow reads, prepared.

    Args:
        source: the file's bytes or its path.
        name: what to call it in errors; the path by default.
    Raises:
        UnknownFormatError, DamagedFileError, TooLargeError.
        UnsupportedPictureError: something cannot be carried, and ``how`` does not allow for it.
    """
    return finish(view(source, name, how), how)


def view(source: bytes | Path, name: str | None = None, how: Preparation = VIEWED) -> Picture:
    """The picture of any file that Pillow reads, with all alpha and metadata.

    Args, Raises: as `read`.
    """
    label = name or (str(source) if isinstance(source, Path) else "input")
    data = source if isinstance(source, bytes) else source.read_bytes()
    with pictures.decoding(data, label):
        try:
            return _of_file(pictures.pillow_open(data), data, how)
        except UnsupportedPictureError as error:
            raise error.naming(label) from None


def of_image(image: Image.Image, how: Preparation = STRICT) -> Picture:
    """The picture of a Pillow image, prepared; of several frames, it is left at the chosen one.

    Raises:
        UnsupportedPictureError: something cannot be carried, and ``how`` does not allow for it.
        DamagedFileError: it was opened from a file that cannot be decoded.
    """
    try:
        deep = image.mode.startswith("I;16")
        allow(Kind(16 if deep else 8, _frames(image), image.mode), how)
        image.seek(how.frame or 0)
        image.load()
    except DECODER_ERRORS as error:
        raise DamagedFileError(f"the image is damaged or cut short ({error})") from None
    eight = depth.rounded_gray(image) if deep else image
    return finish(_of_eight_bits(eight, pictures.metadata_of(image)), how)


def finish(picture: Picture, how: Preparation) -> Picture:
    """The picture laid over the background, with the metadata that is kept."""
    if "icc" not in how.kept:  # first: colours of backgrounds are sRGB's
        picture = colour.to_srgb(picture)
    return with_metadata(_laid_over(picture, how.background), how)


def with_metadata(picture: Picture, how: Preparation) -> Picture:
    """The picture with the metadata that is kept; what the rest said is done to its pixels."""
    if "icc" not in how.kept:
        picture = colour.to_srgb(picture)
    if "exif" not in how.kept:
        picture = _upright(picture)
    found = picture.metadata
    kept = {kind: getattr(found, kind) for kind in how.kept}
    return replace(picture, metadata=Metadata(**kept))


@dataclass(frozen=True)
class Kind:
    """What a file's header says of its picture.

    Attributes:
        bits: a sample.
        frames: of an animation, or pages of a document; 2 where several are not counted.
        mode: the colour model, as Pillow names it.
    """

    bits: int = 8
    frames: int = 1
    mode: str = "RGB"


@dataclass(frozen=True)
class Loss:
    """Something of a source that a `Picture` cannot hold.

    Attributes:
        option: of `Preparation`, that allows for it.
        refusal: what is said without the option.
        done: what is done with it.
    """

    option: str
    refusal: str
    done: str


def losses(kind: Kind) -> Iterator[Loss]:
    """What of a picture of this kind a `Picture` cannot hold."""
    if kind.frames > 1:
        yield Loss(
            "frame",
            "comrec takes one picture, not several frames or pages: --frame 0 takes the first",
            "the first of several frames or pages is taken",
        )
    if kind.bits > 8:
        yield Loss(
            "depth",
            f"comrec takes 8 bits a sample, not {kind.bits}: --depth 8 rounds them",
            f"{kind.bits} bits a sample are rounded to 8",
        )
    if kind.mode in _CONVERTED:
        yield Loss(
            "colorspace",
            f"comrec takes gray and RGB, not {kind.mode}: --colorspace srgb converts it",
            f"{kind.mode} is converted to sRGB",
        )


def allow(kind: Kind, how: Preparation) -> None:
    """Check that a picture of this kind can be carried, or that ``how`` says what to do.

    Raises:
        UnsupportedPictureError: naming the option that does; or there is no such frame.
    """
    if how.frame is not None and how.frame >= kind.frames:
        raise UnsupportedPictureError(f"there is no frame {how.frame}, only 0..{kind.frames - 1}")
    for loss in losses(kind):
        if getattr(how, loss.option) is None:
            raise UnsupportedPictureError(loss.refusal)


def kind_of(data: bytes) -> Kind:
    """What the header of a file says that Pillow reads.

    Raises:
        UnknownFormatError, DamagedFileError, TooLargeError.
    """
    with pictures.decoding(data, "input"):
        image = pictures.pillow_open(data)
        return Kind(depth.bits(image, data), _frames(image), image.mode)


def _frames(image: Image.Image) -> int:
    return 1 if image.format in _ONE_PICTURE else getattr(image, "n_frames", 1)


def _of_file(image: ImageFile, data: bytes, how: Preparation) -> Picture:
    bits = depth.bits(image, data)
    allow(Kind(bits, _frames(image), image.mode), how)
    image.seek(how.frame or 0)
    if image.format == "PNG":
        _scale_key(image)
    eight = depth.rounded(image, data) if bits > 8 else image
    image.load()
    found = jp2.metadata_of(data) if image.format == "JPEG2000" else pictures.metadata_of(image)
    return _of_eight_bits(eight, found)


def _scale_key(image: ImageFile) -> None:
    """Pillow widens PNG's samples of 2 and 4 bits to 8, but not the transparent one."""
    for bits in (2, 4):
        if image.tile[0].args == f"L;{bits}" and "transparency" in image.info:
            image.info["transparency"] *= 255 // ((1 << bits) - 1)


def _of_eight_bits(image: Image.Image, metadata: Metadata) -> Picture:
    if image.mode in _CONVERTED:
        image = colour.to_rgb(image, metadata.icc)
        metadata = replace(metadata, icc=None)
    return replace(pictures.from_pil(image), metadata=metadata)


def _rgb(background: str) -> tuple[int, ...]:
    """The samples of a colour's name.

    Raises:
        OptionError: it is none, or not opaque.
    """
    try:
        *rgb, alpha = ImageColor.getcolor(background, "RGBA")  # type: ignore[misc]
    except ValueError:
        raise OptionError(
            f"{background!r} is not a colour; use a name such as white, or #rrggbb"
        ) from None
    if alpha < 255:
        raise OptionError(f"the background must be opaque, and {background!r} is not")
    return tuple(rgb)


def _laid_over(picture: Picture, background: str | None) -> Picture:
    """The picture without alpha where that says nothing, or over a background."""
    if picture.alpha is None or (background is None and picture.alpha.min() < 255):
        return picture
    if background is None or picture.alpha.min() == 255:
        return replace(picture, alpha=None)
    below = np.array(_rgb(background), np.uint16)
    if picture.is_gray and len(set(below)) > 1:  # it becomes RGB; a gray profile would not fit
        picture = colour.to_srgb(picture)
        picture = picture.with_pixels(picture.rgb)
    alpha = np.asarray(picture.alpha, np.uint16)[..., None]
    channels = 1 if picture.is_gray else 3
    above = picture.pixels.reshape(*alpha.shape[:2], channels)
    mixed = (above * alpha + below[:channels] * (255 - alpha) + 127) // 255
    pixels: Pixels = mixed.astype(np.uint8).reshape(picture.pixels.shape)
    return Picture(pixels, None, picture.metadata)


def _upright(picture: Picture) -> Picture:
    """The picture turned as its EXIF orientation says; XMP does not repeat it any more."""
    metadata = picture.metadata
    if metadata.exif is not None and metadata.xmp is not None:
        metadata = replace(metadata, xmp=_ORIENTATION_IN_XMP.sub(b"", metadata.xmp))
    return replace(orientation.upright(picture), metadata=metadata)

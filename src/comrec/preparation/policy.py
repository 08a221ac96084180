"""Options for pictures that a `Picture` or its codec cannot store."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from PIL import ImageColor

from comrec import options
from comrec.errors import OptionError, UnsupportedPictureError
from comrec.options import Option, option
from comrec.preparation.header import Header

METADATA = ("exif", "icc", "xmp")
"""The kinds of metadata that `Preparation.metadata` may list."""


@dataclass(frozen=True)
class Preparation:
    """Conversions of pictures that cannot be stored as they are; None refuses them.

    Attributes:
        background: a colour by Pillow's name or "#rrggbb"; transparent pictures are composited
            over it.
        depth: 8 rounds deeper samples to 8 bits.
        colorspace: "srgb" converts CMYK, Lab and HSV, by the ICC profile if there is one, and
            tone maps PQ and HLG.
        frame: index of the frame of an animation, or of the page of a document, from 0.
        metadata: the metadata to keep: "all", "none", or a comma-separated list of exif, icc and
            xmp. Without exif the pixels are rotated upright, without icc they are converted to
            sRGB, so that the picture looks the same.
        exact: keep the samples where alpha is 0. Otherwise they are replaced, before a lossy codec,
            by ones that cost few bytes (see `hidden`).
    """

    background: str | None = option(
        None, "colour behind transparent pictures: white, #ff8000", type=str
    )
    depth: int | None = option(None, "round deeper samples to 8 bits", (8,), type=int)
    colorspace: str | None = option(
        None, "convert CMYK, Lab, HSV, PQ and HLG to sRGB", ("srgb",), type=str
    )
    frame: int | None = option(None, "index of the frame or page to take, from 0", type=int)
    metadata: str = option("all", "metadata to keep: all (default), none, or some of exif,icc,xmp")
    exact: bool = option(False, "keep colours that are fully transparent, also in lossy codecs")

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            OptionError: a value is not allowed.
        """
        options.check(self)
        if self.frame is not None and self.frame < 0:
            raise OptionError(f"frame must be 0 or more, not {self.frame}")
        for kind in self.kept:
            if kind not in METADATA:
                raise OptionError(
                    f"metadata must be all, none or some of {','.join(METADATA)}, not {kind}"
                )
        if self.background is not None:
            rgb_of(self.background)

    @property
    def options(self) -> tuple[Option, ...]:
        """All options of this class."""
        return options.options_of(self)

    @cached_property
    def kept(self) -> frozenset[str]:
        """The kinds of metadata that are kept."""
        if self.metadata in ("all", "none"):
            return frozenset(METADATA if self.metadata == "all" else ())
        return frozenset(kind.strip() for kind in self.metadata.split(","))


STRICT = Preparation()
"""Refuses what cannot be stored."""

VIEWED = Preparation(depth=8, colorspace="srgb", frame=0)
"""Converts as viewers do; used by decoders for third-party files."""


def allow(header: Header, how: Preparation) -> None:
    """Check that a picture with this header can be stored, or that ``how`` converts it.

    Raises:
        UnsupportedPictureError: an option, which the message names, is needed; or there is no
            such frame.
    """
    if how.frame is not None and how.frame >= header.frames:
        raise UnsupportedPictureError(f"there is no frame {how.frame}, only 0..{header.frames - 1}")
    for loss in header.losses:
        if getattr(how, loss.option) is None:
            raise UnsupportedPictureError(loss.refusal)


def rgb_of(background: str) -> tuple[int, ...]:
    """The (R, G, B) of a colour, 0..255 each.

    Raises:
        OptionError: not a colour, or not opaque.
    """
    try:
        *rgb, alpha = ImageColor.getcolor(background, "RGBA")  # type: ignore[misc]
        if max(rgb) > 255:
            raise ValueError
    except ValueError:
        raise OptionError(
            f"{background!r} is not a colour; use a name such as white, or #rrggbb"
        ) from None
    if alpha < 255:
        raise OptionError(f"the background must be opaque, and {background!r} is not")
    return tuple(rgb)

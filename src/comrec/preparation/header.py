"""Properties of a picture from its file header, and which of them a `Picture` cannot hold."""

from __future__ import annotations

from dataclasses import dataclass

CONVERTED = ("CMYK", "LAB", "HSV")
"""Colour models that can be converted to sRGB."""


@dataclass(frozen=True)
class Loss:
    """A property of a file that a `Picture` cannot hold.

    Attributes:
        option: the option of `Preparation` that converts it.
        refusal: error message without the option.
        done: description of what decoding does.
    """

    option: str
    refusal: str
    done: str


@dataclass(frozen=True)
class Header:
    """Properties of a picture from its file header, without decoding pixels.

    Attributes:
        width, height: pixels as stored, before `orientation` is applied.
        bits: per sample.
        channels: samples per pixel, including alpha.
        frames: number of frames of an animation or pages of a document; 2 if more than one but
            not counted.
        orientation: of EXIF, 1 (upright) to 8.
        mode: the colour model, by Pillow's name.
        hdr: "PQ" or "HLG" (ITU-R BT.2100) if that is how samples encode light; or None.
    """

    width: int
    height: int
    bits: int = 8
    channels: int = 3
    frames: int = 1
    orientation: int = 1
    mode: str = "RGB"
    hdr: str | None = None

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What a `Picture` cannot hold, and decoding converts."""
        found = []
        if self.frames > 1:
            found.append(
                Loss(
                    "frame",
                    "only single pictures are supported, not several frames or pages: "
                    "--frame 0 takes the first",
                    "the first of several frames or pages is taken",
                )
            )
        if self.hdr is not None:  # all bits are used, so that --depth is not needed
            found.append(
                Loss(
                    "colorspace",
                    f"only standard dynamic range is supported, not {self.hdr} (HDR): "
                    "--colorspace srgb tone maps it to 8-bit sRGB",
                    f"{self.hdr} (HDR) is tone mapped to 8-bit sRGB",
                )
            )
        elif self.bits > 8:
            found.append(
                Loss(
                    "depth",
                    f"only 8 bits per sample are supported, not {self.bits}: --depth 8 rounds them",
                    f"{self.bits} bits per sample are rounded to 8",
                )
            )
        if self.mode in CONVERTED:
            found.append(
                Loss(
                    "colorspace",
                    f"only gray and RGB are supported, not {self.mode}: "
                    "--colorspace srgb converts it",
                    f"{self.mode} is converted to sRGB",
                )
            )
        return tuple(found)

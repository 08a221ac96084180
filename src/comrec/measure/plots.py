"""Rate-distortion plots as SVG and PNG; the same input gives the same bytes."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from comrec.errors import MissingExtraError
from comrec.formats import cmr
from comrec.measure.curves import Curve
from comrec.measure.variants import Variant
from comrec.sandwich import Comrec, Jiang2017

AXES = {
    "psnr-rgb": "PSNR (RGB), dB",
    "psnr-y": "PSNR (luma), dB",
    "ms-ssim-rgb": "MS-SSIM (RGB), dB",
    "ssimulacra2": "SSIMULACRA2",
}
BITS = "bits per pixel"

INK = "#202020"
GROUND = "#ffffff"

# Medium lightness: legible on white and on black.
_COLOURS = {
    "jpeg": "#3f86c9",
    "jpeg-tuned": "#7a9cc0",
    "deepn-jpeg": "#c77a2a",
    "jpegli": "#2b5f93",
    "msroi-jpeg": "#4f7fd9",
    "jpeg2000": "#8f6bc4",
    "webp": "#3d9a50",
    "avif": "#d0564b",
    "bpg": "#c08a1e",
    "heic": "#2f9d9a",
    "jpegxl": "#c05a97",
    "liu2018": "#7f7f1f",
    "rippel2017": "#b8562f",
    "toderici2017": "#6a8f1f",
}
_MORE_COLOURS = ("#6d7fd6", "#7d9a2f", "#b0705a", "#5f8f8a", "#a06a80")
_MARKERS = "osD^v<>pPX*h"
_MOST_BPP = 1.6
_WIDTH, _HEIGHT = 9.0, 5.2  # inches, legend included


@dataclass(frozen=True)
class Line:
    """A curve and how to draw it.

    Attributes:
        label: text in the legend.
        points: (bits per pixel, metric).
        colour: a matplotlib colour.
        style: a matplotlib line style.
        width: line width in points.
        marker: a matplotlib marker, or "" for none.
    """

    label: str
    points: Curve
    colour: str
    style: str
    width: float
    marker: str = ""


def line(variant: Variant, points: Curve, order: int) -> Line:
    """The line of a measured curve. The colour is that of the base codec.

    Solid: comrec and learned codecs. Dashed: standard codecs (dash-dotted with options). Dotted:
    jiang2017. With options, markers as well.

    Args:
        order: index among all variants; it selects the colour of codecs without one of their own,
            and the marker of codecs with options.
    """
    colour = _COLOURS.get(variant.base, _MORE_COLOURS[order % len(_MORE_COLOURS)])
    optioned = variant.label != variant.codec.id
    width, marker = 1.6, _MARKERS[order % len(_MARKERS)] if optioned else ""
    if isinstance(variant.codec, Comrec):
        style, width = "-", 2.0
    elif isinstance(variant.codec, Jiang2017):
        style = ":"
    elif optioned:
        style = "-."
    else:
        style = "-" if variant.codec.container == cmr.FORMAT else "--"
    return Line(variant.label, points, colour, style, width, marker)


def published_line(label: str, points: Curve, order: int) -> Line:
    """The line of a published curve: thin, gray, with markers."""
    return Line(label, points, "#8f8f8f", "-", 0.8, _MARKERS[order % len(_MARKERS)])


def baseline(label: str, points: Curve, order: int) -> Line:
    """The line of what is no codec by itself: dash-dotted, with markers."""
    colour = _MORE_COLOURS[order % len(_MORE_COLOURS)]
    return Line(label, points, colour, "-.", 1.2, _MARKERS[order % len(_MARKERS)])


def draw(lines: Sequence[Line], metric: str) -> dict[str, bytes]:
    """Plot the curves of a metric, up to 1.6 bits per pixel.

    Args:
        metric: a key of `AXES`.
    Returns:
        Files by format, "svg" and "png", drawn in `INK` on `GROUND`.
    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return plotted(lines, metric, BITS, AXES[metric], _MOST_BPP)


def plotted(
    lines: Sequence[Line], name: str, across: str, up: str, most: float
) -> dict[str, bytes]:
    """Plot curves.

    Args:
        name: what is plotted; equal names and numbers give equal bytes.
        across, up: what the axes have.
        most: end of the axis across.
    Returns:
        Files by format, "svg" and "png", drawn in `INK` on `GROUND`.
    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib import style
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("plots", "bench") from None
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    settings = {"svg.hashsalt": name, "font.size": 10, **dict.fromkeys(inked, INK)}
    # Default settings whatever the user's own, for the same bytes on every machine.
    with style.context(["default", settings]):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), facecolor=GROUND, layout="constrained")
        axis = figure.add_subplot(facecolor="none")
        for one in lines:
            rates, values = zip(*sorted(one.points), strict=True) if one.points else ((), ())
            axis.plot(
                rates, values, one.style, color=one.colour, lw=one.width, label=one.label,
                marker=one.marker, ms=3.5, mfc="none",
            )  # fmt: skip
        axis.set(xlabel=across, ylabel=up, xlim=(0, most))
        axis.set_ylim(*_limits(lines, most))
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside right upper", frameon=False, fontsize=8.5)
        files = {}
        for file_format, undated in (("svg", {"Date": None}), ("png", {"Software": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=file_format, dpi=150, metadata=undated)
            files[file_format] = buffer.getvalue()
    return files


def _limits(lines: Sequence[Line], most: float) -> tuple[float, float]:
    """Range of the axis of the metric: whole numbers around what is plotted, from 0: SSIMULACRA2
    goes far below for pictures that nobody would keep.
    """
    shown = [value for one in lines for rate, value in one.points if rate <= most]
    for points in (sorted(one.points) for one in lines):
        if points and points[0][0] <= most <= points[-1][0]:
            rates, values = np.array(points).T
            shown.append(float(np.interp(most, rates, values)))
    return (max(0, math.floor(min(shown))), math.ceil(max(shown))) if shown else (0.0, 1.0)

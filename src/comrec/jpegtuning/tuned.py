"""A JPEG encoder for the least squared error in RGB at a given size."""

from __future__ import annotations

import mozjpeg_lossless_optimization
import numpy as np
from numpy.typing import NDArray

from comrec import codec
from comrec.formats import segments
from comrec.jpegtuning import blocks, tables
from comrec.jpegtuning.bitstream import Component, write_jpeg
from comrec.jpegtuning.trellis import dead_zone, quantise
from comrec.picture import Picture
from comrec.standard.jpeg import Jpeg

Float = NDArray[np.float32]

TRADE = 0.17
"""lambda of the trellis in squared luma steps a bit. Chosen on validation photographs."""

# What a squared error of one in a chroma sample costs in RGB, relative to luma: the column
# norms of YCbCr to RGB, times the four pixels that a 4:2:0 sample stands for.
_WEIGHTS = (1.0, 4 * 1.086, 4 * 0.825)


class TunedJpeg(Jpeg):
    """JPEG 4:2:0 with everything a decoder does not mind.

    Tables that rise gently with frequency instead of Annex K's, finer chroma (`tables`),
    rate-distortion optimised coefficients (`trellis`), and progressive scans optimised by
    mozjpeg. `tables.luma_step` says what step a quality stands for.

    Args:
        effort: below 4 coefficients are rounded with a dead zone instead of the trellis.
        trade: lambda of the trellis in squared luma steps a bit.
    """

    id = "jpeg-tuned"
    summary = "plain JPEG, tables and coefficients optimised for PSNR"
    step = 0.1

    def __init__(self, effort: int = 7, trade: float = TRADE) -> None:
        super().__init__(effort)
        self.trade = trade

    def encode(self, picture: Picture, quality: float) -> bytes:
        codec.check_quality(quality)
        self.check(picture)
        steps = tables.step_tables(quality)
        trade = self.trade * tables.luma_step(quality) ** 2 if self.effort >= 4 else 0.0
        if picture.is_gray:
            plane = blocks.pad_to(picture.pixels.astype(np.float32), 8)
            components = [Component(_levels(plane, steps[0], trade), 0, 1)]
            used = [steps[0]]
        else:
            ycc = blocks.rgb_to_ycc(picture.pixels)
            components = []
            for channel, weight in enumerate(_WEIGHTS):
                plane = blocks.pad_to(ycc[..., channel], 16)
                if channel:
                    plane = blocks.halve(plane)
                table = min(channel, 1)
                levels = _levels(plane, steps[table], trade / weight)
                components.append(Component(levels, table, 1 if channel else 2))
            used = list(steps)
        plain = write_jpeg(picture.width, picture.height, components, used)
        small = mozjpeg_lossless_optimization.optimize(plain)
        return segments.insert(small, segments.metadata_segments(picture.metadata))

    def decode(self, data: bytes) -> Picture:
        return Jpeg().decode(data)


def _levels(plane: Float, steps: Float, trade: float) -> NDArray[np.int16]:
    coefficients = blocks.to_coefficients(plane)
    if not trade:
        return dead_zone(coefficients, steps)
    return quantise(coefficients.reshape(-1, 64), steps, trade).reshape(coefficients.shape)

"""What an encoder of JPEG can be tuned for: quantisation tables, lambda, masking, and the scale of
quality, each fitted on validation photographs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from comrec.jpegtuning import tables
from comrec.standard.chroma import Sampling

Float = NDArray[np.float32]
Tune = Literal["psnr", "perceptual", "network", "network-perceptual"]

_QUALITIES = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100)


class Quantiser(Protocol):
    """What the encoder is told about quantisation.

    Attributes:
        lmbda: of the trellis; in squared `luma_step` per bit, or, where ``relative``, per bit.
        masking: a. A block's lambda grows with the a-th power of its AC energy.
        relative: an error counts by the step of its own frequency and component, whose square is
            the unit; otherwise as squared error in RGB.
    """

    @property
    def lmbda(self) -> float: ...

    @property
    def masking(self) -> float: ...

    @property
    def relative(self) -> bool: ...

    def luma_step(self, quality: float) -> float:
        """The unit of lambda at a quality in 0..100."""

    def tables(self, quality: float, subsampling: Sampling) -> tuple[Float, ...]:
        """Tables of luma and chroma, or of Y, Cb and Cr: (64,) in 1..255, zigzag order."""


@dataclass(frozen=True)
class Tuning:
    """A way to quantise, for pictures as people or our networks see them.

    Attributes:
        lmbda: lambda of the trellis, in squared luma DC steps per bit.
        slope: increase of the steps with frequency (`tables.shape`).
        chroma: DC step of chroma relative to luma's, by subsampling.
        masking: a. A block's lambda grows with the a-th power of its AC energy: errors are seen
            less where there is texture.
        steps: luma DC steps at the qualities 0, 10 to 90 by tens, 95 and 100.
    """

    lmbda: float
    slope: float
    chroma: dict[Sampling, float]
    masking: float
    steps: tuple[float, ...]
    relative = False

    def luma_step(self, quality: float) -> float:
        """The luma DC step at a quality in 0..100, geometric between those of `steps`."""
        return float(np.exp(np.interp(quality, _QUALITIES, np.log(self.steps))))

    def tables(self, quality: float, subsampling: Sampling) -> tuple[Float, Float]:
        """Luma and chroma tables: (64,) whole numbers in 1..255, zigzag order."""
        step = self.luma_step(quality)
        relative = self.chroma[subsampling]
        return tables.table(step, self.slope), tables.table(step * relative, self.slope)


# The steps are such that at equal quality files are finer than libjpeg's (RGB PSNR), or smaller, on
# every validation photograph, and nearly always both.
_PSNR = (100.0, 60.0, 36.0, 26.0, 21.0, 18.0, 15.0, 12.3, 9.0, 5.3, 3.1, 1.0)
_PERCEPTUAL = (100.0, 39.0, 22.5, 16.0, 12.5, 10.5, 8.7, 6.9, 5.0, 2.8, 1.55, 1.0)
_NETWORK = (100.0, 75.0, 42.0, 30.0, 24.5, 20.5, 17.3, 14.0, 10.3, 6.0, 3.5, 1.0)
_NETWORK_PERCEPTUAL = (100.0, 50.0, 28.5, 18.5, 14.3, 11.9, 9.9, 7.8, 5.6, 2.9, 1.6, 1.0)

TUNINGS: dict[Tune, Tuning] = {
    "psnr": Tuning(0.17, 0.1, {"4:2:0": 0.6, "4:4:4": 1.1}, 0.0, _PSNR),
    "perceptual": Tuning(0.17, 0.4, {"4:2:0": 0.8, "4:4:4": 1.4}, 0.5, _PERCEPTUAL),
    # Before a network, fewer coefficients are worth dropping than in a file shown as it is.
    "network": Tuning(0.12, 0.1, {"4:2:0": 0.6, "4:4:4": 1.1}, 0.0, _NETWORK),
    "network-perceptual": Tuning(0.12, 0.4, {"4:2:0": 0.8, "4:4:4": 1.4}, 0.5, _NETWORK_PERCEPTUAL),
}

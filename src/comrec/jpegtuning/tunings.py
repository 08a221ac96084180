"""What an encoder of JPEG can be tuned for: quantisation tables, lambda, masking, and the scale of
quality, each fitted on validation photographs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from comrec.jpegtuning import tables
from comrec.standard.jpeg import Subsampling

Float = NDArray[np.float32]
Tune = Literal["psnr", "perceptual", "network", "network-perceptual"]

_QUALITIES = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100)


@dataclass(frozen=True)
class Tuning:
    """A way to quantise.

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
    chroma: dict[Subsampling, float]
    masking: float
    steps: tuple[float, ...]

    def luma_step(self, quality: float) -> float:
        """The luma DC step at a quality in 0..100, geometric between those of `steps`."""
        return float(np.exp(np.interp(quality, _QUALITIES, np.log(self.steps))))

    def tables(self, quality: float, subsampling: Subsampling) -> tuple[Float, Float]:
        """Luma and chroma tables: (64,) whole numbers in 1..255, zigzag order."""
        step = self.luma_step(quality)
        relative = self.chroma[subsampling]
        return tables.table(step, self.slope), tables.table(step * relative, self.slope)


# At each of these qualities, on every validation photograph, a file of libjpeg's at most as fine
# and not smaller.
_LIBJPEG = (100.0, 66.0, 33.0, 22.0, 16.5, 13.2, 10.6, 7.9, 5.3, 2.6, 1.3, 1.0)
_NETWORK = (100.0, 75.0, 45.0, 34.9, 29.5, 25.7, 22.3, 18.5, 14.2, 8.8, 5.2, 1.6)

TUNINGS: dict[Tune, Tuning] = {
    "psnr": Tuning(0.17, 0.1, {"4:2:0": 0.6, "4:4:4": 1.1}, 0.0, _LIBJPEG),
    "perceptual": Tuning(0.17, 0.3, {"4:2:0": 0.9, "4:4:4": 1.6}, 0.5, _LIBJPEG),
    # Before a network, fewer coefficients are worth dropping than in a file shown as it is.
    "network": Tuning(0.12, 0.1, {"4:2:0": 0.6, "4:4:4": 1.1}, 0.0, _NETWORK),
    "network-perceptual": Tuning(0.12, 0.3, {"4:2:0": 0.9, "4:4:4": 1.6}, 0.5, _NETWORK),
}

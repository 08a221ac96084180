"""Enhancing third-party files: which of them RecCNN improves, and which are left as they are.

RecCNN is trained on photographs coded as `train/recipes` says. On other files it can do harm,
and without the original nobody can see it; so they are recognised and left alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from comrec.formats import coding
from comrec.inference.store import Network
from comrec.picture import Picture
from comrec.sandwich import conditions
from comrec.sandwich.reconstruct import reconstruct

FINEST = {"webp": 93, "jpegxl": 93, "jpeg2000": 75, "avif": 93, "heic": 90, "bpg": 93}
"""The conditions above which the networks gain nothing that is certain; JPEG has none."""

SUBSAMPLED = "4:0:0", "4:2:0"
FLAT = 2
"""Levels between neighbours up to which a place is flat; codecs disturb exact flatness."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def enhance(network: Network, format: str, data: bytes, decoded: Picture) -> Picture:
    """The artefacts of a plain file removed, or the picture with a note that says why not.

    Args:
        network: the RecCNN of scale 1 of the format.
        decoded: what the standard decoder gives for ``data``.
    Raises:
        DamagedFileError: the header is damaged.
    """
    coded = coding.of(format, data)
    if coded.lossless:
        return _left(decoded, "it is coded losslessly, or nearly")
    if coded.sampling not in (None, *SUBSAMPLED):
        return _left(decoded, f"its chroma is {coded.sampling}; the network is for 4:2:0")
    if is_drawn(decoded.pixels):
        return _left(decoded, "it looks like a screenshot or a drawing, no photograph")
    condition = conditions.estimate(format, data, decoded)
    if condition > FINEST.get(format, 100):
        return _left(decoded, "its quality is too high to gain from it")
    size = decoded.width, decoded.height
    return decoded.with_pixels(reconstruct(network, decoded.pixels, condition, size))


def is_drawn(pixels: NDArray[np.uint8]) -> bool:
    """Whether a decoded picture has hard edges beside flat areas, as text and pixel art have.

    In photographs, coarsely coded ones too, the more is flat, the fewer edges there are. The line
    between them was drawn on photographs and drawings at low and high qualities.

    Args:
        pixels: (H, W) gray or (H, W, 3) RGB.
    """
    luma = pixels.astype(np.float32) if pixels.ndim == 2 else pixels @ _LUMA
    if min(luma.shape) < 2:
        return False
    across = np.abs(np.diff(luma, axis=1))[:-1]
    down = np.abs(np.diff(luma, axis=0))[:, :-1]
    steps = np.maximum(across, down)
    return bool(np.percentile(steps, 97) >= 170 - 160 * (steps <= FLAT).mean())


def _left(picture: Picture, reason: str) -> Picture:
    return picture.noting(f"not enhanced: {reason}")

"""Enhancing third-party files: which of them RecCNN improves, and which are left as they are.

RecCNN is trained on photographs coded as `train/recipes` says. On other files it can do harm,
and without the original nobody can see it; so they are recognised and left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from comrec import metrics, options, regions
from comrec.errors import OptionError
from comrec.formats import coding
from comrec.inference import store
from comrec.inference.store import Size
from comrec.options import Option
from comrec.picture import Picture
from comrec.regions import Region
from comrec.sandwich import conditions
from comrec.sandwich.reconstruct import reconstruct

HIGHEST: dict[str, dict[str | None, float]] = {
    "jpeg": {"4:0:0": 85, "4:2:0": 95, "4:2:2": 85, "4:4:4": 82},
    "webp": {"4:2:0": 88},
    "avif": {"4:0:0": 78, "4:2:0": 78},
    "heic": {"4:0:0": 65, "4:2:0": 65},
    "jpegxl": {None: 82},
    "jpeg2000": {None: 75},
    "bpg": {"4:0:0": 50, "4:2:0": 60, "4:4:4": 45},
}
"""The highest condition at which photographs gain, by format and chroma sampling; measured with
benchmarks/enhance.py. Other samplings lose at any quality, or are not tried."""

FLAT = 2
"""Levels between neighbours up to which a place is flat; codecs disturb exact flatness."""


_NETWORK = Option("network", str, None, store.SIZES, "the network's size")


@dataclass(frozen=True)
class Enhancing:
    """How plain files are enhanced.

    Attributes:
        strength: 0..1, the share of what the network changes that is applied.
        network: the network's size; where a format has none of it, the default one serves.
    """

    strength: float = 1.0
    network: Size = store.DEFAULT


def enhancing(
    *, enhance: bool, strength: float | None = None, network: str | None = None
) -> Enhancing | None:
    """What is asked for; None where nothing is to be enhanced.

    Raises:
        OptionError: the strength is no number in 0..1, there is no such size of networks, or one of
            them is given although nothing is to be enhanced.
    """
    given = {"strength": strength, "network": network}
    if not enhance:
        for name, value in given.items():
            if value is not None:
                raise OptionError(f"{name} must be given with enhance only: it is of the enhancing")
        return None
    share = 1.0 if strength is None else options.number(strength)
    if share is None or not 0 <= share <= 1:
        wanted = "in 0..1" if share is not None else "a number in 0..1"
        raise OptionError(f"strength must be {wanted}, not {options.shown(strength)}")
    return Enhancing(share, _NETWORK.check(network) or store.DEFAULT)


def enhance(
    format: str,
    data: bytes,
    decoded: Picture,
    how: Enhancing,
    region: Region | None = None,
) -> Picture:
    """The artefacts of a plain file removed, or the picture with a note that says why not.

    Args:
        decoded: what the standard decoder gives for ``data``.
        region: the part that is wanted; by default all. The network runs on no more.
    Raises:
        OptionError: the region lies outside of the picture.
        DamagedFileError: the header is damaged.
    """
    part = decoded
    if region is not None:
        part = decoded.part(region).noting(regions.whole(format))
    default = store.find("comrec", format, "rec")
    if default is None:
        return _left(part, f"there is no network for {format} files")
    coded = coding.of(format, data)
    if coded.lossless:
        return _left(part, "it is coded losslessly, or nearly")
    highest = HIGHEST.get(format, {}).get(coded.sampling)
    if highest is None:
        return _left(part, f"it is coded as {coded.sampling or 'unknown'}, not as 4:2:0")
    if is_drawn(decoded.pixels):
        return _left(part, "it looks like a screenshot or a drawing, no photograph")
    condition = conditions.estimate(format, data, decoded)
    if condition.quality > highest:
        return _left(part, "its quality is too high to gain from it")
    network = store.find("comrec", format, "rec", size=how.network)
    if network is None:
        network = default
        part = part.noting(
            f"there is no {how.network} network for {format} files: enhanced by the default one"
        )
    size = decoded.width, decoded.height
    pixels = reconstruct(
        network, decoded.pixels, condition, size, strength=how.strength, region=region
    )
    return part.with_pixels(pixels)


def is_drawn(pixels: NDArray[np.uint8]) -> bool:
    """Whether a decoded picture has hard edges beside flat areas, as text and pixel art have.

    In photographs, coarsely coded ones too, the more is flat, the fewer edges there are. The line
    between them was drawn on photographs and drawings at low and high qualities.

    Args:
        pixels: (H, W) gray or (H, W, 3) RGB.
    """
    luma = pixels.astype(np.float32) if pixels.ndim == 2 else metrics.luma(pixels)
    if min(luma.shape) < 2:
        return False
    across = np.abs(np.diff(luma, axis=1))[:-1]
    down = np.abs(np.diff(luma, axis=0))[:, :-1]
    steps = np.maximum(across, down)
    return bool(np.percentile(steps, 97) >= 170 - 160 * (steps <= FLAT).mean())


def _left(picture: Picture, reason: str) -> Picture:
    return picture.noting(f"not enhanced: {reason}")

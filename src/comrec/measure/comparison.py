"""Codecs on one picture at equal file size: metrics and a sheet of crops."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from comrec import fidelity, roi, ssimulacra2, targets
from comrec.errors import TargetError
from comrec.measure.variants import Variant
from comrec.metrics import MS_SSIM_SIDE
from comrec.picture import Picture, Pixels
from comrec.preparation import Preparation, finish
from comrec.targets import Target

CROP = 160
"""Side of a crop, pixels."""
_ZOOM = 2


class Scores(NamedTuple):
    """How like the original a decoded picture looks.

    Attributes:
        psnr: RGB, of what alpha shows (see `comrec.fidelity`), dB; infinity if lossless.
        ms_ssim: likewise; None for sides below 161 pixels.
        ssimulacra2: likewise; at most 100; None for sides below 8 pixels.
    """

    psnr: float
    ms_ssim: float | None
    ssimulacra2: float | None

    @classmethod
    def of(cls, decoded: Picture, original: Picture) -> Self:
        psnr = fidelity.psnr(decoded, original)
        return cls(psnr, *(score(name, decoded, original) for name in cls._fields[1:]))


def score(name: str, decoded: Picture, original: Picture) -> float | None:
    """One of `Scores`, by name; None where the picture is too small for it."""
    least, measure = _METRICS[name]
    if min(original.width, original.height) < least:
        return None
    return measure(decoded, original)


_METRICS = {
    "psnr": (1, fidelity.psnr),
    "ms_ssim": (MS_SSIM_SIDE, fidelity.ms_ssim),
    "ssimulacra2": (ssimulacra2.SIDE, fidelity.ssimulacra2),
}
"""The least side in pixels, and the metric."""


@dataclass(frozen=True)
class Entry:
    """The file of one codec within the budget.

    Attributes:
        codec: label of the variant: id and options.
        data: the file.
        quality: 0..100.
        decoded: the decoded picture.
        scores: its fidelity.
        decode_seconds: wall-clock time of one decode, which may include loading networks.
    """

    codec: str
    data: bytes
    quality: float
    decoded: Picture
    scores: Scores
    decode_seconds: float


def at_equal_bytes(
    picture: Picture, codecs: Sequence[Variant], budget: int
) -> Iterator[Entry | str]:
    """The best file of each codec of at most ``budget`` bytes; its label if there is none.

    Codecs that make no use of importance get the picture without it.
    """
    target = Target("size", budget)
    for variant in codecs:
        coder = variant.codec
        given = picture if coder.uses_importance else replace(picture, importance=None)
        try:
            point = targets.encode(coder, given, target).point
        except TargetError:
            yield variant.label
            continue
        started = time.perf_counter()
        decoded = coder.decode(point.data)
        seconds = time.perf_counter() - started
        scores = Scores.of(decoded, picture)
        yield Entry(variant.label, point.data, point.quality, decoded, scores, seconds)


def sheet(
    picture: Picture, entries: list[Entry], plane: NDArray[np.float32] | None = None
) -> Image.Image:
    """Crops side by side (`crops`): the original, then each codec.

    Args:
        plane: which part of the picture matters, (H, W) in 0..1: shown after the original.
    """
    shown = [("original", picture)]
    if plane is not None:
        shown.append(("what matters", Picture(roi.heat(picture.rgb, plane))))
    for entry in entries:
        label = f"{entry.codec}  {len(entry.data):,} B  {entry.scores.psnr:.2f} dB"
        shown.append((label, entry.decoded))
    return crops(shown, busiest(picture))


def crops(shown: list[tuple[str, Picture]], corner: tuple[int, int]) -> Image.Image:
    """Labelled crops of pictures of one size side by side, enlarged by 2.

    RGB; transparent pictures over gray.

    Args:
        shown: labels, of as many lines as the first, and pictures.
        corner: left and top of the crops.
    """
    left, top = corner
    box = (left, top, left + CROP, top + CROP)
    side, title = CROP * _ZOOM, 6 + 16 * len(shown[0][0].split("\n"))
    columns = len(shown) if len(shown) <= 4 else -(-len(shown) // 2)
    rows = -(-len(shown) // columns)
    out = Image.new("RGB", (columns * (side + 8) - 8, rows * (side + title)), "white")
    draw = ImageDraw.Draw(out)
    font = ImageFont.load_default(size=13)
    for index, (label, picture) in enumerate(shown):
        x, y = index % columns * (side + 8), index // columns * (side + title)
        crop = Image.fromarray(_over_gray(picture)).crop(box)
        out.paste(crop.resize((side, side), Image.Resampling.NEAREST), (x, y + title))
        draw.text((x + 2, y + 3), label, fill="black", font=font)
    return out


def busiest(picture: Picture) -> tuple[int, int]:
    """(Left, top) of the crop of side `CROP` with the largest median gradient."""
    luma = _over_gray(picture).astype(np.float32).mean(axis=2)
    energy = np.abs(np.diff(luma, axis=0))[:, :-1] + np.abs(np.diff(luma, axis=1))[:-1]
    best = (-1.0, 0, 0)
    for top in range(0, max(1, picture.height - CROP), CROP // 2):
        for left in range(0, max(1, picture.width - CROP), CROP // 2):
            # The median: one sharp edge in a flat area has little effect.
            patch = energy[top : top + CROP, left : left + CROP]
            if patch.size:
                best = max(best, (float(np.median(patch)), left, top))
    return best[1], best[2]


def _over_gray(picture: Picture) -> Pixels:
    return finish(picture, Preparation(background="gray")).rgb

"""Codecs on one picture at equal file size: metrics and a sheet of crops."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from comrec import fidelity, ssimulacra2, targets
from comrec.errors import TargetError
from comrec.measure.variants import Variant
from comrec.metrics import MS_SSIM_SIDE
from comrec.picture import Picture, Pixels
from comrec.preparation import Preparation, finish
from comrec.targets import Target

CROP = 160
"""Side of a crop, pixels."""
_ZOOM = 2


@dataclass(frozen=True)
class Entry:
    """The file of one codec within the budget.

    Attributes:
        codec: label of the variant: id and options.
        data: the file.
        quality: 0..100.
        decoded: the decoded picture.
        psnr: RGB, of what alpha shows (see `comrec.fidelity`), dB; infinity if lossless.
        ms_ssim: likewise; None for sides below 161 pixels.
        ssimulacra2: likewise; at most 100; None for sides below 8 pixels.
        decode_seconds: wall-clock time of one decode, which may include loading networks.
    """

    codec: str
    data: bytes
    quality: float
    decoded: Picture
    psnr: float
    ms_ssim: float | None
    ssimulacra2: float | None
    decode_seconds: float


def at_equal_bytes(
    picture: Picture, codecs: Sequence[Variant], budget: int
) -> Iterator[Entry | str]:
    """The best file of each codec of at most ``budget`` bytes; its label if there is none."""
    target = Target("size", budget)
    for variant in codecs:
        coder = variant.codec
        try:
            point = targets.encode(coder, picture, target).point
        except TargetError:
            yield variant.label
            continue
        started = time.perf_counter()
        decoded = coder.decode(point.data)
        seconds = time.perf_counter() - started
        shorter = min(picture.width, picture.height)
        yield Entry(
            variant.label,
            point.data,
            point.quality,
            decoded,
            fidelity.psnr(decoded, picture),
            fidelity.ms_ssim(decoded, picture) if shorter >= MS_SSIM_SIDE else None,
            fidelity.ssimulacra2(decoded, picture) if shorter >= ssimulacra2.SIDE else None,
            seconds,
        )


def sheet(picture: Picture, entries: list[Entry]) -> Image.Image:
    """Labelled crops side by side, enlarged by 2: the original, then each codec.

    RGB; transparent pictures over gray.
    """
    left, top = busiest(picture)
    box = (left, top, left + CROP, top + CROP)
    shown = [("original", _over_gray(picture))]
    for entry in entries:
        label = f"{entry.codec}  {len(entry.data):,} B  {entry.psnr:.2f} dB"
        shown.append((label, _over_gray(entry.decoded)))
    side, title = CROP * _ZOOM, 22
    columns = len(shown) if len(shown) <= 4 else -(-len(shown) // 2)
    rows = -(-len(shown) // columns)
    out = Image.new("RGB", (columns * (side + 8) - 8, rows * (side + title)), "white")
    draw = ImageDraw.Draw(out)
    font = ImageFont.load_default(size=13)
    for index, (label, pixels) in enumerate(shown):
        x, y = index % columns * (side + 8), index // columns * (side + title)
        crop = Image.fromarray(pixels).crop(box).resize((side, side), Image.Resampling.NEAREST)
        out.paste(crop, (x, y + title))
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

"""What the first bytes of a progressive file show: metrics and a sheet of crops."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from comrec.errors import DamagedFileError
from comrec.learned.progressive import ProgressiveCodec
from comrec.measure.comparison import Scores, busiest, crops
from comrec.picture import Picture

PERCENT = (5, 10, 20, 40, 100)
"""Of a file's bytes."""


@dataclass(frozen=True)
class Prefix:
    """The first bytes of a file.

    Attributes:
        percent: of the file.
        bytes: how many.
        bpp: bits per pixel.
        decoded: the picture that they show; None if they are too few.
        scores: its fidelity; None where the original is not known.
        decode_seconds: wall-clock time of one decode, which may include loading networks.
    """

    percent: int
    bytes: int
    bpp: float
    decoded: Picture | None
    scores: Scores | None
    decode_seconds: float


def of(coder: ProgressiveCodec, data: bytes, original: Picture | None) -> Iterator[Prefix]:
    """What each of `PERCENT` of a file shows.

    Raises:
        InputError: the file is cut short, damaged, or of another codec.
    """
    head = coder.header(data)
    for percent in PERCENT:
        count = len(data) * percent // 100
        started = time.perf_counter()
        try:
            decoded = coder.decode(data[:count], partial=percent < 100)
        except DamagedFileError:
            if percent == 100:
                raise
            decoded = None
        seconds = time.perf_counter() - started
        scores = Scores.of(decoded, original) if decoded and original else None
        bpp = 8 * count / (head.width * head.height)
        yield Prefix(percent, count, bpp, decoded, scores, seconds)


def sheet(found: list[Prefix], original: Picture | None) -> Image.Image:
    """Crops side by side (`crops`): the original, if it is known, then what prefixes show."""
    shown = [(_label(prefix), prefix.decoded) for prefix in found if prefix.decoded is not None]
    if original is None:
        return crops(shown, busiest(shown[-1][1]))
    return crops([("original\n", original), *shown], busiest(original))


def _label(prefix: Prefix) -> str:
    label = f"{prefix.percent} %: {prefix.bytes:,} B, {prefix.bpp:.3f} bpp"
    if prefix.scores is None:
        return label
    psnr, _, score = prefix.scores
    return f"{label}\n{psnr:.2f} dB" + ("" if score is None else f", SSIMULACRA2 {score:.1f}")

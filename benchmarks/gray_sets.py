"""The gray test sets: Jiang et al. 2017 reproduced, and our RecCNN as a post-filter of plain JPEG.

    python benchmarks/gray_sets.py --data test --out benchmarks/results/gray.json

``--data`` holds the folders classic7, classic5, set12 and live1. Colour pictures count by their
BT.601 luma, rounded to 8 bits: of full range for the reproduction, of 16 to 235 for the
post-filter, as the numbers published for it. PSNR in dB and SSIM are on 8-bit gray, means over
pictures; rate is the bytes of the whole file.

Reproduction: `jiang2017-jpeg` at quality 50 and 30, against baseline JPEG with default Huffman
tables at QF 10 and 5, and against optimised progressive JPEG at exactly the bytes of the
`jiang2017-jpeg` file (linear in log bytes between the two nearest qualities).

Post-filter: baseline JPEG at QF 10 to 40, as it is and through ``comrec.decode(enhance=True)``.
"""

from __future__ import annotations

import argparse
import io
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import common
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

import comrec
from comrec import codec as registry
from comrec import picture as pictures
from comrec import ratecontrol
from comrec.codec import Codec
from comrec.measure import metrics
from comrec.picture import Picture

Gray = NDArray[np.uint8]

REPRODUCTION_SETS = ("classic7", "classic5", "set12", "live1")
POST_FILTER_SETS = ("classic5", "live1")
JIANG_QUALITIES = (50, 30)
JPEG_FACTORS = (10, 5)
POST_FILTER_FACTORS = (10, 20, 30, 40)


@dataclass(frozen=True)
class Score:
    """A file of one picture, or the mean of several."""

    bytes: float
    psnr: float
    ssim: float


Scores = dict[str, Score]
Arm = Callable[[Gray], Scores]
Read = Callable[[Path], Gray]


def main() -> None:
    arguments = parse_arguments()
    report: dict[str, Any] = {"metadata": common.metadata(), "colour": __doc__.split("\n\n")[2]}
    if "reproduction" in arguments.parts:
        report["reproduction"] = over_sets(arguments.data, REPRODUCTION_SETS, reproduce, full_range)
    if "post-filter" in arguments.parts:
        report["post-filter"] = over_sets(
            arguments.data, POST_FILTER_SETS, post_filter, studio_range
        )
    common.write_json(arguments.out, report)
    for part in arguments.parts:
        print_part(part, report[part])


def parse_arguments() -> argparse.Namespace:
    parts = ["reproduction", "post-filter"]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets' folders")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/gray.json"))
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    return parser.parse_args()


def over_sets(data: Path, names: tuple[str, ...], arm: Arm, read: Read) -> dict[str, Any]:
    """Each picture's scores and their means, by set."""
    return {name: over_pictures(data / name, arm, read) for name in names}


def over_pictures(folder: Path, arm: Arm, read: Read) -> dict[str, Any]:
    paths = common.pictures_in(folder, ".png", ".webp", ".bmp")
    progress = tqdm(paths, folder.name, unit="picture", disable=None)
    scores = {path.name: arm(read(path)) for path in progress}
    labels = next(iter(scores.values()))
    return {
        "mean": {label: asdict(mean([s[label] for s in scores.values()])) for label in labels},
        "pictures": {
            name: {label: asdict(score) for label, score in of_picture.items()}
            for name, of_picture in scores.items()
        },
    }


def full_range(path: Path) -> Gray:
    """Gray pictures as they are; luma of colour ones in 0..255."""
    pixels = pictures.read(path).pixels
    return pixels if pixels.ndim == 2 else np.rint(metrics.luma(pixels)).astype(np.uint8)


def studio_range(path: Path) -> Gray:
    """Gray pictures as they are; luma of colour ones in 16..235, as MATLAB's rgb2ycbcr."""
    pixels = pictures.read(path).pixels
    if pixels.ndim == 2:
        return pixels
    return np.rint(16 + metrics.luma(pixels) * (219 / 255)).astype(np.uint8)


def mean(scores: list[Score]) -> Score:
    return Score(
        fmean(s.bytes for s in scores), fmean(s.psnr for s in scores), fmean(s.ssim for s in scores)
    )


def reproduce(original: Gray) -> Scores:
    """`jiang2017-jpeg`, plain JPEG, and better JPEG of the same bytes."""
    scores: Scores = {}
    jiang = registry.get("jiang2017-jpeg")
    for quality in JIANG_QUALITIES:
        score = score_codec(jiang, original, quality)
        scores[f"jiang2017-jpeg q{quality}"] = score
        scores[f"jpeg, bytes of q{quality}"] = score_at_bytes(original, round(score.bytes))
    for factor in JPEG_FACTORS:
        scores[f"jpeg baseline QF{factor}"] = score_baseline(original, factor)
    return scores


def post_filter(original: Gray) -> Scores:
    """Plain JPEG, without and with our RecCNN behind it."""
    scores: Scores = {}
    for factor in POST_FILTER_FACTORS:
        scores[f"jpeg baseline QF{factor}"] = score_baseline(original, factor)
        scores[f"enhanced QF{factor}"] = score_baseline(original, factor, enhance=True)
    return scores


def score_codec(codec: Codec, original: Gray, quality: float) -> Score:
    data = codec.encode(Picture(original), quality)
    return score(original, data, codec.decode(data).pixels)


def score_at_bytes(original: Gray, size: int) -> Score:
    """Optimised progressive JPEG interpolated to a file size.

    Raises:
        SystemExit: no quality reaches down or up to it.
    """
    jpeg = registry.get("jpeg")
    fit = ratecontrol.largest_within(jpeg, Picture(original), size)
    if fit is None or fit.quality == 100:
        raise SystemExit(f"no JPEG qualities lie around {size} bytes")
    below = score_codec(jpeg, original, fit.quality)
    above = score_codec(jpeg, original, fit.quality + 1)
    share = math.log(size / below.bytes) / math.log(above.bytes / below.bytes)

    def between(low: float, high: float) -> float:
        return low + share * (high - low)

    return Score(size, between(below.psnr, above.psnr), between(below.ssim, above.ssim))


def score_baseline(original: Gray, factor: int, enhance: bool = False) -> Score:
    """JPEG with Annex K tables scaled by a quality factor and default Huffman tables."""
    buffer = io.BytesIO()
    Image.fromarray(original).save(buffer, "JPEG", quality=factor, optimize=False)
    data = buffer.getvalue()
    return score(original, data, np.asarray(comrec.decode(data, enhance=enhance)))


def score(original: Gray, data: bytes, decoded: Gray) -> Score:
    return Score(len(data), metrics.psnr(original, decoded), metrics.ssim(original, decoded))


def print_part(part: str, sets: dict[str, Any]) -> None:
    for name, result in sets.items():
        print(f"\n{part}, {name} ({len(result['pictures'])} pictures)")
        print(f"{'':<28}{'bytes':>10}{'PSNR dB':>10}{'SSIM':>10}")
        for label, means in result["mean"].items():
            print(f"{label:<28}{means['bytes']:>10.0f}{means['psnr']:>10.2f}{means['ssim']:>10.4f}")


if __name__ == "__main__":
    main()

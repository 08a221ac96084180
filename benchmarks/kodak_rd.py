"""Rate and distortion of every codec on a folder of PNG pictures, Kodak's by custom.

    python benchmarks/kodak_rd.py --data kodak --out benchmarks/results/kodak.json

Rate is the bytes of the whole file. PSNR and MS-SSIM are on 8-bit RGB, means over pictures of
each picture's value; `psnr_y` is on unrounded BT.601 luma. Each codec gets a file of its own
beside the output, `kodak/<codec>.json`, in CompressAI's schema with the points of each picture
added; a codec whose file covers the same pictures and qualities is not run again.

BD-rate is per picture, then the mean: within 0.1 to 1.5 bits a pixel, against the better of
JPEG 4:2:0 and 4:4:4 at each rate, and of each comrec-X against X.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import math
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import common
import numpy as np
from tqdm import tqdm

import comrec
from comrec import codec as registry
from comrec import picture as pictures
from comrec.codec import Codec
from comrec.errors import OptionError
from comrec.measure import curves, metrics
from comrec.picture import Picture

JPEG = (2, 5, 8, 12, 20, 32, 50, 68, 80, 88)
JPEG_TUNED = (3, 6, 10, 16, 25, 38, 52, 66, 78, 87)
JPEG2000 = (15, 20, 25, 30, 35, 40, 46, 52, 60, 68)
WEBP = (0, 3, 10, 20, 35, 55, 72, 80, 87, 91)
AVIF = (8, 20, 32, 44, 56, 68, 80)
EVEN = (5, 15, 25, 35, 45, 55, 65, 75, 85, 95)

QUALITIES = {
    "jpeg": JPEG,
    "jpeg-444": JPEG,
    "jpeg-tuned": JPEG_TUNED,
    "comrec-jpeg": JPEG_TUNED,
    "jpeg2000": JPEG2000,
    "comrec-jpeg2000": JPEG2000,
    "webp": WEBP,
    "comrec-webp": WEBP,
    "avif": AVIF,
    "comrec-avif": AVIF,
}
"""What spans about 0.1 to 2 bits a pixel on Kodak; `EVEN` for codecs not named here."""

PSEUDO: dict[str, tuple[str, dict[str, Any]]] = {"jpeg-444": ("jpeg", {"subsampling": "4:4:4"})}
"""Ids of this benchmark alone: a codec and its options."""

ANCHOR = ("jpeg", "jpeg-444")
BPP_RANGE = 0.1, 1.5


@dataclass(frozen=True)
class Measurement:
    """One picture at one quality."""

    image: str
    quality: float
    bytes: int
    bpp: float
    psnr_rgb: float
    psnr_y: float
    ms_ssim_rgb: float
    encode_s: float
    decode_s: float


Results = dict[str, list[Measurement]]

METRICS: dict[str, Callable[[Measurement], float]] = {
    "psnr-rgb": lambda m: m.psnr_rgb,
    "ms-ssim-rgb": lambda m: -10 * math.log10(1 - m.ms_ssim_rgb),
}
"""What BD-rates are of, in dB."""


def main() -> None:
    arguments = parse_arguments()
    images = common.pictures_in(arguments.data, ".png")
    wanted = list(dict.fromkeys([*arguments.anchor, *arguments.codecs]))
    cache = arguments.out.with_suffix("")
    results: Results = {}
    # Fresh processes: an inference session does not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.jobs, mp_context=context) as pool:
        for codec_id in wanted:
            path = cache / f"{codec_id}.json"
            known = None if codec_id in arguments.again else load(path, codec_id, images)
            if known is None:
                known = run(pool, codec_id, images)
                common.write_json(path, entry(codec_id, known, arguments.jobs))
            results[codec_id] = known
    table = bd_table(results, arguments.anchor)
    common.write_json(
        arguments.out,
        {
            "metadata": common.metadata(),
            "pictures": [path.name for path in images],
            "colour": "PSNR and MS-SSIM on 8-bit RGB",
            "codecs": {codec_id: summary(codec_id, rows) for codec_id, rows in results.items()},
            "bd_rate": {"bpp": BPP_RANGE, "rows": table},
        },
    )
    print_table(table, results)


def parse_arguments() -> argparse.Namespace:
    def ids(text: str) -> list[str]:
        return text.split(",")

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of PNG pictures")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/kodak.json"))
    parser.add_argument("--codecs", type=ids, default=lossy_codecs(), help="ids, with commas")
    parser.add_argument("--anchor", type=ids, default=list(ANCHOR), help="the best of these ids")
    parser.add_argument("--again", action="append", default=[], help="measure this codec anew")
    parser.add_argument("--jobs", type=int, default=1, help="processes; times are true for 1 only")
    return parser.parse_args()


def lossy_codecs() -> list[str]:
    codecs = [name for name in comrec.codecs() if not name.endswith("png")]
    return [*PSEUDO, *codecs]


def make(codec_id: str) -> Codec:
    name, options = PSEUDO.get(codec_id, (codec_id, {}))
    return registry.get(name, **options)


def qualities(codec_id: str) -> Sequence[float]:
    return QUALITIES.get(codec_id, EVEN)


@functools.cache
def warm(codec_id: str) -> Codec:
    """The codec with its networks loaded, so that times are of coding alone."""
    codec = make(codec_id)
    small = Picture(np.zeros((64, 64, 3), np.uint8))
    codec.decode(codec.encode(small, 50))
    return codec


def run(pool: ProcessPoolExecutor, codec_id: str, images: list[Path]) -> list[Measurement]:
    """All points of a codec."""
    rows = pool.map(measure, itertools.repeat(codec_id), images)
    progress = tqdm(rows, codec_id, total=len(images), unit="picture", disable=None)
    return [point for points in progress for point in points]


def measure(codec_id: str, path: Path) -> list[Measurement]:
    """All points of a codec on one picture."""
    codec, original = warm(codec_id), pictures.read(path)
    return [measure_at(codec, path.name, original, quality) for quality in qualities(codec_id)]


def measure_at(codec: Codec, name: str, original: Picture, quality: float) -> Measurement:
    start = time.perf_counter()
    data = codec.encode(original, quality)
    encoded = time.perf_counter()
    decoded = codec.decode(data).rgb
    end = time.perf_counter()
    return Measurement(
        image=name,
        quality=quality,
        bytes=len(data),
        bpp=8 * len(data) / (original.width * original.height),
        psnr_rgb=metrics.psnr(original.rgb, decoded),
        psnr_y=metrics.psnr(metrics.luma(original.rgb), metrics.luma(decoded)),
        ms_ssim_rgb=metrics.ms_ssim(original.rgb, decoded),
        encode_s=encoded - start,
        decode_s=end - encoded,
    )


def load(path: Path, codec_id: str, images: list[Path]) -> list[Measurement] | None:
    """What an earlier run measured, if it was the same pictures and qualities."""
    if not path.exists():
        return None
    rows = [Measurement(**row) for row in json.loads(path.read_text())["points"]]
    wanted = itertools.product((image.name for image in images), qualities(codec_id))
    return rows if [(row.image, row.quality) for row in rows] == list(wanted) else None


def summary(codec_id: str, rows: list[Measurement]) -> dict[str, Any]:
    """CompressAI's schema: means over pictures, a point a quality."""
    points = [[row for row in rows if row.quality == quality] for quality in qualities(codec_id)]

    def means(attribute: str) -> list[float]:
        return [round(fmean(getattr(row, attribute) for row in point), 6) for point in points]

    return {
        "name": codec_id,
        "description": make(codec_id).summary,
        "results": {
            "quality": list(qualities(codec_id)),
            "bpp": means("bpp"),
            "psnr-rgb": means("psnr_rgb"),
            "psnr-y": means("psnr_y"),
            "ms-ssim-rgb": means("ms_ssim_rgb"),
            "encoding_time": means("encode_s"),
            "decoding_time": means("decode_s"),
        },
    }


def entry(codec_id: str, rows: list[Measurement], jobs: int) -> dict[str, Any]:
    """A codec's own file."""
    return {
        **summary(codec_id, rows),
        "metadata": {**common.metadata(), "jobs": jobs},
        "points": [asdict(row) for row in rows],
    }


def bd_table(results: Results, anchor: list[str]) -> list[dict[str, Any]]:
    """Every codec against the anchor; every comrec-X against X."""
    pairs = [(codec_id, anchor) for codec_id in results if [codec_id] != anchor]
    for codec_id in results:
        base = codec_id.removeprefix("comrec-")
        if base != codec_id and base in results:
            pairs.append((codec_id, [base]))
    return [
        {
            "codec": codec_id,
            "anchor": against,
            **{name: mean_bd_rate(results, against, codec_id, name) for name in METRICS},
        }
        for codec_id, against in pairs
    ]


def mean_bd_rate(
    results: Results, anchor: list[str], codec_id: str, metric: str
) -> dict[str, float | int | None]:
    """Percent, and on how many pictures the curves overlap."""
    rates = []
    for image in dict.fromkeys(row.image for row in results[codec_id]):
        best = curves.best_of([curve(results[name], image, metric) for name in anchor])
        test = curve(results[codec_id], image, metric)
        try:
            rates.append(
                curves.bd_rate(curves.within(best, *BPP_RANGE), curves.within(test, *BPP_RANGE))
            )
        except OptionError:  # no overlap on this picture
            continue
    return {"percent": fmean(rates) if rates else None, "pictures": len(rates)}


def curve(rows: list[Measurement], image: str, metric: str) -> list[tuple[float, float]]:
    value = METRICS[metric]
    return [(row.bpp, value(row)) for row in rows if row.image == image]


def print_table(table: list[dict[str, Any]], results: Results) -> None:
    heads = "".join(f"{head:>10}" for head in ("PSNR-RGB", "MS-SSIM", "encode s", "decode s"))
    print(f"{'codec':<20}{'against':<20}{heads}")
    for row in table:
        rates = (row[metric]["percent"] for metric in METRICS)
        cells = "".join(f"{'-':>10}" if rate is None else f"{rate:>+9.1f}%" for rate in rates)
        points = results[row["codec"]]
        times = fmean(p.encode_s for p in points), fmean(p.decode_s for p in points)
        against = "+".join(row["anchor"])
        print(f"{row['codec']:<20}{against:<20}{cells}{times[0]:>10.3f}{times[1]:>10.3f}")


if __name__ == "__main__":
    main()

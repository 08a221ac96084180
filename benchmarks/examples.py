"""The example pictures of the documentation, of photographs that scikit-image ships.

    python benchmarks/examples.py -o docs

`example-msroi-jpeg.webp`: what matters, and crops of it and of the rest, at equal bytes.
`example-deepn-jpeg.webp`: a crop at equal bytes.
`example-rippel2017.webp`: crops at .15 bits per pixel.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import skimage.data
from PIL import Image

from comrec import codec, metrics, roi, targets
from comrec.measure.comparison import crops
from comrec.picture import Picture
from comrec.targets import Target

_REGION = 10  # quality of JPEG whose bytes are filled
_CLASSIFIER = 12
_LOW_RATE = 0.15  # bits per pixel
_MAP_WIDTH = 640


def like_jpeg(picture: Picture, quality: float) -> int:
    """Bytes of JPEG of a quality."""
    return len(codec.get("jpeg").encode(picture, quality))


def filled(picture: Picture, texts: Sequence[str], budget: int) -> list[tuple[str, Picture]]:
    """The original, and what codecs make of it in so many bytes; labelled."""
    shown = [("original\n", picture)]
    for text in texts:
        coder = codec.parse(text)
        point = targets.encode(coder, picture, Target("size", budget)).point
        decoded = coder.decode(point.data)
        psnr = metrics.psnr(decoded.rgb, picture.rgb)
        shown.append((f"{text}\n{len(point.data):,} bytes, {psnr:.2f} dB", decoded))
    return shown


def region() -> Image.Image:
    """The map; and crops, of what matters above and of the rest below."""
    picture = Picture(skimage.data.chelsea())
    shown = filled(picture, ["jpeg", "jpeg-tuned", "msroi-jpeg"], like_jpeg(picture, _REGION))
    inside, outside = (crops(shown, corner) for corner in ((130, 50), (290, 140)))
    heat = Image.fromarray(roi.heat(picture.rgb, roi.stored(picture, roi.AUTO)))
    size = _MAP_WIDTH, round(_MAP_WIDTH * heat.height / heat.width)
    sheet = Image.new("RGB", (_MAP_WIDTH + 8 + inside.width, 2 * inside.height), "white")
    sheet.paste(heat.resize(size, Image.Resampling.LANCZOS), (0, inside.height - size[1] // 2))
    sheet.paste(inside, (_MAP_WIDTH + 8, 0))
    sheet.paste(outside, (_MAP_WIDTH + 8, inside.height))
    return sheet


def classifier() -> Image.Image:
    """Crops."""
    picture = Picture(skimage.data.coffee())
    shown = filled(picture, ["jpeg", "deepn-jpeg", "jpeg-tuned"], like_jpeg(picture, _CLASSIFIER))
    return crops(shown, (260, 110))


def perceptual() -> Image.Image:
    """Crops of two photographs, one below the other."""
    rows = []
    for pixels, corner in (
        (skimage.data.astronaut(), (140, 30)),
        (skimage.data.coffee(), (120, 60)),
    ):
        picture = Picture(pixels)
        budget = round(_LOW_RATE * picture.width * picture.height / 8)
        texts = ["bpg", "rippel2017", "rippel2017:metric=perceptual"]
        rows.append(crops(filled(picture, texts, budget), corner))
    sheet = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "white")
    for place, row in enumerate(rows):
        sheet.paste(row, (0, place * row.height))
    return sheet


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder")
    given = parser.parse_args(arguments)
    made = {"msroi-jpeg": region(), "deepn-jpeg": classifier(), "rippel2017": perceptual()}
    for name, sheet in made.items():
        image = sheet.resize((1200, round(1200 * sheet.height / sheet.width)))
        image.save(given.output / f"example-{name}.webp", quality=88, method=6)


if __name__ == "__main__":
    main()

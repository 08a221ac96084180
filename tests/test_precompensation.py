"""What RecCNN does not restore is added to the picture that is coded."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import numpy as np
import pytest
import skimage.data

from comrec import codec
from comrec.codec import Codec
from comrec.fidelity import psnr
from comrec.picture import Picture
from comrec.sandwich import ours

# dB, mean over two sizes: about half of what was measured.
MARGINS = {
    "webp": 0.018,
    "jpeg2000": 0.07,
    "avif": 0.05,
    "bpg": 0.03,
    "heic": 0.15,
    "jpegxl": 0.025,
}
MODULES = {"bpg": "av", "jpegxl": "pyjpegxl", "heic": "pillow_heif"}


def sandwich(base: str, effort: int = 7) -> Codec:
    if base in MODULES:
        pytest.importorskip(MODULES[base])
    return codec.get(f"comrec-{base}", effort=effort, scale="1")


@pytest.mark.parametrize("base", MARGINS)
def test_rounds_improve_what_comrec_shows(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs: Any = skimage.data  # without types
    picture = Picture(np.ascontiguousarray(photographs.astronaut()[20:211, 130:321]))
    coder = sandwich(base)
    budgets = [int(rate * picture.width * picture.height / 8) for rate in (0.6, 1.0)]

    def scores() -> list[float]:
        files = [coder.encode_within(picture, budget, tolerance=0) for budget in budgets]
        return [psnr(coder.decode(file.data), picture) for file in files]

    improved = scores()
    monkeypatch.setattr(ours, "ROUNDS", {})
    gains = np.subtract(improved, scores())
    assert fmean(gains) > MARGINS[base]


def test_efforts_below_six_do_without(photo: Picture) -> None:
    picture = photo.cropped(20, 10, 160, 128)
    plain, fast, default = (
        coder.encode(picture, 60)
        for coder in (codec.get("webp", effort=5), sandwich("webp", 5), sandwich("webp", 6))
    )
    stream = plain[12:]
    assert stream in fast
    assert stream not in default


@pytest.mark.parametrize("kind", ["colour", "gray", "alpha"])
def test_parts_of_a_large_picture_give_the_same_file(
    kind: str, photo: Picture, gray_photo: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = (gray_photo if kind == "gray" else photo).cropped(30, 20, 101, 75)
    if kind == "alpha":
        alpha = np.full((75, 101), 255, np.uint8)
        alpha[20:40] = 0
        picture = Picture(picture.pixels, alpha)
    whole = sandwich("webp").encode(picture, 50)
    monkeypatch.setattr("comrec.sandwich.precompensation._ROWS", 16)
    assert sandwich("webp").encode(picture, 50) == whole

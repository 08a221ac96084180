"""What RecCNN does not restore is added to the picture that is coded."""

from __future__ import annotations

from math import log2
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

# dB, mean over three qualities: about half of what was measured.
MARGINS = {
    "webp": 0.08,
    "jpeg2000": 0.17,
    "avif": 0.05,
    "bpg": 0.05,
    "heic": 0.07,
    "jpegxl": 0.03,
}
MODULES = {"bpg": "av", "jpegxl": "pyjpegxl", "heic": "pillow_heif"}


def sandwich(base: str, effort: int = 7) -> Codec:
    if base in MODULES:
        pytest.importorskip(MODULES[base])
    return codec.get(f"comrec-{base}", effort=effort, scale="1")


@pytest.mark.parametrize("base", MARGINS)
def test_rounds_improve_what_comrec_shows(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs: Any = skimage.data  # without types
    pixels = np.ascontiguousarray(photographs.astronaut()[20:211, 130:321])
    alpha = None
    if base == "jpegxl":  # codes opaque pictures by JPEG's coefficients, which test_aware tests
        alpha = np.full(pixels.shape[:2], 255, np.uint8)
        alpha[0, 0] = 254
    picture = Picture(pixels, alpha)
    coder = sandwich(base)
    qualities = coder.bench_qualities[2:5]

    def worth() -> list[float]:
        """PSNR in dB at equal bytes, where twice the bytes are worth 3 dB: steps of some codecs are
        coarser than what is gained."""
        files = [coder.encode(picture, quality) for quality in qualities]
        return [psnr(coder.decode(data), picture) - 3 * log2(len(data)) for data in files]

    improved = worth()
    monkeypatch.setattr(ours, "ROUNDS", {})
    gains = np.subtract(improved, worth())
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

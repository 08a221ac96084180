"""JPEG coefficients that are chosen for RecCNN."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from comrec import codec
from comrec.inference import store
from comrec.inference.store import Network
from comrec.jpegtuning import blocks
from comrec.jpegtuning.tuned import TunedEncoder, TunedJpeg
from comrec.metrics import psnr
from comrec.picture import Picture
from comrec.sandwich import aware, conditions
from comrec.sandwich.reconstruct import reconstruct
from comrec.standard.jpeg import Subsampling


@pytest.fixture(scope="module")
def rec() -> Network:
    return store.serving("comrec", "jpeg", "rec")


@pytest.fixture(scope="module")
def gradient(rec: Network) -> Network:
    found = store.gradient_of(rec)
    assert found is not None
    return found


def tuned(picture: Picture, subsampling: Subsampling = "4:2:0") -> TunedEncoder:
    return TunedJpeg(tune="network", subsampling=subsampling).encoder(picture)


def shown(rec: Network, data: bytes) -> Picture:
    """What comrec shows of a payload."""
    decoded = codec.get("jpeg").decode(data)
    size = decoded.width, decoded.height
    condition = conditions.from_file("jpeg", data, 0)
    return decoded.with_pixels(reconstruct(rec, decoded.pixels, condition, size))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (13, 22), (1, 1), (2, 33)])
def test_the_adjoint_of_chroma_upsampling(height: int, width: int) -> None:
    random = np.random.default_rng(1)
    plane = random.standard_normal((24, 40)).astype(np.float32)
    gradient = random.standard_normal((height, width)).astype(np.float32)
    there = (blocks.double(plane, height, width) * gradient).sum(dtype=np.float64)
    back = (plane * blocks.adjoint_of_double(gradient, 24, 40)).sum(dtype=np.float64)
    assert there == pytest.approx(back, abs=1e-4)


def test_the_adjoint_of_the_inverse_transform() -> None:
    random = np.random.default_rng(2)
    coefficients = random.standard_normal((2, 3, 64)).astype(np.float32)
    gradient = random.standard_normal((16, 24)).astype(np.float32)
    plane = blocks.to_plane(coefficients)
    assert np.allclose(blocks.to_coefficients(plane), coefficients, atol=1e-4)
    there = ((plane - 128) * gradient).sum(dtype=np.float64)
    back = (coefficients * blocks.adjoint_of_plane(gradient)).sum(dtype=np.float64)
    assert there == pytest.approx(back, abs=1e-3)


@pytest.mark.parametrize("subsampling", get_args(Subsampling))
@pytest.mark.parametrize("size", [(96, 80), (61, 47)])
def test_chroma_is_upsampled_as_libjpeg_does(
    photo: Picture, size: tuple[int, int], subsampling: Subsampling
) -> None:
    """Against the real decoder: its integer arithmetic is within three levels of ours."""
    picture = photo.cropped(20, 10, *size)
    encoder = tuned(picture, subsampling).at(85)
    levels = encoder.quantise(encoder.coefficients, 85)
    ours = aware.decoded(encoder.dequantised(levels, 85), picture.height, picture.width)
    theirs = codec.get("jpeg").decode(encoder.write(levels, 85)).pixels
    difference = np.abs(np.clip(ours, 0, 255) - theirs)
    assert difference.max() <= 3
    assert difference.mean() < 0.7


@pytest.mark.parametrize("kind", ["even", "odd", "gray", "full chroma"])
@pytest.mark.parametrize("quality", [12, 55])
def test_rounds_improve_what_comrec_shows(
    rec: Network, gradient: Network, photo: Picture, gray_photo: Picture, kind: str, quality: float
) -> None:
    picture = (gray_photo if kind == "gray" else photo).cropped(30, 20, 160, 128)
    if kind == "odd":
        picture = picture.cropped(0, 0, 151, 117)
    encoder = tuned(picture, "4:4:4" if kind == "full chroma" else "4:2:0")
    scores = []
    for rounds in (0, 3):
        data = aware.AwareEncoder(encoder, gradient, rounds)(quality)
        scores.append((psnr(shown(rec, data).rgb, picture.rgb), len(data)))
    (before, plain_size), (after, size) = scores
    assert after > before + 0.1
    assert size < 1.04 * plain_size


def test_without_rounds_it_is_the_plain_encoder(gradient: Network, photo: Picture) -> None:
    picture = photo.cropped(0, 0, 64, 48)
    encoder = tuned(picture)
    assert aware.AwareEncoder(encoder, gradient, 0)(40) == encoder(40)


def test_tiles_change_nothing(gradient: Network, photo: Picture) -> None:
    picture = photo.cropped(0, 0, 250, 131)
    encoder = tuned(picture)
    whole = aware.AwareEncoder(encoder, gradient, 2)(40)
    assert aware.AwareEncoder(encoder, replace(gradient, tile=64), 2)(40) == whole


def test_efforts_below_six_do_without(photo: Picture) -> None:
    picture = photo.cropped(0, 0, 64, 48)
    fast, default = (codec.get("comrec-jpeg", effort=e, scale="1") for e in (5, 7))
    payload = codec.parse("jpeg-tuned:tune=network", {"effort": 5}).encode(picture, 60)
    assert payload[-200:] == fast.encode(picture, 60)[-200:]
    assert payload[-200:] != default.encode(picture, 60)[-200:]

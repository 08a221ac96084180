"""JPEG coefficients that are chosen for RecCNN."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from comrec import codec
from comrec.inference import store
from comrec.inference.store import Network
from comrec.jpegtuning.tuned import TunedEncoder, TunedJpeg
from comrec.metrics import psnr
from comrec.picture import Picture
from comrec.sandwich import conditions
from comrec.sandwich.aware import AwareEncoder
from comrec.sandwich.reconstruct import reconstruct
from comrec.standard.chroma import Sampling


@pytest.fixture(scope="module")
def rec() -> Network:
    return store.serving("comrec", "jpeg", "rec")


def tuned(picture: Picture, subsampling: Sampling = "4:2:0") -> TunedEncoder:
    return TunedJpeg(tune="network", subsampling=subsampling).encoder(picture)


def shown(rec: Network, data: bytes) -> Picture:
    """What comrec shows of a payload."""
    decoded = codec.get("jpeg").decode(data)
    size = decoded.width, decoded.height
    condition = conditions.from_file("jpeg", data, 0)
    return decoded.with_pixels(reconstruct(rec, decoded.pixels, condition, size))


@pytest.mark.parametrize("kind", ["even", "odd", "gray", "full chroma"])
@pytest.mark.parametrize("quality", [12, 55])
def test_rounds_improve_what_comrec_shows(
    rec: Network, photo: Picture, gray_photo: Picture, kind: str, quality: float
) -> None:
    picture = (gray_photo if kind == "gray" else photo).cropped(30, 20, 160, 128)
    if kind == "odd":
        picture = picture.cropped(0, 0, 151, 117)
    encoder = tuned(picture, "4:4:4" if kind == "full chroma" else "4:2:0")
    data = AwareEncoder(encoder, lambda file: shown(rec, file).pixels, 3)(quality)
    finer = quality
    while len(plain := encoder(finer)) < len(data):
        finer += 0.5
    scores = [psnr(shown(rec, file).rgb, picture.rgb) for file in (plain, data)]
    assert finer < quality + 10
    assert scores[1] > scores[0] + 0.04  # at no more bytes


def test_without_rounds_it_is_the_plain_encoder(rec: Network, photo: Picture) -> None:
    picture = photo.cropped(0, 0, 64, 48)
    encoder = tuned(picture)
    assert AwareEncoder(encoder, lambda file: shown(rec, file).pixels, 0)(40) == encoder(40)


@pytest.mark.parametrize(("kind", "most"), [("4:2:0", 24), ("4:4:4", 36), ("gray", 16)])
def test_large_pictures_in_bands_give_the_same_files_in_less_memory(
    kind: str, most: float, photo: Picture, gray_photo: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = gray_photo if kind == "gray" else photo
    picture = Picture(np.tile(picture.pixels, (2, 2, 1)[: picture.pixels.ndim])[:-5, :-3].copy())

    def encoded() -> tuple[bytes, float]:
        """And the bytes that Python and NumPy allocate at most, a pixel."""
        tracemalloc.start()
        encoder = tuned(picture, "4:4:4" if kind == "4:4:4" else "4:2:0")
        data = AwareEncoder(encoder, lambda data: codec.get("jpeg").decode(data).pixels, 2)(40)
        allocated = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return data, allocated / (picture.width * picture.height)

    whole, _ = encoded()
    monkeypatch.setattr("comrec.jpegtuning.encoder._HELD", 0)
    monkeypatch.setattr("comrec.jpegtuning.encoder._BAND", 1 << 14)
    monkeypatch.setattr("comrec.jpegtuning.bitstream._BLOCKS", 500)
    bands, allocated = encoded()
    assert bands == whole
    assert allocated < most


def test_efforts_below_six_do_without(photo: Picture) -> None:
    picture = photo.cropped(20, 10, 160, 128)
    fast, default = (codec.get("comrec-jpeg", effort=e, scale="1", tune="psnr") for e in (5, 7))
    payload = codec.parse("jpeg-tuned:tune=network", {"effort": 5}).encode(picture, 30)
    assert payload[-200:] == fast.encode(picture, 30)[-200:]
    assert payload[-200:] != default.encode(picture, 30)[-200:]

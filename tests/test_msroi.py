"""msroi-jpeg: plain JPEG whose bits go where the picture matters."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import comrec
from comrec import codec, roi
from comrec.picture import Picture


def salient_db(data: bytes, photo: Picture) -> tuple[float, float]:
    """PSNR of the most important fifth by the network, and of all, in dB."""
    plane = roi.stored(photo, "auto")
    most = plane >= np.quantile(plane, 0.8)
    squares = ((np.asarray(comrec.decode(data), float) - photo.pixels) ** 2).mean(axis=2)
    inside, whole = squares[most].mean(), squares.mean()
    return float(10 * np.log10(255**2 / inside)), float(10 * np.log10(255**2 / whole))


@pytest.mark.parametrize("method", ["lambda", "composite"])
def test_files_are_plain_jpeg_of_one_table_per_channel(method: str, photo: Picture) -> None:
    data = codec.get("msroi-jpeg", method=method).encode(photo, 40)
    info = comrec.info(data)
    assert info.codec == "jpeg"
    assert info.network is None
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        assert len(image.quantization) == 2  # type: ignore[attr-defined]
        image.load()


def test_the_network_s_map_is_the_default(photo: Picture) -> None:
    ours = codec.get("msroi-jpeg")
    assert ours.encode(photo, 40) == ours.encode(roi.marked(photo, "auto"), 40)
    assert ours.encode(photo, 40) == codec.get("jpeg-tuned").encode(roi.marked(photo, "auto"), 40)
    assert ours.encode(photo, 40) != ours.encode(roi.marked(photo, "centre"), 40)


def test_a_given_map_takes_its_place(photo: Picture) -> None:
    image = photo.to_pil()
    centre = comrec.encode(image, "msroi-jpeg", 40, roi="centre")
    assert centre == codec.get("msroi-jpeg").encode(roi.marked(photo, "centre"), 40)
    assert comrec.encode(image, "msroi-jpeg", 40, roi_strength=12) == codec.get(
        "msroi-jpeg"
    ).encode(roi.marked(photo, "auto", 12), 40)


def test_bits_in_the_trellis_move_more_than_a_composite_does(photo: Picture) -> None:
    image = photo.to_pil()
    plain, ours, published = (
        salient_db(comrec.encode(image, coder, match="jpeg:50"), photo)
        for coder in ("jpeg-tuned", "msroi-jpeg", "msroi-jpeg:method=composite")
    )
    jpeg = salient_db(comrec.encode(image, "jpeg", 50), photo)
    assert ours[0] - plain[0] > max(0.5, published[0] - jpeg[0])


def test_a_composite_takes_important_places_from_finer_files(photo: Picture) -> None:
    importance = np.zeros((192, 256), np.float32)
    importance[:, 128:] = 1
    data = codec.get("msroi-jpeg", method="composite").encode(
        Picture(photo.pixels, importance=importance), 95
    )
    squares = (np.asarray(comrec.decode(data), float) - photo.pixels) ** 2
    assert squares[:, 144:].mean() < 0.5 * squares[:, :112].mean()


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (17, 16)])
@pytest.mark.parametrize("method", ["lambda", "composite"])
def test_pictures_of_any_size_gray_too(size: tuple[int, int], method: str) -> None:
    random = np.random.default_rng(3)
    coder = codec.get("msroi-jpeg", method=method)
    for shape in (size, (*size, 3)):
        picture = Picture(random.integers(0, 256, shape).astype(np.uint8))
        decoded = coder.decode(coder.encode(picture, 60))
        assert decoded.pixels.shape == picture.pixels.shape


def test_sizes_are_filled_within_a_hundredth(photo: Picture) -> None:
    for budget in (4000, 9000, 20000):
        assert 0.99 * budget <= len(comrec.encode(photo.to_pil(), "msroi-jpeg", target_size=budget))
        assert len(comrec.encode(photo.to_pil(), "msroi-jpeg", target_size=budget)) <= budget

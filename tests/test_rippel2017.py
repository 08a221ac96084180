"""The codec `rippel2017`: files, prefixes, targets, exactness; see also test_progressive_codecs."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from roundtrip import distance

import comrec
from comrec import files
from comrec.errors import DamagedFileError, TargetError
from comrec.formats import cmr
from comrec.inference import session as runtime
from comrec.inference import store
from comrec.learned import progressive, rippel2017
from comrec.learned.rippel2017 import Networks, Rippel2017
from comrec.picture import Metadata, Picture

PLAIN = Rippel2017(effort=5)
"""Does not refine: all files of a picture are prefixes of one."""


@pytest.fixture(scope="module")
def whole(wide: Picture) -> bytes:
    return PLAIN.encode(wide, 100)


# --- qualities --------------------------------------------------------------------------------


def test_files_grow_and_pictures_improve_with_quality(wide: Picture) -> None:
    encode = PLAIN.encoder(wide)
    found = [encode(quality) for quality in range(0, 101, 10)]
    sizes = [len(data) for data in found]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == len(sizes)
    errors = [distance(Rippel2017().decode(data), wide) for data in found]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02


def test_the_picture_beats_jpeg_at_equal_bytes(wide: Picture) -> None:
    """In MS-SSIM, by far."""
    for bpp in (0.15, 0.3, 0.6):
        budget = int(bpp * wide.width * wide.height / 8)
        ours = Rippel2017().encode_within(wide, budget)
        jpeg = comrec.codec.parse("jpeg").encode_within(wide, budget)
        assert len(ours.data) <= len(jpeg.data) * 1.1  # which has whole qualities only
        decoded = comrec.codec.parse("jpeg").decode(jpeg.data)
        assert distance(Rippel2017().decode(ours.data), wide) < 0.5 * distance(decoded, wide)


# --- prefixes ---------------------------------------------------------------------------------


@given(share=st.floats(0, 1))
@settings(max_examples=25)
def test_a_file_cut_at_any_byte_is_a_picture(share: float, whole: bytes, wide: Picture) -> None:
    cut = whole[: int(80 + share * (len(whole) - 80))]
    if len(cut) < len(whole):
        with pytest.raises(DamagedFileError, match="cut short"):
            files.decode(cut)
    decoded = files.decode(cut, partial=True)
    assert decoded.pixels.shape == wide.pixels.shape
    assert distance(decoded, wide) < (0.3 if len(cut) > 400 else 0.9)


def test_more_bytes_show_more(whole: bytes, wide: Picture) -> None:
    errors = [
        distance(files.decode(whole[: int(share * len(whole))], partial=True), wide)
        for share in (0.04, 0.08, 0.15, 0.25, 0.4, 0.6, 0.8, 1)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 5 * errors[-1]


def test_a_prefix_is_as_good_as_a_file_of_that_size(whole: bytes, wide: Picture) -> None:
    for quality in (30, 55, 80):
        data = PLAIN.encode(wide, quality)
        cut = files.decode(whole[: len(data)], partial=True)
        own = distance(Rippel2017().decode(data), wide)
        assert distance(cut, wide) < 1.05 * own


@given(budget=st.integers(420, 20_000))
@settings(max_examples=25)
def test_a_size_is_one_encode_and_a_cut(budget: int, wide: Picture, whole: bytes) -> None:
    point = PLAIN.encode_within(wide, budget)
    assert point.encodes == 1
    most = min(budget, len(whole))
    # What is left may be too little for one more chunk.
    assert min(0.995 * most, most - 12) <= len(point.data) <= budget
    assert files.decode(point.data).pixels.shape == wide.pixels.shape  # a whole file
    assert 0 <= point.quality <= 100
    again = len(PLAIN.encode(wide, point.quality))
    assert abs(again - len(point.data)) < 0.05 * len(point.data) + 60


@pytest.mark.parametrize("budget", [600, 1500, 2500, 5000])
def test_refined_for_a_size_a_picture_is_better(budget: int, wide: Picture) -> None:
    plain = PLAIN.encode_within(wide, budget)
    refined = Rippel2017().encode_within(wide, budget)
    assert refined.encodes == 2
    assert min(0.995 * budget, budget - 12) <= len(refined.data) <= budget
    errors = [distance(files.decode(point.data), wide) for point in (plain, refined)]
    assert errors[1] < 0.99 * errors[0]
    assert abs(refined.quality - plain.quality) < 5


def test_prefixes_of_a_refined_file_are_pictures_too(wide: Picture, whole: bytes) -> None:
    """Hardly worse than if it had been refined for none."""
    refined = Rippel2017().encode(wide, 80)
    for share in (0.1, 0.3, 0.6):
        length = int(share * len(refined))
        ours, plain = (files.decode(data[:length], partial=True) for data in (refined, whole))
        assert distance(ours, wide) < 1.1 * distance(plain, wide)


def test_sizes_that_no_picture_fits_are_told(wide: Picture) -> None:
    with pytest.raises(TargetError, match="smallest file of this picture has") as caught:
        comrec.encode(wide.to_pil(), "rippel2017", target_size=50)
    (least,) = map(int, re.findall(r"has ([0-9]+) bytes", str(caught.value)))
    assert len(comrec.encode(wide.to_pil(), "rippel2017", target_size=least)) == least


def test_fidelities_are_met(wide: Picture) -> None:
    data = comrec.encode(wide.to_pil(), "rippel2017", target_msssim=0.97)
    assert 0.97 <= 1 - distance(files.decode(data), wide) < 0.975


# --- exactness --------------------------------------------------------------------------------


def latents_of(data: bytes) -> Any:
    return Rippel2017()._known(cmr.parse(data))[1].latents


@pytest.mark.parametrize("count", [1, 2, 4])
def test_any_number_of_threads_decodes_the_same(
    count: int, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = latents_of(whole)
    monkeypatch.setattr(runtime, "threads", lambda: count)
    runtime.forget()
    try:
        assert np.array_equal(latents_of(whole), expected)
    finally:
        runtime.forget()
    assert np.abs(expected).max() > 1  # so the test says something


@pytest.mark.parametrize("level", ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_ALL"])
def test_any_optimisation_gives_the_same_integers(level: str) -> None:
    import onnxruntime

    networks = Networks.trained_for("rippel2017", "ms-ssim")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    other = onnxruntime.InferenceSession(
        networks.planes.load(), options, providers=["CPUExecutionProvider"]
    )
    random = np.random.default_rng(0)
    levels = random.integers(0, 128, (networks.planes.channels, 9, 13), np.uint8)
    channels = np.arange(networks.planes.channels // 2)
    for number in range(18):
        feed = {"levels": levels[None], "number": np.array(number), "channels": channels}
        for theirs, ours in zip(
            other.run(None, feed), networks.predict(number, levels, channels), strict=True
        ):
            assert np.array_equal(theirs[0], ours)


def test_bands_give_the_integers_of_one_piece(
    monkeypatch: pytest.MonkeyPatch, whole: bytes
) -> None:
    expected = latents_of(whole)
    monkeypatch.setattr(rippel2017, "_BAND", 3)
    assert np.array_equal(latents_of(whole), expected)


def test_the_file_says_which_networks_decode_it(wide: Picture, whole: bytes) -> None:
    planes = store.by_id(cmr.header(whole).network)
    assert (planes.family, planes.role) == ("rippel2017", "planes")
    other = next(n for n in store.networks() if n.family == "liu2018" and n.role == "h_s")
    file = cmr.parse(whole)
    head = cmr.Header("rippel2017", other.id, wide.width, wide.height, 3, 100)
    with pytest.raises(DamagedFileError, match="codes no planes"):
        files.decode(cmr.write(head, file.metadata, None, file.payloads))


# --- other programs ---------------------------------------------------------------------------


@pytest.mark.usefixtures("pillow")
def test_pillow_opens_the_files(whole: bytes, wide: Picture) -> None:
    with Image.open(io.BytesIO(whole)) as image:
        assert image.size == (wide.width, wide.height)
        shown = np.asarray(image)
    assert np.array_equal(shown, files.decode(whole).pixels)


def test_payloads_grow_and_hold_the_stream() -> None:
    stream = np.random.default_rng(0).bytes(100_000)
    parts = progressive.payloads(stream)
    assert len(parts) < 20
    assert max(map(len, parts)) < 0.5 * len(stream)
    head = cmr.Header("rippel2017", 20 * "0", 900, 900, 3, 100)
    for count in (len(parts), 5):
        file = cmr.Container(head, Metadata(), None, tuple(parts[:count]))
        found = progressive.stream(file)
        assert found.data == stream[: len(found.data)]
        assert found.cut == (count == 5) == (len(found.data) < len(stream))

"""The codec `toderici2017`: files, prefixes, iterations, targets, exactness, errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from roundtrip import distance

import comrec
from comrec import codec, files
from comrec.cli import main
from comrec.entropy.bits import ITERATIONS
from comrec.errors import DamagedFileError, OptionError, TargetError
from comrec.formats import cmr
from comrec.inference import session as runtime
from comrec.inference import store
from comrec.learned import recurrence, toderici2017
from comrec.learned.toderici2017 import Networks, Toderici2017
from comrec.picture import Picture


@pytest.fixture(scope="module")
def whole(wide: Picture) -> bytes:
    return Toderici2017().encode(wide, 100)


# --- qualities --------------------------------------------------------------------------------


@pytest.mark.parametrize("adaptive", ["on", "off"])
def test_files_grow_and_pictures_improve_with_quality(wide: Picture, adaptive: str) -> None:
    coder = Toderici2017(adaptive=adaptive)
    encode = coder.encoder(wide)
    found = [encode(quality) for quality in range(0, 101, 20)]
    sizes = [len(data) for data in found]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == len(sizes)
    errors = [distance(coder.decode(data), wide) for data in found]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.04


# --- iterations and prefixes ------------------------------------------------------------------


def bits_of(data: bytes, coder: Toderici2017 | None = None) -> list[Any]:
    """Of each iteration."""
    found: list[Any] = []
    add = toderici2017._Known.add

    def recording(self: Any, bits: Any) -> None:
        found.append(bits)
        add(self, bits)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toderici2017._Known, "add", recording)
        (coder or Toderici2017()).decode(data)
    return found


def test_the_last_iteration_is_for_places_that_need_it(wide: Picture) -> None:
    """A flat part of a picture has fewer bits than the rest; without, all have as many."""
    pixels = wide.pixels.copy()
    pixels[:, :192] = 128
    half = Picture(pixels)
    quality = 100 * 6.4 / 15  # 7.4 iterations
    *before, last = bits_of(Toderici2017().encode(half, quality))
    assert len(before) == 7
    assert all(bits.all() for bits in before)
    going = np.abs(last).mean(0)
    assert set(np.unique(going)) == {0, 1}
    assert 0.38 < going.mean() < 0.42
    assert going[:, :10].mean() < 0.1
    uniform = bits_of(Toderici2017(adaptive="off").encode(half, quality))
    assert len(uniform) == 7
    assert all(bits.all() for bits in uniform)


def test_iterations_can_be_left_out(whole: bytes, wide: Picture) -> None:
    errors = []
    for count in (1, 2, 4, 8, ITERATIONS):
        coder = Toderici2017(iterations=count)
        assert len(bits_of(whole, coder)) == count
        errors.append(distance(coder.decode(whole), wide))
        image = comrec.decode(whole, iterations=count)
        assert np.array_equal(np.asarray(image), coder.decode(whole).pixels)
        # As if no more had been written.
        written = Toderici2017(iterations=count).encode(wide, 100)
        assert np.array_equal(files.decode(written).pixels, coder.decode(whole).pixels)
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 4 * errors[-1]


def test_the_command_decodes_so_many_iterations(tmp_path: Path, whole: bytes) -> None:
    file, shown = tmp_path / "a.cmr", tmp_path / "a.png"
    file.write_bytes(whole)
    assert main(["decode", str(file), "-o", str(shown), "--iterations", "3", "--quiet"]) == 0
    with Image.open(shown) as image:
        assert np.array_equal(np.asarray(image), np.asarray(comrec.decode(whole, iterations=3)))


@pytest.mark.parametrize("count", [0, 17, -1])
def test_iterations_out_of_range_are_refused(count: int, whole: bytes) -> None:
    with pytest.raises(OptionError, match="iterations"):
        comrec.decode(whole, iterations=count)


def test_other_codecs_have_no_iterations(wide: Picture) -> None:
    for name in ("jpeg", "rippel2017", "comrec-jpeg"):
        data = comrec.encode(wide.to_pil(), name, quality=20)
        with pytest.raises(OptionError, match=r"no option 'iterations'.*toderici2017"):
            comrec.decode(data, iterations=3)


@given(share=st.floats(0, 1))
@settings(max_examples=20)
def test_a_file_cut_at_any_byte_is_a_picture(share: float, whole: bytes, wide: Picture) -> None:
    cut = whole[: int(90 + share * (len(whole) - 90))]
    if len(cut) < len(whole):
        with pytest.raises(DamagedFileError, match="cut short"):
            files.decode(cut)
    decoded = files.decode(cut, partial=True)
    assert decoded.pixels.shape == wide.pixels.shape
    assert distance(decoded, wide) < (0.5 if len(cut) > 500 else 0.95)


def test_more_bytes_show_more(whole: bytes, wide: Picture) -> None:
    errors = [
        distance(files.decode(whole[: int(share * len(whole))], partial=True), wide)
        for share in (0.05, 0.1, 0.2, 0.4, 0.7, 1)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 4 * errors[-1]


# --- targets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [900, 2000, 4003])
@pytest.mark.parametrize("adaptive", ["on", "off"])
def test_sizes_are_filled(budget: int, adaptive: str, wide: Picture) -> None:
    point = Toderici2017(adaptive=adaptive).encode_within(wide, budget)
    assert 0.97 * budget < len(point.data) <= budget
    assert files.decode(point.data).pixels.shape == wide.pixels.shape


def test_sizes_that_no_picture_fits_are_told(wide: Picture) -> None:
    for spec in ("toderici2017", "toderici2017:adaptive=off"):
        with pytest.raises(TargetError, match="smallest file of this picture has") as caught:
            comrec.encode(wide.to_pil(), spec, target_size=50)
        (least,) = map(int, re.findall(r"has ([0-9]+) bytes", str(caught.value)))
        assert len(comrec.encode(wide.to_pil(), spec, target_size=least)) <= least


def test_fidelities_are_met(wide: Picture) -> None:
    data = comrec.encode(wide.to_pil(), "toderici2017", target_msssim=0.95)
    assert 0.95 <= 1 - distance(files.decode(data), wide) < 0.96


# --- exactness --------------------------------------------------------------------------------


def same_bits(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(map(np.array_equal, a, b))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_any_number_of_threads_decodes_the_same(
    count: int, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = bits_of(whole)
    monkeypatch.setattr(runtime, "threads", lambda: count)
    runtime.forget()
    try:
        assert same_bits(bits_of(whole), expected)
    finally:
        runtime.forget()
    assert len(expected) == ITERATIONS


@pytest.mark.parametrize("level", ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_ALL"])
def test_any_optimisation_gives_the_same_integers(level: str) -> None:
    import onnxruntime

    networks = Networks.trained_for("toderici2017", "ms-ssim")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    other = onnxruntime.InferenceSession(
        networks.bits.load(), options, providers=["CPUExecutionProvider"]
    )
    random = np.random.default_rng(0)
    levels = random.integers(0, 128, (networks.bits.channels, 9, 13), np.uint8)
    for iteration in range(ITERATIONS):
        feed = {"levels": levels[None], "iteration": np.array(iteration)}
        (theirs,) = other.run(None, feed)
        assert np.array_equal(theirs[0], networks.predict(iteration, levels))


def test_bands_give_what_one_piece_gives(monkeypatch: pytest.MonkeyPatch, whole: bytes) -> None:
    expected = bits_of(whole)
    pixels = files.decode(whole).pixels.astype(int)
    monkeypatch.setattr(recurrence, "_BAND", 3)
    assert same_bits(bits_of(whole), expected)
    assert np.abs(files.decode(whole).pixels.astype(int) - pixels).max() <= 1


def test_the_file_says_which_networks_decode_it(wide: Picture, whole: bytes) -> None:
    bits = store.by_id(cmr.header(whole).network)
    assert (bits.family, bits.role) == ("toderici2017", "bits")
    other = next(n for n in store.networks() if n.family == "liu2018" and n.role == "h_s")
    file = cmr.parse(whole)
    head = cmr.Header("toderici2017", other.id, wide.width, wide.height, 3, 100)
    with pytest.raises(DamagedFileError, match="codes no bits"):
        files.decode(cmr.write(head, file.metadata, None, file.payloads))


# --- what cannot be used ----------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 17, 255])
def test_a_number_of_iterations_that_cannot_be_is_damage(count: int, whole: bytes) -> None:
    file = cmr.parse(whole)
    first, *rest = file.payloads
    altered = first[:4] + bytes([count]) + first[5:]
    data = cmr.write(file.header, file.metadata, None, [altered, *rest])
    with pytest.raises(DamagedFileError, match=f"{count} iterations, not 1 to 16"):
        files.decode(data)


def test_the_text_form_has_its_options() -> None:
    coder = codec.parse("toderici2017:adaptive=off:iterations=5")
    assert coder == Toderici2017(adaptive="off", iterations=5)
    assert str(coder) == "toderici2017:adaptive=off:iterations=5"
    with pytest.raises(OptionError, match="adaptive"):
        codec.parse("toderici2017:adaptive=maybe")

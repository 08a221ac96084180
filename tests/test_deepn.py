"""`deepn-jpeg`: plain JPEG by sets of quantisation tables, and these sets."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import comrec
from comrec import codec, metrics
from comrec.errors import InputError
from comrec.jpegtuning import statistics, tableset
from comrec.jpegtuning.statistics import PUBLISHED, Constants
from comrec.jpegtuning.tableset import Tables
from comrec.picture import Picture

STEPS = st.lists(st.floats(1e-3, 1e5), min_size=64, max_size=64).map(tuple)
ANNEX_K = tableset.of_zigzag("Annex K", statistics.annex_k())


def quantisation(data: bytes) -> dict[int, list[int]]:
    with Image.open(io.BytesIO(data)) as image:
        found: dict[int, list[int]] = image.quantization  # type: ignore[attr-defined]
    return found


@pytest.fixture
def annex_k(tmp_path: Path) -> Path:
    path = tmp_path / "annex_k.json"
    path.write_text(ANNEX_K.to_json())
    return path


# files


def test_a_file_is_a_plain_jpeg_with_the_tables_asked_for(photo: Picture, annex_k: Path) -> None:
    data = codec.get("deepn-jpeg", tables=str(annex_k)).encode(photo, 50)
    reference = io.BytesIO()
    photo.to_pil().save(reference, "JPEG", quality=50)
    assert quantisation(data) == quantisation(reference.getvalue())
    assert comrec.info(data).codec == "jpeg"
    assert codec.get("jpeg").mark_in(data) is None


def test_equal_tables_are_stored_once(photo: Picture, tmp_path: Path) -> None:
    one, two, three = (
        np.array(rows)[:, None] * np.ones(64) for rows in ([9] * 3, [9, 5, 5], [9, 5, 7])
    )
    sizes = []
    for at, steps in enumerate((one, two, three)):
        path = tmp_path / f"{at}.json"
        path.write_text(tableset.of_zigzag("", steps).to_json())
        data = codec.get("deepn-jpeg", tables=str(path)).encode(photo, 50)
        assert len(quantisation(data)) == at + 1
        back = codec.get("jpeg").decode(data)
        assert metrics.psnr(back.rgb, photo.rgb) > 30
        sizes.append(len(data))
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("effort", [1, 7])
def test_more_quality_means_more_bytes_and_psnr(effort: int, photo: Picture) -> None:
    coder = codec.get("deepn-jpeg", effort=effort)
    files = [coder.encode(photo, quality) for quality in (0, 5, 10, 25, 50, 75, 90, 100)]
    levels = [metrics.psnr(coder.decode(data).rgb, photo.rgb) for data in files]
    assert [len(data) for data in files] == sorted({len(data) for data in files})
    assert levels == sorted(set(levels))
    assert levels[-1] > 40


def test_a_quality_is_a_little_smaller_than_jpegs(photo: Picture) -> None:
    for quality in (10, 30, 50, 70, 90):
        ours, theirs = (
            len(comrec.encode(photo.to_pil(), c, quality)) for c in ("deepn-jpeg", "jpeg")
        )
        assert 0.55 < ours / theirs < 1, quality


def test_targets_are_met(photo: Picture) -> None:
    image = photo.to_pil()
    least = len(comrec.encode(image, "deepn-jpeg", 0))
    assert (
        0.95 * 9000 < len(comrec.encode(image, "deepn-jpeg", target_size=9000)) <= 9000
        or least > 9000
    )
    shown = comrec.decode(comrec.encode(image, "deepn-jpeg", target_psnr=33))
    assert metrics.psnr(np.asarray(shown), photo.rgb) >= 33


def test_a_gray_picture_has_the_table_of_luma(gray_photo: Picture, annex_k: Path) -> None:
    data = codec.get("deepn-jpeg", tables=str(annex_k)).encode(gray_photo, 50)
    (table,) = quantisation(data).values()
    assert table[:8] == [16, 11, 10, 16, 24, 40, 51, 61]


def test_codecs_are_told_apart_by_what_their_tables_hold(annex_k: Path, tmp_path: Path) -> None:
    first = codec.get("deepn-jpeg", tables=str(annex_k))
    assert first == codec.get("deepn-jpeg", tables=str(annex_k))
    annex_k.write_text(ANNEX_K.scaled(2).to_json())
    second = codec.get("deepn-jpeg", tables=str(annex_k))
    assert first != second
    assert first.networks != second.networks
    assert codec.parse(str(first)) == second


# sets of tables


@given(STEPS, STEPS, STEPS, st.text())
def test_tables_come_back_from_json(y: Any, cb: Any, cr: Any, description: str) -> None:
    tables = Tables(description, y, cb, cr)
    back = tableset.loads(tables.to_json())
    assert (back.y, back.cb, back.cr) == (y, cb, cr)


@given(STEPS, st.floats(0, 100), st.floats(0, 100))
def test_steps_fall_with_quality(y: Any, first: float, second: float) -> None:
    low, high = sorted((first, second))
    tables = Tables("", y, y, y)
    for before, after in zip(tables.at(low), tables.at(high), strict=True):
        assert (before >= after).all()
        assert after.min() >= 1
        assert before.max() <= 255
        assert (after == np.round(after)).all()


def test_the_packages_tables_are_there() -> None:
    for name in tableset.names():
        tables = tableset.load(name)
        assert tables.description
        assert tableset.loads(tables.to_json()) == tables


def changed(**values: Any) -> str:
    return json.dumps({**json.loads(ANNEX_K.to_json()), **values})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no quantisation tables"),
        ("[]", "no object"),
        ("{}", "lacks"),
        (changed(y=[1] * 63), "y must have 64 steps, not 63"),
        (changed(cb=[0] + [1] * 63), "cb must have steps in 0.001..100000, not 0"),
        (changed(cr=["1"] + [1] * 63), "cr must have steps .* not '1'"),
        (changed(y=[True] + [1] * 63), "y must have steps"),
        (changed(y=[1e9] + [1] * 63), "y must have steps"),
        (changed(y=[float("nan")] * 64), "y must have steps"),
        (changed(y=3), "y must be a list"),
        (changed(format="another"), "format must be"),
        (changed(more=1), "unknown field 'more'"),
    ],
)
def test_a_file_that_holds_no_tables_is_refused(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "tables.json"
    path.write_text(text)
    with pytest.raises(InputError, match=told) as caught:
        codec.get("deepn-jpeg", tables=str(path))
    assert str(path) in str(caught.value)
    assert "comrec tables design" in str(caught.value)


def test_a_missing_file_of_tables_is_told_with_the_names_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: No such file.*imagenet"):
        codec.parse(f"deepn-jpeg:tables={tmp_path / 'none.json'}")


# the map from deviations


def test_the_published_map_is_that_of_the_paper_and_jumps_at_t2() -> None:
    deviations = np.array([0.0, 10, 20, 20.001, 60, 60.001, 78, 79, 500])
    steps = PUBLISHED.steps(deviations)
    assert steps == pytest.approx([255, 157.5, 60, 59.999, 20, 59.997, 6, 5, 5])


def test_fitted_constants_make_steps_that_never_rise_with_deviation(photo: Picture) -> None:
    sample = statistics.coefficients([photo])
    deviations = statistics.deviations(sample)
    constants = statistics.fitted(deviations, statistics.annex_k())
    steps = constants.steps(np.linspace(0, 2 * deviations.max(), 1000))
    assert (np.diff(steps) <= 1e-9).all()
    assert steps[0] > 3 * steps[-1]
    near = np.abs(np.log(constants.steps(deviations) / statistics.annex_k())).mean()
    assert near < np.abs(np.log(PUBLISHED.steps(deviations) / statistics.annex_k())).mean()


def test_deviations_are_those_of_the_pictures_coefficients(photo: Picture) -> None:
    flat = Picture(np.full((64, 64, 3), 77, np.uint8))
    assert statistics.deviations(statistics.coefficients([flat])).max() < 1e-3
    found = statistics.deviations(statistics.coefficients([photo]))
    assert found.shape == (3, 64)
    assert found[0, :6].min() > 3 * found[0, 50:].max()
    assert found[0, 1] > found[1, 1]


def test_steps_are_scaled_to_the_bytes_of_annex_k(photo: Picture) -> None:
    sample = statistics.coefficients([photo])
    steps = statistics.as_costly_as_annex_k(sample, np.full((3, 64), 3.0))
    assert (steps == steps[0, 0]).all()
    wanted = statistics.entropy(sample, statistics.annex_k())
    assert statistics.entropy(sample, steps) == pytest.approx(wanted, rel=0.01)


def test_the_least_step_is_one() -> None:
    assert Constants(least=0.0).steps(np.array([1e4])) == [1]

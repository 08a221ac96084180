"""Files that people edit: recipes, published curves, results. Any text gives a typed error."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comrec.errors import ComrecError, InputError, OptionError
from comrec.measure import published
from comrec.measure.bench import Point
from comrec.measure.store import Store

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
IN_A_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
POINT = {
    "bytes": 10, "bpp": 0.5, "psnr_rgb": 30.0, "psnr_y": 31.0, "ssim_y": None,
    "ms_ssim_rgb": None, "ssimulacra2": 70.5,
    "encode_s": 0.1, "decode_s": 0.1, "encode_peak": None, "decode_peak": None,
}  # fmt: skip


def stored(folder: Path, *lines: Any) -> Store:
    path = folder / "points.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Store(path)


def test_a_result_of_another_version_is_named_with_its_line(tmp_path: Path) -> None:
    good, bad = {"key": "a", "point": POINT}, {"key": "b", "point": {**POINT, "bpp": "much"}}
    store = stored(tmp_path, {"run": {}}, good, bad)
    assert store.result("a", Point, "point") == Point(**POINT)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"points\.jsonl: line 3 .*bpp must be a number"):
        store.result("b", Point, "point")
    store.close()


@pytest.mark.parametrize("line", [5, [], {}, {"run": 1}, {"key": 3}, {"other": {}}])
def test_a_line_that_is_no_result_is_named(tmp_path: Path, line: Any) -> None:
    with pytest.raises(InputError, match=r"points\.jsonl: line 2 "):
        stored(tmp_path, {"run": {}}, line)


@IN_A_FOLDER
@given(PLAIN, PLAIN)
def test_any_stored_result_is_read_or_refused(tmp_path: Path, line: Any, point: Any) -> None:
    with suppress(ComrecError):
        store = stored(tmp_path, {"run": {}}, {"key": "a", "point": point}, line)
        store.result("a", Point, "point")


@pytest.mark.parametrize("bpp", [[0.0, 1.0], [-1.0, 1.0], [float("nan"), 1.0], [1e999, 1.0], []])
def test_rates_of_published_curves_are_above_zero(tmp_path: Path, bpp: list[float]) -> None:
    path = tmp_path / "curve.json"
    path.write_text(json.dumps({"results": {"bpp": bpp, "psnr-rgb": [30.0, 35.0][: len(bpp)]}}))
    with pytest.raises(InputError, match=r"curve\.json"):
        published.load(str(path))


@IN_A_FOLDER
@given(PLAIN)
def test_any_published_curve_is_read_or_refused(tmp_path: Path, entry: Any) -> None:
    path = tmp_path / "curve.json"
    for content in (entry, {"results": entry}, {"results": {"bpp": entry, "psnr-rgb": entry}}):
        path.write_text(json.dumps(content))
        with suppress(ComrecError):
            published.load(str(path))
    path.write_text("[" * 100_000)
    with pytest.raises(InputError, match="too deeply"):
        published.load(str(path))


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 5000, "rate = " + "9" * 400, "steps = " + "9" * 400, "\0", "[[a]]"]
)
def test_any_recipe_is_read_or_refused(tmp_path: Path, text: str) -> None:
    recipe = pytest.importorskip("comrec.train.recipe")
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(OptionError):
        recipe.load(str(path))


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "../toy", "/etc/passwd", "x" * 999 + ".toml"])
def test_names_of_recipes_are_names(name: str) -> None:
    recipe = pytest.importorskip("comrec.train.recipe")
    with pytest.raises(OptionError):
        recipe.load(name)

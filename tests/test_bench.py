"""The benchmark: what it measures, writes and remembers, and what it compares with."""

from __future__ import annotations

import base64
import csv
import dataclasses
import importlib.metadata
import io
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import skimage.data
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

import comrec
from comrec import codec as registry
from comrec import fidelity, metrics, roi, ssimulacra2
from comrec.batch import pool
from comrec.cli import main
from comrec.codec import Codec
from comrec.errors import InputError, OptionError, UnknownCodecError
from comrec.inference import store as weights
from comrec.measure import (
    bench,
    curves,
    machine,
    plots,
    published,
    results,
    variants,
)
from comrec.measure.bench import Failed, Measured, Point, Series, Source
from comrec.measure.store import Store
from comrec.measure.variants import Variant
from comrec.picture import Picture
from comrec.standard.jpeg import Jpeg

pytest.importorskip("matplotlib")
pytest.importorskip("scipy")

QUALITIES = (10, 30, 60, 85)
CODECS = ("jpeg:subsampling=4:2:0", "jpeg:subsampling=4:4:4", "webp")
FILES = {
    "points.jsonl", "points.csv", "crops.jsonl", "bd_rate.json", "report.html",
    "codecs/jpeg-subsampling-4-2-0.json", "codecs/jpeg-subsampling-4-4-4.json", "codecs/webp.json",
    "psnr-rgb.svg", "psnr-rgb.png", "psnr-y.svg", "psnr-y.png",
    "ms-ssim-rgb.svg", "ms-ssim-rgb.png", "ssimulacra2.svg", "ssimulacra2.png",
}  # fmt: skip


def fill(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(skimage.data.chelsea()[:170, :200]).save(folder / "cat.png")
    Image.fromarray(skimage.data.camera()[100:265, 100:280]).save(folder / "gray.png")
    return folder


def run(folder: Path, out: Path, *more: str) -> int:
    qualities = ",".join(map(str, QUALITIES))
    asked = ["--codecs", "webp", "--qualities", qualities, "-o", str(out), "--quiet"]
    return main(["bench", str(folder), *asked, *more])


def lines(out: Path, kind: str = "key") -> list[dict[str, Any]]:
    """The results, or the runs, in a store, torn lines left out."""
    path = out / "points.jsonl"
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [line for line in found if kind in line]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures/ and out/, which a run has filled."""
    place = tmp_path_factory.mktemp("bench")
    (place / "curve.json").write_text(
        json.dumps({"name": "mine", "results": {"bpp": [0.3, 0.9], "psnr-rgb": [28, 33]}})
    )
    anchors = ["--anchors", f"vtm-444,{place / 'curve.json'}"]
    assert run(fill(place / "pictures"), place / "out", "--jobs", "2", *anchors) == 0
    return place


def rows_of(place: Path) -> list[dict[str, str]]:
    with (place / "out" / "points.csv").open() as file:
        return list(csv.DictReader(file))


def test_all_files_are_written(done: Path) -> None:
    out = done / "out"
    assert {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()} == FILES


def test_a_point_is_of_the_whole_file_and_its_decoded_pixels(done: Path) -> None:
    rows = rows_of(done)
    assert len(rows) == len(CODECS) * 2 * len(QUALITIES)
    row = next(r for r in rows if (r["codec"], r["quality"]) == (CODECS[1], "30"))
    original = np.asarray(Image.open(done / "pictures" / row["picture"]))
    data = comrec.encode(original, "jpeg", 30, subsampling="4:4:4")
    decoded = np.asarray(comrec.decode(data))
    luma = [metrics.luma(pixels) for pixels in (original, decoded)]
    assert int(row["bytes"]) == len(data)
    assert float(row["bpp"]) == 8 * len(data) / (original.shape[0] * original.shape[1])
    assert float(row["psnr_rgb"]) == metrics.psnr(original, decoded)
    assert float(row["psnr_y"]) == metrics.psnr(*luma)
    rounded = [np.rint(plane).astype(np.uint8) for plane in luma]
    assert float(row["ssim_y"]) == metrics.ssim(*rounded)
    assert float(row["ms_ssim_rgb"]) == metrics.ms_ssim(original, decoded)
    assert float(row["ssimulacra2"]) == ssimulacra2.score(decoded, original)
    assert 0 < float(row["encode_s"]) < 60
    assert 0 < float(row["decode_s"]) < 60


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_the_peak_is_of_the_step_alone(done: Path) -> None:
    assert all(int(row["encode_peak"]) > 2**24 for row in rows_of(done))
    machine.reset_peak()
    before = machine.peak()
    block = np.ones(2**27, np.uint8)
    raised = machine.peak()
    del block
    machine.reset_peak()
    after = machine.peak()
    assert before is not None
    assert raised is not None
    assert after is not None
    assert raised - before > 2**26
    assert raised - after > 2**26


def test_the_json_is_compressais(done: Path) -> None:
    entry = json.loads((done / "out" / "codecs" / "webp.json").read_text())
    assert entry["name"] == "webp"
    assert entry["description"] == registry.get("webp").summary
    rows = [row for row in rows_of(done) if row["codec"] == "webp"]
    expected = {
        "bpp": "bpp", "psnr-rgb": "psnr_rgb", "psnr-y": "psnr_y", "ssim-y": "ssim_y",
        "ms-ssim-rgb": "ms_ssim_rgb", "ssimulacra2": "ssimulacra2",
        "encoding_time": "encode_s", "decoding_time": "decode_s",
    }  # fmt: skip
    assert entry["results"]["quality"] == list(QUALITIES)
    for name, column in expected.items():
        means = [
            fmean(float(row[column]) for row in rows if float(row["quality"]) == quality)
            for quality in QUALITIES
        ]
        assert entry["results"][name] == pytest.approx(means, abs=1e-6)


def test_bd_rates_are_of_each_picture_then_their_mean(done: Path) -> None:
    content = json.loads((done / "out" / "bd_rate.json").read_text())
    rows = {row["codec"]: row for row in content["rows"]}
    assert set(rows) == set(CODECS)
    assert rows["webp"]["anchor"] == list(CODECS[:2])
    assert content["bpp_range"] == [0.1, 1.5]
    expected = {}
    for picture in ("cat.png", "gray.png"):
        jpeg, jpeg444, webp = (
            [
                (float(row["bpp"]), float(row["psnr_rgb"]))
                for row in rows_of(done)
                if (row["codec"], row["picture"]) == (codec, picture)
            ]
            for codec in CODECS
        )
        anchor = curves.within(curves.best_of([jpeg, jpeg444]), 0.1, 1.5)
        expected[picture] = curves.bd_rate(anchor, curves.within(webp, 0.1, 1.5))
    assert rows["webp"]["psnr-rgb"]["pictures"] == pytest.approx(expected)
    assert rows["webp"]["psnr-rgb"]["percent"] == pytest.approx(fmean(expected.values()))


def test_plots_are_pictures(done: Path) -> None:
    for metric in plots.AXES:
        root = ElementTree.parse(done / "out" / f"{metric}.svg").getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        with Image.open(done / "out" / f"{metric}.png") as image:
            image.load()
            assert image.width > 800
            assert len(set(np.asarray(image.convert("L")).ravel().tolist())) > 20


def test_a_plot_is_the_same_bytes_whatever_the_users_settings() -> None:
    import matplotlib

    lines = [plots.line(variants.parse("webp"), [(0.2, 25.0), (0.9, 33.0)], 0)]
    first = plots.draw(lines, "psnr-rgb")
    with matplotlib.rc_context({"lines.linewidth": 9, "svg.hashsalt": "x", "font.size": 20}):
        assert plots.draw(lines, "psnr-rgb") == first


VOID = {"meta", "img", "path", "use", "br"}


class Strict(HTMLParser):
    """Fails on tags that do not close in order, and on identifiers that come twice."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.links: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                assert value not in self.ids, f"{value} twice"
                self.ids.add(str(value))
            if name in ("src", "href", "xlink:href", "style", "clip-path"):
                self.links.append(("style" if name == "clip-path" else name, str(value)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(out: Path) -> Strict:
    parser = Strict()
    parser.feed((out / "report.html").read_text())
    parser.close()
    assert parser.open == []
    return parser


def test_the_report_is_one_sound_file_that_needs_no_other(done: Path) -> None:
    page = parsed(done / "out")
    text = "".join(page.text)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    for name, value in page.links:
        if name == "src":
            assert value.startswith("data:image/png;base64,")
        elif name == "style":
            assert all(target in page.ids for target in re.findall(r"url\(#?([^)]*)", value))
        else:
            assert value[0] == "#"
            assert value[1:] in page.ids
    assert not re.search(r"@import|url\(", text)
    assert page.tags.count("svg") == len(plots.AXES)
    assert page.tags.count("img") == 2 * (1 + len(CODECS))
    for word in (*CODECS, "vtm-444", "mine", "Kodak", comrec.__version__, "Pillow", "cat.png"):
        assert word in text, word


def test_crops_are_the_decoded_pixels_of_a_file_within_the_budget(done: Path) -> None:
    html = (done / "out" / "report.html").read_text()
    budgets = [int(text.replace(",", "")) for text in re.findall(r"at most ([\d,]+) bytes", html)]
    assert len(budgets) == 2
    stored = [json.loads(line) for line in (done / "out" / "crops.jsonl").read_text().splitlines()]
    assert len(stored) == 2 * len(CODECS)
    assert all(crop["png"] in html for crop in stored)
    of_webp = [crop for crop in stored if crop["label"] == "webp"]
    for name, budget in zip(("cat.png", "gray.png"), budgets, strict=True):
        original = np.asarray(Image.open(done / "pictures" / name))
        files = [comrec.encode(original, "webp", crop["quality"]) for crop in of_webp]
        ((data, crop),) = [
            (data, crop)
            for data, crop in zip(files, of_webp, strict=True)
            if len(data) == crop["bytes"]
        ]
        assert len(data) <= budget
        decoded = np.asarray(comrec.decode(data))
        assert crop["psnr"] == metrics.psnr(Picture(original).rgb, Picture(decoded).rgb)
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(crop["png"]))))
        windows = np.lib.stride_tricks.sliding_window_view(decoded, shown.shape)
        assert (windows == shown).all(axis=(-3, -2, -1)).any()


def test_a_second_run_measures_only_what_changed(done: Path, tmp_path: Path) -> None:
    folder, out = fill(tmp_path / "pictures"), tmp_path / "out"
    out.mkdir()
    for name in ("points.jsonl", "crops.jsonl"):
        (out / name).write_bytes((done / "out" / name).read_bytes())
    before = (out / "points.jsonl").read_bytes()
    assert run(folder, out) == 0
    assert (out / "points.jsonl").read_bytes() == before
    assert (out / "points.csv").read_bytes() == (done / "out" / "points.csv").read_bytes()

    def measure(text: str, *qualities: float) -> tuple[int, int]:
        """How many points were measured anew, and from how many runs all are."""
        store, known = Store(out / "points.jsonl"), len(lines(out))
        series = [Series(variants.parse(text), qualities)]
        found = bench.measure(series, bench.sources_in(folder), store, jobs=1, quiet=True)
        store.close()
        return len(lines(out)) - known, len(found.runs)

    assert measure("webp", *QUALITIES) == (0, 1)
    assert measure("webp", 10, 20) == (2, 2)
    assert measure("webp:effort=2", 10) == (2, 1)
    Image.fromarray(skimage.data.chelsea()[50:220, :200]).save(folder / "cat.png")
    assert measure("webp", 10, 20) == (2, 3)
    (folder / "cat.png").rename(folder / "animal.png")
    assert measure("webp", 10, 20) == (0, 3)


def test_a_region_is_measured_inside_and_outside_and_given_to_codecs_that_take_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = fill(tmp_path / "pictures"), tmp_path / "out"
    asked = ["--codecs", "jpeg-tuned", "--anchor", "jpeg", "--qualities", "20,50,80"]
    command = ["bench", str(folder), "-o", str(out), "--quiet", *asked]
    assert main([*command, "--roi", "centre", "--roi-strength", "9"]) == 0
    assert "inside" in capsys.readouterr().out
    rows = rows_of(tmp_path)
    assert len(rows) == 12
    for row in rows:
        original = Picture(np.asarray(Image.open(folder / row["picture"])))
        plane = roi.stored(original, "centre")
        given = roi.marked(original, "centre", 9) if row["codec"] == "jpeg-tuned" else original
        coder = registry.get(row["codec"])
        data = coder.encode(given, float(row["quality"]))
        assert len(data) == int(row["bytes"])
        decoded = coder.decode(data)
        inside = fidelity.weighted_psnr(decoded, original, plane)
        outside = fidelity.weighted_psnr(decoded, original, 1 - plane)
        assert (float(row["psnr_inside"]), float(row["psnr_outside"])) == (inside, outside)
    compared = json.loads((out / "bd_rate.json").read_text())
    (tuned,) = compared["rows"]
    assert tuned["psnr-inside"]["percent"] < tuned["psnr-outside"]["percent"]
    assert compared["region"] == {"source": "centre", "strength": 9}
    means = json.loads((out / "codecs" / "jpeg-tuned.json").read_text())["results"]
    of_quality = [float(row["psnr_inside"]) for row in rows if row["codec"] == "jpeg-tuned"]
    assert means["psnr-inside"] == pytest.approx(np.reshape(of_quality, (2, 3)).mean(0))
    page = parsed(out)
    assert page.tags.count("img") == 2 * (1 + 1 + 2)
    assert "PSNR outside" in "".join(page.text)
    # Without the region, or with another, all is measured anew.
    known = len(lines(out))
    assert main([*command, "--roi", "centre"]) == 0
    assert main(command) == 0
    assert len(lines(out)) == 3 * known
    assert "inside" not in (out / "points.csv").read_text()
    assert "inside" not in (out / "codecs" / "jpeg-tuned.json").read_text()


def test_one_bad_picture_stops_nothing_and_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = fill(tmp_path / "pictures"), tmp_path / "out"
    (folder / "broken.png").write_bytes(b"not a picture")
    clear = np.zeros((180, 180, 4), np.uint8)
    Image.fromarray(clear).save(folder / "clear.png")
    (folder / "notes.txt").write_text("not meant")
    assert run(folder, out, "--anchor", "jpeg", "--anchors", "") == 1
    err = capsys.readouterr().err
    assert "broken.png: not in a picture format that comrec reads (jpeg, webp)" in err
    assert "clear.png: only opaque pictures can be measured (jpeg, webp)" in err
    rows = rows_of(tmp_path)
    assert {row["picture"] for row in rows} == {"cat.png", "gray.png"}
    text = "".join(parsed(out).text)
    assert "Failures" in text
    assert "broken.png" in text
    content = json.loads((out / "bd_rate.json").read_text())
    assert content["pictures"] == ["cat.png", "gray.png"]


def start(folder: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "comrec", "bench", str(folder), "-o", str(out)]
    command += ["--codecs", "jiang2017-jpeg", "--anchor", "jpeg", "--jobs", "2"]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("signals")
    folder, out = fill(tmp_path / "pictures"), tmp_path / "out"
    total = 2 * 2 * 8
    for number, wanted in ((signal.SIGINT, 6), (signal.SIGKILL, 20)):
        process = start(folder, out)
        while len(lines(out)) < wanted and process.poll() is None:
            time.sleep(0.02)
        if number == signal.SIGINT:  # as a terminal does: to all processes
            os.killpg(process.pid, number)
        else:  # the workers see for themselves that their parent is gone
            process.kill()
        _, err = process.communicate(timeout=60)
        if number == signal.SIGINT:
            assert process.returncode == 130
            assert err == "comrec: interrupted\n"
        assert wanted <= len(lines(out)) < total
    with (out / "points.jsonl").open("a") as file:
        file.write('{"key": "torn')
    process = start(folder, out)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert len(lines(out)) == total
    assert len({line["key"] for line in lines(out)}) == total
    assert len(json.loads((out / "bd_rate.json").read_text())["runs"]) == 3


# Workers


def test_workers_tell_failures_and_deaths_from_results() -> None:
    answers = dict(pool.run(math.factorial, [3, -1, 5], 2))
    assert (answers[3], answers[5]) == (6, 120)
    assert isinstance(answers[-1], pool.Failure)
    assert answers[-1].message.startswith("ValueError")
    deaths = dict(pool.run(os._exit, [7, 8, 9], 2))
    assert set(deaths) == {7, 8, 9}
    for code, answer in deaths.items():
        assert isinstance(answer, pool.Failure)
        assert f"died (exit code {code})" in answer.message


def test_workers_keep_to_their_share_of_the_cores() -> None:
    if sys.platform != "linux":
        pytest.skip("processes cannot be bound")
    cores = os.sched_getaffinity(0)
    for _, share in pool.run(os.sched_getaffinity, [0, 0, 0, 0], 2):
        assert isinstance(share, set)
        assert share <= cores
        assert len(share) <= -(-len(cores) // 2)


# The store

RESULTS = st.lists(st.tuples(st.text(min_size=1), st.floats(allow_nan=False)), max_size=6)


@given(RESULTS, st.integers(0, 400))
@example([("a", 1.0), ("a", 2.0)], 80)  # all but the last end of line
def test_a_store_cut_anywhere_keeps_what_was_whole(
    tmp_path_factory: pytest.TempPathFactory, given_results: list[tuple[str, float]], cut: int
) -> None:
    path = tmp_path_factory.mktemp("store") / "deep" / "points.jsonl"
    store = Store(path)
    store.begin({"date": "today"})
    for key, value in given_results:
        store.add(key, {"value": value})
    store.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    ends = itertools.accumulate(len(line) for line in whole.splitlines(keepends=True))
    # A line that lacks but its end is whole.
    kept = [
        json.loads(line)
        for line, end in zip(whole.splitlines(), ends, strict=True)
        if end <= cut + 1
    ]
    store = Store(path)
    last = {line["key"]: line["value"] for line in kept if "key" in line}
    for key, value in last.items():
        assert store[key] == {"value": value}
        assert store.runs_of([key]) == [{"date": "today"}]
    store.begin({"date": "tomorrow"})
    store.add("new", {"value": 1.0})
    store.close()
    store = Store(path)
    assert store["new"] == {"value": 1.0}
    assert store.runs_of(["new"]) == [{"date": "tomorrow"}]
    assert all(key in store for key in last)
    store.close()


# Variants


def test_a_variants_options_are_converted_as_the_codec_declares_them() -> None:
    variant = variants.parse(" comrec-jpeg:scale=1:effort=9 ")
    coder = registry.get("comrec-jpeg", effort=9, scale="1")
    assert variant == Variant("comrec-jpeg:scale=1:effort=9", coder)
    assert variant.base == "jpeg"
    assert variant.slug == "comrec-jpeg-scale-1-effort-9"
    assert variants.parse("jpeg:subsampling=4:4:4").codec == Jpeg(subsampling="4:4:4")
    assert variants.parse("webp", effort=3).codec == registry.get("webp", effort=3)
    assert variants.parse("webp:effort=5", effort=3).codec == registry.get("webp", effort=5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nonesuch", UnknownCodecError),
        ("jpeg:colour=yes", OptionError),
        ("jpeg:effort=much", OptionError),
        ("jpeg:effort=11", OptionError),
        ("jpeg:subsampling=4:1:1", OptionError),
    ],
)
def test_a_variant_that_cannot_be_fails_at_once(text: str, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        variants.parse(text)


def test_a_variants_settings_tell_apart_what_writes_other_files() -> None:
    asked = ("jpeg", "jpeg:effort=9", "jpeg:subsampling=4:4:4", "webp", "comrec-jpeg")
    settings = [variants.parse(text).settings for text in asked]
    assert len(set(settings)) == len(asked)
    assert variants.parse("jpeg").settings == settings[0]


def test_an_effort_for_all_is_for_the_codecs_that_have_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @dataclasses.dataclass(frozen=True)
    class Plain(Codec):
        id, summary, extension = "plain", "", ".plain"

        def encode(self, picture: Picture, quality: float) -> bytes:
            raise NotImplementedError

        def decode(self, data: bytes, *, partial: bool = False) -> Picture:
            raise NotImplementedError

    registry.register("plain", Plain)
    try:
        assert variants.parse("plain", effort=3) == variants.parse("plain")
        with pytest.raises(OptionError, match="no option 'effort'"):
            variants.parse("plain:effort=3")
    finally:
        registry.unregister("plain")
    assert variants.parse("liu2018", effort=3).codec == registry.get("liu2018", effort=3)
    assert variants.parse("liu2018:effort=9", effort=3).codec == registry.get("liu2018", effort=9)


def test_settings_are_of_the_networks_and_the_package_that_decide_what_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = [variants.parse(text) for text in ("jpeg", "comrec-webp", "jiang2017-webp", "liu2018")]

    def settings() -> dict[str, str]:
        return {variant.label: variant.settings for variant in asked}

    before = settings()

    def changed() -> set[str]:
        return {codec for codec, now in settings().items() if now != before[codec]}

    networks = weights.networks()
    decided = {}
    for network in networks:
        other = dataclasses.replace(network, sha256="0" * 64)
        altered = tuple(other if one is network else one for one in networks)
        with monkeypatch.context() as patch:
            patch.setattr(weights, "networks", lambda altered=altered: altered)
            decided[network.name] = changed()
    assert decided["comrec-jpeg-rec2"] == decided["comrec-webp-rec1"] == {"comrec-webp"}
    assert decided["comrec-avif-rec1"] == set()
    assert decided["jiang2017-jpeg-rec"] == {"jiang2017-webp"}
    for role in ("g_a", "h_a", "h_s", "g_s"):
        assert decided[f"liu2018-mse-{role}"] == {"liu2018"}

    version = importlib.metadata.version
    for package, codecs in (
        ("constriction", {"liu2018"}),
        ("onnxruntime", set(before) - {"jpeg"}),
        ("Pillow", set(before) - {"liu2018"}),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(
                importlib.metadata,
                "version",
                lambda name, package=package: "0.0" if name == package else version(name),
            )
            assert changed() == codecs


def test_every_codecs_default_qualities_rise_and_there_are_about_eight() -> None:
    for codec_id in registry.names():
        variant = variants.parse(codec_id)
        qualities = variants.qualities_of(variant, {})
        if variant.codec.quality_step is None:
            assert qualities == (100,)
        else:
            assert list(qualities) == sorted(set(qualities))
            assert len(qualities) == 8


def test_learned_codecs_are_measured_by_default_and_by_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = fill(tmp_path / "pictures"), tmp_path / "out"
    (folder / "gray.png").unlink()
    monkeypatch.setattr(registry, "names", lambda: ["jpeg", "liu2018"])
    arguments = ["bench", str(folder), "-o", str(out), "--qualities", "20,50", "--anchor", "jpeg"]
    assert main([*arguments, "--effort", "1", "--quiet"]) == 0
    assert {path.name for path in (out / "codecs").iterdir()} == {"jpeg.json", "liu2018.json"}

    label = "liu2018:metric=mse"
    arguments += ["--codecs", label, "--qualities", f"{label}=10,30", "--quiet"]
    assert main(arguments) == 0
    means = json.loads((out / "codecs" / "liu2018-metric-mse.json").read_text())
    assert (means["name"], means["results"]["quality"]) == (label, [10, 30])
    assert label in "".join(parsed(out).text)
    asked = [row for row in rows_of(tmp_path) if row["codec"] == label]
    original = np.asarray(Image.open(folder / "cat.png"))
    sizes = [len(comrec.encode(original, "liu2018", q, metric="mse")) for q in (10, 30)]
    assert [int(row["bytes"]) for row in asked] == sizes


def test_qualities_are_of_the_variant_the_codec_or_all() -> None:
    variant = variants.parse("jpeg:subsampling=4:4:4")
    asked = {"": [1.0], "jpeg": [3.0, 2.0], "jpeg:subsampling=4:4:4": [5.0]}
    assert variants.qualities_of(variant, asked) == (5.0,)
    assert variants.qualities_of(variants.parse("jpeg"), asked) == (2.0, 3.0)
    assert variants.qualities_of(variants.parse("webp"), asked) == (1.0,)
    with pytest.raises(OptionError, match=r"0\.\.100"):
        variants.qualities_of(variant, {"": [101]})


# Results, from made-up points


def point(bpp: float, db: float, similarity: float | None = 0.9) -> Point:
    size, score = round(bpp * 1000), min(2 * db, 100.0)
    return Point(size, bpp, db, db, similarity, similarity, score, 1.0, 2.0, None, None)


def measured(
    of_codec: dict[str, list[list[tuple[float, float]]]], failures: tuple[Failed, ...] = ()
) -> Measured:
    """Points by codec, picture and quality."""
    count = len(next(iter(of_codec.values())))
    sources = [Source(Path(f"{index}.png"), str(index)) for index in range(count)]
    series, points = [], {}
    for label, pictures in of_codec.items():
        one = Series(variants.parse(label), tuple(range(len(pictures[0]))))
        series.append(one)
        for source, found in zip(sources, pictures, strict=True):
            for quality, (bpp, db) in enumerate(found):
                points[label, source.name, float(quality)] = point(bpp, db)
    return Measured(series, sources, points, list(failures), [])


LINE = [(0.2, 25.0), (0.4, 28.0), (0.8, 31.0), (1.4, 34.0)]


def scaled(factor: float) -> list[tuple[float, float]]:
    return [(factor * bpp, db) for bpp, db in LINE]


def test_wrapped_codecs_are_compared_with_the_anchor_and_with_their_own() -> None:
    found = measured(
        {
            "jpeg": [LINE, LINE],
            "webp": [scaled(0.8), scaled(0.6)],
            "comrec-webp": [scaled(0.4), scaled(0.3)],
            "jiang2017-jpeg": [scaled(1.5), scaled(1.0)],
        }
    )
    compared = {(one.label, one.anchor): one for one in results.comparisons(found, ["jpeg"])}
    means = {key: one.mean("psnr-rgb") for key, one in compared.items()}
    assert means == {
        ("webp", ("jpeg",)): pytest.approx(-30),
        ("comrec-webp", ("jpeg",)): pytest.approx(-65),
        ("jiang2017-jpeg", ("jpeg",)): pytest.approx(25),
        ("comrec-webp", ("webp",)): pytest.approx(-50),
    }
    assert len(compared) == len(results.comparisons(found, ["jpeg"]))  # none twice


def test_variants_with_options_are_compared_with_their_own_of_these_options() -> None:
    labels = ["jpeg", "webp", "webp:effort=3", "comrec-webp:effort=3", "comrec-webp:scale=1"]
    found = measured({label: [LINE] for label in labels})
    pairs = {(one.label, one.anchor) for one in results.comparisons(found, ["jpeg"])}
    assert ("comrec-webp:effort=3", ("webp:effort=3",)) in pairs
    assert ("comrec-webp:scale=1", ("webp",)) in pairs


def test_pictures_without_overlap_or_metric_have_no_bd_rate() -> None:
    beyond = [(bpp, db + 30) for bpp, db in LINE]
    found = measured({"jpeg": [LINE, LINE], "webp": [scaled(0.5), beyond]})
    (row,) = results.comparisons(found, ["jpeg"])
    assert row.rates["psnr-rgb"] == {"0.png": pytest.approx(-50)}
    assert row.mean("psnr-rgb") == pytest.approx(-50)
    assert row.mean("ms-ssim-rgb") is None  # all points are of one similarity
    assert row.rates["ssimulacra2"] == {"0.png": pytest.approx(-50)}


def test_a_picture_that_failed_counts_in_no_mean() -> None:
    failure = Failed("1.png", ("webp",), "damaged")
    found = measured({"jpeg": [LINE, scaled(9)], "webp": [LINE, LINE]}, (failure,))
    assert [source.name for source in found.complete] == ["0.png"]
    means = results.to_compressai(found, found.series[0])["results"]
    assert means["bpp"] == [bpp for bpp, _ in LINE]
    assert means["encoding_peak_bytes"] == [None] * len(LINE)


def test_lossless_points_are_null_in_json_and_in_no_curve() -> None:
    found = measured({"png": [[(9.0, math.inf)]]})
    means = results.to_compressai(found, found.series[0])["results"]
    assert means["psnr-rgb"] == [None]
    assert results.mean_curve(means, "psnr-rgb") == []
    for metric in results.METRICS[:2] + results.METRICS[3:]:
        assert results.mean_curve(means, metric) == []
        assert results.curve(found.points_of(found.series[0], found.sources[0]), metric) == []


def test_quality_at_a_rate_lies_between_two_means_linear_in_log_rate() -> None:
    means = {"bpp": [0.1, 0.4], "psnr-rgb": [20.0, 30.0]}
    assert results.at_rate(means, "psnr-rgb", 0.2) == pytest.approx(25)
    assert results.at_rate(means, "psnr-rgb", 0.5) is None


# Published curves


def test_shipped_curves_are_sound_and_say_where_they_are_from() -> None:
    assert {"jpeg", "bpg-444", "balle2018-hyperprior", "elic2022", "c3"} <= set(published.names())
    for name in published.names():
        one = published.load(name)
        assert re.search(r"@[0-9a-f]{7}:", one.source)
        curve = results.mean_curve(one.results, "psnr-rgb")
        assert len(curve) >= 6
        assert curve == sorted(curve)
        assert all(0 < bpp < 10 and 15 < db < 60 for bpp, db in curve)
        assert all(0.5 < value < 1 for value in one.results.get("ms-ssim-rgb", []))


def test_curves_are_read_from_compressais_files_of_any_age(tmp_path: Path) -> None:
    path = tmp_path / "theirs.json"
    content = {
        "name": "theirs",
        "results": {"bpp": [0.1, 0.2], "psnr": [20, 30], "ms-ssim": [0.9, 0.99]},
    }
    path.write_text(json.dumps(content))
    one = published.load(str(path))
    assert one.name == "theirs"
    assert results.mean_curve(one.results, "psnr-rgb") == [(0.1, 20), (0.2, 30)]
    bpp, db = zip(*results.mean_curve(one.results, "ms-ssim-rgb"), strict=True)
    assert bpp == (0.1, 0.2)
    assert db == pytest.approx((10, 20))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"results": {}}', '{"results": {"bpp": [1], "psnr": []}}', '{"results": 1}'],
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(InputError, match="CompressAI"):
        published.load(str(path))


def test_an_unknown_curve_is_told_with_those_there_are() -> None:
    with pytest.raises(OptionError, match="elic2022"):
        published.load("elic2030")


# The command line


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["pictures", "-o", "out", "--jobs", "0"], 2, "--jobs"),
        (["pictures", "-o", "out", "--qualities", "webp=a"], 2, "comma-separated numbers"),
        (["pictures", "-o", "out", "--codecs", "nonesuch"], 2, "no codec 'nonesuch'"),
        (["pictures", "-o", "out", "--anchors", "nonesuch"], 2, "no published curve"),
        (["empty", "-o", "out", "--codecs", "jpeg"], 1, "no picture files"),
        (["gone", "-o", "out", "--codecs", "jpeg"], 1, "No such file"),
    ],
)
def test_wrong_usage_is_told_before_the_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "pictures")
    (tmp_path / "empty").mkdir()
    assert main(["bench", *arguments]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_extra_is_an_error_for_named_codecs_and_a_note_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = fill(tmp_path / "pictures"), tmp_path / "out"
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr(registry, "names", lambda: ["jpeg", "bpg"])
    arguments = ["bench", str(folder), "-o", str(out), "--qualities", "20,50", "--anchor", "jpeg"]
    assert main([*arguments, "--codecs", "bpg"]) == 1
    assert "comrec[bpg]" in capsys.readouterr().err
    assert not out.exists()
    assert main(arguments) == 0
    err = capsys.readouterr().err
    assert "bpg is left out" in err
    assert "comrec[bpg]" in err
    assert {path.name for path in (out / "codecs").iterdir()} == {"jpeg.json"}


def test_without_matplotlib_it_fails_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run(fill(tmp_path / "pictures"), tmp_path / "out") == 1
    assert "comrec[bench]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

"""The scripts in benchmarks/: what they compute, and from what."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import skimage.data
from PIL import Image

from comrec import codec, metrics
from comrec.errors import InputError
from comrec.measure import bench
from comrec.picture import Picture

SCRIPTS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script as a module, which worker processes can import too."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import jiang2017

    yield jiang2017
    sys.modules.pop("jiang2017")


def test_the_papers_tables_stand_beside_ours_on_the_pictures_there_are(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    paper: ModuleType,
) -> None:
    data = tmp_path / "any" / "layout"
    data.mkdir(parents=True)
    gray = skimage.data.camera()[::4, ::4].copy()
    Image.fromarray(gray).save(data / "Butterfly_GT.png")
    out = tmp_path / "scores.json"
    monkeypatch.setattr(sys, "argv", ["jiang2017.py", "--data", str(tmp_path), "-o", str(out)])
    assert paper.main() == 0
    text, err = capsys.readouterr()
    proposed = next(line for line in text.splitlines() if line.startswith("paper: Proposed"))
    assert re.findall(r"\S+", proposed.partition("Proposed")[2]) == [
        "26.23", "26.53", "31.45", "31.14", "30.84", "25.52", "30.12", "28.83",
    ]  # fmt: skip
    ours = next(line for line in text.splitlines() if line.startswith(f"comrec: {paper.EQUAL}"))
    assert ours.split()[-8] != "-"
    assert ours.split()[-7:] == ["-"] * 7
    assert "Butterfly" in err
    assert "another version" in err
    scores = json.loads(out.read_text())["pictures"]
    of_picture = scores["any/layout/Butterfly_GT.png"]["reproduction"]
    assert set(of_picture) == {"QF 5", "QF 10"}
    for factor, quality in ((5, 30), (10, 50)):
        arms = of_picture[f"QF {factor}"]
        buffer = io.BytesIO()
        Image.fromarray(gray).save(buffer, "JPEG", quality=factor)
        assert arms[paper.BASELINE]["bytes"] == len(buffer.getvalue())
        assert arms[paper.EQUAL]["bytes"] <= arms[paper.BASELINE]["bytes"]
        assert arms[paper.OPTIMISED]["bytes"] <= arms[paper.BASELINE]["bytes"]
        coder = codec.get("jiang2017-jpeg")
        file = coder.encode(Picture(gray), quality)
        fixed = arms[paper.FIXED.format(quality)]
        assert fixed["bytes"] == len(file)
        assert fixed["psnr"] == pytest.approx(metrics.psnr(gray, coder.decode(file).pixels))


def test_a_folder_without_the_papers_pictures_is_refused(tmp_path: Path, paper: ModuleType) -> None:
    Image.new("L", (32, 32)).save(tmp_path / "other.png")
    with pytest.raises(InputError, match="none of the paper's pictures"):
        paper.compare(tmp_path)


def test_the_papers_jpeg_rows_are_ours_on_its_own_pictures() -> None:
    default = Path(__file__).parent.parent.parent / "shared"
    folder = Path(os.environ.get("COMREC_SHARED", default)) / "data" / "test" / "classic7"
    if not folder.is_dir():
        pytest.skip("the paper's pictures are not here")
    facts = json.loads((SCRIPTS / "jiang2017.json").read_text())
    for table in facts["tables"]:
        for name in ("Butterfly", "Cameraman", "House", "Lena"):
            original = bench.read(folder / f"{name}.png").pixels
            buffer = io.BytesIO()
            Image.fromarray(original).save(buffer, "JPEG", quality=table["factor"])
            decoded = np.asarray(Image.open(buffer))
            expected = table["psnr"]["JPEG"][facts["pictures"].index(name)]
            assert metrics.psnr(original, decoded) == pytest.approx(expected, abs=0.02)


def test_rates_are_interpolated_between_the_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    import rates

    rows = ["codec,picture,quality,bytes,bpp,ms_ssim_rgb"]
    for codec_id, factor in (("ours", 1.0), ("theirs", 2.0)):
        for quality, (bpp, similarity) in enumerate([(0.1, 0.9), (0.4, 0.99)]):
            rows += [f"{codec_id},{name},{quality},9,{factor * bpp},{similarity}" for name in "ab"]
    (tmp_path / "points.csv").write_text("\n".join(rows))
    rates.main(["ours", str(tmp_path)])
    ours, theirs = capsys.readouterr().out.splitlines()[2:]
    # -10 log10(1 - 0.97) is 0.523 of the way from 10 to 20 dB: 0.1 * 4 ** 0.523.
    assert "| 0.206 |" in ours
    assert "| 0.413 (2.0) |" in theirs
    assert ours.startswith("| `ours` |")
    assert rates.rate([(0.1, 0.9), (0.4, 0.99)], 0.995) is None


def test_the_plot_of_agreement_has_a_line_for_each_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(SCRIPTS)
    import agreement

    def curve(*bytes_: int) -> dict[str, object]:
        return {"points": [{"bytes": b, "agreement": [b / 20_000, 0, 1]} for b in bytes_]}

    curves = {"deepn-jpeg": curve(2000, 8000), "same step": curve(4000, 9000), "one": curve(10)}
    (tmp_path / "accuracy.json").write_text(json.dumps({"pictures": 250, "curves": curves}))
    found = agreement.lines({"curves": curves})
    assert [(line.label, line.points) for line in found] == [
        ("deepn-jpeg", [(2, 10), (8, 40)]),
        ("same step", [(4, 20), (9, 45)]),
    ]
    agreement.main([str(tmp_path / "accuracy.json"), "-o", str(tmp_path / "plot.svg")])
    assert (tmp_path / "plot.svg").read_bytes().startswith(b"<?xml")


def test_regions_are_measured_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    import regions

    Image.fromarray(skimage.data.chelsea()[:192, :256]).save(tmp_path / "cat.png")
    output = tmp_path / "out.json"

    def rows(*codecs: str) -> list[dict[str, object]]:
        regions.main([str(tmp_path), "-o", str(output), "--quiet", "--codecs", *codecs])
        found: list[dict[str, object]] = json.loads(output.read_text())["rows"]
        return found

    first = rows("jpeg")
    both = rows("jpeg", "msroi-jpeg")
    assert both[:1] == first  # its time, too
    assert [row["codec"] for row in both] == ["jpeg", "msroi-jpeg"]
    assert "| `msroi-jpeg` |" in capsys.readouterr().out
    content = json.loads(output.read_text())
    content["facts"]["commit"] = "another"
    output.write_text(json.dumps(content))
    assert [row["codec"] for row in rows("msroi-jpeg")] == ["msroi-jpeg"]


def test_curves_of_training_are_drawn_from_what_runs_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    import training_curves

    curves, picture = tmp_path / "training.csv", tmp_path / "training.svg"
    curves.write_text(
        "network,step,seconds,loss,psnr,psnr_plain\n"
        "one,500,10,0.1,31.5,30\none,1000,20,0.1,32.25,30\nother,400,9,0.1,36,35\n"
    )
    assert training_curves.gains(curves) == {"one": [(0.5, 1.5), (1, 2.25)], "other": [(0.4, 1)]}
    monkeypatch.setattr(
        sys, "argv", ["training_curves.py", "--curves", str(curves), "-o", str(picture)]
    )
    assert training_curves.main() == 0
    assert picture.read_text().count("<svg") == 1
    sys.modules.pop("training_curves")

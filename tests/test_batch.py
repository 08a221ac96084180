"""comrec batch: trees of pictures, what is done and what is skipped, names, in place, URLs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from comrec.batch import memory, plan
from comrec.cli import main
from comrec.picture import Picture

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def tree(tmp_path: Path, photo: Picture) -> Path:
    """Pictures in two folders, and what is not to be touched."""
    root = tmp_path / "in"
    image = Image.fromarray(photo.pixels).resize((96, 64))
    for index, name in enumerate(("a.png", "sub/b.png", "sub/deep/c.webp")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image.rotate(180 * index).save(root / name, lossless=True)
    (root / ".hidden.png").write_bytes((root / "a.png").read_bytes())
    (root / ".git").mkdir()
    (root / ".git" / "d.png").write_bytes((root / "a.png").read_bytes())
    (root / "notes.txt").write_text("no picture")
    return root


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs comrec batch; the summary."""

    def running(*arguments: Any, code: int = 0) -> dict[str, Any]:
        report = tmp_path / "report.json"
        given = ["batch", *map(str, arguments), "-j", "1", "--json", str(report)]
        if not {"-c", "--codec"} & set(given):
            given += ["-c", "jpeg"]
        assert main(given) == code
        found: dict[str, Any] = json.loads(report.read_text())
        return found

    return running


def files(root: Path) -> set[str]:
    """Visible files, and temporary ones."""
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    return {name for name in found if name != ".comrec-batch.jsonl"}


def encoded(source: Path, *arguments: str) -> bytes:
    """What comrec encode writes."""
    with TemporaryDirectory() as folder:
        out = Path(folder, "one.jpg")
        assert main(["encode", str(source), "-o", str(out), "--quiet", *arguments]) == 0
        return out.read_bytes()


@pytest.mark.parametrize("codec", ["jpeg", "comrec-jpeg:effort=3"])
def test_a_tree_becomes_what_encode_writes(tree: Path, run: Run, codec: str) -> None:
    (tree / "sub" / "loop").symlink_to(tree)
    out = tree / "out"
    given = ("-c", codec, "-q", "40", "--roi-strength", "3") if "comrec" in codec else ("-c", codec)
    facts = run(tree, out, "-r", *given)
    assert files(out) == {"a.jpg", "sub/b.jpg", "sub/deep/c.jpg"}
    for source in ("a.png", "sub/b.png", "sub/deep/c.webp"):
        result = (out / source).with_suffix(".jpg")
        assert result.read_bytes() == encoded(tree / source, *given)
    assert (facts["files"], facts["encoded"], facts["failed"]) == (3, 3, 0)
    assert facts["bytes"] == sum(r["bytes"] for r in facts["results"])
    assert facts["saved_bytes"] == facts["bytes"] - facts["output_bytes"] > 0
    assert len(facts["slowest"]) == 3
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.jpg")}
    assert run(tree, out, "-r", *given)["skipped"] == 3
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.jpg")} == before


def test_folders_below_only_if_asked(tree: Path, tmp_path: Path, run: Run) -> None:
    assert run(tree, tmp_path / "out")["left_out"] == 1
    assert files(tmp_path / "out") == {"a.jpg"}


def test_what_differs_is_done_again(tree: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    run(tree, out, "-r")
    os.utime(tree / "a.png", ns=(1, 1))  # the same bytes
    Image.new("RGB", (70, 50), "teal").save(tree / "sub" / "b.png")
    (out / "sub" / "deep" / "c.jpg").unlink()
    (out / "sub" / "unknown.jpg").touch()
    facts = run(tree, out, "-r")
    assert {Path(r["source"]).name: r["status"] for r in facts["results"]} == {
        "a.png": "skipped",
        "b.png": "encoded",
        "c.webp": "encoded",
    }
    (out / "a.jpg").write_bytes(b"cut")
    assert run(tree, out, "-r")["encoded"] == 1
    assert run(tree, out, "-r", "-q", "51")["encoded"] == 3
    assert run(tree, out, "-r", "-q", "51", "-c", "jpeg:effort=1")["encoded"] == 3


def test_the_record_can_be_elsewhere(
    tree: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    out, state = tmp_path / "out", tmp_path / "state" / "record"
    assert run(tree, out, "--state", state)["record"] == str(state)
    assert {path.name for path in out.iterdir()} == {"a.jpg"}
    state.write_bytes(state.read_bytes() + b'{"source": "cut')
    assert run(tree, out, "--state", state)["skipped"] == 1
    state.write_text('{"other": 1}\n')
    assert main(["batch", str(tree), str(out), "--state", str(state), "-c", "jpeg"]) == 1
    assert "line 1 is no entry of comrec batch" in capsys.readouterr().err


def test_two_of_one_stem_are_told_apart(
    tree: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (40, 30), "red").save(tree / "a.tif")
    run(tree, tmp_path / "out")
    assert files(tmp_path / "out") == {"a.png.jpg", "a.tif.jpg"}
    err = capsys.readouterr().err
    assert f"{tree}/a.tif: becomes {tmp_path}/out/a.tif.jpg" in err
    assert run(tree, tmp_path / "out")["skipped"] == 2


def test_names() -> None:
    assert plan.names(["x/a.png", "y/a.png"], ".jpg") == {
        "x/a.png": "x/a.jpg",
        "y/a.png": "y/a.jpg",
    }
    assert plan.names(["A.png", "a.png"], ".jpg") == {
        "A.png": "A.png.jpg",
        "a.png": "a.png.2.jpg",
    }
    assert plan.names(["a.png"], ".jpg", ["a.png", "A.jpg"]) == {"a.png": "a.png.jpg"}
    assert plan.names(["a.jpg"], ".jpg", ["a.jpg"]) == {"a.jpg": "a.jpg"}


_NAMES = st.text("aAbß.", min_size=1, max_size=4).map(lambda stem: f"x{stem}")


@given(st.lists(st.tuples(_NAMES, st.sampled_from([".png", ".tif", ".jpg", ""])), unique=True))
def test_names_are_distinct_whatever_the_order(parts: list[tuple[str, str]]) -> None:
    sources = sorted({stem + suffix for stem, suffix in parts})
    found = plan.names(sources, ".jpg", sources)
    assert len(set(map(plan.folded, found.values()))) == len(sources)
    assert plan.names(sources[::-1], ".jpg", sources[::-1]) == found
    taken = {plan.folded(name): name for name in sources}
    for source, result in found.items():
        assert plan.folded(taken.get(plan.folded(result), source)) == plan.folded(source)


def test_a_bad_file_stops_no_other(
    tree: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (tree / "broken.png").symlink_to("nowhere")
    facts = run(tree, tmp_path / "out", "-r", code=1)
    assert (facts["encoded"], facts["failed"]) == (3, 2)
    told = [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()]
    assert sorted(told) == [f"{tree}/bad.png", f"{tree}/broken.png"]


def test_patterns(tree: Path, tmp_path: Path, run: Run) -> None:
    run(tree, tmp_path / "one", "-r", "--include", "*.png", "--exclude", "b.*")
    assert files(tmp_path / "one") == {"a.jpg"}
    run(tree, tmp_path / "two", "-r", "--exclude", "sub/deep/*")
    assert files(tmp_path / "two") == {"a.jpg", "sub/b.jpg"}
    (tree / "photo.dat").write_bytes((tree / "a.png").read_bytes())
    run(tree, tmp_path / "three", "--include", "*.dat", "--include", "x*")
    assert files(tmp_path / "three") == {"photo.jpg"}


def test_only_if_smaller_copies_the_original(tree: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    Image.new("RGB", (8, 8)).save(tree / "tiny.png")
    facts = run(tree, out, "--only-if-smaller", "--preserve")
    assert (facts["encoded"], facts["kept"]) == (1, 1)
    assert files(out) == {"a.jpg", "tiny.png"}
    assert (out / "tiny.png").read_bytes() == (tree / "tiny.png").read_bytes()
    assert run(tree, out, "--only-if-smaller", "--preserve")["skipped"] == 2
    assert run(tree, tmp_path / "most", "--only-if-smaller", "99.9")["kept"] == 2


def test_times_and_permissions(tree: Path, tmp_path: Path, run: Run) -> None:
    os.utime(tree / "a.png", ns=(10**18, 10**18))
    (tree / "a.png").chmod(0o640)
    run(tree, tmp_path / "kept", "--preserve")
    found = (tmp_path / "kept" / "a.jpg").stat()
    assert (found.st_mtime_ns, found.st_mode & 0o777) == (10**18, 0o640)
    run(tree, tmp_path / "new")
    assert (tmp_path / "new" / "a.jpg").stat().st_mtime_ns != 10**18


# In place


def test_in_place(tree: Path, run: Run) -> None:
    wanted = {name: encoded(tree / name, "-c", "jpeg") for name in ("a.png", "sub/b.png")}
    (tree / "a.png").chmod(0o600)
    rest = {".hidden.png", ".git/d.png", "notes.txt"}
    facts = run(tree, "--in-place", "-r")
    assert facts["encoded"] == 3
    assert files(tree) == {"a.jpg", "sub/b.jpg", "sub/deep/c.jpg"} | rest
    assert {name: (tree / name).with_suffix(".jpg").read_bytes() for name in wanted} == wanted
    assert (tree / "a.jpg").stat().st_mode & 0o777 == 0o600
    assert run(tree, "--in-place", "-r")["skipped"] == 3  # results are no sources
    Image.new("RGB", (40, 30), "red").save(tree / "new.jpg")
    before = (tree / "new.jpg").read_bytes()
    assert run(tree, "--in-place", "-r", "-e", "1")["encoded"] == 4
    assert (tree / "new.jpg").read_bytes() != before
    assert run(tree, "--in-place", "-r", "-e", "1")["skipped"] == 4


def test_in_place_loses_no_picture(tree: Path, run: Run) -> None:
    other = Image.new("RGB", (40, 30), "red")
    other.save(tree / "a.jpg")
    (tree / "link.png").symlink_to("sub/b.png")
    before = (tree / "a.jpg").read_bytes()
    facts = run(tree, "--in-place", "--exclude", "*.jpg", code=1)
    assert {Path(r["source"]).name: r["status"] for r in facts["results"]} == {
        "a.png": "encoded",
        "link.png": "failed",
    }
    assert (tree / "a.jpg").read_bytes() == before
    assert not (tree / "a.png").exists()
    assert (tree / "a.png.jpg").exists()
    assert (tree / "link.png").is_symlink()


def test_in_place_keeps_what_would_not_be_smaller(tree: Path, run: Run) -> None:
    before = (tree / "a.png").read_bytes()
    assert run(tree, "--in-place", "--only-if-smaller", "99")["kept"] == 1
    assert (tree / "a.png").read_bytes() == before
    assert not (tree / "a.jpg").exists()
    assert run(tree, "--in-place", "--only-if-smaller", "99")["skipped"] == 1


# URLs


def test_urls(tree: Path, tmp_path: Path, run: Run) -> None:
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    system.put(f"{tree}/", "/photos", recursive=True)
    system.pipe_file("/photos/bad.png", b"bad")
    system.pipe_file("/photos/small/.comrec-0123456789abcdef.part", b"left")
    try:
        facts = run("memory://photos", "memory://photos/small", "-r", code=1)
        assert (facts["encoded"], facts["failed"]) == (3, 1)
        names = {path.removeprefix("/photos/small/") for path in system.find("/photos/small")}
        assert names == {"a.jpg", "sub/b.jpg", "sub/deep/c.jpg", ".comrec-batch.jsonl"}
        result = system.cat_file("/photos/small/sub/b.jpg")
        assert result == encoded(tree / "sub" / "b.png", "-c", "jpeg")
        facts = run("memory://photos", "memory://photos/small", "-r", code=1)
        assert (facts["skipped"], facts["failed"]) == (3, 1)
        assert run("memory://photos/small", tmp_path / "out", "-c", "png")["encoded"] == 1
        assert files(tmp_path / "out") == {"a.png"}
        run("memory://photos/sub", "--in-place", "--state", tmp_path / "state")
        assert system.isfile("/photos/sub/b.jpg")
        assert not system.exists("/photos/sub/b.png")
    finally:
        system.rm("/photos", recursive=True)


def test_without_fsspec_the_extra_is_named(tmp_path: Path) -> None:
    code = "import sys; sys.modules['fsspec'] = None; from comrec.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "batch", "s3://bucket/in", str(tmp_path), "-c", "jpeg"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "comrec: s3:// needs an extra: pip install 'comrec[remote]'\n"


# Usage


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["in"], "give either DST or --in-place"),
        (["in", "out", "--in-place"], "give either DST or --in-place"),
        (["in", "in"], "contains the sources"),
        (["in/sub", "in"], "contains the sources"),
        (["in", "out", "-j", "0"], "--jobs must be 1 or more"),
        (["in", "out", "--address", "auto"], "--address needs --engine ray"),
        (["in", "out", "--only-if-smaller", "100"], "below 100"),
        (["memory://in", "--in-place"], "needs --state"),
        (["memory://in", "out", "--preserve"], "--preserve needs folders of this machine"),
    ],
)
def test_wrong_usage(
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tree.parent)
    assert main(["batch", *arguments, "-c", "jpeg"]) == 2
    assert says in capsys.readouterr().err
    assert not Path("out").exists()


def test_no_such_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", str(tmp_path / "none"), str(tmp_path / "out"), "-c", "jpeg"]) == 1
    assert capsys.readouterr().err == f"comrec: {tmp_path}/none: is no folder\n"


# Memory


def test_memory_says_how_many_processes_fit() -> None:
    def fit(costs: list[int], most: int | None) -> int:
        return memory.processes(1000, costs, most)

    cores = fit([], None)
    assert cores >= 1
    assert fit([10], 10 * cores) == cores
    assert fit([10, 30, 10], 19) == 1
    assert fit([50], 10) == 1
    assert memory.processes(1, [10], None) == 1

"""The command line among files, links, pipes, closed streams and odd names."""

from __future__ import annotations

import csv
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from comrec import codec
from comrec.cli import main
from comrec.standard.jpeg import Jpeg
from comrec.text import as_json, cell, printable

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a.png and b.png."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        Image.effect_noise((40, 30), 50).convert("RGB").save(name)
    return tmp_path


def encode(*arguments: str) -> int:
    return main(["encode", *arguments, "-c", "jpeg", "--quiet"])


def shell(command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["/bin/sh", "-c", command.replace("comrec", f"'{sys.executable}' -m comrec", 1)],
        capture_output=True,
        check=False,
    )


@posix
def test_a_link_is_followed_and_permissions_are_kept(folder: Path) -> None:
    Path("there").mkdir()
    Path("there/real.jpg").write_bytes(b"old")
    Path("there/real.jpg").chmod(0o640)
    Path("link.jpg").symlink_to("there/real.jpg")
    assert encode("a.png", "-o", "link.jpg") == 0
    assert Path("link.jpg").is_symlink()
    assert Path("there/real.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert stat.S_IMODE(Path("there/real.jpg").stat().st_mode) == 0o640


@posix
def test_a_pipe_and_a_device_are_written_directly(folder: Path) -> None:
    assert encode("a.png", "-o", "a.jpg") == 0
    os.mkfifo("pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(Path("pipe").read_bytes()))
    reader.start()
    assert encode("a.png", "-o", "pipe") == 0
    reader.join()
    assert got == [Path("a.jpg").read_bytes()]
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)
    assert encode("a.png", "-o", os.devnull) == 0
    done = shell("printf before > out; comrec encode a.png -c jpeg --quiet -o /dev/stdout >> out")
    assert done.stderr == b""


def test_names_may_be_as_long_as_the_system_allows(folder: Path) -> None:
    name = "x" * 251 + ".jpg"
    assert encode("a.png", "-o", name) == 0
    assert Path(name).exists()


@pytest.mark.parametrize("verb", ["encode", "decode"])
def test_times_are_kept_when_asked(folder: Path, verb: str) -> None:
    os.utime("a.png", ns=(10**18, 10**18 + 7000))
    out = "a.jpg" if verb == "encode" else "c.png"
    assert main([verb, "a.png", "-o", out, "--preserve", "--quiet"]) == 0
    assert os.stat(out).st_mtime_ns == 10**18 + 7000
    assert os.stat(out).st_atime_ns == 10**18


def test_a_missing_folder_gets_a_hint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for inputs in (["a.png"], ["a.png", "b.png"]):
        assert encode(*inputs, "-o", "small") == 2
        assert "write small/ for a folder" in capsys.readouterr().err


def test_a_larger_output_is_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert encode("a.png", "-o", "a.jpg", "-q", "5") == 0
    assert main(["encode", "a.jpg", "-o", "b.jpg", "-c", "jpeg", "-q", "95"]) == 0
    assert "comrec: a.jpg: the output is larger than the input\n" in capsys.readouterr().err


def test_inputs_of_one_stem_are_named_and_the_others_done(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["decode", "a.png", "-o", "a.bmp"]) == 0
    assert encode("a.png", "b.png", "a.bmp", "./b.png", "b.png", "-o", "out/") == 1
    err = capsys.readouterr().err
    assert "a.png and a.bmp" in err
    assert "b.png" not in err
    assert [path.name for path in Path("out").iterdir()] == ["b.jpg"]


def test_no_output_overwrites_another_input(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("sub").mkdir()
    Path("sub/a.webp").write_bytes(codec.get("webp").encode(codec.get("png").decode(
        Path("b.png").read_bytes()), 50))  # fmt: skip
    before = Path("a.png").read_bytes()
    Path("x.png").hardlink_to("a.png")
    assert main(["decode", "sub/a.webp", "x.png", "-o", "."]) == 1
    assert "a.png: the output would overwrite the input x.png" in capsys.readouterr().err
    assert Path("a.png").read_bytes() == before


class Panic(BaseException):
    """As those of Rust libraries: no Exception."""


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("deep"), Panic("x"), SystemExit()])
def test_whatever_is_raised_stops_no_other_input(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    true, calls = Jpeg.encode, iter([error, None])

    def failing(self: Jpeg, *arguments: object) -> bytes:
        found = next(calls)
        if found is not None:
            raise found
        return true(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Jpeg, "encode", failing)
    assert encode("a.png", "b.png", "-o", "out/") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"comrec: a.png: {type(error).__name__}")
    assert [path.name for path in Path("out").iterdir()] == ["b.jpg"]


@posix
@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("comrec info a.png > /dev/full", 1, b"comrec: standard output: No space"),
        ("comrec --help > /dev/full", 1, b"comrec: standard output: No space"),
        ("comrec encode a.png -c jpeg -o - > /dev/full", 1, b"comrec: standard output: No space"),
        ("comrec info a.png >&-", 1, b"comrec: standard output is closed"),
        ("comrec encode - -o x.jpg <&-", 1, b"comrec: standard input is closed"),
        ("comrec encode a.png -c jpeg -o x.jpg 2>&- >&- <&-", 0, b""),
        ("comrec encode a.png -c jpeg -o x.jpg 2>/dev/full", 0, b""),
        ("PYTHONIOENCODING=ascii LC_ALL=C comrec info \u00e9.png", 1, rb"\xc3\xa9.png: No such"),
    ],
)
def test_broken_streams_are_one_line(folder: Path, command: str, code: int, says: bytes) -> None:
    if "/dev/full" in command and not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    done = shell(command)
    assert done.returncode == code, done.stderr
    assert done.stderr.count(b"\n") == bool(says)
    if code == 1 and b"PYTHONIOENCODING" not in command.encode():
        assert done.stderr.startswith(says)
    if "x.jpg" in command and not code:
        assert Path("x.jpg").read_bytes()[:2] == b"\xff\xd8"


@posix
def test_odd_names_are_escaped(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"\xe9\n\x1b[31m.png")
    try:
        Path(name).write_bytes(Path("a.png").read_bytes())
    except OSError:
        pytest.skip("the file system has UTF-8 names only")
    shown = r"\xe9\n\x1b[31m"
    assert main(["info", name]) == 0
    assert capsys.readouterr().out.startswith(f"{shown}.png: png, ")
    assert main(["info", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["input"] == "\\xe9\n\x1b[31m.png"
    assert main(["encode", name, "-o", "out/", "-c", "jpeg"]) == 0
    assert f"out/{shown}.jpg: " in capsys.readouterr().err
    assert main(["info", f"no{name}"]) == 1
    assert capsys.readouterr().err == f"comrec: no{shown}.png: No such file or directory\n"


def test_text_is_made_safe() -> None:
    assert printable("a\u202eb\u2028\r\x9b") == r"a\u202eb\u2028\r\x9b"
    assert printable("日本 é ‘x’") == "日本 é ‘x’"
    for text in ("=1+1", "+x", "-x", "@x"):
        assert next(csv.reader([cell(text)])) == [f"'{text}"]
    assert as_json({"x": float("inf"), "\udce9": ("\ud800",)}) == (
        r'{"x": null, "\\xe9": ["\\ud800"]}'
    )

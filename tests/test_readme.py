"""What README.md and CONTRIBUTING.md show works: their Python runs, their commands run."""

from __future__ import annotations

import contextlib
import glob
import shlex
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import comrec
from comrec import codec
from comrec.cli import main, parser
from comrec.picture import Picture
from comrec.pillow_io import PLUGIN

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md")
SLOW = ("bench", "demo", "serve", "tables")
"""Verbs whose arguments are parsed only; one of them never ends."""


def lines_of(page: str) -> list[str]:
    return (ROOT / page).read_text(encoding="utf-8").splitlines()


def python_blocks(page: str) -> Iterator[tuple[int, str]]:
    """The number of each block's first line, and its code."""
    lines = lines_of(page)
    for at, line in enumerate(lines):
        if line == "```python":
            end = lines.index("```", at)
            yield at + 2, "\n".join(lines[at + 1 : end]) + "\n"


def use_commands() -> list[tuple[int, str]]:
    """The number and the text of each line "    comrec ..." below "## Use"."""
    lines = lines_of("README.md")
    start = lines.index("## Use")
    others = (at for at in range(start + 1, len(lines)) if lines[at].startswith("## "))
    stop = next(others, len(lines))
    numbered = list(enumerate(lines, 1))[start:stop]
    return [(at, line.strip()) for at, line in numbered if line.startswith("    comrec ")]


BLOCKS = [
    pytest.param(page, at, code, id=f"{page}:{at}")
    for page in PAGES
    for at, code in python_blocks(page)
]


def small_photo(photo: Picture) -> Image.Image:
    return photo.with_pixels(photo.pixels[60:124, 100:196].copy()).to_pil()  # 96x64


@contextlib.contextmanager
def at_line(page: str, number: int, text: str) -> Iterator[None]:
    """What fails inside says where in the page."""
    try:
        yield
    except (Exception, SystemExit) as error:
        pytest.fail(f"{page}:{number}: {text}\n{type(error).__name__}: {error}")


# Python


def run_block(page: str, at: int, code: str, names: dict[str, Any]) -> None:
    """Run a block; its lines in tracebacks, and in what a failure says, are the page's."""
    file = str(ROOT / page)
    try:
        exec(compile("\n" * (at - 1) + code, file, "exec"), names)
    except Exception as error:
        line = at
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == file:
                line = trace.tb_lineno
            trace = trace.tb_next
        if isinstance(error, SyntaxError):
            line = error.lineno or at
        shown = lines_of(page)[line - 1].strip()
        pytest.fail(f"{page}:{line}: {shown}\n{type(error).__name__}: {error}")


@pytest.fixture
def restored() -> Iterator[None]:
    """Takes back what examples register, in Pillow and among the codecs."""
    opened, names = PLUGIN in Image.OPEN, set(codec.names())
    yield
    if PLUGIN in Image.OPEN and not opened:
        Image.ID.remove(PLUGIN)
        del Image.OPEN[PLUGIN]
    for name in set(codec.names()) - names:
        codec.unregister(name)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(("page", "at", "code"), BLOCKS)
def test_python_blocks_run(
    page: str, at: int, code: str, photo: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image = small_photo(photo)
    image.save("photo.png")
    module = types.ModuleType("example")  # dataclasses look their module up
    monkeypatch.setitem(sys.modules, "example", module)
    names = module.__dict__
    names["image"] = image
    run_block(page, at, code, names)
    for one in list(names.values()):
        if isinstance(one, type) and issubclass(one, codec.Codec) and one.__module__ == "example":
            with at_line(page, at, f"class {one.__name__}"):
                check_codec(one, image)


def check_codec(kind: type[codec.Codec], image: Image.Image) -> None:
    """An example's codec is found by its id, and keeps the picture as well as it claims."""
    coder = kind()
    assert codec.get(coder.id).__class__ is kind
    picture = Picture(np.asarray(image))
    data = comrec.encode(image, codec=coder.id, quality=90)
    decoded = codec.get(coder.id).decode(data)
    assert decoded.pixels.shape == picture.pixels.shape
    if coder.quality_step is None:
        np.testing.assert_array_equal(decoded.pixels, picture.pixels)


def test_both_pages_have_examples() -> None:
    assert {block.values[0] for block in BLOCKS} == set(PAGES)


def test_failures_name_the_line() -> None:
    code = "a = 1\n\n1 / 0\n"
    with pytest.raises(pytest.fail.Exception, match=r"^README\.md:3: "):
        run_block("README.md", 1, code, {})


# the command line


@pytest.fixture
def folder(photo: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with what the commands read."""
    monkeypatch.chdir(tmp_path)
    image = small_photo(photo)
    image.save("photo.png")
    image.save("old.jpg", quality=20)
    image.save("blank.png")
    image.save("cut.jpg")
    Path("cut.jpg").write_bytes(Path("cut.jpg").read_bytes()[:-200])
    clear = image.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(image.size))
    clear.save("logo.png")
    Path("photos").mkdir()
    image.save("photos/a.png")
    return tmp_path


def arguments_of(line: str) -> list[str]:
    """What a shell gives to the command: comments left out, patterns filled in."""
    found: list[str] = []
    for argument in shlex.split(line, comments=True)[1:]:
        found += sorted(glob.glob(argument)) if "*" in argument else [argument]
    return found


def run_command(number: int, line: str) -> list[str]:
    """Run a line; its arguments."""
    arguments = arguments_of(line)
    with at_line("README.md", number, line):
        if arguments[0] in SLOW:
            parser().parse_args(arguments)
        else:
            assert main(arguments) == 0, "the exit code is not 0; see what was printed"
            if "-o" in arguments:
                output = arguments[arguments.index("-o") + 1]
                assert output == "-" or Path(output).exists(), f"no {output} was written"
    return arguments


@pytest.mark.usefixtures("folder")
def test_the_commands_run_one_after_the_other() -> None:
    verbs = {run_command(number, line)[0] for number, line in use_commands()}
    assert verbs >= {"encode", "decode", "info", "compare", "codecs"}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("line", ["comrec encode gone.png -o a.jpg", "comrec encode --gone"])
def test_a_command_that_fails_names_its_line(line: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"^README\.md:7: comrec encode "):
        run_command(7, line)

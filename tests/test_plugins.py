"""Codecs of other packages that are broken, and the plug-ins of Pillow and numcodecs."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import comrec
from comrec import codec, files
from comrec.cli import main
from comrec.errors import ComrecError, OptionError, UnknownCodecError
from comrec.numcodecs_plugin import Comrec
from comrec.picture import Picture
from comrec.targets import Target

GOOD = """
from comrec.standard.png import Png

class Good(Png):
    id = "good"
    signatures = ()

class Other(Png):
    id = "another-id"

class Unreadable(Png):
    id = "unreadable"
    @property
    def extension(self):
        raise KeyError("no extension")

class Raising(Png):
    id = "raising"
    def __init__(self):
        raise RuntimeError("not today,\\nnot tomorrow")

class Abstract(__import__("comrec").Codec):
    id = "abstract"

class Signed(Png):
    id = "signed"
    signatures = (__import__("comrec").formats.detection.Signature("text"),)

class Numbered(Png):
    id = "numbered"
    extension = 5

def leaves():
    raise SystemExit(3)

no_codec = int
number = 7
"""
BROKEN = {
    "gone": ("no_such_module:Codec", "ModuleNotFoundError"),
    "missing": ("plugged:Nothing", "AttributeError"),
    "import-error": ("plugged_importing:Codec", "no_such_dependency"),
    "syntax-error": ("plugged_syntax:Codec", "SyntaxError"),
    "exits": ("plugged_exits:Codec", "SystemExit: 2"),
    "another": ("plugged:Other", "its id is 'another-id'"),
    "unreadable": ("plugged:Unreadable", "no extension"),
    "raising": ("plugged:Raising", "RuntimeError: not today, not tomorrow"),
    "abstract": ("plugged:Abstract", "abstract"),
    "signed": ("plugged:Signed", "its signatures are no bytes"),
    "numbered": ("plugged:Numbered", "its extension is no text"),
    "leaves": ("plugged:leaves", "SystemExit"),
    "no-codec": ("plugged:no_codec", "int is no comrec.Codec"),
    "number": ("plugged:number", "TypeError"),
}


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package whose codecs are broken but for one."""
    (tmp_path / "plugged.py").write_text(GOOD)
    (tmp_path / "plugged_importing.py").write_text("import no_such_dependency\n")
    (tmp_path / "plugged_syntax.py").write_text("def broken(:\n")
    (tmp_path / "plugged_exits.py").write_text("raise SystemExit(2)\n")
    folder = tmp_path / "plugged_codecs-1.2.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged-codecs\nVersion: 1.2\n")
    lines = [f"{name} = {value}" for name, (value, _) in BROKEN.items()]
    text = "\n".join(["[comrec.codecs]", "good = plugged:Good", *lines])
    (folder / "entry_points.txt").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()


@pytest.mark.usefixtures("plugged")
def test_broken_plug_ins_are_one_line_each_and_the_rest_works(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours = codec.registered()
    try:
        assert main(["codecs"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == [*ours, *sorted({*BROKEN, "good"})]
        for line in lines:
            name = line.split()[0]
            if name in BROKEN:
                assert BROKEN[name][1] in line
                assert "plugged-codecs 1.2" in line
        assert main(["codecs", "--json"]) == 0
        facts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert {one["id"] for one in facts if "error" in one} == set(BROKEN)
        assert comrec.decode(comrec.encode(np.zeros((4, 4), np.uint8), "good")).size == (4, 4)
    finally:
        codec.unregister("good")


@pytest.mark.usefixtures("plugged")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plug_in_that_is_asked_for_is_told_why(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnknownCodecError, match=r"plugged-codecs 1\.2 cannot be loaded"):
        comrec.encode(np.zeros((4, 4), np.uint8), name)
    assert main(["codecs", name]) == 2
    assert BROKEN[name][1] in capsys.readouterr().err
    assert name not in codec.registered()


# Types of arguments

ARRAY = np.arange(24 * 20 * 3, dtype=np.uint8).reshape(24, 20, 3)
WRONG: list[Any] = ["50", True, [50], float("nan"), float("inf"), 10**400, -1, 101, b"5", {}]


@pytest.mark.parametrize("codec_id", comrec.codecs())
def test_qualities_are_numbers(codec_id: str) -> None:
    coder = codec.get(codec_id)
    picture = Picture(ARRAY)
    for wrong in [*WRONG, None]:
        with pytest.raises(OptionError, match=r"^quality must be"):
            coder.encode(picture, wrong)
    expected = coder.encode(picture, 50)
    for right in (np.int64(50), np.uint8(50), np.float32(50), np.float64(50)):
        assert coder.encode(picture, right) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("codec_id", comrec.codecs())
def test_options_are_of_their_type(codec_id: str) -> None:
    default = codec.get(codec_id)
    for option in default.options:
        odd: list[Any] = [[], {}, b"x", None, object(), np.zeros(2), float("nan"), float("inf")]
        others: dict[type, list[Any]] = {
            bool: [1, "true", "1"],
            str: [5, True],
            int: ["7", True, 7.0, 10**400],
            float: ["0.5", True, 10**400],
        }
        odd += others[option.type]
        for wrong in odd:
            if wrong is None and option.default is None:
                continue
            with pytest.raises(OptionError, match=f"^{option.name} must be ") as told:
                codec.get(codec_id, **{option.name: wrong})
            assert len(str(told.value)) < 200
        as_numpy = {bool: np.bool_, int: np.int32, float: np.float64, str: np.str_}[option.type]
        if option.default is not None:
            again = codec.get(codec_id, **{option.name: as_numpy(option.default)})
            assert again == default
            assert repr(again) == repr(default)


@pytest.mark.parametrize("kind", ["size", "bpp", "psnr", "ssim", "msssim", "ssimulacra2"])
def test_targets_are_numbers(kind: str) -> None:
    odd: list[Any] = ["40kB", True, [50], float("nan"), float("inf"), 10**400, -1, 0, b"5"]
    for wrong in odd:
        with pytest.raises(OptionError, match=f"^target {kind} must be"):
            comrec.encode(ARRAY, "webp", None, **{f"target_{kind}": wrong})
    for right in (np.int64(1), np.uint8(1), np.float32(1)):
        given_, same = ({f"target_{kind}": value} for value in (right, 1))
        try:
            expected = comrec.encode(ARRAY, "webp", None, **same)
        except ComrecError as error:
            with pytest.raises(type(error)):
                comrec.encode(ARRAY, "webp", None, **given_)
        else:
            assert comrec.encode(ARRAY, "webp", None, **given_) == expected


def test_a_rate_beyond_all_files_is_a_target() -> None:
    best = comrec.encode(ARRAY, "webp", 100)
    assert comrec.encode(ARRAY, "webp", target_bpp=1e308) == best


@pytest.mark.parametrize("kind", ["bytes", [], None, 5])
def test_kinds_of_targets_are_those(kind: Any) -> None:
    with pytest.raises(OptionError, match="kind of a target"):
        Target(kind, 5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"frame": "1"},
        {"frame": True},
        {"frame": 1.5},
        {"depth": "8"},
        {"depth": 16},
        {"background": 5},
        {"background": (1, 2, 3)},
        {"background": ""},
        {"background": "rgb(300,0,0)"},
        {"colorspace": ["srgb"]},
        {"metadata": None},
        {"metadata": ["exif"]},
    ],
    ids=str,
)
def test_preparations_are_of_their_type(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        comrec.encode(ARRAY, "png", **wrong)
    if "metadata" in wrong:
        with pytest.raises(OptionError):
            comrec.decode(comrec.encode(ARRAY, "png"), **wrong)


def test_preparations_take_numpys_numbers() -> None:
    expected = comrec.encode(ARRAY, "png", depth=8, frame=0)
    assert comrec.encode(ARRAY, "png", depth=np.int64(8), frame=np.uint8(0)) == expected


def test_files_are_given_as_any_kind_of_bytes(tmp_path: Path) -> None:
    data = comrec.encode(ARRAY, "png")
    expected = comrec.decode(data).tobytes()
    spread = np.repeat(np.frombuffer(data, np.uint8), 2)[::2]
    for given_ in (bytearray(data), memoryview(data), memoryview(spread.data)):
        assert comrec.decode(given_).tobytes() == expected
        assert comrec.info(given_) == comrec.info(data)
        assert comrec.encode(given_, "png") == data

    class Named:
        def __fspath__(self) -> str:
            return str(path)

    path = tmp_path / "a.png"
    path.write_bytes(data)
    for named in (path, str(path), Named()):
        assert comrec.encode(named, "png") == data


@pytest.mark.parametrize(
    "wrong", [None, 5, [1], "a.png", object(), np.zeros(4)], ids=lambda value: type(value).__name__
)
def test_what_is_no_file_is_told(wrong: Any) -> None:
    for call in (comrec.decode, comrec.info):
        with pytest.raises(OptionError, match="given by its bytes"):
            call(wrong)


@pytest.mark.parametrize(
    "wrong", [None, 5, [[1]], object(), (1, 2)], ids=lambda value: type(value).__name__
)
def test_what_is_no_picture_is_told(wrong: Any) -> None:
    with pytest.raises(OptionError, match="a picture is"):
        comrec.encode(wrong)
    with pytest.raises(OptionError, match="codec must be"):
        comrec.encode(ARRAY, wrong)


@pytest.mark.parametrize("name", ["no such file", "", "a\0b", "x" * 5000, "."])
def test_a_path_that_cannot_be_read_is_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(comrec.errors.InputError):
        comrec.encode(name)


@pytest.mark.parametrize("codec_id", comrec.codecs())
def test_arrays_may_lie_in_memory_in_any_way(codec_id: str) -> None:
    coder = codec.get(codec_id)
    expected = coder.encode(Picture(ARRAY), 50)
    read_only = ARRAY.copy()
    read_only.flags.writeable = False
    spread = np.zeros((48, 20, 6), np.uint8)
    spread[::2, :, ::2] = ARRAY
    for array in (np.asfortranarray(ARRAY), read_only, spread[::2, :, ::2]):
        assert comrec.encode(array, coder, 50) == expected


# numcodecs


@pytest.fixture
def undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: Any, **__: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(files.File, "decode", decode)


def _read_only() -> Any:
    array = np.zeros_like(ARRAY)
    array.flags.writeable = False
    return array


@pytest.mark.usefixtures("undecoded")
@pytest.mark.parametrize(
    ("out", "message"),
    [
        (bytes(ARRAY.nbytes), "read-only"),
        (_read_only(), "read-only"),
        (np.zeros(ARRAY.nbytes - 1, np.uint8), "holds .*1,440 samples, and out has room for 1,439"),
        (np.zeros(ARRAY.nbytes // 4, np.float32), "uint8"),
        (np.zeros(ARRAY.nbytes, np.int8), "uint8"),
        (np.zeros(ARRAY.nbytes // 8, object), "uint8"),
        (np.zeros(ARRAY.nbytes // 8, "M8[s]"), "an array or buffer"),
        ([0] * ARRAY.nbytes, "an array or buffer"),
        (5, "an array or buffer"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
@pytest.mark.parametrize("codec_id", ["png", "comrec-jpeg:scale=1/2", "liu2018"])
def test_numcodecs_checks_out_before_it_decodes(codec_id: str, out: Any, message: str) -> None:
    data = comrec.encode(ARRAY, codec_id, 50)
    with pytest.raises(OptionError, match=message):
        Comrec("png").decode(data, out)


@pytest.mark.parametrize("codec_id", ["png", "comrec-jpeg:scale=1/2", "liu2018", "webp"])
def test_numcodecs_fills_what_fits(codec_id: str) -> None:
    data = comrec.encode(ARRAY, codec_id, 50)
    expected = Comrec("png").decode(data)
    for out in (np.zeros_like(ARRAY), np.zeros(ARRAY.nbytes, np.uint8), bytearray(ARRAY.nbytes)):
        Comrec("png").decode(data, out)
        assert bytes(out) == expected.tobytes()
    with_alpha = Picture(ARRAY, np.full(ARRAY.shape[:2], 9, np.uint8))
    data = codec.get("png").encode(with_alpha, 50)
    out = np.zeros_like(ARRAY)
    Comrec("png").decode(data, out)
    assert np.array_equal(out, ARRAY)


@pytest.mark.parametrize("wrong", [None, -5, [1, 2], "text", np.zeros(2, object)], ids=str)
def test_numcodecs_refuses_other_types(wrong: Any) -> None:
    with pytest.raises(OptionError):
        Comrec("png").encode(wrong)
    with pytest.raises(ComrecError):
        Comrec("png").decode(wrong)
    with pytest.raises(OptionError):
        Comrec("png", quality=wrong)
    with pytest.raises(OptionError):
        Comrec(5)  # type: ignore[arg-type]

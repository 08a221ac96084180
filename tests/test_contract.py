"""What every codec of the registry promises: `comrec.codec.Codec`."""

from __future__ import annotations

import dataclasses
import inspect
import io
import multiprocessing
import pickle
import re
import sys
import types
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import dask.array
import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import comrec
from comrec import codec, files
from comrec.cli import main
from comrec.codec import Codec
from comrec.errors import OptionError, UnknownFormatError, UnsupportedPictureError
from comrec.formats.detection import format_of
from comrec.numcodecs_plugin import Comrec
from comrec.options import Option
from comrec.picture import Picture
from comrec.standard.pillow import PillowCodec

ALL = codec.names()
FAST = {"effort": 1}


@pytest.fixture(scope="module")
def small(photo: Picture) -> Picture:
    """48x40, of odd content."""
    return Picture(photo.pixels[60:100, 100:148].copy())


def values(option: Option) -> st.SearchStrategy[Any]:
    if option.type is bool:
        return st.booleans()
    if option.allowed is not None:
        return st.sampled_from(list(option.allowed))
    if option.type is str:
        return st.just(option.default)
    return st.floats(0.01, 1)


@st.composite
def any_codec(draw: st.DrawFn) -> Codec:
    default = codec.get(draw(st.sampled_from(ALL)))
    chosen = {o.name: draw(values(o)) for o in default.options if draw(st.booleans())}
    return codec.get(default.id, **chosen)


# Values


@given(coder=any_codec())
@settings(max_examples=200)
def test_a_codec_is_a_value_with_one_spelling(coder: Codec) -> None:
    again = codec.parse(str(coder))
    assert again == coder
    assert hash(again) == hash(coder)
    assert str(again) == str(coder)
    assert pickle.loads(pickle.dumps(coder)) == coder
    assert type(coder).__name__ in repr(coder)
    for option in coder.options:
        assert f"{option.name}={getattr(coder, option.name)!r}" in repr(coder)


@pytest.mark.parametrize("codec_id", ALL)
def test_a_codec_cannot_be_changed_and_its_class_is_where_it_says(codec_id: str) -> None:
    coder = codec.get(codec_id)
    with pytest.raises(dataclasses.FrozenInstanceError):
        coder.effort = 3  # type: ignore[attr-defined]
    kind = type(coder)
    assert getattr(sys.modules[kind.__module__], kind.__qualname__) is kind


def test_codecs_with_other_options_are_not_equal() -> None:
    assert codec.get("comrec-jpeg") == codec.parse("comrec-jpeg:scale=auto:effort=7")
    assert codec.get("comrec-jpeg") != codec.get("comrec-webp")
    assert codec.get("comrec-jpeg") != codec.get("comrec-jpeg", scale="1")
    assert str(codec.parse("bpg:subsampling=4:4:4:bit_depth=10")) == (
        "bpg:subsampling=4:4:4:bit_depth=10"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jpeg:speed=3", r"jpeg has no option 'speed'; it has: effort \(in 1\.\.10\), subsampling"),
        ("jpeg:effort=11", r"effort must be in 1\.\.10, not 11"),
        ("jpeg:effort=much", r"effort must be in 1\.\.10, not much"),
        ("jpeg:subsampling=4:1:1", "subsampling must be auto, 4:2:0 or 4:4:4, not 4:1:1"),
        ("liu2018:metric=psnr", "metric must be mse, ms-ssim or perceptual, not psnr"),
        ("bpg:lossless=yes", "lossless must be true or false, not yes"),
        ("jpeg:effort=1:effort=2", "effort is given twice"),
        ("jpeg2001", "no codec 'jpeg2001'"),
    ],
)
def test_a_wrong_spelling_is_told_with_the_right_ones(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        codec.parse(text)


def test_defaults_are_for_those_that_have_the_option() -> None:
    assert codec.parse("webp", {"effort": 3, "metric": "mse"}) == codec.get("webp", effort=3)
    assert codec.parse("webp:effort=9", {"effort": 3}) == codec.get("webp", effort=9)
    with pytest.raises(OptionError, match="twice"):
        codec.parse("webp:effort=9", effort=3)


def test_one_spelling_in_python_numcodecs_and_on_the_command_line(
    small: Picture, tmp_path: Path
) -> None:
    text = "heic:subsampling=4:4:4:effort=2"
    expected = codec.parse(text).encode(small, 40)
    assert comrec.encode(small, text, 40) == expected
    assert comrec.encode(small, codec.parse(text), 40) == expected
    assert comrec.encode(small, "heic:effort=2", 40, subsampling="4:4:4") == expected
    assert Comrec(text, 40).encode(small.pixels) == expected
    source = tmp_path / "in.png"
    small.to_pil().save(source)
    for arguments in (["-c", text], ["-c", "heic", "--subsampling", "4:4:4", "-e", "2"]):
        out = tmp_path / "out.heic"
        assert main(["encode", str(source), "-o", str(out), "-q", "40", "--quiet", *arguments]) == 0
        assert out.read_bytes() == expected


@pytest.mark.parametrize("codec_id", ALL)
def test_codecs_id_tells_of_every_option(codec_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codecs", codec_id]) == 0
    text = capsys.readouterr().out
    for option in codec.get(codec_id).options:
        assert re.search(
            rf"^{option.name} .*{re.escape(option.values)}.*{re.escape(option.help)}", text, re.M
        )


def test_what_is_installed_is_asked_of_the_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(codec.get(codec_id).available for codec_id in ALL)
    monkeypatch.setitem(sys.modules, "av", None)
    missing = {codec_id for codec_id in ALL if not codec.get(codec_id).available}
    assert missing == {"bpg", "comrec-bpg", "jiang2017-bpg"}


# Other processes


def _encoded_size(coder: Codec, samples: np.ndarray[Any, Any]) -> int:
    return len(coder.encode(Picture(samples), 30))


@pytest.mark.parametrize("codec_id", ["comrec-jpeg", "jiang2017-jpeg", "liu2018"])
def test_codecs_travel_to_other_processes(codec_id: str, small: Picture) -> None:
    coder = codec.get(codec_id, **FAST)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(_encoded_size, coder, small.pixels).result()
    assert there == _encoded_size(coder, small.pixels)


def _squeezed(block: np.ndarray[Any, Any], coder: Codec) -> np.ndarray[Any, Any]:
    return coder.decode(coder.encode(Picture(np.ascontiguousarray(block)), 60)).pixels


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_dask_runs_codecs_in_its_processes(photo: Picture) -> None:
    coder = codec.get("comrec-jpeg", scale="1", **FAST)
    pixels = photo.pixels[:96, :128]
    blocks = dask.array.from_array(pixels, chunks=(96, 64, 3))
    there = blocks.map_blocks(_squeezed, coder, dtype=np.uint8)
    found = there.compute(scheduler="processes", num_workers=1)
    assert np.array_equal(found[:, :64], _squeezed(pixels[:, :64], coder))
    assert np.array_equal(found[:, 64:], _squeezed(pixels[:, 64:], coder))


def _read(path: str) -> np.ndarray[Any, Any]:
    numcodecs.register_codec(Comrec)
    return np.asarray(zarr.open_array(path, mode="r")[:])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("text", ["comrec-jpeg:scale=1:effort=1", "jiang2017-jpeg", "png"])
def test_zarr_arrays_are_read_by_other_processes(
    text: str, gray_photo: Picture, tmp_path: Path
) -> None:
    numcodecs.register_codec(Comrec)
    path = str(tmp_path / "array.zarr")
    pixels = gray_photo.pixels[:64, :96]
    array = zarr.create_array(
        path,
        shape=(64, 96),
        chunks=(64, 48),
        dtype="u1",
        compressors=Comrec(text, 60),
        zarr_format=2,
    )
    array[:] = pixels
    here = np.asarray(array[:])
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert np.array_equal(pool.submit(_read, path).result(), here)
    error = np.abs(here.astype(int) - pixels).mean()
    assert error == 0 if text == "png" else 0 < error < 8


# Files


@pytest.mark.parametrize("codec_id", ALL)
def test_a_codec_takes_files_of_its_container_only(codec_id: str, small: Picture) -> None:
    coder = codec.get(codec_id)
    for other in ("jpeg", "webp", "png", "bpg", "jpegxl", "heic", "avif", "jpeg2000", "liu2018"):
        data = codec.get(other, **FAST).encode(small, 40)
        if format_of(data) == coder.container:
            continue
        for read in (coder.decode, coder.header):
            with pytest.raises(UnknownFormatError, match=f"{format_of(data)} file, not"):
                read(data)


@pytest.mark.parametrize("codec_id", ALL)
def test_the_header_says_what_decoding_gives(codec_id: str, small: Picture) -> None:
    coder = codec.get(codec_id, **FAST)
    for picture in (small, Picture(small.pixels[..., 1].copy())):
        data = coder.encode(picture, 20)
        header, decoded = coder.header(data), coder.decode(data)
        assert (header.width, header.height) == (decoded.width, decoded.height)
        assert header.channels == (1 if decoded.is_gray else 3)
        assert (header.bits, header.frames, header.orientation) == (8, 1, 1)
        assert header.losses == ()


@pytest.mark.parametrize("codec_id", ALL)
def test_an_encoder_gives_the_same_files_in_any_order(codec_id: str, small: Picture) -> None:
    coder = codec.get(codec_id, **FAST)
    encode = coder.encoder(small)
    for quality in (80, 15, 50, 15):
        assert encode(quality) == coder.encode(small, quality)


@pytest.mark.parametrize("codec_id", ALL)
def test_the_extension_alone_asks_for_a_codec_that_writes_it(
    codec_id: str, small: Picture, tmp_path: Path
) -> None:
    coder = codec.get(codec_id)
    source = tmp_path / "in.png"
    small.to_pil().save(source)
    for extension in (coder.extension, *coder.aliases):
        out = tmp_path / f"out{extension.upper()}"
        assert main(["encode", str(source), "-o", str(out), "-e", "1", "--quiet"]) == 0
        assert format_of(out.read_bytes()) == coder.container


class Counted:
    """How often each file is decoded, by its bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.decodes: Counter[bytes] = Counter()
        decode = PillowCodec.decode

        def counting(self_: PillowCodec, data: bytes, *, partial: bool = False) -> Picture:
            self.decodes[data] += 1
            return decode(self_, data, partial=partial)

        monkeypatch.setattr(PillowCodec, "decode", counting)


@pytest.mark.parametrize("codec_id", ["comrec-jpeg", "comrec-webp", "comrec-jpeg2000"])
def test_an_encode_decodes_each_standard_file_once(
    codec_id: str, small: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(monkeypatch)
    coder = codec.get(codec_id)
    for task in (
        lambda: coder.encode(small, 30),
        lambda: coder.encode_within(small, 900),
        lambda: coder.encode(small, 70),
        lambda: comrec.encode(small, codec_id, target_psnr=30),
    ):
        counted.decodes.clear()
        task()
        assert set(counted.decodes.values()) == {1}


def test_a_file_is_parsed_once_on_its_way(small: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    data = comrec.encode(small, "comrec-jpeg:scale=1", 30)
    calls: Counter[str] = Counter()
    from comrec.formats import detection, segments

    for module, name in ((detection, "find"), (segments, "segments")):
        function = getattr(module, name)

        def counting(*given: Any, name: str = name, function: Any = function) -> Any:
            calls[name] += 1
            return function(*given)

        monkeypatch.setattr(module, name, counting)
    comrec.decode(data)
    assert calls["find"] <= 3  # which format; and the codec's own checks, of header and pixels
    assert calls["segments"] <= 3  # the mark, the table, the subsampling


# One file, one registration


@pytest.fixture
def tiff() -> Iterator[type[Codec]]:
    """The example of CONTRIBUTING.md, run as it stands there."""
    text = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text("utf-8")
    (source,) = re.findall(r"```python\n(.*?class Tiff.*?)```", text, re.S)
    module = types.ModuleType("example")
    sys.modules["example"] = module
    exec(source, module.__dict__)
    yield module.Tiff
    codec.unregister("tiff")
    del sys.modules["example"]


def test_a_new_codec_needs_one_file_and_one_registration(
    tiff: type[Codec], small: Picture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not inspect.isabstract(tiff)
    source, out, back = tmp_path / "in.png", tmp_path / "out.tif", tmp_path / "back.png"
    small.to_pil().save(source)
    assert main(["encode", str(source), "-o", str(out), "--quiet"]) == 0
    data = out.read_bytes()
    assert data.startswith((b"II*\0", b"MM\0*"))
    assert np.array_equal(files.decode(data).pixels, small.pixels)
    assert main(["decode", str(out), "-o", str(back), "--quiet"]) == 0
    assert np.array_equal(np.asarray(Image.open(back)), small.pixels)
    assert comrec.info(data).codec == "tiff"
    assert main(["codecs"]) == 0
    assert "tiff" in capsys.readouterr().out
    assert comrec.encode(small, "tiff", target_psnr=60) == data
    with pytest.raises(UnknownFormatError, match="png file, not tiff"):
        codec.get("tiff").decode(source.read_bytes())
    buffer = io.BytesIO()
    Image.open(io.BytesIO(data)).save(buffer, "PNG")
    assert pickle.loads(pickle.dumps(codec.get("tiff"))) == codec.get("tiff")


def test_a_codec_taken_out_is_gone(tiff: type[Codec], small: Picture) -> None:
    data = codec.get("tiff").encode(small, 50)
    codec.unregister("tiff")
    assert "tiff" not in codec.names()
    with pytest.raises(UnknownFormatError):
        format_of(data)


# Importance


@pytest.mark.parametrize("codec_id", ALL)
def test_a_codec_without_use_for_importance_refuses_it_in_one_sentence(
    codec_id: str, small: Picture
) -> None:
    coder = codec.get(codec_id)
    picture = dataclasses.replace(small, importance=np.ones((40, 48), np.float32))
    if coder.uses_importance:
        large = picture.mapped(lambda plane: np.resize(plane, (176, 176, *plane.shape[2:])))
        assert coder.encode(large, 50)
        return
    with pytest.raises(UnsupportedPictureError, match=f"^{codec_id} cannot make one part") as error:
        coder.encode(picture, 50)
    assert str(error.value).count(". ") == 0
    with pytest.raises(UnsupportedPictureError, match="importance"):
        coder.encode_within(picture, 4000)

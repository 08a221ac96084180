"""Chroma subsampling: the option, and what ``auto`` decides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import comrec
from comrec import codec, metrics
from comrec.cli import main
from comrec.errors import OptionError
from comrec.formats import coding
from comrec.picture import Picture
from comrec.standard import chroma

CODECS = ["jpeg", "jpegli", "avif", "bpg", "heic"]
BY_DEFAULT = ["jpeg", "jpegli", "avif", "bpg"]
FAST = {"effort": 1}


@pytest.fixture(scope="module")
def graphics() -> Iterator[ModuleType]:
    """The benchmarks' generator of drawn pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
        import graphics

        yield graphics


@pytest.fixture(scope="module")
def window(graphics: ModuleType) -> Picture:
    """A 240x160 screenshot."""
    return Picture(graphics.window(0, 240, 160))


def sampling(codec_id: str, picture: Picture, quality: float, **options: object) -> str | None:
    coder = codec.get(codec_id, **FAST, **options)
    return coding.of(coder.container, coder.encode(picture, quality)).sampling


def psnr(codec_id: str, picture: Picture, quality: float, **options: object) -> float:
    coder = codec.get(codec_id, **options)
    return metrics.psnr(coder.decode(coder.encode(picture, quality)).rgb, picture.rgb)


@pytest.mark.parametrize("codec_id", CODECS)
@pytest.mark.parametrize("asked", ["4:2:0", "4:4:4"])
def test_chroma_is_sampled_as_asked(codec_id: str, asked: str, window: Picture) -> None:
    for quality in (0, 100):
        assert sampling(codec_id, window, quality, subsampling=asked) == asked


@pytest.mark.parametrize("codec_id", BY_DEFAULT)
def test_the_default_is_auto(codec_id: str) -> None:
    assert codec.get(codec_id) == codec.get(codec_id, subsampling="auto")


def test_heic_is_subsampled_unless_asked(window: Picture) -> None:
    assert sampling("heic", window, 100) == "4:2:0"


@pytest.mark.parametrize("codec_id", CODECS)
def test_auto_is_half_for_photographs_at_low_and_full_for_all_at_high_quality(
    codec_id: str, photo: Picture, window: Picture
) -> None:
    assert sampling(codec_id, photo, 10, subsampling="auto") == "4:2:0"
    for picture in (photo, window):
        assert sampling(codec_id, picture, 100, subsampling="auto") == "4:4:4"


@pytest.mark.parametrize("codec_id", CODECS)
def test_once_full_it_stays_full_at_finer_quality(
    codec_id: str, photo: Picture, window: Picture
) -> None:
    for picture in (Picture(photo.pixels[:64, :96].copy()), Picture(window.pixels[20:84].copy())):
        found = [sampling(codec_id, picture, q, subsampling="auto") for q in range(0, 101, 5)]
        assert found == sorted(found, key=str)
        assert set(found) == {"4:2:0", "4:4:4"}


@pytest.mark.parametrize("codec_id", CODECS)
def test_gray_has_no_chroma(codec_id: str, gray_photo: Picture) -> None:
    for asked in ("auto", "4:2:0", "4:4:4"):
        assert sampling(codec_id, gray_photo, 80, subsampling=asked) == "4:0:0"


def test_a_screenshot_at_full_quality_is_nearly_exact(window: Picture) -> None:
    assert psnr("jpeg", window, 100, subsampling="4:2:0") < 40
    assert psnr("jpeg", window, 100) > 50


@pytest.mark.parametrize("codec_id", ["jpeg", "jpegli", "avif"])
def test_auto_costs_neither_kind_of_picture(codec_id: str, photo: Picture, window: Picture) -> None:
    """At equal bytes, against always 4:2:0: little lost anywhere, much gained in screenshots."""
    half = codec.get(codec_id, **FAST, subsampling="4:2:0")
    auto = codec.get(codec_id, **FAST)
    for picture, gain in ((photo, 0.0), (window, 0.8)):
        gains = []
        for quality in (5, 30, 50, 70, 90, 97):
            data = auto.encode(picture, quality)
            same = half.encode_within(picture, len(data)).data
            shown, usual = (
                metrics.psnr(coder.decode(file).rgb, picture.rgb)
                for coder, file in ((auto, data), (half, same))
            )
            gains.append(shown - usual)
        assert min(gains) > -0.5
        assert np.mean(gains) > gain


@pytest.mark.parametrize("codec_id", ["jpeg", "jpegli", "avif"])
def test_searches_meet_their_targets_across_the_change(codec_id: str, window: Picture) -> None:
    coder = codec.get(codec_id, **FAST)
    sizes = [len(coder.encode(window, quality)) for quality in range(0, 101, 4)]
    for budget in np.geomspace(sizes[0] * 1.1, sizes[-1] * 0.9, 9).astype(int).tolist():
        data = comrec.encode(window, coder, target_size=budget)
        assert len(data) <= budget
        below = [size for size in sizes if size <= budget]
        assert len(data) >= max(below)
    for wanted in (24, 30, 36, 42):
        data = comrec.encode(window, coder, target_psnr=wanted)
        reached = metrics.psnr(np.asarray(comrec.decode(data)), window.pixels)
        assert wanted <= reached


def errors(picture: Picture) -> list[float]:
    sample = chroma.Sample(picture)
    return [sample.subsampling_error, sample.quantisation_error(30)]


def test_a_sample_of_a_large_picture_tells_its_errors(graphics: ModuleType) -> None:
    small = graphics.document(0, 320, 320)
    large = np.tile(small, (4, 5, 1))
    assert errors(Picture(large)) == pytest.approx(errors(Picture(small)), rel=0.15)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (15, 17), (33, 16)])
def test_pictures_of_any_size_can_be_judged(size: tuple[int, int]) -> None:
    flat = Picture(np.full((*size, 3), (200, 30, 90), np.uint8))
    assert chroma.Sample(flat).subsampling_error == pytest.approx(0, abs=1e-6)
    assert chroma.Sample(flat).subsampling(0.01) == "4:2:0"
    assert 0 <= chroma.Sample(flat).quantisation_error(10) <= 100 / 12


def test_the_errors_are_those_of_doing_it() -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[::2] = (255, 0, 0)  # stripes, of which halving leaves nothing
    luma = metrics.luma(pixels)[..., None]
    lost = np.square(pixels - np.array([127.5, 0, 0]) - (luma - luma.mean())).mean()
    assert chroma.Sample(Picture(pixels)).subsampling_error == pytest.approx(lost, rel=0.01)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    assert chroma.Sample(Picture(noise)).quantisation_error(6) == pytest.approx(3, rel=0.05)
    assert chroma.Sample(Picture(noise)).quantisation_error(1e4) > 4000  # all that there is


def test_the_option_on_the_command_line(tmp_path: Path, window: Picture) -> None:
    source, out = tmp_path / "a.png", tmp_path / "a.avif"
    Image.fromarray(window.pixels).save(source)
    for asked in ("4:2:0", "4:4:4"):
        arguments = ["-c", "avif", "--subsampling", asked, "-e", "1", "-q", "40", "--quiet"]
        assert main(["encode", str(source), "-o", str(out), *arguments]) == 0
        assert coding.of("avif", out.read_bytes()).sampling == asked


@pytest.mark.parametrize("codec_id", ["webp", "jpeg2000", "jpegxl"])
def test_codecs_without_the_choice_name_those_with_it(
    codec_id: str, window: Picture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    having = "jpeg, avif, bpg, heic, jpegli"
    with pytest.raises(OptionError, match=f"no option 'subsampling'.*{having}"):
        comrec.encode(window, codec_id, subsampling="4:4:4")
    source = tmp_path / "a.png"
    Image.fromarray(window.pixels).save(source)
    out = tmp_path / f"a{codec.get(codec_id).extension}"
    arguments = ["-c", codec_id, "--subsampling", "4:4:4"]
    assert main(["encode", str(source), "-o", str(out), *arguments]) == 2
    assert having in capsys.readouterr().err

"""Transparent pictures: what alpha hides counts neither in fidelity nor in bytes."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data

import comrec
from comrec import codec, fidelity, files, metrics, targets
from comrec.cli import main
from comrec.errors import OptionError, TargetError, UnsupportedPictureError
from comrec.measure.comparison import Entry, at_equal_bytes
from comrec.measure.variants import parse
from comrec.picture import Metadata, Picture, Pixels
from comrec.preparation.hidden import cleaned
from comrec.targets import Kind, Target

LOSSY = ["avif", "webp", "jpeg2000", "jpegxl", "heic", "bpg", "comrec-webp", "comrec-avif"]
LOSSLESS = ["png", "jpegxl:lossless=true", "bpg:lossless=true"]
RANDOM = np.random.default_rng(5)


@pytest.fixture(scope="module")
def logo() -> Picture:
    """A disc cut out of a photograph, 192x168, its rim 3 pixels soft; black where it is hidden."""
    pixels = skimage.data.chelsea()[60:228, 100:292].copy()
    down, across = np.mgrid[0:168, 0:192]
    inside = 60 - np.hypot(down - 84, across - 96)
    alpha = (np.clip(inside / 3, 0, 1) * 255).astype(np.uint8)
    pixels[alpha == 0] = 0
    return Picture(pixels, alpha)


@pytest.fixture(scope="module")
def noisy(logo: Picture) -> Picture:
    """The same with noise where it is hidden."""
    return with_hidden(logo, RANDOM.integers(0, 256, logo.pixels.shape, np.uint8))


def with_hidden(picture: Picture, samples: Pixels) -> Picture:
    pixels = picture.pixels.copy()
    np.copyto(pixels, samples, where=(alpha_of(picture) == 0)[..., None])
    return picture.with_pixels(pixels)


def alpha_of(picture: Picture) -> Pixels:
    assert picture.alpha is not None
    return picture.alpha


def visible_psnr(decoded: Picture, original: Picture) -> float:
    """Of the colours alone."""
    weights = np.repeat(alpha_of(original)[..., None] / 255, 3, axis=2)
    squares = (decoded.rgb.astype(float) - original.rgb) ** 2
    return 10 * math.log10(255**2 * weights.sum() / (weights * squares).sum())


def over(level: int, picture: Picture) -> Any:
    share = alpha_of(picture)[..., None] / 255
    return picture.rgb * share + level * (1 - share)


@pytest.mark.parametrize("codec_id", LOSSY)
def test_what_is_hidden_costs_no_bytes_and_does_not_hinder_a_fidelity(
    codec_id: str, logo: Picture, noisy: Picture
) -> None:
    coder = codec.get(codec_id, effort=1)
    met = targets.encode(coder, noisy, Target("psnr", 32))
    decoded = coder.decode(met.point.data)
    assert 32 <= met.value == fidelity.psnr(decoded, noisy)
    assert visible_psnr(decoded, noisy) >= met.value - 1e-9  # sums in another order
    for background in (0, 255):  # as people see it; all that is clear counts as perfect there
        error = np.mean((over(background, decoded) - over(background, noisy)) ** 2)
        assert 10 * math.log10(255**2 / error) >= 32
    assert met.point.data == targets.encode(coder, logo, Target("psnr", 32)).point.data
    assert len(met.point.data) < 0.5 * len(codec.get("png").encode(logo, 100))


def test_at_a_quality_bytes_do_not_depend_on_what_is_hidden(logo: Picture, noisy: Picture) -> None:
    for codec_id in ("avif", "jpeg2000", "liu2018:effort=1", "comrec-avif"):
        assert comrec.encode(noisy, codec_id, 40) == comrec.encode(logo, codec_id, 40)
        assert len(comrec.encode(noisy, codec_id, 40)) < len(
            comrec.encode(noisy, codec_id, 40, exact=True)
        )


def test_flat_colours_behind_a_shape_are_no_perfect_picture() -> None:
    """All of a drawing may be in its alpha, which most codecs code with loss."""
    down, across = np.mgrid[0:168, 0:176]
    alpha = np.where((down // 7 + across // 5) % 2, 255, 0).astype(np.uint8)
    drawing = Picture(np.zeros((168, 176, 3), np.uint8), alpha)
    kinds: dict[Kind, float] = {"psnr": 30, "ssim": 0.95, "msssim": 0.98, "ssimulacra2": 70}
    for kind, value in kinds.items():
        met = targets.encode(codec.get("avif"), drawing, Target(kind, value))
        assert met.value >= value
        back = files.decode(met.point.data)
        assert np.abs(alpha_of(back).astype(int) - alpha).mean() < 10


@pytest.mark.parametrize(("kind", "value"), [("ssim", 0.9), ("msssim", 0.97)])
def test_similarities_are_those_of_the_visible_part(
    kind: Kind, value: float, logo: Picture, noisy: Picture
) -> None:
    coder = codec.get("webp", effort=1)
    met = targets.encode(coder, noisy, Target(kind, value))
    assert value <= met.value <= value + 0.1 * (1 - value)
    assert met.point.data == targets.encode(coder, logo, Target(kind, value)).point.data
    decoded = coder.decode(met.point.data)
    if kind == "ssim":  # the opaque middle alone is about as similar
        crops = [picture.cropped(60, 50, 72, 68).rgb for picture in (decoded, logo)]
        lumas = [np.rint(metrics.luma(rgb)).astype(np.uint8) for rgb in crops]
        assert metrics.ssim(*lumas) == pytest.approx(value, abs=0.05)
    opaque = replace(noisy, alpha=None)
    assert fidelity.ssim(decoded, opaque) < met.value


@pytest.mark.parametrize("exact", [False, True])
def test_webp_writes_what_libwebp_does_though_it_codes_an_alpha_once(
    exact: bool, noisy: Picture
) -> None:
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    metadata = replace(noisy.metadata, xmp=xmp)
    small = replace(noisy.cropped(30, 20, 48, 40), exact=exact, metadata=metadata)
    turned = [replace(small, alpha=np.roll(alpha_of(small), 3 * n, 1)) for n in range(10)]
    for quality in (90, 10, 45):
        for picture in turned:
            buffer = io.BytesIO()
            options = {"quality": quality, "method": 6, "exact": exact, "xmp": xmp}
            picture.to_pil().save(buffer, "WEBP", **options)
            for _ in range(2):
                assert codec.get("webp").encode(picture, quality) == buffer.getvalue()


@pytest.mark.parametrize("text", LOSSLESS)
def test_lossless_codecs_keep_what_is_hidden(text: str, noisy: Picture) -> None:
    back = files.decode(comrec.encode(noisy, text, 50))
    assert np.array_equal(back.pixels, noisy.pixels)
    assert np.array_equal(alpha_of(back), alpha_of(noisy))


@pytest.mark.parametrize("codec_id", ["avif", "webp", "jpeg2000", "heic", "bpg", "comrec-webp"])
def test_exact_keeps_what_is_hidden_as_well_as_the_codec_can(codec_id: str, logo: Picture) -> None:
    stripes = np.zeros_like(logo.pixels)
    stripes[:, (np.arange(192) // 16) % 2 == 1] = 200
    picture = with_hidden(logo, stripes)
    hidden = alpha_of(picture) == 0
    for exact in (True, False):
        back = files.decode(comrec.encode(picture, codec_id, 90, exact=exact, effort=1))
        error = np.abs(back.rgb.astype(int) - picture.rgb)[hidden].mean()
        assert error < 5 if exact else error > 30


def test_lossy_jpeg_xl_says_that_it_keeps_nothing_hidden(logo: Picture) -> None:
    for codec_id in ("jpegxl", "comrec-jpegxl"):
        with pytest.raises(UnsupportedPictureError, match=r"--exact.*lossless=true"):
            comrec.encode(logo, codec_id, 90, exact=True)
    data = comrec.encode(logo, "jpegxl:lossless=true", exact=True)
    assert np.array_equal(files.decode(data).pixels, logo.pixels)


@pytest.mark.parametrize("codec_id", ["avif", "webp", "jpeg2000", "comrec-avif"])
def test_a_picture_that_shows_nothing_is_always_perfect(codec_id: str) -> None:
    samples = RANDOM.integers(0, 256, (168, 176, 3), np.uint8)
    picture = Picture(samples, np.zeros((168, 176), np.uint8))
    assert not cleaned(picture).pixels.any()
    kinds: dict[Kind, float] = {"psnr": 50, "ssim": 1, "msssim": 1, "ssimulacra2": 100}
    for kind, value in kinds.items():
        met = targets.encode(codec.get(codec_id, effort=1), picture, Target(kind, value))
        assert met.value == (math.inf if kind == "psnr" else value)
        assert len(met.point.data) < 1000
        assert not alpha_of(files.decode(met.point.data)).any()


def test_partly_transparent_samples_count_by_their_alpha() -> None:
    alpha = np.full((40, 40), 255, np.uint8)
    alpha[20:] = 51
    original = Picture(np.full((40, 40, 3), 100, np.uint8), alpha)
    changed = original.pixels.copy()
    changed[20:] += 10
    # 800 samples with a square of 100 at a weight of 0.2, among weights of 800 * 1.2
    expected = 10 * math.log10(255**2 / (100 * 0.2 / 1.2))
    assert fidelity.psnr(original.with_pixels(changed), original) == pytest.approx(expected)
    assert np.array_equal(cleaned(original).pixels, original.pixels)


def test_alphas_own_errors_count() -> None:
    original = Picture(np.full((40, 40), 100, np.uint8), np.full((40, 40), 255, np.uint8))
    faded = replace(original, alpha=np.full((40, 40), 245, np.uint8))
    assert fidelity.psnr(faded, original) == pytest.approx(10 * math.log10(255**2 / 100))
    assert fidelity.ssim(faded, original) < 1
    assert fidelity.psnr(replace(original, alpha=None), original) == math.inf
    with pytest.raises(OptionError, match="40x40"):
        fidelity.psnr(Picture(np.zeros((39, 40), np.uint8)), original)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (37, 61)])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_hidden_samples_continue_the_visible_ones(
    size: tuple[int, int], channels: tuple[int, ...]
) -> None:
    samples = RANDOM.integers(0, 256, (*size, *channels), np.uint8)
    alpha = np.zeros(size, np.uint8)
    alpha[0, 0], alpha[-1, -1] = 1, 255
    samples[0, 0], samples[-1, -1] = 50, 90
    importance = np.ones(size, np.float32)
    found = cleaned(Picture(samples, alpha, importance=importance))
    assert found.pixels.min() >= 50
    assert found.pixels.max() <= 90
    assert np.array_equal(found.pixels[alpha > 0], samples[alpha > 0])
    assert found.importance is importance
    opaque = Picture(samples, np.ones(size, np.uint8))
    assert cleaned(opaque) is opaque


def test_ours_are_no_worse_than_the_plain_codec_where_it_shows(noisy: Picture) -> None:
    for quality in (20, 60):
        plain = comrec.encode(noisy, "avif", quality)
        ours = comrec.encode(noisy, "comrec-avif", target_size=len(plain))
        assert len(ours) <= len(plain)
        theirs = fidelity.psnr(files.decode(plain), noisy)
        assert fidelity.psnr(files.decode(ours), noisy) >= theirs


def test_compare_measures_what_shows(noisy: Picture) -> None:
    found = list(at_equal_bytes(noisy, [parse("webp"), parse("avif")], 6000))
    assert len(found) == 2
    for entry in found:
        assert isinstance(entry, Entry)
        assert entry.scores.psnr == fidelity.psnr(entry.decoded, noisy) > 30
        assert entry.scores.ms_ssim is not None
        assert entry.scores.ms_ssim > 0.97
        assert entry.scores.ssimulacra2 == fidelity.ssimulacra2(entry.decoded, noisy) > 50


def test_the_command_line_has_exact(
    tmp_path: Path, noisy: Picture, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "logo.png"
    source.write_bytes(codec.get("png").encode(noisy, 100))
    sizes = []
    for extra in ([], ["--exact"]):
        out = str(tmp_path / "out.webp")
        command = ["encode", str(source), "-o", out, "-c", "webp", "-q", "40", "--json", *extra]
        assert main(command) == 0
        sizes.append(json.loads(capsys.readouterr().out)["bytes"])
    assert sizes[0] < sizes[1] / 2
    out = str(tmp_path / "out.avif")
    command = ["encode", str(source), "-o", out, "-c", "avif", "--target-psnr", "30", "--json"]
    assert main(command) == 0
    assert 30 <= json.loads(capsys.readouterr().out)["target"]["met"] < 31.5


def test_a_size_that_metadata_alone_exceeds_says_so(logo: Picture) -> None:
    picture = replace(logo, metadata=Metadata(xmp=b"<x/>" * 5000))
    coder = codec.get("webp", effort=1)
    for kind, value in (("size", 9000.0), ("bpp", 2.0)):
        with pytest.raises(TargetError, match=r"metadata is about 20,000: --metadata none"):
            targets.encode(coder, picture, Target(kind, value))  # type: ignore[arg-type]
    with pytest.raises(TargetError) as error:
        targets.encode(coder, logo, Target("size", 90))
    assert "metadata" not in str(error.value)
    assert len(comrec.encode(picture, coder, target_size=9000, metadata="none")) <= 9000

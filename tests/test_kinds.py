"""Pictures of every kind through every codec, as the table in docs/pictures.md says."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.color
import sources
from PIL import Image
from sources import saved

import comrec
from comrec import codec, files, preparation
from comrec.codec import Codec
from comrec.errors import UnsupportedPictureError
from comrec.picture import Metadata, Picture, Pixels
from comrec.preparation import Preparation

DOCUMENT = Path(__file__).parents[1] / "docs" / "pictures.md"
LIBRARIES = {"bpg": "av", "heic": "pillow_heif", "jpegli": "ajpegli", "jpegxl": "pyjpegxl"}

LEVELS = {"liu2018": 30, "rippel2017": 30, "toderici2017": 45}
"""By how much what comes back may differ, on average; by 9 where nothing stands here. The networks
of liu2018 have seen photographs only; wrong pictures, turned or inverted, differ by 37 and more."""

BEFORE_CODECS = ("CMYK", "Lab", "floating", "animation", "PSD", "TIFF", "AVIF", "JPEG")
"""Kinds, by how their names begin, that are converted or refused before they reach a codec."""

UNTAGGED: dict[str, Any] = {"metadata": None, "software": False}
"""Options of tifffile for no tags but those of the pixels."""

GRAY, RGB, ALPHA = sources.smooth(1), sources.smooth(3), sources.alpha()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\xc3\xa9</x:xmpmeta>'
LONG_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:a="http://a.example/" a:title="a cat"/>'
    f'<rdf:Description rdf:about="" xmlns:a="http://a.example/" a:notes="{"a cat " * 20_000}"/>'
    "</rdf:RDF></x:xmpmeta>"
).encode()
TAGS: dict[int, Any] = {0x0112: 6, 0x8769: {0x9003: "2020:02:02 20:20:20"}, 0x8825: {1: "N"}}


@dataclass(frozen=True)
class Case:
    """A kind of picture.

    Attributes:
        source: its file.
        carried: what comes back without an option.
        prepared: what comes back with --background or --metadata.
    """

    source: bytes
    carried: Picture
    prepared: Picture


def case(source: bytes, carried: Picture, prepared: Picture | None = None) -> Case:
    return Case(source, carried, prepared or carried)


def of_png(picture: Picture, prepared: Picture | None = None) -> Case:
    return case(codec.get("png").encode(picture, 100), picture, prepared)


def over_white(pixels: Pixels) -> Picture:
    part = ALPHA.reshape(*ALPHA.shape, *[1] * (pixels.ndim - 2)) / 255
    return Picture(np.rint(pixels * part + 255 * (1 - part)).astype(np.uint8))


def deep(samples: Pixels) -> np.ndarray:
    """16 bits, each sample within its 8-bit level."""
    return samples.astype(np.uint16) * 257 - 60 * (samples > 100)


def exif(description: str = "a cat", orientation: int = 6) -> bytes:
    block = Image.Exif()
    block[0x0112], block[0x010E] = orientation, description
    for part in (0x8769, 0x8825):
        block.get_ifd(part).update(TAGS[part])
    return block.tobytes()


def tags(block: bytes | None) -> dict[int, Any]:
    found = Image.Exif()
    found.load(block or b"")
    return {
        tag: dict(found.get_ifd(tag)) if tag in (0x8769, 0x8825) else found[tag] for tag in found
    }


def naive_rgb(cmyk: Pixels) -> Pixels:
    ink = cmyk / 255
    return np.rint(255 * (1 - ink[..., :3]) * (1 - ink[..., 3:])).astype(np.uint8)


def to_srgb(linear: np.ndarray) -> Pixels:
    """sRGB samples of linear light in 0..1."""
    light = linear.clip(0, 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(255 * curve), np.uint8)


def from_p3(pixels: Pixels) -> Pixels:
    srgb = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
    return to_srgb((pixels / 255) ** 2.2 @ (np.linalg.inv(srgb) @ sources.PRIMARIES).T)


def hlg(light: np.ndarray) -> np.ndarray:
    """HLG samples, 16 bits, of light whose white is 203 cd/m2 (ITU-R BT.2100)."""
    shown = 0.203 * light
    luminance = shown @ np.array([0.2126, 0.7152, 0.0722])
    scene = shown * luminance[..., None] ** (1 / 1.2 - 1)
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    high = a * np.log(np.maximum(12 * scene - b, 1e-9)) + c
    samples = np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)
    return np.asarray(np.rint(65535 * samples), np.uint16)


def other_colour() -> dict[str, Case]:
    """Colour that is said otherwise than by ICC. What comes of it is in test_colour.py."""
    light = np.where(RGB <= 10, RGB / 255 / 12.92, ((RGB / 255 + 0.055) / 1.055) ** 2.4)
    bright = np.rint(65535 * sources.pq(203 * light)).astype(np.uint16)
    adobe = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
    p3 = tuple((round(10_000 * v), 10_000) for v in (0.68, 0.32, 0.265, 0.69, 0.15, 0.06))
    files_of = {
        "PNG, cICP Display P3": sources.png(RGB, 8, 2, sources.cicp(12, 13)),
        "PNG, gAMA and cHRM": sources.png(RGB, 8, 2, sources.gama_chrm(2.2, adobe)),
        "AVIF, nclx Display P3": sources.nclx_avif(RGB, 12, 13),
        "JPEG 2000, enumerated ROMM RGB": sources.jp2_colour(RGB, b"\1\0\0\0\0\0\x15"),
        "TIFF, chromaticities of Display P3": sources.tiff(
            RGB, "rgb", extratags=[(319, 5, 6, sum(p3, ()), True)], **UNTAGGED
        ),
    }
    found = {}
    for kind, source in files_of.items():
        icc = files.read(source, kind).metadata.icc
        assert icc is not None
        carried = Picture(RGB, None, Metadata(icc=icc))
        found[kind] = case(
            source, carried, preparation.finish(carried, Preparation(metadata="none"))
        )
    tone_mapped = Picture(RGB)
    return found | {
        "PNG, PQ of 16 bits": case(sources.png(bright, 16, 2, sources.cicp(1, 16)), tone_mapped),
        "PNG, HLG": case(sources.png(hlg(light), 16, 2, sources.cicp(1, 18)), tone_mapped),
        "AVIF, PQ": case(sources.nclx_avif((bright >> 8).astype(np.uint8), 1, 16), tone_mapped),
    }


@cache
def cases() -> dict[str, Case]:
    gray, rgb, clear = Picture(GRAY), Picture(RGB), Picture(RGB, ALPHA)
    palette = Image.fromarray(RGB).quantize(30)
    of_palette = np.asarray(palette.convert("RGB"))
    see_through = np.where(np.asarray(palette) < 9, 90, 255).astype(np.uint8)
    shown = of_palette * (see_through[..., None] / 255) + 255.0 - see_through[..., None]
    bits = np.arange(sources.WIDTH) + 0 * GRAY > 9
    inks = sources.smooth(4) // 2
    cmyk = Image.frombytes("CMYK", (sources.WIDTH, sources.HEIGHT), inks.tobytes())
    lab = Image.new("LAB", cmyk.size, (200, 150, 110))
    of_lab = np.full_like(RGB, np.rint(255 * skimage.color.lab2rgb([200 / 2.55, 22, -18])))
    icc = sources.cmyk_profile()
    frames = [Image.fromarray(np.ascontiguousarray(np.roll(RGB, 5 * i, 1))) for i in range(3)]
    large = Metadata(exif=exif("a cat" * 20_000))
    wide = Metadata(icc=sources.srgb_profile(padding=100_000))
    other, dark = Metadata(icc=sources.rgb_profile()), Metadata(icc=sources.gray_profile(1.8))
    return {
        "gray": of_png(gray),
        "gray, transparent": of_png(Picture(GRAY, ALPHA), over_white(GRAY)),
        "RGB": of_png(rgb),
        "RGB, transparent": of_png(clear, over_white(RGB)),
        "RGB, transparent, by `jiang2017-…` or at `--scale 1/2`": of_png(clear, over_white(RGB)),
        "RGB, alpha opaque everywhere": case(
            codec.get("png").encode(Picture(RGB, np.full_like(ALPHA, 255)), 100), rgb
        ),
        "palette": case(saved(palette, "PNG"), Picture(of_palette)),
        "palette, transparent": case(
            saved(palette, "PNG", transparency=bytes([90] * 9)),
            Picture(of_palette, see_through),
            Picture(np.rint(shown).astype(np.uint8)),
        ),
        "1 bit": case(saved(Image.fromarray(bits), "PNG"), Picture(bits.astype(np.uint8) * 255)),
        "gray, 16 bits": case(sources.png(deep(GRAY), 16, 0), gray),
        "RGB, 16 bits": case(sources.png(deep(RGB), 16, 2), rgb),
        "RGB, transparent, 16 bits": case(
            sources.png(deep(np.dstack([RGB, ALPHA])), 16, 6), clear, over_white(RGB)
        ),
        "CMYK, JPEG as Adobe writes it": case(
            saved(cmyk, "JPEG", quality=99, subsampling=0), Picture(naive_rgb(inks))
        ),
        "CMYK, TIFF": case(saved(cmyk, "TIFF"), Picture(naive_rgb(inks))),
        "CMYK, with its ICC profile": case(
            saved(Image.new("CMYK", cmyk.size, (255, 0, 0, 0)), "TIFF", icc_profile=icc),
            Picture(np.full_like(RGB, (0, 151, 218))),
        ),
        "Lab": case(saved(lab, "TIFF"), Picture(of_lab)),
        "PSD": case(sources.psd(3, 3, np.moveaxis(RGB, 2, 0)), rgb),
        "TIFF, with a sample of unspecified meaning": case(
            sources.tiff(np.dstack([RGB, ALPHA]), "rgb", extrasamples=["unspecified"], **UNTAGGED),
            clear,
            over_white(RGB),
        ),
        "TIFF, planes of 16 bits": case(
            sources.tiff(
                np.moveaxis(deep(RGB).astype(np.uint16), 2, 0),
                "rgb",
                planarconfig="separate",
                **UNTAGGED,
            ),
            rgb,
        ),
        "TIFF, with a reduced version as a page": case(
            sources.pages(
                (RGB, {"photometric": "rgb", **UNTAGGED}),
                (RGB[::2, ::2].copy(), {"photometric": "rgb", "subfiletype": 1, **UNTAGGED}),
            ),
            rgb,
        ),
        "AVIF, with a clean aperture": case(
            sources.with_aperture(
                saved(Image.fromarray(RGB), "AVIF", quality=100),
                sources.clap(10, 8, (-3, 1), (2, 1)),
            ),
            Picture(RGB[8:16, 4:14].copy()),
        ),
        "JPEG of 12 bits": case(sources.jpeg_of_12_bits(), rgb),
        "TIFF, RGB of 12 bits": case(
            sources.tiff(np.zeros((20, 24, 3), np.uint16), "rgb").replace(
                struct.pack("<HHH", 16, 16, 16), struct.pack("<HHH", 12, 12, 12)
            ),
            rgb,
        ),
        "resolution outside EXIF": of_png(Picture(RGB, None, Metadata(resolution=(300, 150)))),
        "floating point, or 32 bits": case(saved(Image.fromarray(np.float32(GRAY)), "TIFF"), gray),
        "animation, or several pages": case(
            saved(frames[0], "PNG", save_all=True, append_images=frames[1:]), rgb
        ),
        "EXIF, with orientation": of_png(Picture(RGB, None, Metadata(exif=exif()))),
        "EXIF over 64 kB": of_png(Picture(RGB, None, large), Picture(np.rot90(RGB, -1).copy())),
        "ICC, sRGB": of_png(Picture(RGB, None, Metadata(icc=sources.srgb_profile()))),
        "ICC over 64 kB": of_png(Picture(RGB, None, wide)),
        "ICC, another RGB space": of_png(Picture(RGB, None, other), Picture(from_p3(RGB))),
        **other_colour(),
        "ICC, gray": of_png(Picture(GRAY, None, dark), Picture(to_srgb((GRAY / 255) ** 1.8))),
        "XMP": of_png(Picture(RGB, None, Metadata(xmp=XMP))),
        "XMP over 64 kB": of_png(Picture(RGB, None, Metadata(xmp=LONG_XMP)), rgb),
    }


def rows() -> dict[str, dict[str, str]]:
    """The table: for each kind what each codec does with it."""
    parts = DOCUMENT.read_text("utf-8").split("\n\n")
    (table,) = (part for part in parts if part.startswith("| picture"))
    lines = [line.strip("| ").split(" | ") for line in table.splitlines() if "---" not in line]
    head, *body = [[cell.strip() for cell in line] for line in lines]
    names = [name.strip("`") for name in head[1:]]
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in body}


def coders(kind: str, base: str) -> list[tuple[str, dict[str, Any]]]:
    """Ids and options of the codecs for which a cell speaks; of what never reaches a codec, one."""
    if base == "liu2018":
        return [] if "jiang2017" in kind else [(base, {}), ("rippel2017", {}), ("toderici2017", {})]
    half = "1/2" in kind
    found: list[tuple[str, dict[str, Any]]] = [] if half else [(base, {"effort": 1})]
    if kind.startswith(BEFORE_CODECS) or "16 bits" in kind or "PQ" in kind or "HLG" in kind:
        return found
    if base == "jpeg" and not half:
        found += [("jpeg-tuned", {}), ("jpegli", {}), ("msroi-jpeg", {}), ("deepn-jpeg", {})]
    if f"comrec-{base}" in comrec.codecs():
        found.append((f"comrec-{base}", {"effort": 1, "scale": "1/2" if half else "1"}))
    if half or "transparent" not in kind:
        found.append((f"jiang2017-{base}", {"effort": 1}))
    return found


def cells() -> Iterator[Any]:
    for kind, row in rows().items():
        for base, cell in row.items():
            for codec_id, options in coders(kind, base):
                yield pytest.param(kind, cell, codec_id, options, id=f"{kind}: {codec_id}")


def test_the_table_has_every_kind_and_every_codec() -> None:
    assert set(rows()) == set(cases())
    told = {name for kind, row in rows().items() for base in row for name, _ in coders(kind, base)}
    assert told == set(comrec.codecs())


def encoded(source: bytes, coder: Codec, how: Preparation) -> bytes:
    return coder.encode(files.read(source, "source", how), 90)


@pytest.mark.parametrize(("kind", "cell", "codec_id", "options"), list(cells()))
def test_every_cell_of_the_table(
    kind: str, cell: str, codec_id: str, options: dict[str, Any]
) -> None:
    base = codec_id.removeprefix("comrec-").removeprefix("jiang2017-")
    if base in LIBRARIES:
        pytest.importorskip(LIBRARIES[base])
    coder = codec.get(codec_id, **options)
    one = cases()[kind]
    if cell == "no":
        with pytest.raises(UnsupportedPictureError):
            encoded(one.source, coder, Preparation("white", 8, "srgb", 0, "none"))
        return
    how, expected = Preparation(), one.carried
    for option in re.findall(r"--(\w+)", cell):
        with pytest.raises(UnsupportedPictureError) as refusal:
            encoded(one.source, coder, how)
        named = re.search(r"--(?!scale)(\w+) ([\w,]+)", str(refusal.value))
        assert named is not None
        assert named[1] == option
        value: Any = int(named[2]) if named[2].isdigit() else named[2]
        how = replace(how, **{option: value})
        if option in ("background", "metadata"):
            expected = one.prepared
    back = coder.decode(encoded(one.source, coder, how))
    assert back.is_gray == (expected.is_gray and "RGB" not in cell)
    assert back.rgb.shape == expected.rgb.shape
    assert np.abs(back.rgb.astype(int) - expected.rgb).mean() < LEVELS.get(base, 9)
    if "RGB" in cell:
        assert np.ptp(back.pixels.astype(int), axis=2).mean() < 2
    assert (back.alpha is None) == (expected.alpha is None)
    if back.alpha is not None and expected.alpha is not None:
        assert np.abs(back.alpha.astype(int) - expected.alpha).mean() < 9
        if base in LEVELS:
            assert np.array_equal(back.alpha, expected.alpha)
    if expected.metadata.resolution is None or cell == "left out":
        assert back.metadata.resolution is None
    else:
        assert back.metadata.resolution == pytest.approx(expected.metadata.resolution, abs=0.02)
    assert back.metadata.icc == expected.metadata.icc
    assert back.metadata.xmp == expected.metadata.xmp
    assert tags(back.metadata.exif) == tags(expected.metadata.exif)
    if base != "avif":
        assert back.metadata.exif == expected.metadata.exif

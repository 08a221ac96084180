"""The .cmr file: round trips, damage that names its chunk, and the ways in to it."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys
import tomllib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import numcodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import comrec
from comrec import codec, files
from comrec.cli import main
from comrec.codec import Codec
from comrec.errors import (
    ComrecError,
    DamagedFileError,
    InputError,
    OptionError,
    TooLargeError,
    UnknownCodecError,
    UnknownFormatError,
)
from comrec.formats import cmr
from comrec.formats.cmr import Header
from comrec.formats.detection import format_of
from comrec.inference import store
from comrec.learned.files import header, write
from comrec.learned.files import picture as picture_of
from comrec.numcodecs_plugin import Comrec
from comrec.picture import Metadata, Picture
from comrec.preparation import Header as PictureHeader

NETWORK = "00112233445566778899"


@dataclass(frozen=True)
class Raw(Codec):
    """Zlib: a learned codec without a network. Its second payload is the lower half."""

    id, summary, extension, container = "raw-for-tests", "nothing learned", ".cmr", "cmr"
    quality_step = None

    def encode(self, picture: Picture, quality: float) -> bytes:
        halves = np.array_split(picture.pixels, 2)
        payloads = [zlib.compress(half.tobytes()) for half in halves]
        return write(picture, self.id, NETWORK, quality, payloads)

    def decode(self, data: bytes, *, partial: bool = False) -> Picture:
        found = cmr.parse(data)
        head = found.header
        samples = b"".join(zlib.decompress(payload) for payload in found.payloads)
        shape = (head.height, head.width, 3)[: 2 if head.channels == 1 else 3]
        return picture_of(found, np.frombuffer(samples, np.uint8).reshape(shape))

    def header(self, data: bytes) -> PictureHeader:
        return header(data)


@pytest.fixture
def raw() -> Iterator[Raw]:
    codec.register(Raw.id, Raw)
    yield Raw()
    codec.unregister(Raw.id)


@pytest.fixture(scope="module")
def full(photo: Picture, metadata: Metadata) -> Picture:
    """19x13 RGB with alpha and all metadata."""
    alpha = np.arange(13 * 19, dtype=np.uint8).reshape(13, 19)
    return Picture(photo.pixels[50:63, 90:109].copy(), alpha, metadata)


def framed(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


HEAD = Header("raw-for-tests", NETWORK, 3, 2, 1, 37.25, 1)


def tiny(*chunks: tuple[bytes, bytes], head: bytes | None = None) -> bytes:
    every = [(b"HEAD", HEAD.pack() if head is None else head), *chunks]
    return cmr.MAGIC + b"".join(framed(*chunk) for chunk in every)


def same(a: Picture, b: Picture) -> bool:
    return (
        np.array_equal(a.pixels, b.pixels)
        and (a.alpha is None) == (b.alpha is None)
        and (a.alpha is None or b.alpha is None or np.array_equal(a.alpha, b.alpha))
        and a.metadata == b.metadata
    )


# --- round trips ----------------------------------------------------------------------------


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.booleans(),
    st.booleans(),
    st.integers(0, 10_000),
    st.builds(Metadata, *[st.none() | st.binary(max_size=20)] * 3),
    st.lists(st.binary(max_size=30), min_size=1, max_size=4),
    st.text("abcdefghijklmnopqrstuvwxyz-0123456789", min_size=1, max_size=64),
)
@settings(max_examples=100)
def test_what_is_written_is_read(
    width: int,
    height: int,
    gray: bool,
    clear: bool,
    hundredths: int,
    metadata: Metadata,
    payloads: list[bytes],
    codec_id: str,
) -> None:
    pixels = np.full((height, width) if gray else (height, width, 3), 7, np.uint8)
    alpha = np.arange(width * height, dtype=np.uint8).reshape(height, width) if clear else None
    picture = Picture(pixels, alpha, metadata)
    quality = hundredths / 100
    data = write(picture, codec_id, NETWORK, quality, payloads)
    expected = Header(codec_id, NETWORK, width, height, 1 if gray else 3, quality, len(payloads))
    assert cmr.header(data) == expected
    found = cmr.parse(data)
    assert found.header == expected
    assert found.payloads == tuple(payloads)
    assert same(picture_of(found, pixels), picture)


def test_a_tiny_file_never_changes() -> None:
    data = bytes.fromhex(
        "89434d520d0a1a0a"
        "00000025 48454144 01 01 00000003 00000002 0e8d 00112233445566778899 0001"
        "7261772d666f722d7465737473 bd7fef48"
        "00000004 786d7020 3c782f3e 0977019b"
        "00000007 44415441 7061796c6f6164 69a7d07d"
    )
    picture = Picture(np.zeros((2, 3), np.uint8), None, Metadata(xmp=b"<x/>"))
    assert write(picture, "raw-for-tests", NETWORK, 37.25, [b"payload"]) == data
    found = cmr.parse(data)
    assert found.header == HEAD
    assert found.metadata == picture.metadata
    assert found.payloads == (b"payload",)


@pytest.mark.parametrize("payloads", [[], [b""] * 65536])
def test_a_file_has_payloads(payloads: list[bytes], full: Picture) -> None:
    with pytest.raises(OptionError, match="payloads"):
        write(full, "x", NETWORK, 50, payloads)


def test_qualities_out_of_range_are_refused(full: Picture) -> None:
    with pytest.raises(OptionError, match="quality"):
        write(full, "x", NETWORK, 101, [b""])


# --- damage ---------------------------------------------------------------------------------


def chunk_spans(data: bytes) -> list[tuple[int, int, str]]:
    spans, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        spans.append((at, at + 12 + length, data[at + 4 : at + 8].decode()))
        at += 12 + length
    return spans


def test_every_flipped_bit_is_located(full: Picture) -> None:
    small = Picture(full.pixels[:2, :3].copy(), full.alpha[:2, :3].copy(), Metadata(b"e", b"i"))  # type: ignore[index]
    data = write(small, "raw-for-tests", NETWORK, 50, [b"first", b"second"])
    spans = chunk_spans(data)
    assert [kind for *_, kind in spans] == ["HEAD", "exif", "icc ", "ALPH", "DATA", "DATA"]
    for number, (start, end, kind) in enumerate(spans, 1):
        for bit in range(start * 8, end * 8):
            altered = bytearray(data)
            altered[bit // 8] ^= 128 >> bit % 8
            with pytest.raises(DamagedFileError, match=rf"chunk {number} \(") as caught:
                cmr.parse(bytes(altered))
            in_the_type = start + 4 <= bit // 8 < start + 8
            assert kind in str(caught.value) or in_the_type
    for bit in range(64):
        altered = bytearray(data)
        altered[bit // 8] ^= 128 >> bit % 8
        with pytest.raises(UnknownFormatError):
            cmr.parse(bytes(altered))


def test_every_truncation_says_where(full: Picture) -> None:
    data = write(full, "raw-for-tests", NETWORK, 50, [b"first", b"second"])
    spans = chunk_spans(data)
    for length in range(8, len(data)):
        number = next(n for n, (_, end, _) in enumerate(spans, 1) if length < end)
        with pytest.raises(DamagedFileError, match=rf"cut short.* chunk {number} "):
            cmr.parse(data[:length])
    for length in range(8):
        with pytest.raises(InputError):
            cmr.parse(data[:length])


def test_a_prefix_gives_the_payloads_before_its_end_and_a_part_of_the_next(full: Picture) -> None:
    payloads = (b"one", b"two", b"three")
    data = write(full, "raw-for-tests", NETWORK, 50, payloads)
    spans = [(start, end) for start, end, kind in chunk_spans(data) if kind == "DATA"]
    for length in range(spans[0][0] + 9, len(data) + 1):
        found = cmr.parse(data[:length], partial=True)
        there = [
            payload[: length - start - 8]
            for (start, _), payload in zip(spans, payloads, strict=True)
            if start + 8 < length
        ]
        assert found.payloads == tuple(there)
        assert found.broken == any(start + 8 < length < end for start, end in spans)
        assert same(picture_of(found, full.pixels), full)
    for length in range(8, spans[0][0] + 9):
        with pytest.raises(DamagedFileError, match="cut short"):
            cmr.parse(data[:length], partial=True)


def test_damage_hides_its_payload_and_those_that_follow(full: Picture) -> None:
    data = write(full, "raw-for-tests", NETWORK, 50, [b"one", b"two", b"three"])
    first, second, _ = cmr.ends(data)
    for at in range(first + 4, second):  # before it is the length of the chunk, which ends it
        damaged = data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]
        found = cmr.parse(damaged, partial=True)
        assert (found.payloads, found.broken) == ((b"one",), False)
    damaged = data[: first - 1] + bytes([data[first - 1] ^ 255]) + data[first:]
    with pytest.raises(DamagedFileError, match=r"\(DATA"):
        cmr.parse(damaged, partial=True)


def test_ends_are_those_of_the_payloads(full: Picture) -> None:
    data = write(full, "raw-for-tests", NETWORK, 50, [b"one", b"two", b"three"])
    expected = tuple(end for _, end, kind in chunk_spans(data) if kind == "DATA")
    assert cmr.ends(data) == expected
    assert cmr.ends(data + b"more, as a chunk may be") == expected
    starts = [start for start, _, kind in chunk_spans(data) if kind == "DATA"]
    for length in range(100, len(data)):
        known = sum(start + 8 <= length for start in starts)
        assert cmr.ends(data[:length]) == expected[:known]


@given(
    payloads=st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=5),
    share=st.floats(0, 1.3),
)
def test_a_file_is_cut_to_any_size(payloads: list[bytes], share: float, full: Picture) -> None:
    data = write(full, "raw-for-tests", NETWORK, 50, payloads)
    budget = int(share * len(data))
    stream = b"".join(payloads)
    least = len(data) - len(stream) - 12 * (len(payloads) - 1) + 1
    found = cmr.cut(data, budget)
    if budget < least:
        assert found is None
        return
    assert found is not None
    assert budget - 12 <= len(found) <= budget or found == data
    file = cmr.parse(found)  # a whole file
    kept = b"".join(file.payloads)
    assert kept == stream[: len(kept)]
    assert file.header == replace(cmr.header(data), payloads=len(file.payloads))
    assert same(picture_of(file, full.pixels), full)
    assert cmr.cut(found, budget) == found


def test_a_damaged_file_is_not_cut(full: Picture) -> None:
    data = write(full, "raw-for-tests", NETWORK, 50, [b"one", b"two"])
    for damaged in (data[:-1], data[:-1] + b"?"):
        with pytest.raises(DamagedFileError):
            cmr.cut(damaged, 10_000)


def test_bytes_behind_the_last_payload_are_ignored() -> None:
    data = tiny((b"DATA", b"payload"))
    assert cmr.parse(data + b"anything") == cmr.parse(data)


def test_unknown_chunks_are_skipped_unless_they_are_needed() -> None:
    assert cmr.parse(tiny((b"note", b"hm"), (b"DATA", b"p"))).payloads == (b"p",)
    with pytest.raises(DamagedFileError, match=r"chunk 2 \(MASK, .*upgrade"):
        cmr.parse(tiny((b"MASK", b"hm"), (b"DATA", b"p")))


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"HEAD", HEAD.pack()), (b"DATA", b"p")],
        [(b"exif", b"1"), (b"exif", b"2"), (b"DATA", b"p")],
    ],
)
def test_chunks_out_of_place_are_damage(chunks: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(DamagedFileError, match=r"chunk \d \(.*out of place"):
        cmr.parse(tiny(*chunks))


def test_metadata_come_before_payloads() -> None:
    two = Header("raw-for-tests", NETWORK, 3, 2, 1, 37.25, 2).pack()
    with pytest.raises(DamagedFileError, match=r"chunk 3 \(ALPH.*out of place"):
        cmr.parse(tiny((b"DATA", b"1"), (b"ALPH", b""), (b"DATA", b"2"), head=two))


def test_a_later_version_says_to_upgrade() -> None:
    later = b"\2 whatever it has"
    with pytest.raises(DamagedFileError, match=r"version 2.*upgrade"):
        cmr.header(tiny(head=later))


@pytest.mark.parametrize(
    "head",
    [
        b"",
        HEAD.pack()[:20],
        HEAD.pack()[:24],  # no codec
        HEAD.pack() + b" ",
        HEAD.pack() + b"x" * 64,
        Header("x", NETWORK, 3, 2, 2, 50, 1).pack(),
        Header("x", NETWORK, 0, 2, 3, 50, 1).pack(),
        Header("x", NETWORK, 3, 0, 3, 50, 1).pack(),
        Header("x", NETWORK, 3, 2, 3, 100.01, 1).pack(),
        Header("x", NETWORK, 3, 2, 3, 50, 0).pack(),
    ],
)
def test_impossible_headers_are_damage(head: bytes) -> None:
    with pytest.raises(DamagedFileError, match=r"chunk 1 \(HEAD"):
        cmr.header(tiny(head=head))


def test_a_file_begins_with_its_header() -> None:
    with pytest.raises(DamagedFileError, match=r"chunk 1 \(DATA.*not a header"):
        cmr.header(cmr.MAGIC + framed(b"DATA", b"p"))


def test_too_many_pixels_are_refused() -> None:
    head = Header("x", NETWORK, 20_000, 14_000, 3, 50, 1).pack()
    with pytest.raises(TooLargeError, match="20000x14000"):
        cmr.header(tiny(head=head))


def test_other_formats_are_not_ours(photo: Picture) -> None:
    with pytest.raises(UnknownFormatError, match="png"):
        cmr.parse(codec.get("png").encode(photo, 50))


def test_alpha_that_does_not_fit_is_damage(full: Picture) -> None:
    png = codec.get("png")
    pixels = np.zeros((2, 3), np.uint8)
    other = [
        png.encode(Picture(np.zeros((3, 2), np.uint8)), 50),
        png.encode(Picture(np.zeros((2, 3, 3), np.uint8)), 50),
        codec.get("webp").encode(Picture(pixels), 50),
        png.encode(Picture(pixels), 50)[:40],
        b"",
    ]
    for body in other:
        found = cmr.parse(tiny((b"ALPH", body), (b"DATA", b"p")))
        with pytest.raises(DamagedFileError, match="chunk ALPH"):
            picture_of(found, pixels)


@given(data=st.data())
@settings(max_examples=300)
def test_altered_files_give_our_errors_only(full: Picture, data: st.DataObject) -> None:
    codec.register(Raw.id, Raw)
    try:
        altered = bytearray(Raw().encode(full, 50))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(altered) - 1))
            altered[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        with contextlib.suppress(ComrecError):
            found = files.decode(bytes(altered))
            assert same(found, full)  # where the bytes happened to be the same
        with contextlib.suppress(ComrecError):
            cmr.parse(bytes(altered), partial=True)
    finally:
        codec.unregister(Raw.id)


# --- the ways in ----------------------------------------------------------------------------


def test_every_verb_opens_cmr_files(raw: Raw, full: Picture) -> None:
    data = comrec.encode(full, raw.id, 80)
    assert format_of(data) == "cmr"
    expected = full.to_pil().tobytes()
    for how in ({}, {"plain": True}, {"enhance": True}):
        assert comrec.decode(data, **how).tobytes() == expected  # type: ignore[arg-type]
    assert same(files.read(data, "x"), full)
    again = comrec.encode(data, "png")
    assert comrec.decode(again).tobytes() == expected


def test_info_needs_neither_the_codec_nor_the_network(full: Picture) -> None:
    data = Raw().encode(full, 37.25)
    found = comrec.info(data[:100])
    assert (found.container, found.codec, found.network) == ("cmr", Raw.id, NETWORK)
    assert (found.width, found.height, found.quality, found.scale) == (19, 13, 37.25, None)
    assert comrec.info(data).bpp == 8 * len(data) / (19 * 13)
    known = store.networks()[0]
    named = write(full, Raw.id, known.id, 50, [b""])
    assert comrec.info(named).network == known.name


def test_the_command_line_opens_cmr_files(
    raw: Raw, full: Picture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, coded, back = (str(tmp_path / name) for name in ("in.png", "out.cmr", "back.png"))
    Path(source).write_bytes(codec.get("png").encode(full, 50))
    assert main(["encode", source, "-o", coded, "-c", raw.id, "--quiet"]) == 0
    assert main(["info", coded]) == 0
    said = capsys.readouterr().out
    assert f"{raw.id}, 19x13" in said
    assert f"stored as cmr, quality 50; reconstructed by {NETWORK}" in said
    assert main(["decode", coded, "-o", back]) == 0
    assert same(files.decode(Path(back).read_bytes()), full)


@pytest.mark.usefixtures("pillow")
def test_pillow_opens_cmr_files(raw: Raw, full: Picture, tmp_path: Path) -> None:
    path = tmp_path / "picture.cmr"
    path.write_bytes(raw.encode(full, 50))
    with Image.open(path) as image:
        assert image.tobytes() == full.to_pil().tobytes()
        assert image.info["icc_profile"] == full.metadata.icc


def test_a_codec_that_is_not_here_is_named(full: Picture) -> None:
    data = Raw().encode(full, 50)
    for decode in (comrec.decode, lambda d, name: files.read(d, name)):
        with pytest.raises(UnknownCodecError, match=r"^cat\.cmr: .*'raw-for-tests'.*upgrade"):
            decode(data, name="cat.cmr")


@pytest.mark.parametrize("named", ["jpeg", "comrec-jpeg"])
def test_a_codec_of_other_files_is_damage(named: str, full: Picture) -> None:
    data = write(full, named, NETWORK, 50, [b"p"])
    with pytest.raises(DamagedFileError, match=rf"'{named}', which writes \.jpg"):
        comrec.decode(data)


# --- numcodecs ------------------------------------------------------------------------------


def test_numcodecs_finds_the_declared_class() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))
    module, _, name = project["project"]["entry-points"]["numcodecs.codecs"]["comrec"].partition(
        ":"
    )
    assert getattr(import_module(module), name) is Comrec


@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 3)])
def test_numcodecs_arrays_come_back(shape: tuple[int, ...]) -> None:
    numcodecs.register_codec(Comrec)
    samples = np.random.default_rng(4).integers(0, 256, shape, dtype=np.uint8)
    config = {"id": "comrec", "codec": "png:effort=3", "quality": 70.0}
    coder = numcodecs.get_codec(config)
    assert coder.get_config() == config
    # As earlier versions wrote it.
    assert numcodecs.get_codec({**config, "codec": "png", "effort": 3}) == coder
    assert numcodecs.get_codec(coder.get_config()) == coder
    data = coder.encode(samples)
    assert data == comrec.encode(samples, "png", 70, effort=3)
    assert np.array_equal(coder.decode(data), samples)
    assert np.array_equal(coder.decode(np.frombuffer(data, np.uint8)), samples)
    out = np.empty_like(samples)
    assert coder.decode(data, out) is not None
    assert np.array_equal(out, samples)


def test_numcodecs_says_what_is_wrong() -> None:
    with pytest.raises(UnknownCodecError, match="nope"):
        Comrec("nope")
    with pytest.raises(OptionError, match="speed"):
        Comrec("png", speed=3)
    coder = Comrec("png")
    with pytest.raises(OptionError, match=r"a picture is"):
        coder.encode(np.zeros((4, 4), np.float32))
    with pytest.raises(InputError):
        coder.decode(b"nonsense")
    data = coder.encode(np.zeros((4, 4), np.uint8))
    with pytest.raises(OptionError, match="holds 16 samples, and out has room for 9"):
        coder.decode(data, np.zeros((3, 3), np.uint8))


def test_plain_imports_bring_neither_numcodecs_nor_constriction() -> None:
    check = "import comrec, sys; print({'numcodecs', 'constriction'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

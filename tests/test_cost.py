"""What files cost: no more than their bytes make likely; and large ones, no more than they must."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import comrec
from comrec import codec, files
from comrec.cli import main
from comrec.entropy.coder import Decoder, Encoder
from comrec.entropy.tables import Table
from comrec.errors import DamagedFileError, TooLargeError
from comrec.formats import boxes, cmr, density, excerpt
from comrec.formats.mark import Mark
from comrec.picture import Picture
from comrec.standard.bpg import container
from comrec.standard.bpg.container import Alpha, BpgFile, ColourSpace, Header, PixelFormat

GOLDEN = Path(__file__).parent / "golden"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, bits: int = 8, colour: int = 2, channels: int = 3) -> bytes:
    """A PNG file of zeros."""
    coder, row = zlib.compressobj(), bytes(1 + width * bits * channels // 8)
    samples = b"".join(coder.compress(row) for _ in range(height)) + coder.flush()
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", samples) + chunk(b"IEND", b"")
    )


def peak(action: Callable[[], Any]) -> int:
    """Bytes that Python and NumPy allocate at most."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# .cmr


TABLE = Table(-2, (50, 20_000, 30_000, 15_000, 486))


def test_entropy_decoding_stops_where_the_bytes_have_run_out() -> None:
    encoder = Encoder()
    values = np.random.default_rng(0).integers(-1, 2, 500, np.int32)
    indices = np.zeros(500, np.int64)
    encoder.add(values, indices, [TABLE])
    data = encoder.finish()
    decoder = Decoder(data)
    assert np.array_equal(decoder.take(indices, [TABLE]), values)
    decoder.finish()
    for more in (600, 5_000):
        with pytest.raises(DamagedFileError, match="cut short"):
            Decoder(data).take(np.zeros(more, np.int64), [TABLE])


def test_every_valid_file_is_decoded_to_its_last_value() -> None:
    """Also where values cost next to nothing, and the coder's state stays small."""
    likely = Table(0, (65_534, 1, 1))
    for count in (1, 2, 10, 1000, 100_000):
        for value in (0, 1):
            encoder, values = Encoder(), np.full(count, value, np.int32)
            indices = np.zeros(count, np.int64)
            encoder.add(values, indices, [likely])
            decoder = Decoder(encoder.finish())
            for part in np.array_split(values, min(count, 7)):
                assert np.array_equal(decoder.take(np.zeros(part.size, np.int64), [likely]), part)
            decoder.finish()


def resized(data: bytes, width: int, height: int) -> bytes:
    """A .cmr file whose header says another size."""
    file = cmr.parse(data)
    head = replace(file.header, width=width, height=height)
    return cmr.write(head, file.metadata, file.alpha, file.payloads)


@pytest.mark.parametrize("size", [(13_000, 13_000), (16, 11_000_000), (3000, 3000)])
def test_the_size_in_a_header_costs_nothing_that_the_bytes_do_not_hold(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = resized((GOLDEN / "v1-liu2018-mse.cmr").read_bytes(), *size)

    def never(*_: object) -> None:
        raise AssertionError("a network ran")

    monkeypatch.setattr("comrec.learned.hyperprior.tiles.apply", never)
    with pytest.raises(DamagedFileError, match="coded values"):
        comrec.decode(data, allow_large=True)
    with pytest.raises((DamagedFileError, TooLargeError)):
        comrec.decode(data)


def test_alpha_of_another_size_is_refused_before_it_is_decoded() -> None:
    file = cmr.parse((GOLDEN / "v1-liu2018-gray-alpha.cmr").read_bytes())
    data = cmr.write(file.header, file.metadata, png(12_000, 12_000, 8, 0, 1), file.payloads)
    with pytest.raises(DamagedFileError, match=r"ALPH.*12000x12000"):
        comrec.decode(data)


# BPG


def bpg(body: bytes, extensions: tuple[tuple[int, bytes], ...] = ()) -> BpgFile:
    head = Header(
        PixelFormat.YUV420, ColourSpace.BT601, Alpha.NONE, 8, False, False, 64, 64
    )  # fmt: skip
    return BpgFile(head, extensions, body)


def test_nal_units_are_split_as_the_standard_says_in_linear_time() -> None:
    split = container.split_units
    assert split(b"ab\0\0\1cd\0\0\0\0\1ef\0") == [b"ab", b"cd", b"ef\0"]
    zeros = bytes(30_000_000)
    assert split(b"a" + zeros + b"b") == [b"a" + zeros + b"b"]
    assert split(b"a" + zeros + b"\1b") == [b"a", b"b"]


def test_thousands_of_bpg_extensions_are_refused() -> None:
    data = bpg(b"\1\2\3", tuple((9, b"") for _ in range(2000))).pack()
    with pytest.raises(DamagedFileError, match="more than 1,000 extensions"):
        comrec.info(data)


# sizes stated twice


def set_size(data: bytes, box: bytes, skipped: int, width: int, height: int) -> bytes:
    at = data.index(box) + 4 + skipped
    pair = (height, width) if box == b"ihdr" else (width, height)
    return data[:at] + struct.pack(">II", *pair) + data[at + 8 :]


def read(data: bytes) -> Picture:
    return files.read(data, "input")


@pytest.mark.parametrize(
    ("name", "box", "skipped"),
    [("v1-avif.avif", b"ispe", 4), ("v1-jpeg2000.jp2", b"ihdr", 0)],
)
@pytest.mark.parametrize("size", [(20, 20), (106, 74), (12_000, 12_000)])
def test_a_header_of_another_size_than_the_picture_is_told(
    name: str, box: bytes, skipped: int, size: tuple[int, int]
) -> None:
    data = (GOLDEN / name).read_bytes()
    assert comrec.info(data).width == 53
    wrong = set_size(data, box, skipped, *size)
    for call in (comrec.info, comrec.decode, read):
        with pytest.raises(DamagedFileError, match=f"{size[0]}x{size[1]}.*is 53x37"):
            call(wrong)
    with pytest.raises((TooLargeError, DamagedFileError)):  # libavif has a limit of its own
        comrec.info(set_size(data, box, skipped, 20_000, 20_000))


def test_a_heic_header_of_another_size_than_the_picture_is_told() -> None:
    pytest.importorskip("pillow_heif")
    data = (GOLDEN / "v1-heic.heic").read_bytes()
    wrong = set_size(data, b"ispe", 4, 640, 480)
    for call in (comrec.info, comrec.decode):
        with pytest.raises(DamagedFileError, match=r"640x480.*is 64x64"):
            call(wrong)
    # An aperture that lies elsewhere: libheif says its size, and decodes another.
    at = data.index(b"clap") + 4
    moved = data[: at + 16] + struct.pack(">i", -13_893_668) + data[at + 20 :]
    with pytest.raises(DamagedFileError):
        comrec.decode(moved)


# large pictures


def test_depth_is_reduced_in_bands() -> None:
    width, height = 1000, 4000
    result = 4 * width * height
    for bits, colour, channels in ((16, 6, 4), (16, 4, 2), (16, 0, 1), (16, 2, 3)):
        data = png(width, height, bits, colour, channels)
        comrec.decode(data)
        assert peak(partial(comrec.decode, data)) < 4 * result  # was more than ten times


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK"])
def test_pictures_of_many_bands_are_copied_whole(mode: str) -> None:
    rng = np.random.default_rng(1)
    channels = len(Image.new(mode, (1, 1)).getbands())
    if mode in ("P", "1", "CMYK"):
        image = Image.fromarray(rng.integers(0, 256, (1100, 1100, 3), np.uint8)).convert(mode)
        image = image.convert("RGB")
    else:
        shape = (1100, 1100, channels) if channels > 1 else (1100, 1100)
        image = Image.fromarray(rng.integers(0, 256, shape, np.uint8), mode)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    assert np.array_equal(np.asarray(comrec.decode(buffer.getvalue())), np.asarray(image))


def test_pictures_far_larger_than_their_files_need_a_word() -> None:
    data = png(10_000, 7_000)
    assert len(data) < density.SMALL
    assert comrec.info(data).width == 10_000
    ways: list[dict[str, Any]] = [{}, {"plain": True}, {"enhance": True}, {"allow_partial": True}]
    for how in ways:
        with pytest.raises(TooLargeError, match=r"10000x7000 .* bytes.*--allow-large"):
            comrec.decode(data, **how)
    assert comrec.decode(data, allow_large=True).size == (10_000, 7_000)
    density.check("png", 13_000, 13_000, 1, 200_000)  # a mask
    density.check("avif", 9504, 6336, 3, 300_000)  # a photograph
    density.check("png", 13_000, 13_000, 4, 1_000_000)


def test_the_command_line_decodes_them_with_that_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "blank.png", tmp_path / "out.png"
    source.write_bytes(png(10_000, 7_000))
    assert main(["decode", str(source), "-o", str(out), "--quiet"]) == 1
    assert "--allow-large" in capsys.readouterr().err
    assert main(["decode", str(source), "-o", str(out), "--allow-large", "--quiet"]) == 0


def test_a_mark_of_more_pixels_than_the_limit_is_refused() -> None:
    plain, mark = png(8500, 8500, 8, 0, 1), Mark(2, 50, 17_000, 17_000, "00" * 10)
    data = codec.get("png").with_mark(plain, mark.pack())
    with pytest.raises(TooLargeError, match="17000x17000"):
        comrec.decode(data, allow_large=True)
    assert comrec.decode(data, plain=True).size == (8500, 8500)


# info


def padded(name: str, size: int) -> bytes:
    """A valid file of about this size: coded data is repeated, or follows the end."""
    data = (GOLDEN / name).read_bytes()
    if name.endswith(".png"):
        at = data.index(b"IDAT") - 4
        return data[:at] + chunk(b"IDAT", bytes(1 << 20)) * (size >> 20) + data[at:]
    return data + bytes(size)


@pytest.mark.parametrize(
    "name", ["v1-jiang2017-png.png", "v1-comrec-jpeg-scale1.jpg", "v1-liu2018-mse.cmr"]
)
def test_info_of_a_large_file_reads_what_it_needs(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = padded(name, 40 << 20)
    source = tmp_path / name
    source.write_bytes(data)
    expected = comrec.info(data)
    assert expected.bytes > 40 << 20
    assert expected.quality is not None  # the mark is found too
    assert peak(lambda: main(["info", "--json", str(source)])) < 4 << 20
    told = json.loads(capsys.readouterr().out)
    assert {key: told[key] for key in told if key != "input"} == vars(expected)


@pytest.mark.parametrize(("size", "kept"), [(8, 8), (12, 8), (33, 33), (36, 33)])
def test_a_large_file_that_is_cut_while_it_is_read(size: int, kept: int) -> None:
    data = (GOLDEN / "v1-png.png").read_bytes()
    assert excerpt.of(io.BytesIO(data[:size]), 40 << 20) == data[:kept]


def test_info_of_a_large_file_of_another_format_reads_its_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "large.tif"
    source.write_bytes(b"II*\0" + bytes(30 << 20))
    assert peak(lambda: main(["info", str(source)])) < 4 << 20
    assert "large.tif: not a file of a known format" in capsys.readouterr().err


def test_frames_that_are_only_declared_take_no_memory() -> None:
    data = png(8, 8)
    at = data.index(b"IDAT") - 4
    frames = chunk(b"acTL", struct.pack(">II", 1 << 30, 0)) + chunk(
        b"fcTL", struct.pack(">5I2H2B", 0, 8, 8, 0, 0, 1, 1, 0, 0)
    )
    many = data[:at] + frames + data[at:]
    assert peak(lambda: comrec.info(many)) < 1 << 20
    assert comrec.decode(many).size == (8, 8)


def test_many_tiny_boxes_and_chunks_are_passed_over_once() -> None:
    jp2 = (GOLDEN / "v1-jpeg2000.jp2").read_bytes()
    at = jp2.index(b"jp2c") - 4
    many = jp2[:at] + boxes.pack(b"free", b"") * 100_000 + jp2[at:]
    assert comrec.info(many).width == 53
    image = (GOLDEN / "v1-png.png").read_bytes()
    at = image.index(b"IDAT") - 4
    assert comrec.info(image[:at] + chunk(b"abCd", b"") * 80_000 + image[at:]).width == 53

"""The Python API: encode, decode, info, the Pillow plug-in, and what they say of bad files."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import comrec
from comrec import codec
from comrec.errors import (
    ComrecError,
    DamagedFileError,
    InputError,
    OptionError,
    TooLargeError,
    UnknownCodecError,
    UnknownFormatError,
    UnsupportedPictureError,
    WeightsError,
)
from comrec.formats.mark import Mark
from comrec.inference import store
from comrec.metrics import psnr
from comrec.picture import Metadata, Picture, Pixels
from comrec.sandwich import marked as marked_files

CONTAINERS = ["jpeg", "jpeg2000", "webp", "avif", "png"]
WITH_NETWORKS = ["jpeg", "jpeg2000", "webp", "avif"]


def rec(base: str, scale: int) -> store.Network:
    """Any network that rebuilds from half or full size."""
    return store.serving("comrec", base, "rec", up=scale)


def marked(base: str, scale: int, picture: Picture, quality: float = 40) -> bytes:
    """A marked file of any container, whether or not an encoder would choose it."""
    size = -(-picture.width // scale), -(-picture.height // scale)
    compact = Picture(np.asarray(picture.to_pil().resize(size)).copy())
    payload = codec.get(base).encode(compact, quality)
    return marked_files.write(codec.get(base), payload, picture, quality, rec(base, scale))


@pytest.fixture(scope="module")
def small(photo: Picture) -> Picture:
    return Picture(photo.pixels[60:107, 100:173].copy())  # 73x47


def test_encode_takes_images_arrays_and_pictures_alike(small: Picture) -> None:
    given_as: list[Picture | Pixels | Image.Image] = [small, small.pixels, small.to_pil()]
    first, *others = [comrec.encode(one, "comrec-jpeg", 30) for one in given_as]
    assert others == [first, first]
    gray = small.pixels[..., 0].copy()
    first, *others = [
        comrec.encode(one, "webp", 30) for one in (gray, Image.fromarray(gray), Picture(gray))
    ]
    assert others == [first, first]


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA"])
def test_encode_takes_other_image_modes(mode: str, small: Picture) -> None:
    image = small.to_pil().convert(mode)
    data = comrec.encode(image, "comrec-webp", 60)
    assert comrec.decode(data).size == image.size


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(16, np.uint8),
    ],
)
def test_encode_says_what_arrays_it_takes(array: np.ndarray[tuple[int, ...], np.dtype]) -> None:
    with pytest.raises(OptionError, match=r"a picture"):
        comrec.encode(array)


def test_encode_refuses_modes_that_would_lose_samples(small: Picture) -> None:
    with pytest.raises(UnsupportedPictureError, match="CMYK"):
        comrec.encode(small.to_pil().convert("CMYK"))


def test_encode_refuses_unknown_codecs_options_and_qualities(small: Picture) -> None:
    with pytest.raises(UnknownCodecError, match=r"comrec-jpg.*comrec-jpeg"):
        comrec.encode(small, "comrec-jpg")
    with pytest.raises(OptionError, match=r"speed.*effort"):
        comrec.encode(small, "comrec-jpeg", 50, speed=3)
    with pytest.raises(OptionError, match="effort"):
        comrec.encode(small, "comrec-jpeg", 50, effort=0)
    with pytest.raises(ValueError, match="101"):
        comrec.encode(small, "comrec-jpeg", 101)


def test_encode_defaults_to_a_jpeg_that_pillow_opens_at_full_size(small: Picture) -> None:
    data = comrec.encode(small)
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        assert image.size == (73, 47)
    assert psnr(np.asarray(comrec.decode(data)), small.pixels) > 25


def test_metadata_of_an_image_reaches_the_decoded_image(small: Picture, metadata: Metadata) -> None:
    image = Picture(small.pixels, None, metadata).to_pil()
    back = comrec.decode(comrec.encode(image, "comrec-webp", 40))
    assert back.getexif()[0x010E] == "a cat"
    assert back.info["icc_profile"] == metadata.icc


@pytest.mark.parametrize("base", CONTAINERS)
@pytest.mark.parametrize("scale", [1, 2])
def test_decode_gives_the_full_picture_and_plain_what_others_show(
    base: str, scale: int, small: Picture
) -> None:
    data = marked(base, scale, small)
    full, plain = comrec.decode(data), comrec.decode(data, plain=True)
    assert full.size == (73, 47)
    assert plain.size == (-(-73 // scale), -(-47 // scale))
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(np.asarray(image.convert(plain.mode)), np.asarray(plain))


@pytest.mark.parametrize("base", WITH_NETWORKS)
@pytest.mark.parametrize("gray", [False, True])
def test_enhance_keeps_the_size_of_third_party_files(base: str, gray: bool, small: Picture) -> None:
    picture = Picture(small.pixels[..., 1].copy()) if gray else small
    name = {"jpeg2000": "JPEG2000"}.get(base, base.upper())
    options = {"irreversible": True, "quality_layers": [40]} if base == "jpeg2000" else {}
    if base != "jpeg2000":
        options = {"quality": 15}
    buffer = io.BytesIO()
    picture.to_pil().save(buffer, name, **options)
    plain = comrec.decode(buffer.getvalue())
    enhanced = comrec.decode(buffer.getvalue(), enhance=True)
    assert enhanced.size == plain.size == (73, 47)
    assert enhanced.mode == plain.mode
    rgb = picture.rgb
    # Whatever the weights, it stays the same picture.
    assert (
        psnr(np.asarray(enhanced.convert("RGB")), rgb)
        > psnr(np.asarray(plain.convert("RGB")), rgb) - 1
    )


def test_enhance_keeps_alpha_and_metadata(small: Picture, metadata: Metadata) -> None:
    alpha = small.pixels[..., 2].copy()
    data = codec.get("webp").encode(Picture(small.pixels, alpha, metadata), 30)
    enhanced = comrec.decode(data, enhance=True)
    assert enhanced.mode == "RGBA"
    assert np.array_equal(
        np.asarray(enhanced.getchannel("A")), np.asarray(comrec.decode(data).getchannel("A"))
    )
    assert enhanced.info["icc_profile"] == metadata.icc


def test_enhance_of_a_marked_file_is_decode(small: Picture) -> None:
    data = marked("jpeg", 2, small)
    assert np.array_equal(
        np.asarray(comrec.decode(data, enhance=True)), np.asarray(comrec.decode(data))
    )


def test_a_file_without_a_network_is_not_enhanced(small: Picture) -> None:
    decoded = comrec.decode(codec.get("png").encode(small, 50), enhance=True)
    assert np.array_equal(np.asarray(decoded), small.pixels)
    assert "no network for png" in decoded.info["notes"][0]


@pytest.mark.parametrize("base", CONTAINERS)
def test_info_of_plain_files(base: str, small: Picture) -> None:
    data = codec.get(base).encode(small, 50)
    found = comrec.info(data)
    assert (found.container, found.codec) == (base, base)
    assert (found.width, found.height, found.bytes) == (73, 47, len(data))
    assert found.bpp == pytest.approx(8 * len(data) / (73 * 47))
    assert (found.scale, found.quality, found.network) == (None, None, None)
    assert found.shown == "the whole picture"


@pytest.mark.parametrize("base", CONTAINERS)
@pytest.mark.parametrize("scale", [1, 2])
def test_info_of_marked_files(base: str, scale: int, small: Picture) -> None:
    data = marked(base, scale, small, 37.25)
    found = comrec.info(data)
    assert (found.container, found.codec) == (base, f"comrec-{base}")
    assert (found.width, found.height, found.bytes) == (73, 47, len(data))
    assert found.bpp == pytest.approx(8 * len(data) / (73 * 47))
    assert (found.scale, found.quality) == (scale, 37.25)
    assert found.network == rec(base, scale).name
    assert ("37x24" in found.shown) == (scale == 2)
    assert found.shown != "the whole picture"


def python(program: str, *arguments: str | Path) -> str:
    """The output of a fresh interpreter."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_importing_and_info_load_neither_runtime_nor_torch(tmp_path: Path, small: Picture) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(marked("jpeg", 2, small))
    loaded = python(
        "import sys, comrec, comrec.cli\n"
        "found = comrec.info(open(sys.argv[1], 'rb').read())\n"
        "comrec.decode(open(sys.argv[1], 'rb').read(), plain=True)\n"
        "comrec.cli.main(['info', sys.argv[1]])\n"
        "print(found.scale, *sorted(sys.modules), sep=' ')",
        path,
    ).splitlines()[-1]
    scale, *modules = loaded.split(" ")
    assert scale == "2"
    assert "comrec" in modules
    assert {"onnxruntime", "torch", "onnx", "ray"}.isdisjoint(modules)


def test_decoding_loads_no_torch(tmp_path: Path, small: Picture) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(marked("jpeg", 2, small))
    modules = python(
        "import sys, comrec\n"
        "comrec.encode(comrec.decode(open(sys.argv[1], 'rb').read()), 'comrec-jpeg', 5)\n"
        "print(*sorted(sys.modules))",
        path,
    ).split()
    assert "onnxruntime" in modules
    assert {"torch", "onnx"}.isdisjoint(modules)


def test_pillow_opens_marked_files_in_full_once_asked(
    tmp_path: Path, small: Picture, metadata: Metadata
) -> None:
    for base in CONTAINERS:
        for scale in (1, 2):
            (tmp_path / f"{base}-{scale}.marked").write_bytes(marked(base, scale, small))
        (tmp_path / f"{base}.plain").write_bytes(codec.get(base).encode(small, 50))
    data = Picture(small.pixels, None, metadata)
    (tmp_path / "metadata.marked").write_bytes(
        marked_files.write(
            codec.get("jpeg"), codec.get("jpeg").encode(data, 50), data, 50, rec("jpeg", 1)
        )
    )
    unknown = Mark(1, 50, 73, 47, "00" * 10).pack()
    (tmp_path / "unknown.foreign").write_bytes(
        codec.get("jpeg").with_mark(codec.get("jpeg").encode(small, 50), unknown)
    )
    image = small.to_pil()
    image.save(tmp_path / "other.gif")
    python(
        """
import io, sys
from pathlib import Path
import numpy as np
from PIL import Image
import comrec

folder = Path(sys.argv[1])

def look(path):
    with Image.open(path) as image:
        return image.format, image.size, image.mode, image.tobytes()

paths = sorted(folder.iterdir())
before = {path: look(path) for path in paths}
full = {path: comrec.decode(path.read_bytes()) for path in paths if path.suffix == ".marked"}
comrec.register_pillow()
order = list(Image.ID)
comrec.register_pillow()
assert Image.ID == order, "a second call changes nothing"
for path in paths:
    after = look(path)
    if path.suffix != ".marked":
        assert after == before[path], path  # as before
        continue
    assert after[1:] == ((73, 47), full[path].mode, full[path].tobytes()), path
    data = path.read_bytes()
    assert comrec.decode(data).tobytes() == full[path].tobytes(), path
    assert comrec.decode(data, plain=True).size == before[path][1], path
    comrec.info(data)
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        assert image.size == (73, 47)
        image.save(io.BytesIO(), "PNG")
with Image.open(folder / "metadata.marked") as image:
    assert image.getexif()[0x010E] == "a cat"
assert before[folder / "jpeg-2.marked"][1] == (37, 24)
try:
    Image.open(io.BytesIO(b"\\xff\\xd8\\xff rubbish"))
except Image.UnidentifiedImageError:
    pass
else:
    raise AssertionError("rubbish was opened")
""",
        tmp_path,
    )


@pytest.mark.parametrize("call", [comrec.decode, comrec.info])
def test_foreign_and_empty_files_are_named(call: object) -> None:
    assert callable(call)
    with pytest.raises(UnknownFormatError, match=r"^notes\.txt: .*jpeg2000"):
        call(b"some text, not a picture", name="notes.txt")
    with pytest.raises(DamagedFileError, match=r"^a\.jpg: the file is empty"):
        call(b"", name="a.jpg")


def test_files_of_other_pixels_are_converted(small: Picture) -> None:
    image = small.to_pil().convert("CMYK")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    decoded = comrec.decode(buffer.getvalue())
    assert decoded.mode == "RGB"
    assert psnr(np.asarray(decoded), np.asarray(image.convert("RGB"))) > 30


def test_a_file_whose_network_is_missing_is_named(small: Picture) -> None:
    mark = Mark(1, 50, 73, 47, "ab" * 10).pack()
    data = codec.get("webp").with_mark(codec.get("webp").encode(small, 50), mark)
    with pytest.raises(WeightsError, match=r"^new\.webp: .*upgrade"):
        comrec.decode(data, name="new.webp")


@pytest.mark.parametrize("base", CONTAINERS)
@pytest.mark.parametrize("scale", [1, 2])
def test_truncated_files_are_named_damage(base: str, scale: int, small: Picture) -> None:
    data = marked(base, scale, small)
    for length in {20, 60, len(data) // 3, len(data) // 2}:
        with pytest.raises(InputError, match=r"^half\.bin: "):
            comrec.decode(data[:length], name="half.bin")


@pytest.mark.parametrize("base", CONTAINERS)
def test_a_damaged_mark_is_named_damage(base: str, small: Picture) -> None:
    data = bytearray(marked(base, 2, small))
    data[
        data.index(b"comrec", data.index(b"comrec") + 6 if base in ("avif", "jpeg2000") else 0) + 12
    ] ^= 0x10
    for call in (comrec.decode, comrec.info):
        with pytest.raises(DamagedFileError, match=r"^x\.bin: .*mark"):
            call(bytes(data), name="x.bin")
    if base != "png":  # whose chunks have checksums of their own
        assert comrec.decode(bytes(data), plain=True).size == (37, 24)


def test_a_mark_of_a_later_version_says_to_upgrade(small: Picture) -> None:
    data = marked("jpeg", 1, small)
    at = data.index(b"comrec") + 6
    with pytest.raises(DamagedFileError, match=r"^new\.jpg: .*upgrade"):
        comrec.decode(data[:at] + b"\x03" + data[at + 1 :], name="new.jpg")


def huge_png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    out = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")):
        out += struct.pack(">I", len(body)) + kind + body
        out += struct.pack(">I", zlib.crc32(kind + body))
    return out


def huge_jpeg(small: Picture) -> bytes:
    data = bytearray(codec.get("jpeg").encode(small, 50))
    at = next(i for i in range(len(data)) if data[i] == 0xFF and data[i + 1] in (0xC0, 0xC2))
    data[at + 5 : at + 9] = struct.pack(">HH", 65_000, 65_000)
    return bytes(data)


def test_decompression_bombs_are_refused_before_decoding(small: Picture) -> None:
    mark = Mark(2, 50, 200_000, 200_000, rec("jpeg", 2).id).pack()
    bombs = [huge_png(100_000, 100_000), huge_png(17_000, 17_000), huge_jpeg(small)]
    bombs += [
        codec.get("png").with_mark(bombs[0], mark),
        codec.get("jpeg").with_mark(bombs[2], mark),
    ]
    for bomb in bombs:
        for plain in (False, True):
            with pytest.raises(TooLargeError, match=r"^bomb: declares more than"):
                comrec.decode(bomb, name="bomb", plain=plain)
    with pytest.raises(TooLargeError, match=r"^bomb: declares more than"):
        comrec.decode(huge_jpeg(small), name="bomb", enhance=True)
    with pytest.raises(TooLargeError, match=r"^bomb: "):
        comrec.info(huge_jpeg(small), name="bomb")


def test_a_mark_that_declares_a_huge_picture_is_ignored(small: Picture) -> None:
    payload = codec.get("jpeg").encode(small, 50)
    mark = Mark(2, 50, 4_000_000_000, 4_000_000_000, rec("jpeg", 2).id).pack()
    decoded = comrec.decode(codec.get("jpeg").with_mark(payload, mark))
    assert decoded.size == (small.width, small.height)


@pytest.fixture(scope="module")
def specimens(photo: Picture) -> dict[str, bytes]:
    picture = Picture(photo.pixels[60:84, 100:133].copy())
    return {f"{b}-{scale}": marked(b, scale, picture) for b in CONTAINERS for scale in (1, 2)}


@given(data=st.data())
@settings(max_examples=250)
def test_altered_files_give_a_picture_or_our_errors(
    specimens: dict[str, bytes], data: st.DataObject
) -> None:
    altered = bytearray(specimens[data.draw(st.sampled_from(sorted(specimens)))])
    place = st.integers(0, len(altered) - 1) | st.integers(0, 120)
    for at, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=4)):
        altered[at] = value
    begin = data.draw(st.integers(0, len(altered)))
    action = data.draw(st.sampled_from(["nothing", "cut", "remove", "repeat"]))
    if action == "cut":
        del altered[begin:]
    elif action == "remove":
        del altered[begin : begin + data.draw(st.integers(1, 40))]
    elif action == "repeat":
        altered[begin:begin] = altered[begin : begin + 40]
    for call in (
        comrec.decode,
        comrec.info,
        lambda file: comrec.decode(file, enhance=True),
        lambda file: comrec.decode(file, plain=True),
    ):
        with contextlib.suppress(ComrecError):
            assert call(bytes(altered)) is not None

"""Networks around standard codecs: marked files of every container, and what decodes them."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pillow_heif
import pyjpegxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import comrec
from comrec import codec, files
from comrec.errors import DamagedFileError, OptionError, UnsupportedPictureError, WeightsError
from comrec.formats.detection import format_of
from comrec.formats.mark import SIZE as MARK_SIZE
from comrec.formats.mark import Mark
from comrec.inference import session as sessions
from comrec.inference import store
from comrec.metrics import psnr
from comrec.picture import Metadata, Picture
from comrec.ratecontrol import QualitySearch
from comrec.sandwich import marked as marked_files
from comrec.sandwich import our_jpegxl
from comrec.sandwich.contest import CLEAR_WIN, Contest
from comrec.standard.bpg import container as bpg

Pixels = NDArray[np.uint8]

LOSSY = ["jpeg", "jpeg2000", "webp", "avif", "bpg", "jpegxl", "heic"]
OURS = [f"comrec-{base}" for base in LOSSY]
PUBLISHED = [f"jiang2017-{base}" for base in (*LOSSY, "png")]
TRANSPARENT = [codec_id for codec_id in OURS if codec_id != "comrec-jpeg"]
SIZES = [(1, 1), (1, 7), (5, 3), (17, 16), (64, 48), (33, 31)]


def base_of(codec_id: str) -> str:
    return codec_id.split("-", 1)[1]


def shown(data: bytes) -> Image.Image:
    """What a file's plain decoder alone makes of it: Pillow, where it can."""
    container = format_of(data)
    if container == "jpegxl":
        opened: Image.Image = pyjpegxl.to_pil(data)
        return opened
    if container == "heic":
        return pillow_heif.open_heif(data).to_pillow()
    if container == "bpg":
        return codec.get("bpg").decode(data).to_pil()
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.copy()


def crop(photo: Picture, width: int, height: int, gray: bool = False) -> Picture:
    pixels = photo.pixels[60 : 60 + height, 100 : 100 + width]
    return Picture(np.ascontiguousarray(pixels[..., 1] if gray else pixels))


def text_like() -> Pixels:
    image = Image.new("RGB", (72, 56), "white")
    draw = ImageDraw.Draw(image)
    for line in range(4):
        draw.text((3, 2 + 13 * line), "Ag8% kyst", fill=(10 * line, 0, 90))
    return np.asarray(image)


def noise(width: int, height: int) -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def pictures(photo: Picture, gray_photo: Picture) -> dict[str, Picture]:
    return {
        "photo": crop(photo, 80, 64),
        "gray": Picture(gray_photo.pixels[40:104, 60:140].copy()),
        "noise": Picture(noise(57, 41)),
        "flat": Picture(np.full((48, 64, 3), (200, 30, 90), np.uint8)),
        "text": Picture(text_like()),
        "tiny": crop(photo, 5, 3),
    }


def test_the_networks_of_the_package_make_these_codecs() -> None:
    assert set(OURS) | set(PUBLISHED) <= set(comrec.codecs())
    made = [name for name in comrec.codecs() if name.startswith(("comrec-", "jiang2017-"))]
    assert set(made) == set(OURS) | set(PUBLISHED)


@pytest.mark.parametrize("codec_id", OURS + PUBLISHED)
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("gray", [False, True])
def test_every_size_opens_elsewhere_and_decodes_in_full(
    codec_id: str, width: int, height: int, gray: bool, photo: Picture
) -> None:
    picture = crop(photo, width, height, gray)
    one = codec.get(codec_id)
    data = one.encode(picture, 30)
    mark = files.parse(data).mark
    scale = 1 if mark is None else mark.scale
    assert format_of(data) == base_of(codec_id)
    assert shown(data).size == (-(-width // scale), -(-height // scale))
    back = one.decode(data)
    assert (back.width, back.height) == (width, height)
    plain = codec.get(base_of(codec_id))
    assert back.is_gray == plain.decode(plain.encode(picture, 30)).is_gray
    if codec_id.startswith("jiang2017"):
        assert scale == 2


@pytest.mark.parametrize(
    "codec_id",
    [
        *(f"comrec-{base}" for base in ("jpeg", "jpeg2000", "bpg", "jpegxl", "heic")),
        *(f"jiang2017-{base}" for base in ("jpeg", "jpeg2000", "bpg", "jpegxl", "heic", "png")),
    ],
)
def test_gray_stays_gray_where_the_container_has_it(codec_id: str, gray_photo: Picture) -> None:
    picture = Picture(gray_photo.pixels[:40, :56].copy())
    image = comrec.decode(comrec.encode(picture, codec_id, 20))
    assert image.mode == "L"
    assert image.size == (56, 40)


@pytest.mark.parametrize("codec_id", OURS + PUBLISHED)
def test_what_comes_back_looks_like_what_went_in(codec_id: str, photo: Picture) -> None:
    picture = crop(photo, 120, 97)
    back = codec.get(codec_id).decode(codec.get(codec_id).encode(picture, 85))
    assert np.abs(back.rgb.astype(int) - picture.rgb).mean() < 10
    means = back.rgb.mean((0, 1)) - picture.rgb.mean((0, 1))
    assert np.abs(means).max() < 5  # no channel is swapped or shifted


@pytest.mark.parametrize("codec_id", OURS)
@pytest.mark.parametrize("name", ["photo", "gray", "noise", "flat", "text", "tiny"])
def test_never_worse_than_the_plain_codec_at_the_same_bytes(
    codec_id: str, name: str, pictures: dict[str, Picture]
) -> None:
    picture = pictures[name]
    pixels = picture.width * picture.height
    for quality in (2, 15, 45, 80):
        data = comrec.encode(picture, codec_id, quality)
        ours = psnr(files.decode(data).rgb, picture.rgb)
        # Without a photograph's texture, files do not grow with quality: what is best at so many
        # bytes is then known only around a quality.
        start = None if name in ("photo", "gray") else quality
        plain_codec = codec.get(base_of(codec_id))
        encode = partial(plain_codec.encode, picture)
        # At finer steps neither sizes nor fidelity are monotone.
        search = QualitySearch(encode, max(1.0, plain_codec.quality_step or 1.0), pixels)
        fit = search.largest_within(len(data), start, thorough=True)
        if fit is not None:
            plain = psnr(files.parse(fit.data).plain().rgb, picture.rgb)
            assert ours >= plain, (quality, ours, plain)


@given(
    codec_id=st.sampled_from(OURS),
    quality=st.integers(0, 100),
    scale=st.sampled_from(["auto", "1", "1/2"]),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    seed=st.integers(0, 99),
)
@settings(max_examples=25)
def test_any_picture_quality_and_scale_comes_back_whole(
    codec_id: str, quality: int, scale: str, width: int, height: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    rough = Image.fromarray(random.integers(0, 256, (3, 4, 3), np.uint8))
    smooth = rough.resize((width, height), Image.Resampling.BICUBIC)
    picture = Picture(np.asarray(smooth).copy())
    data = codec.get(codec_id, scale=scale).encode(picture, quality)
    back = codec.get(codec_id).decode(data)
    assert (back.width, back.height) == (width, height)
    mark = files.parse(data).mark
    if mark is not None:
        assert (mark.width, mark.height) == (width, height)
        assert scale == "auto" or mark.scale == {"1": 1, "1/2": 2}[scale]
    halved = mark is not None and mark.scale == 2
    assert shown(data).size == ((-(-width // 2), -(-height // 2)) if halved else (width, height))


@pytest.mark.parametrize("codec_id", OURS)
@pytest.mark.parametrize("gray", [False, True])
def test_scale_half_stores_half_the_sides(
    codec_id: str, gray: bool, photo: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = crop(photo, 131, 101, gray)
    one = codec.get(codec_id, scale="1/2")
    # Plain may be better by now.
    monkeypatch.setattr(Contest, "_winner", lambda _, budget, quality, first: first)
    monkeypatch.setattr(our_jpegxl._Encoder, "_chosen", lambda _, ours, budget, alone: ours)
    data = one.encode(picture, 20)
    mark = files.parse(data).mark
    assert mark is not None
    assert (mark.scale, mark.width, mark.height) == (2, 131, 101)
    assert shown(data).size == (66, 51)
    back = one.decode(data)
    assert (back.width, back.height) == (131, 101)
    assert comrec.decode(data, plain=True).size == (66, 51)


@pytest.mark.parametrize("codec_id", OURS)
def test_scale_one_never_surprises_other_viewers(
    codec_id: str, pictures: dict[str, Picture]
) -> None:
    for picture in pictures.values():
        for quality in (0, 30):
            data = codec.get(codec_id, scale="1").encode(picture, quality)
            mark = files.parse(data).mark
            assert mark is None or mark.scale == 1
            assert shown(data).size == (picture.width, picture.height)


@pytest.mark.parametrize("codec_id", OURS)
@pytest.mark.parametrize("name", ["photo", "flat", "text", "noise"])
def test_auto_takes_half_only_where_it_wins_clearly(
    codec_id: str, name: str, pictures: dict[str, Picture]
) -> None:
    picture = pictures[name]
    for quality in (0, 5, 12, 30):
        auto = codec.get(codec_id, scale="auto").encode(picture, quality)
        mark = files.parse(auto).mark
        if mark is not None and mark.scale == 2:
            one = codec.get(codec_id, scale="1").encode(picture, quality)
            gain = psnr(files.decode(auto).rgb, picture.rgb) - psnr(
                files.decode(one).rgb, picture.rgb
            )
            assert gain > CLEAR_WIN


@pytest.mark.parametrize("codec_id", OURS)
def test_auto_keeps_the_size_at_everyday_qualities(codec_id: str, photo: Picture) -> None:
    data = comrec.encode(crop(photo, 64, 48), codec_id, 50)
    assert shown(data).size == (64, 48)


def test_a_bad_scale_is_refused() -> None:
    with pytest.raises(OptionError, match="scale"):
        codec.get("comrec-jpeg", scale="1/3")
    with pytest.raises(OptionError, match="no option 'scale'"):
        codec.get("jiang2017-jpeg", scale="1")


@pytest.mark.parametrize("codec_id", OURS + PUBLISHED)
@pytest.mark.parametrize("quality", [-0.5, 101, float("nan")])
def test_quality_out_of_range_is_refused(codec_id: str, quality: float, photo: Picture) -> None:
    with pytest.raises(OptionError, match="quality"):
        codec.get(codec_id).encode(crop(photo, 8, 8), quality)


def disc(photo: Picture) -> Picture:
    """72x60, opaque inside an ellipse."""
    mask = Image.new("L", (72, 60))
    ImageDraw.Draw(mask).ellipse((10, 8, 60, 50), fill=255)
    return Picture(crop(photo, 72, 60).pixels, np.asarray(mask).copy())


@pytest.mark.parametrize("codec_id", TRANSPARENT)
@pytest.mark.parametrize("quality", [8, 70])
def test_transparency_is_kept_at_scale_one(codec_id: str, quality: int, photo: Picture) -> None:
    picture = disc(photo)
    assert picture.alpha is not None
    for scale in ("1", "auto"):
        data = codec.get(codec_id, scale=scale).encode(picture, quality)
        assert shown(data).mode in ("RGBA", "LA")
        back = comrec.decode(data)
        assert back.size == (72, 60)
        alpha = np.asarray(back.getchannel("A")).astype(int)
        assert np.abs(alpha - picture.alpha).mean() < 25
        assert alpha[30, 35] > 200
        assert alpha[0, 0] < 55


@pytest.mark.parametrize("codec_id", TRANSPARENT)
def test_transparency_at_half_scale_is_refused_with_what_to_do(
    codec_id: str, photo: Picture
) -> None:
    with pytest.raises(UnsupportedPictureError, match="scale 1"):
        codec.get(codec_id, scale="1/2").encode(disc(photo), 30)


@pytest.mark.parametrize("codec_id", ["comrec-jpeg", *PUBLISHED])
def test_transparency_is_refused_where_it_cannot_be_carried(codec_id: str, photo: Picture) -> None:
    with pytest.raises(UnsupportedPictureError, match=r"transparency.*webp"):
        codec.get(codec_id).encode(disc(photo), 30)


@pytest.mark.parametrize("codec_id", ["comrec-jpeg", "comrec-webp", "jiang2017-jpeg"])
@pytest.mark.parametrize("scale", ["1", "1/2"])
def test_metadata_travels(codec_id: str, scale: str, photo: Picture, metadata: Metadata) -> None:
    options = {} if codec_id.startswith("jiang") else {"scale": scale}
    picture = Picture(crop(photo, 96, 80).pixels, None, metadata)
    data = comrec.encode(picture, codec_id, 10, **options)
    for image in (shown(data), comrec.decode(data)):
        assert image.info["icc_profile"] == metadata.icc
        assert image.info["xmp"] == metadata.xmp
        assert image.getexif()[0x0112] == 6
    assert comrec.decode(data).size == (96, 80)  # an orientation turns no pixels


@pytest.mark.parametrize("family", ["comrec", "jiang2017"])
@pytest.mark.parametrize("base", ["jpegxl", "heic"])
def test_metadata_travels_in_files_that_are_stored_upright(
    family: str, base: str, photo: Picture, metadata: Metadata
) -> None:
    picture = Picture(crop(photo, 96, 80).pixels, None, metadata)
    data = comrec.encode(picture, f"{family}-{base}", 10)
    found = comrec.info(data)
    assert (found.width, found.height) == (96, 80)
    assert shown(data).size == ((80, 96) if family == "comrec" else (40, 48))
    back = files.decode(data)
    assert back.metadata == metadata
    assert np.abs(back.rgb.astype(int) - picture.rgb).mean() < 20  # no turn is left


def marked(codec_id: str, picture: Picture) -> bytes:
    """A file with a mark and half the sides, whether or not the encoder would choose it."""
    family, base = codec_id.split("-")
    half = picture.to_pil().resize((-(-picture.width // 2), -(-picture.height // 2)))
    payload = codec.get(base).encode(Picture(np.asarray(half).copy()), 40)
    network = store.find(family, base, "rec", up=2) or store.find(family, "jpeg", "rec", up=2)
    assert network is not None
    return marked_files.write(codec.get(base), payload, picture, 40, network)


def stripped(data: bytes) -> bytes:
    """The file without its mark, by the container's own rules."""
    container = format_of(data)
    mark = codec.get(container).mark_in(data)
    assert mark is not None
    at = data.index(mark)
    if container == "bpg":
        file = bpg.parse(data)
        return replace(file, extensions=file.extensions[:-1]).pack()
    head = {"jpeg": 4, "png": 8, "webp": 8}.get(container, 24)
    tail = 4 if container == "png" else 0
    left = data[: at - head] + data[at + len(mark) + tail :]
    if container == "webp":
        left = left[:4] + (len(left) - 8).to_bytes(4, "little") + left[8:]
    return left


def test_transparency_at_scale_half_which_comrec_does_not_write_is_damage(photo: Picture) -> None:
    plain, rec = codec.get("webp"), store.serving("comrec", "webp", "rec", up=2)
    see_through = replace(photo, alpha=np.ascontiguousarray(photo.pixels[..., 0]))
    mark = Mark(2, 50, 2 * photo.width, 2 * photo.height, rec.id).pack()
    data = plain.with_mark(plain.encode(see_through, 50), mark)
    for region in (None, (0, 0, 10, 10)):
        with pytest.raises(DamagedFileError, match="--plain"):
            comrec.decode(data, region=region)
    assert comrec.decode(data, plain=True).mode == "RGBA"


@pytest.mark.parametrize("codec_id", OURS + PUBLISHED)
def test_without_the_mark_it_is_a_plain_file(codec_id: str, photo: Picture) -> None:
    data = marked(codec_id, crop(photo, 131, 101))
    bare = stripped(data)
    assert files.parse(bare).mark is None
    assert len(bare) <= len(data) - MARK_SIZE
    viewed = np.asarray(shown(data))
    assert np.array_equal(np.asarray(shown(bare)), viewed)
    assert np.array_equal(np.asarray(comrec.decode(bare)), viewed)
    assert np.array_equal(np.asarray(comrec.decode(data, plain=True)), viewed)


def saved_elsewhere(image: Image.Image, container: str) -> bytes:
    """As other programs write it, which know nothing of the mark."""
    if container == "jpegxl":
        return pyjpegxl.encode_from_numpy(np.asarray(image))
    buffer = io.BytesIO()
    if container == "heic":
        pillow_heif.from_pillow(image).save(buffer)
    else:
        image.save(buffer, container.upper())
    return buffer.getvalue()


@pytest.mark.parametrize("codec_id", [name for name in OURS + PUBLISHED if "bpg" not in name])
def test_a_file_saved_again_elsewhere_is_a_plain_file(codec_id: str, photo: Picture) -> None:
    image = shown(marked(codec_id, crop(photo, 131, 101)))
    data = saved_elsewhere(image, base_of(codec_id))
    assert comrec.info(data).scale is None
    assert comrec.decode(data).size == (66, 51)


@pytest.mark.parametrize("codec_id", OURS + PUBLISHED)
@pytest.mark.parametrize("size", [(65, 51), (66, 52), (131, 101), (51, 66)])
def test_a_file_that_was_resized_cropped_or_rotated_elsewhere_is_a_plain_file(
    codec_id: str, size: tuple[int, int], photo: Picture
) -> None:
    base = base_of(codec_id)
    mark = codec.get(base).mark_in(marked(codec_id, crop(photo, 131, 101)))
    assert mark is not None
    edited = codec.get(base).with_mark(codec.get(base).encode(crop(photo, *size), 30), mark)
    decoded, plain = comrec.decode(edited), comrec.decode(edited, plain=True)
    assert decoded.size == size
    assert np.array_equal(np.asarray(decoded), np.asarray(plain))
    assert "no longer fits" in "".join(decoded.info["notes"])
    assert "notes" not in plain.info
    found = comrec.info(edited)
    assert (found.codec, found.stale, found.scale) == (base, True, None)
    assert (found.width, found.height) == size
    again = files.read(edited, "input")
    assert np.array_equal(again.pixels, codec.get(base).decode(edited).pixels)
    assert len(again.notes) == 1
    assert codec.get(codec_id).header(edited).width == size[0]
    assert np.array_equal(codec.get(codec_id).decode(edited).pixels, again.pixels)


def test_a_file_names_the_network_of_the_size_that_it_is_made_for(photo: Picture) -> None:
    made = [
        comrec.encode(photo.pixels, f"comrec-jpeg:scale=1:network={size}", 30)
        for size in store.SIZES
    ]
    names = [comrec.info(data).network for data in made]
    assert names == ["comrec-jpeg-fast-rec1", "comrec-jpeg-rec1", "comrec-jpeg-best-rec1"]


@pytest.mark.parametrize("base", [*LOSSY, "png"])
def test_a_network_of_another_version_is_named(base: str, photo: Picture) -> None:
    picture = crop(photo, 40, 30)
    mark = Mark(1, 50, 40, 30, "0123456789abcdef0123").pack()
    data = codec.get(base).with_mark(codec.get(base).encode(picture, 50), mark)
    with pytest.raises(WeightsError, match=r"0123456789abcdef0123.*upgrade"):
        comrec.decode(data)
    assert comrec.decode(data, plain=True).size == (40, 30)
    found = comrec.info(data)
    assert found.network == "0123456789abcdef0123"
    assert found.codec == f"unknown network around {base}"


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package's weights that may be damaged."""
    folder = tmp_path / "weights"
    shutil.copytree(store.FOLDER, folder)
    monkeypatch.setattr(store, "FOLDER", folder)
    sessions.forget()
    yield folder
    sessions.forget()


def network_of(data: bytes) -> store.Network:
    mark = files.parse(data).mark
    assert mark is not None
    return store.by_id(mark.network)


@pytest.mark.parametrize("codec_id", ["comrec-jpeg", "jiang2017-webp"])
def test_altered_weights_are_refused(codec_id: str, photo: Picture, weights: Path) -> None:
    data = marked(codec_id, crop(photo, 131, 101))
    assert comrec.decode(data).size == (131, 101)
    path = network_of(data).path
    assert path.parent == weights
    altered = bytearray(path.read_bytes())
    altered[len(altered) // 2] ^= 1
    path.write_bytes(altered)
    sessions.forget()
    with pytest.raises(WeightsError, match=rf"{path.name}.*checksum"):
        comrec.decode(data)
    assert comrec.decode(data, plain=True).size == (66, 51)


@pytest.mark.parametrize("codec_id", ["comrec-jpeg", "jiang2017-webp"])
def test_missing_weights_are_named(codec_id: str, photo: Picture, weights: Path) -> None:
    data = marked(codec_id, crop(photo, 131, 101))
    path = network_of(data).path
    path.unlink()
    sessions.forget()
    with pytest.raises(WeightsError, match=rf"{path.name}.*missing"):
        comrec.decode(data)

"""Parts of pictures: the same pixels as of the whole, and no more work than they need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import comrec
from comrec import regions
from comrec.cli import main
from comrec.errors import OptionError
from comrec.inference import store, tiles
from comrec.inference.store import Network
from comrec.picture import Picture
from comrec.regions import Region

REGION = Region(70, 33, 41, 52)
LEARNED = "liu2018:effort=5", "rippel2017:effort=5", "toderici2017:iterations=3"
SANDWICHES = "comrec-jpeg:scale=1", "comrec-jpeg:scale=1/2", "comrec-webp", "jiang2017-jpeg"
PLAIN = "png", "jpeg", "webp", "jpeg2000", "avif"


def cut(image: Image.Image, region: Region) -> np.ndarray:
    return np.asarray(image)[region.window]


@pytest.mark.parametrize("text", [*LEARNED, *SANDWICHES, *PLAIN])
@pytest.mark.parametrize("kind", ["photo", "gray_photo"])
def test_a_region_is_that_part_of_the_whole(
    text: str, kind: str, request: pytest.FixtureRequest
) -> None:
    picture: Picture = request.getfixturevalue(kind)
    data = comrec.encode(picture, text, 30)
    whole, part = comrec.decode(data), comrec.decode(data, region=REGION)
    assert part.mode == whole.mode
    assert np.array_equal(np.asarray(part), cut(whole, REGION))


@pytest.mark.parametrize("text", ["comrec-webp:scale=1", "liu2018:effort=5"])
def test_alpha_and_metadata_come_with_it(text: str, photo: Picture) -> None:
    alpha = np.ascontiguousarray(photo.pixels[..., 0])
    resolved = replace(photo.metadata, xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    picture = replace(photo, alpha=alpha, metadata=resolved)
    data = comrec.encode(picture, text, 30)
    whole, part = comrec.decode(data), comrec.decode(data, region=REGION)
    assert part.mode == "RGBA"
    assert np.array_equal(np.asarray(part), cut(whole, REGION))
    assert part.info["xmp"] == whole.info["xmp"]


def test_it_can_be_of_the_plain_and_of_the_enhanced_picture(photo: Picture) -> None:
    marked = comrec.encode(photo, "comrec-jpeg:scale=1", 30)
    third = comrec.encode(photo, "jpeg", 30)
    for data, plain in ((marked, True), (third, False)):
        whole = comrec.decode(data, plain=plain, enhance=not plain)
        part = comrec.decode(data, plain=plain, enhance=not plain, region=REGION)
        assert np.array_equal(np.asarray(part), cut(whole, REGION))
    assert not np.array_equal(
        np.asarray(comrec.decode(third, region=REGION)),
        np.asarray(comrec.decode(third, region=REGION, enhance=True)),
    )


def test_a_note_says_where_the_whole_was_decoded(photo: Picture) -> None:
    for text, told in (("jpeg", True), ("comrec-jpeg", True), ("liu2018:effort=5", False)):
        image = comrec.decode(comrec.encode(photo, text, 30), region=REGION)
        assert any("as a whole" in note for note in image.info.get("notes", ())) == told


@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    place=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
    up=st.sampled_from([1, 2]),
)
@settings(max_examples=30)
def test_any_part_of_what_a_network_gives(
    height: int, width: int, place: tuple[float, ...], up: int
) -> None:
    network = replace(store.serving("comrec", "jpeg", "rec", up=up), tile=16)
    pixels = np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), np.uint8)
    top, left = int(place[0] * (up * height - 1)), int(place[1] * (up * width - 1))
    bottom = top + 1 + int(place[2] * (up * height - 1 - top))
    right = left + 1 + int(place[3] * (up * width - 1 - left))
    window = slice(top, bottom), slice(left, right)
    whole = tiles.run(network, pixels, 40)
    assert np.array_equal(tiles.run(network, pixels, 40, within=window), whole[window])


def test_networks_run_on_the_tiles_around_it_alone(
    photo: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    evaluate = tiles._evaluate

    def counting(network: Network, planes: tiles.Planes, *told: object) -> list[tiles.Planes]:
        seen.append(planes[0].size)
        return evaluate(network, planes, *told)  # type: ignore[arg-type]

    network = replace(store.serving("comrec", "jpeg", "rec"), tile=32)
    monkeypatch.setattr(tiles, "_evaluate", counting)
    window = slice(100, 110), slice(40, 50)
    tiles.run(network, photo.pixels, 40, within=window)
    part, seen[:] = sum(seen), []
    tiles.run(network, photo.pixels, 40)
    assert part < sum(seen) / 8


@pytest.mark.parametrize("text", ["jpeg", "comrec-jpeg:scale=1", "liu2018:effort=5"])
def test_it_is_cut_at_the_edges_and_refused_outside(text: str, photo: Picture) -> None:
    data = comrec.encode(photo, text, 30)
    assert comrec.decode(data, region=(250, 190, 100, 100)).size == (6, 2)
    for outside in ((256, 0, 1, 1), (0, 192, 1, 1)):
        with pytest.raises(OptionError, match="outside of the picture, which is 256x192"):
            comrec.decode(data, region=outside)


@pytest.mark.parametrize("region", [(0, 0, 0, 5), (-1, 0, 5, 5), (0, 0, 5), (0, 0, 5, 1.5), "5"])
def test_what_is_no_region_is_refused(region: object, photo: Picture) -> None:
    data = comrec.encode(photo, "jpeg", 30)
    with pytest.raises(OptionError, match="a region is left, top, width and height"):
        comrec.decode(data, region=region)  # type: ignore[arg-type]


def test_the_command_line(
    photo: Picture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "photo.jpg", tmp_path / "part.png"
    source.write_bytes(comrec.encode(photo, "comrec-jpeg", 30))
    assert main(["decode", str(source), "--region", "70,33,41x52", "-o", str(out)]) == 0
    assert "as a whole" in capsys.readouterr().err
    with Image.open(out) as part:
        assert part.size == (41, 52)
    with pytest.raises(SystemExit):
        main(["decode", str(source), "--region", "70,33", "-o", str(out)])
    assert "'70,33' is no rectangle" in capsys.readouterr().err


@given(st.builds(Region, *[st.integers(0, 10**9 - 1)] * 2, *[st.integers(1, 10**9 - 1)] * 2))
def test_text_and_back(region: Region) -> None:
    assert regions.parse(str(region)) == region

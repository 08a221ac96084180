"""Networks over pictures of any size: tiles, shapes, determinism, the weight store."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from comrec.errors import WeightsError
from comrec.inference import patch, store, tiles
from comrec.inference.store import Network
from comrec.picture import Picture

Pixels = NDArray[np.uint8]

NETWORKS = store.networks()
PICTURES = [network for network in NETWORKS if network.role in ("com", "rec")]
"""Those that make a picture of a picture."""
SPECIAL = ("gradient", "planes", "encode", "decode", "bits", "map")
"""Those that take more than an array and a quality have tests of their own."""
PARTS = [n for n in NETWORKS if n not in PICTURES and n.role not in SPECIAL]
"""Those of learned codecs, that map an array to others."""
PATCHED = [network for network in NETWORKS if network.patch_of is not None]
"""Those whose file is a patch of another's."""


def name_of(network: Network) -> str:
    return network.name


def untiled(network: Network) -> Network:
    return dataclasses.replace(network, tile=1 << 20)


def channels(network: Network, pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels[..., :1] if network.channels == 1 else pixels)


def out_side(network: Network, side: int) -> int:
    return -(-side * network.up // network.down)


def expected_shape(network: Network, height: int, width: int) -> tuple[int, int, int]:
    rows, columns = (out_side(network, side) for side in (height, width))
    return rows, columns, network.channels


@pytest.mark.parametrize("network", PICTURES, ids=name_of)
@pytest.mark.parametrize("content", ["photo", "noise"])
def test_tiles_give_the_pixels_of_one_piece(network: Network, content: str, photo: Picture) -> None:
    if content == "photo":
        pixels = photo.pixels[11:120, 30:181]
    else:
        pixels = np.random.default_rng(5).integers(0, 256, (109, 151, 3), np.uint8)
    pixels = channels(network, pixels)
    whole = tiles.run(untiled(network), pixels, 35)
    cut = tiles.run(dataclasses.replace(network, tile=64), pixels, 35)
    assert np.array_equal(cut, whole)


@pytest.mark.parametrize("network", PICTURES, ids=name_of)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (5, 3), (16, 17), (31, 33)])
def test_the_output_has_the_size_its_role_says(
    network: Network, height: int, width: int, photo: Picture
) -> None:
    pixels = channels(network, photo.pixels[:height, :width])
    out = tiles.run(network, pixels, 50)
    assert out.dtype == np.uint8
    assert out.shape == expected_shape(network, height, width)


@given(
    index=st.integers(0, len(PICTURES) - 1),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    tile=st.sampled_from([16, 24, 32]),
)
@settings(max_examples=20)
def test_any_size_and_tile_gives_the_whole_picture(
    index: int, height: int, width: int, tile: int
) -> None:
    network = PICTURES[index]
    random = np.random.default_rng([height, width])
    pixels = random.integers(0, 256, (height, width, network.channels), np.uint8)
    cut = tiles.run(dataclasses.replace(network, tile=tile), pixels, 60)
    whole = tiles.run(untiled(network), pixels, 60)
    assert cut.shape == expected_shape(network, height, width)
    assert np.array_equal(cut, whole)


@pytest.mark.parametrize("network", PICTURES, ids=name_of)
def test_a_second_run_gives_the_same_pixels(network: Network, photo: Picture) -> None:
    pixels = channels(network, photo.pixels[:45, :61])
    first = tiles.run(network, pixels, 20)
    tiles.run(network, pixels[:20], 90)
    assert np.array_equal(tiles.run(network, pixels, 20), first)


@pytest.mark.parametrize("network", PICTURES, ids=name_of)
def test_flat_pictures_have_no_border(network: Network) -> None:
    """Edges are repeated, so the zeros around convolutions stay outside."""
    out = tiles.run(network, np.full((64, 64, network.channels), 120, np.uint8), 50).astype(int)
    third = len(out) // 3
    inner = out[third:-third, third:-third].reshape(-1, network.channels)
    spread = inner.max(0) - inner.min(0)
    border = np.concatenate([out[0], out[-1], out[:, 0], out[:, -1]])
    assert np.abs(border - np.median(inner, axis=0)).max() <= spread.max() + 6


def taken_by(network: Network, height: int, width: int) -> NDArray[np.generic]:
    """Something that a network of a learned codec takes: (channels, height, width)."""
    random = np.random.default_rng([height, width])
    shape = network.channels, height, width
    if network.role == "h_s":
        return random.integers(-63, 64, shape).astype(np.int32)
    if network.role == "g_a":
        return random.random(shape, np.float32)
    return random.normal(0, 3, shape).astype(np.float32)


@pytest.mark.parametrize("network", PARTS, ids=name_of)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 2), (5, 14)])
def test_tiles_of_any_network_give_the_arrays_of_one_piece(
    network: Network, height: int, width: int
) -> None:
    # g_a and g_s take multiples; h_a halves sides twice and rounds up.
    align = network.align if network.role in ("g_a", "g_s") else 1
    planes = taken_by(network, height * align, width * align)
    whole = tiles.apply(untiled(network), planes, 40)
    cut = tiles.apply(dataclasses.replace(network, tile=network.align), planes, 40)
    assert len(whole) == len(cut) == (2 if network.role == "h_s" else 1)
    for ours, theirs in zip(cut, whole, strict=True):
        for side, out in zip(planes.shape[1:], ours.shape[1:], strict=True):
            assert out == out_side(network, side)
        assert ours.dtype == theirs.dtype
        if network.role == "h_s":  # integers
            assert np.array_equal(ours, theirs)
        else:
            assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


@pytest.mark.parametrize("network", PARTS, ids=name_of)
def test_tiles_are_made_and_kept_as_they_are_asked_for(network: Network) -> None:
    planes = taken_by(network, 32, 64)
    plain = tiles.apply(network, planes, 70)

    def before(tile: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.ascontiguousarray(tile, planes.dtype)

    def after(out: NDArray[np.generic]) -> NDArray[np.generic]:
        return out[:1].astype(np.float64) * 2

    doubled = tiles.apply(network, planes.astype(float), 70, before, *[after] * len(plain))
    for one, two in zip(plain, doubled, strict=True):
        assert two.dtype == np.float64
        assert np.array_equal(2 * one[:1].astype(float), two)


def test_every_listed_network_is_there_with_its_checksum() -> None:
    for network in NETWORKS:
        data = network.load()
        assert hashlib.sha256(data).hexdigest() == network.sha256
        assert store.by_id(network.id) == network
    assert len({network.id for network in NETWORKS}) == len(NETWORKS)


def test_a_reccnn_gets_the_comcnn_that_it_was_trained_after() -> None:
    jpeg = store.serving("jiang2017", "jpeg", "rec", up=2)
    current = store.find("jiang2017", "jpeg", "com", down=2)
    assert store.com_of(jpeg, "jpeg") == current
    assert store.com_of(jpeg, "webp") == current  # JPEG's serve
    for codec_id in ("bpg", "jpeg2000"):
        rec = store.serving("jiang2017", codec_id, "rec", up=2)
        com = store.com_of(rec, codec_id)
        assert (com.role, com.sha256) == ("com", rec.com)
        assert com != current


def test_the_manifest_tells_how_each_network_was_trained() -> None:
    entries = json.loads(store.MANIFEST.read_text(encoding="utf-8"))["networks"]
    assert [entry["name"] for entry in entries] == [network.name for network in NETWORKS]
    for network in NETWORKS:
        assert network.training["steps"] >= 0, network.name


def test_the_latest_entry_for_a_job_is_used_and_older_ones_stay_readable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = store.find("comrec", "jpeg", "rec")
    assert old is not None
    new = dataclasses.replace(old, name="comrec-jpeg-rec1-next", sha256="f" * 64)
    monkeypatch.setattr(store, "networks", lambda: (*NETWORKS, new))
    assert store.find("comrec", "jpeg", "rec") == new
    assert store.by_id(old.id) == old
    assert store.find("comrec", "jpeg", "rec", up=4) is None
    with pytest.raises(WeightsError, match="upgrade"):
        store.by_id("e" * 20)


# --- patches ----------------------------------------------------------------------------------


@st.composite
def bases_and_targets(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Targets of parts of the base and of bytes that it lacks."""
    seed = draw(st.integers(0, 1 << 16))
    base = np.random.default_rng(seed).bytes(draw(st.integers(0, 2000)))
    if draw(st.booleans()):
        base += bytes(200) + base[:300]
    parts: list[bytes] = []
    for _ in range(draw(st.integers(0, 6))):
        start, stop = draw(st.integers(0, len(base))), draw(st.integers(0, len(base)))
        parts.append(draw(st.one_of(st.just(base[start:stop]), st.binary(max_size=80))))
    return base, b"".join(parts)


@given(bases_and_targets())
def test_a_patch_makes_its_target(given_: tuple[bytes, bytes]) -> None:
    base, target = given_
    made = patch.make(base, target)
    assert patch.apply(base, made) == target
    assert len(made) <= len(target) + 9  # magic and one literal; a copy is shorter than its bytes


def test_what_the_base_has_is_not_stored_again() -> None:
    base = np.random.default_rng(3).bytes(300_000)
    target = b"head" + base[1000:200_000] + b"between" + base[500:250_001] + b"tail"
    assert len(patch.make(base, target)) < 200


@given(st.data())
def test_similar_arrays_are_stored_as_differences(data: st.DataObject) -> None:
    """Of any bits: infinities, zeros of both signs and what is no number, too."""
    count = data.draw(st.integers(1, 300))
    random = np.random.default_rng(data.draw(st.integers(0, 1 << 16)))
    ours = random.integers(0, 1 << 16, count).astype("<u2")
    theirs = ours + random.integers(-2, 3, count).astype("<u2")
    if data.draw(st.booleans()):
        theirs = random.integers(0, 1 << 16, count).astype("<u2")
    base, target = b"base" + theirs.tobytes() + b"end", b"target" + ours.tobytes() + b"the end"
    made = patch.make(base, target, [(4, 6, 2 * count)])
    assert patch.apply(base, made) == target
    assert len(made) <= len(target) + 4 + 3 * 5  # magic and three literals


def test_similar_arrays_take_less() -> None:
    random = np.random.default_rng(5)
    ours = random.normal(size=20_000).astype("<f2")
    theirs = (ours + random.normal(size=20_000, scale=0.01)).astype("<f2")
    made = patch.make(theirs.tobytes(), ours.tobytes(), [(0, 0, 40_000)])
    assert len(made) < 0.6 * 40_000


def test_a_patch_is_as_its_format_says() -> None:
    """As the module describes it, byte by byte."""
    file = (
        b"CRP1"
        + bytes([0, 0, 0, 0, 2, 0, 0, 0, 3])  # copy 3 from 2
        + bytes([1, 0, 0, 0, 2])
        + b"xy"
        + bytes([0, 0, 0, 0, 0, 0, 0, 0, 1])
    )
    assert patch.apply(b"abcdef", file) == b"cdexya"
    # 1, -0 and 2 as float16, made the next above 1, 0 and the one below 2.
    base = b"\0\x3c" + b"\0\x80" + b"\0\x40"
    steps = zlib.compress(bytes([0, 0, 0]) + bytes([2, 2, 1]))
    file = b"CRP1" + bytes([2, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, len(steps)]) + steps
    assert patch.apply(base, file) == b"\1\x3c" + b"\0\0" + b"\xff\x3f"


@given(bases_and_targets(), st.data())
def test_damaged_patches_raise_nothing_but_weights_errors(
    given_: tuple[bytes, bytes], data: st.DataObject
) -> None:
    """Or give other bytes, which their checksum finds."""
    base, target = given_
    made = bytearray(patch.make(base, target))
    made[data.draw(st.integers(0, len(made) - 1))] ^= data.draw(st.integers(1, 255))
    cut = bytes(made[: data.draw(st.integers(0, len(made)))])
    for damaged in (bytes(made), cut):
        with contextlib.suppress(WeightsError):
            patch.apply(base, damaged)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"", "begin"),
        (b"CRP2", "begin"),
        (b"CRP1\3", "operation 3"),
        (b"CRP1\2\0\0\0\0", "cut short"),
        (b"CRP1\2\0\0\0\0\0\0\0\2\0\0\0\1x", "part"),
        (b"CRP1\2\0\0\0\0\0\0\0\2\0\0\0\x09" + zlib.compress(b"a"), "difference"),
        (b"CRP1\2\0\0\0\0\0\0\0\3\0\0\0\x0b" + zlib.compress(b"abc"), "difference"),
        (b"CRP1\0\0\0\0\0\0\0\0", "cut short"),
        (b"CRP1\0\0\0\0\1\0\0\0\3", "part"),  # 1 + 3 is beyond the base
        (b"CRP1\1\0\0\0\2x", "part"),
        (b"CRP1\1\0\0", "cut short"),
    ],
)
def test_damage_of_a_patch_is_named(file: bytes, reason: str) -> None:
    with pytest.raises(WeightsError, match=reason):
        patch.apply(b"abc", file)


def test_patches_are_of_networks_that_are_nearly_the_same() -> None:
    """Gradients of the decoders that they contain, others of a network for the same role; and
    small. Decoders that were trained on from one of any family are smaller by a quarter."""
    assert all(network in PATCHED for network in NETWORKS if network.role == "gradient")
    known = {network.sha256: network for network in NETWORKS}
    for network in PATCHED:
        assert network.patch_of is not None
        base = known[network.patch_of]
        if network.role in ("g_s", "rec"):
            assert network.path.stat().st_size < 0.75 * len(network.load())
        else:
            assert base.family == network.family
            assert network.path.stat().st_size < 500_000
        assert base.role == {"gradient": "g_s"}.get(network.role, network.role)
        assert hashlib.sha256(network.load()).hexdigest() == network.sha256
        assert network.path.name == f"{network.name}-{network.sha256[:8]}.onnx.patch"


def test_a_wheel_stays_small() -> None:
    files = (path.read_bytes() for path in store.FOLDER.iterdir())
    assert sum(len(zlib.compress(data)) for data in files) < 69e6  # of 70 MB, with the code


@pytest.mark.parametrize("damage", ["altered patch", "altered base", "no patch", "no base"])
def test_a_damaged_patch_or_base_is_refused(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = next(each for each in PATCHED if each.role == "gradient")
    (base,) = (other for other in NETWORKS if other.sha256 == network.patch_of)
    for path in (network.path, base.path):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(store, "FOLDER", tmp_path)
    assert network.load()
    path = base.path if damage.endswith("base") else network.path
    if damage.startswith("no"):
        path.unlink()
        message = f"{base.sha256[:8]}.onnx is missing" if damage == "no base" else path.name
    else:
        altered = bytearray(path.read_bytes())
        altered[-1] ^= 1
        path.write_bytes(altered)
        message = f"{path.name} does not match"
    with pytest.raises(WeightsError, match=message):
        network.load()

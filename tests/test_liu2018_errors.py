"""The codec `liu2018`: what its decoder refuses, and what it takes."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from liu2018 import METRICS, Integers, coded, contexts_at_random, network, other_h_s, symbols, wild

import comrec
from comrec import codec, files
from comrec.cli import main
from comrec.entropy.tables import LIMIT
from comrec.errors import DamagedFileError, UnknownFormatError, WeightsError
from comrec.formats import cmr
from comrec.inference import store
from comrec.inference.store import Network
from comrec.learned import files as cmr_files
from comrec.learned.hyperprior import Z_LIMIT
from comrec.learned.liu2018 import Liu2018
from comrec.picture import Picture


@pytest.fixture(scope="module")
def small(photo: Picture) -> Picture:
    """A 53x38 photograph."""
    return Picture(photo.pixels[70:108, 90:143].copy())


@pytest.fixture(scope="module")
def payload(small: Picture) -> bytes:
    """Of its file of the first metric at quality 50."""
    return cmr.parse(Liu2018(METRICS[0]).encode(small, 50)).payloads[0]


def reframed(
    picture: Picture, payload: bytes, quality: float = 50, network_id: str | None = None
) -> bytes:
    """A file with right checksums."""
    named = network_id or network(METRICS[0], "h_s").id
    return cmr_files.write(picture, "liu2018", named, quality, [payload])


def test_files_of_other_codecs_are_refused(small: Picture, payload: bytes) -> None:
    other = cmr_files.write(small, "toderici", network(METRICS[0], "h_s").id, 50, [payload])
    with pytest.raises(UnknownFormatError, match=r"codec toderici, not liu2018"):
        Liu2018().decode(other)
    with pytest.raises(UnknownFormatError, match="png"):
        Liu2018().decode(codec.get("png").encode(small, 50))


def test_a_network_of_a_later_version_says_to_upgrade(
    small: Picture, payload: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = reframed(small, payload, network_id="0123456789abcdef0123")
    with pytest.raises(WeightsError, match=r"^cat\.cmr: .*0123456789abcdef0123.*upgrade") as caught:
        comrec.decode(data, name="cat.cmr")
    path = tmp_path / "cat.cmr"
    path.write_bytes(data)
    assert main(["decode", str(path), "-o", str(tmp_path / "cat.png")]) != 0
    said = capsys.readouterr().err
    assert "upgrade" in said
    for message in (str(caught.value), said):  # nobody else can show a .cmr file
        assert "plain" not in message
    assert not (tmp_path / "cat.png").exists()
    assert comrec.info(data).network == "0123456789abcdef0123"


@pytest.mark.parametrize(
    "named",
    [n for n in store.networks() if (n.family, n.role) != ("liu2018", "h_s")],
    ids=lambda n: n.name,
)
def test_networks_of_other_roles_are_damage(named: Network, small: Picture, payload: bytes) -> None:
    with pytest.raises(DamagedFileError, match=named.name):
        comrec.decode(reframed(small, payload, network_id=named.id))


def test_the_symbols_of_other_networks_are_damage(
    small: Picture, payload: bytes, tmp_path: Path
) -> None:
    real = network(METRICS[0], "h_s")
    others = wild(real.channels, real.channels * 2)
    with other_h_s(tmp_path, others, {}) as h_s, pytest.raises(DamagedFileError):
        comrec.decode(reframed(small, payload, network_id=h_s.id))


LATENTS = network(METRICS[0], "h_a").channels
PACKED = contexts_at_random(LATENTS).pack()


def in_base64(contexts: bytes) -> str:
    return base64.b64encode(contexts).decode()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"hyper_tables": None}, id="no tables"),
        pytest.param({"hyper_tables": "AAE"}, id="tables in no base64"),
        pytest.param({"hyper_tables": "AAEAAA=="}, id="tables cut short"),
        pytest.param({"hyper_tables": "AAA="}, id="tables of no channel"),
        pytest.param({"contexts": None}, id="no contexts"),
        pytest.param({"contexts": "AAE"}, id="contexts in no base64"),
        pytest.param({"contexts": ""}, id="contexts empty"),
        pytest.param({"contexts": in_base64(PACKED[:1000])}, id="contexts cut short"),
        pytest.param({"contexts": in_base64(PACKED[:3])}, id="contexts' head alone"),
        pytest.param(
            {"contexts": in_base64(contexts_at_random(LATENTS - 1).pack())}, id="too few channels"
        ),
        pytest.param(
            {"contexts": in_base64(contexts_at_random(LATENTS + 1).pack())}, id="too many channels"
        ),
        pytest.param({"g_s": None}, id="no g_s"),
        pytest.param({"g_a": "0" * 20}, id="another version's g_a"),
    ],
)
def test_incomplete_networks_are_named(
    changes: dict[str, str | None], small: Picture, payload: bytes, tmp_path: Path
) -> None:
    real = network(METRICS[0], "h_s")
    with other_h_s(tmp_path, wild(real.channels, real.channels * 2), changes) as h_s:
        with pytest.raises(WeightsError, match=r"reinstall|upgrade"):
            comrec.decode(reframed(small, payload, network_id=h_s.id))
        with pytest.raises(WeightsError, match=r"reinstall|upgrade"):
            Liu2018().encode(small, 50)


@pytest.mark.parametrize("count", [2, 3])
def test_there_is_one_payload(count: int, small: Picture, payload: bytes) -> None:
    named = network(METRICS[0], "h_s").id
    data = cmr_files.write(small, "liu2018", named, 50, [payload] * count)
    with pytest.raises(DamagedFileError, match=f"{count} payloads"):
        comrec.decode(data)


def test_a_file_cut_short_names_its_chunk(small: Picture) -> None:
    data = Liu2018().encode(small, 50)
    for length in (len(data) - 1, len(data) // 2):
        with pytest.raises(DamagedFileError, match=r"cut short.*DATA"):
            comrec.decode(data[:length])
    flipped = bytearray(data)
    flipped[-20] ^= 1
    with pytest.raises(DamagedFileError, match=r"DATA.*checksum"):
        comrec.decode(bytes(flipped))


@given(data=st.data())
@settings(max_examples=60)
def test_altered_payloads_are_damage(small: Picture, payload: bytes, data: st.DataObject) -> None:
    altered = bytearray(payload)
    if data.draw(st.booleans(), "cut"):
        del altered[data.draw(st.integers(0, len(altered) - 1)) :]
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(altered)))
        altered[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    try:
        decoded = files.decode(reframed(small, bytes(altered)))
    except DamagedFileError:
        assert altered != payload
    else:
        assert decoded.pixels.shape == small.pixels.shape


@given(
    height=st.integers(1, 200), width=st.integers(1, 200), hundredths=st.integers(0, 10_000),
    gray=st.booleans(),
)  # fmt: skip
@settings(max_examples=25)
def test_altered_headers_are_damage_or_change_the_picture(
    payload: bytes, height: int, width: int, hundredths: int, gray: bool
) -> None:
    blank = Picture(np.zeros((height, width) if gray else (height, width, 3), np.uint8))
    same_grid = -(-height // 16) == -(-38 // 16) and -(-width // 16) == -(-53 // 16)
    try:
        decoded = files.decode(reframed(blank, payload, hundredths / 100))
    except DamagedFileError:
        assert not same_grid
    else:
        assert same_grid
        assert decoded.pixels.shape == blank.pixels.shape


def test_hyper_latents_out_of_range_are_damage(small: Picture) -> None:
    """Only a forger's file has them: tables let any value through, h_s takes no such."""
    found = symbols(Liu2018().encode(small, 50))
    for value in (Z_LIMIT + 1, -Z_LIMIT - 1, LIMIT, -LIMIT):
        z = found.z.copy()
        z[5, 0, 0] = value
        forged = coded(dataclasses.replace(found, z=z))
        with pytest.raises(DamagedFileError, match="out of range"):
            comrec.decode(reframed(small, forged))


def test_latents_of_any_size_decode(small: Picture) -> None:
    """Only a forger's file has them: a picture, without warnings."""
    found = symbols(Liu2018().encode(small, 50))
    random = np.random.default_rng(3)

    def between(least: int, most: int) -> Callable[[tuple[int, ...]], Integers]:
        return lambda shape: random.integers(least, most + 1, shape)

    for least, most in ((LIMIT, LIMIT), (-LIMIT, -LIMIT), (-LIMIT, LIMIT)):
        forged = coded(found, between(least, most))
        for quality in (0, 100):
            image = comrec.decode(reframed(small, forged, quality))
            assert image.size == (small.width, small.height)


def test_alpha_of_another_size_is_damage(small: Picture) -> None:
    data = Liu2018().encode(Picture(small.pixels, np.zeros(small.pixels.shape[:2], np.uint8)), 50)
    taller = Picture(small.pixels[:-1], np.zeros((37, 53), np.uint8))
    other = Liu2018().encode(taller, 50)
    head = 8 + 12 + 24 + len("liu2018")
    with pytest.raises(DamagedFileError, match="ALPH"):
        comrec.decode(data[:head] + other[head:])

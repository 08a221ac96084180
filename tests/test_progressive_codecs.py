"""What the progressive codecs of features have in common: any picture, and damage."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import roundtrip
from hypothesis import given, settings
from hypothesis import strategies as st

from comrec import files
from comrec.errors import DamagedFileError, InputError, OptionError
from comrec.formats import cmr
from comrec.learned.progressive import ProgressiveCodec
from comrec.learned.rippel2017 import Rippel2017
from comrec.learned.toderici2017 import Toderici2017
from comrec.picture import Picture


class Case(NamedTuple):
    """A codec, and by how many grey levels it changes a flat picture, at most."""

    coder: ProgressiveCodec
    flat: int


CASES = Case(Rippel2017(), 5), Case(Toderici2017(), 16)
CODERS = [case.coder for case in CASES]


def name(coder: ProgressiveCodec) -> str:
    return coder.id


@pytest.fixture(scope="module", params=CODERS, ids=name)
def whole(request: pytest.FixtureRequest, wide: Picture) -> bytes:
    """The file of all that a codec writes."""
    coder: ProgressiveCodec = request.param
    return coder.encode(wide, 100)


@pytest.mark.parametrize("coder", CODERS, ids=name)
@given(data=st.data(), hundredths=st.integers(0, 10_000))
@settings(max_examples=15)
def test_any_picture_comes_back_in_its_size(
    coder: ProgressiveCodec, photo: Picture, data: st.DataObject, hundredths: int
) -> None:
    roundtrip.check(coder, data.draw(roundtrip.pictures(photo, 130)), hundredths)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.coder.id)
@pytest.mark.parametrize("shape", [(1, 1), (1, 90, 3), (90, 1, 3), (32, 32, 3), (65, 130)])
@pytest.mark.parametrize("value", [0, 127, 255])
def test_flat_pictures_of_any_size_stay_about_flat(
    case: Case, shape: tuple[int, ...], value: int
) -> None:
    picture = Picture(np.full(shape, value, np.uint8))
    decoded = case.coder.decode(case.coder.encode(picture, 100)).pixels
    assert decoded.shape == shape
    # At the corners of black and white, the convolutions' zeros show: networks know no edges.
    most = 60 if min(shape[:2]) == 1 else case.flat
    assert np.median(np.abs(decoded.astype(int) - value)) < most


@pytest.mark.parametrize("coder", CODERS, ids=name)
@pytest.mark.parametrize("quality", [-1, 100.5, float("nan")])
def test_qualities_out_of_range_are_refused(
    coder: ProgressiveCodec, quality: float, wide: Picture
) -> None:
    with pytest.raises(OptionError):
        coder.encode(wide, quality)


def test_a_size_that_its_bytes_cannot_hold_is_refused_at_once(whole: bytes) -> None:
    file = cmr.parse(whole)
    head = cmr.Header(file.header.codec, file.header.network, 16_000, 10_500, 3, 100)
    bomb = cmr.write(head, file.metadata, None, file.payloads[:4])
    with pytest.raises(DamagedFileError, match="cannot hold a picture of the size"):
        files.decode(bomb)


def test_bytes_beyond_the_stream_are_damage(whole: bytes) -> None:
    file = cmr.parse(whole)
    longer = cmr.write(file.header, file.metadata, None, [*file.payloads, b"more"])
    with pytest.raises(DamagedFileError, match="bytes of coded pixels, not"):
        files.decode(longer)


def test_too_few_bytes_are_damage(whole: bytes) -> None:
    for length in (0, 20, 49, 62, 66):
        with pytest.raises(InputError):
            files.decode(whole[:length], partial=True)


@given(at=st.integers(60, 3000), change=st.integers(1, 255))
@settings(max_examples=15)
def test_altered_pixels_are_noticed(at: int, change: int, whole: bytes) -> None:
    altered = bytearray(whole)
    altered[at % len(whole)] ^= change
    with pytest.raises(InputError):
        files.decode(bytes(altered))

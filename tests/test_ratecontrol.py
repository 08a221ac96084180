"""The smallest file that meets a budget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comrec import codec
from comrec.codec import Codec
from comrec.errors import OptionError
from comrec.picture import Picture
from comrec.ratecontrol import largest_within

PIXEL = Picture(np.zeros((1, 1), np.uint8))


class Steps(Codec):
    """A codec whose file sizes are given; it counts how often it is asked."""

    id, summary, extension = "steps", "", ".steps"

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes
        self.asked: list[float] = []

    def encode(self, picture: Picture, quality: float) -> bytes:
        assert 0 <= quality <= 100
        self.asked.append(quality)
        return bytes(self.sizes[int(quality)])

    def decode(self, data: bytes) -> Picture:
        raise AssertionError("rate control by bytes needs no decoding")


rising = st.lists(st.integers(0, 20), min_size=101, max_size=101).map(
    lambda increments: [int(size) + 1 for size in np.cumsum(increments)]
)


@given(sizes=rising, budget=st.integers(1, 1100), start=st.none() | st.integers(0, 100))
@settings(max_examples=300, deadline=None)
def test_the_highest_quality_that_fits_is_found_in_few_encodes(
    sizes: list[int], budget: int, start: int | None
) -> None:
    fake = Steps(sizes)
    fit = largest_within(fake, PIXEL, budget, start)
    fitting = [quality for quality, size in enumerate(sizes) if size <= budget]
    if fitting:
        assert fit is not None
        assert fit.quality == fitting[-1]
        assert len(fit.data) == sizes[fit.quality]
    else:
        assert fit is None
    assert len(fake.asked) <= (7 if start is None else 9)
    assert len(set(fake.asked)) == len(fake.asked)


def test_every_answer_is_found_from_every_hint() -> None:
    sizes = list(range(1, 102))
    for answer in range(101):
        for start in range(101):
            fit = largest_within(Steps(sizes), PIXEL, answer + 1, start)
            assert fit is not None
            assert fit.quality == answer


@pytest.mark.parametrize("answer", [0, 1, 50, 99, 100])
def test_a_right_hint_costs_two_encodes(answer: int) -> None:
    fake = Steps(list(range(1, 102)))
    fit = largest_within(fake, PIXEL, budget=answer + 1, start=answer)
    assert fit is not None
    assert fit.quality == answer
    assert len(fake.asked) <= 2


@pytest.mark.parametrize("budget", [1500, 4000, 9000])
def test_jpeg_agrees_with_trying_every_quality(budget: int, photo: Picture) -> None:
    jpeg = codec.get("jpeg", effort=1)
    sizes = [len(jpeg.encode(photo, quality)) for quality in range(101)]
    fit = largest_within(jpeg, photo, budget)
    assert fit is not None
    assert fit.quality == max(q for q, size in enumerate(sizes) if size <= budget)
    assert fit.data == jpeg.encode(photo, fit.quality)


def test_nothing_fits_a_tiny_budget(photo: Picture) -> None:
    assert largest_within(codec.get("jpeg"), photo, 50) is None


def test_a_budget_of_no_bytes_is_an_error() -> None:
    with pytest.raises(OptionError, match="0 bytes"):
        largest_within(Steps([1] * 101), PIXEL, 0)

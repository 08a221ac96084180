"""Searches for a quality: what they find, and how many encodes that takes."""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comrec import codec
from comrec.codec import Codec
from comrec.errors import TargetError
from comrec.picture import Picture
from comrec.ratecontrol import QualitySearch

PIXEL = Picture(np.zeros((1, 1), np.uint8))
PIXELS = 10_000


class Steps(Codec):
    """A codec whose file sizes are given by whole quality; it counts what it is asked."""

    id, summary, extension = "steps", "", ".steps"

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes
        self.asked: list[float] = []

    def encode(self, picture: Picture, quality: float) -> bytes:
        assert 0 <= quality <= 100
        self.asked.append(quality)
        return bytes(self.sizes[int(quality)])

    def decode(self, data: bytes, *, partial: bool = False) -> Picture:
        raise AssertionError("a search by size needs no decoding")

    def search_by(self, step: float | None = 1.0, pixels: int = PIXELS) -> QualitySearch:
        return QualitySearch(lambda quality: self.encode(PIXEL, quality), step, pixels)


rising = st.builds(
    lambda first, growth: [int(size) + 1 for size in accumulate(growth, initial=first)],
    st.integers(0, 2000),
    st.lists(st.integers(0, 50) | st.just(0) | st.integers(0, 3000), min_size=100, max_size=100),
)


@given(sizes=rising, share=st.floats(-0.1, 1.1), pixels=st.sampled_from([1, 10_000, 10**7]))
@settings(max_examples=300)
def test_a_size_is_never_exceeded_and_met_as_near_as_the_steps_allow(
    sizes: list[int], share: float, pixels: int
) -> None:
    fake = Steps(sizes)
    budget = max(1, int(sizes[0] + share * (sizes[-1] - sizes[0])))
    fit = fake.search_by(pixels=pixels).largest_within(budget)
    if sizes[0] > budget:
        assert fit is None
    else:
        assert fit is not None
        assert len(fit.data) == sizes[int(fit.quality)] <= budget
        fitting = max(quality for quality, size in enumerate(sizes) if size <= budget)
        assert fit.quality == fitting or len(fit.data) >= 0.98 * budget
        assert fit.encodes == len(fake.asked)
    assert len(fake.asked) <= 10
    assert len(set(fake.asked)) == len(fake.asked)


@given(sizes=rising, share=st.floats(0, 1), start=st.none() | st.floats(0, 100))
@settings(max_examples=300)
def test_a_thorough_search_finds_the_last_quality_that_fits(
    sizes: list[int], share: float, start: float | None
) -> None:
    fake = Steps(sizes)
    budget = int(sizes[0] + share * (sizes[-1] - sizes[0]))
    fit = fake.search_by(step=0.1).largest_within(budget, start, thorough=True)
    assert fit is not None
    last = max(quality for quality, size in enumerate(sizes) if size <= budget)
    assert fit.quality == min(100, last + 0.9)
    assert len(fake.asked) <= 22


@given(
    sizes=st.lists(st.integers(1, 3000), min_size=101, max_size=101), budget=st.integers(1, 3000)
)
def test_sizes_that_fall_with_quality_do_not_break_the_budget(
    sizes: list[int], budget: int
) -> None:
    fake = Steps(sizes)
    fit = fake.search_by().largest_within(budget)
    tried = [int(quality) for quality in fake.asked]
    fitting = [quality for quality in tried if sizes[quality] <= budget]
    assert (fit is None) == (not fitting)
    assert fit is None or fit.quality == max(fitting)
    assert len(tried) <= 10


@pytest.mark.parametrize("step", [100 / 63, 100 / 51, 2.0])
def test_a_codec_with_few_steps_is_asked_for_each_once(step: float) -> None:
    for level in range(round(100 / step) + 1):
        asked: list[int] = []

        def encode(quality: float, asked: list[int] = asked) -> bytes:
            asked.append(round(quality / step))
            return bytes(round(1000 * 1.05 ** asked[-1]))

        fit = QualitySearch(encode, step, PIXELS).largest_within(round(1000 * 1.05**level))
        assert fit is not None
        assert round(fit.quality / step) == level
        assert len(set(asked)) == len(asked) <= 9


@given(budget=st.integers(1000, 60_000))
def test_fine_steps_leave_at_most_2_percent(budget: int) -> None:
    search = QualitySearch(lambda quality: bytes(round(1000 * 1.042**quality)), 0.1, PIXELS)
    fit = search.largest_within(budget)
    assert fit is not None
    assert 0.98 * budget <= len(fit.data) <= budget
    assert fit.encodes <= 8


def test_where_quality_changes_nothing_one_encode_tells() -> None:
    fake = Steps([700] * 101)
    fit = fake.search_by(step=None).largest_within(700)
    assert fit is not None
    assert (len(fit.data), fit.encodes) == (700, 1)
    assert Steps([700] * 101).search_by(step=None).largest_within(699) is None


def test_a_second_search_begins_where_the_first_ended() -> None:
    fake = Steps([round(1000 * 1.03**quality) for quality in range(101)])
    search = fake.search_by()
    first = search.largest_within(5000)
    before = len(fake.asked)
    second = search.largest_within(5100, thorough=True)
    assert first is not None
    assert second is not None
    assert len(second.data) <= 5100 < fake.sizes[int(second.quality) + 1]
    assert len(fake.asked) <= before + 2


@given(
    rises=st.lists(st.floats(0, 1), min_size=101, max_size=101),
    target=st.floats(0, 60),
)
@settings(max_examples=200)
def test_a_fidelity_is_reached_by_no_more_than_it_takes(rises: list[float], target: float) -> None:
    levels = list(accumulate(rises))
    asked = []

    def encode(quality: float) -> bytes:
        asked.append(quality)
        return bytes([int(quality)]) * (1 + int(quality))

    fit = QualitySearch(encode, 1.0, PIXELS).smallest_reaching(
        lambda data: levels[data[0]], target, usual=20, close=0.05
    )
    reaching = [quality for quality, level in enumerate(levels) if level >= target]
    if not reaching:
        assert fit is None
    else:
        assert fit is not None
        level = levels[int(fit.quality)]
        assert level >= target
        assert level <= target + 0.05 or fit.quality == reaching[0]
    assert len(asked) <= 10


def test_photographs_take_few_encodes(photo: Picture) -> None:
    jpeg = codec.get("jpeg", effort=1)
    encodes = [
        jpeg.encode_within(photo, budget).encodes
        for budget in np.geomspace(3000, 30_000, 25).astype(int).tolist()
    ]
    assert sorted(encodes)[len(encodes) * 9 // 10] <= 8
    assert sum(encodes) / len(encodes) <= 5.5


def test_jpeg_agrees_with_trying_every_quality(photo: Picture) -> None:
    jpeg = codec.get("jpeg", effort=1)
    sizes = [len(jpeg.encode(photo, quality)) for quality in range(101)]
    assert all(smaller <= larger + 20 for smaller, larger in pairwise(sizes))
    for budget in (3000, 6000, 15_000):
        fit = jpeg.encode_within(photo, budget)
        last = max(quality for quality, size in enumerate(sizes) if size <= budget)
        assert fit.data == jpeg.encode(photo, fit.quality)
        assert fit.quality == last or len(fit.data) >= 0.98 * budget


def test_a_budget_too_small_tells_the_smallest_file() -> None:
    with pytest.raises(
        TargetError,
        match="at most 2,000 bytes cannot be met: steps's smallest file of this picture has 2,341 ",
    ):
        Steps([2341 + quality for quality in range(101)]).encode_within(PIXEL, 2000)

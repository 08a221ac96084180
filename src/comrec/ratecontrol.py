"""The best file within a budget, over any codec."""

from __future__ import annotations

from dataclasses import dataclass

from comrec.codec import Codec
from comrec.errors import OptionError
from comrec.picture import Picture


@dataclass(frozen=True)
class Fit:
    """A file and the quality that gave it."""

    data: bytes
    quality: int


def largest_within(
    codec: Codec, picture: Picture, budget: int, start: int | None = None
) -> Fit | None:
    """The file of the highest whole quality that has at most ``budget`` bytes.

    File size is taken to grow with quality. At most 7 encodes; no decoding.

    Args:
        start: a quality to try first, where it is likely the answer: 2 encodes if it is,
            at most 9 if it is not.
    Returns:
        None if even quality 0 is too large.
    """
    if budget < 1:
        raise OptionError(f"a budget of {budget} bytes holds no file")
    best: Fit | None = None
    low, high = 0, 100  # the answer, if any, is in low..high

    def attempt(quality: int) -> bool:
        nonlocal best
        data = codec.encode(picture, quality)
        if len(data) <= budget and (best is None or quality > best.quality):
            best = Fit(data, quality)
        return len(data) <= budget

    if start is not None:
        if attempt(start):
            if start == 100 or not attempt(start + 1):
                return best
            low = start + 2
        else:
            high = start - 1
    while low <= high:
        middle = (low + high) // 2
        if attempt(middle):
            low = middle + 1
        else:
            high = middle - 1
    return best

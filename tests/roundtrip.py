"""Pictures of all kinds through a learned codec and back."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from comrec import metrics
from comrec.codec import Codec
from comrec.formats import cmr
from comrec.picture import Metadata, Picture


@st.composite
def pictures(draw: st.DrawFn, photo: Picture, most: int) -> Picture:
    """A part of a photograph, of sides up to ``most``, gray or transparent or with metadata."""
    height, width = draw(st.integers(1, most)), draw(st.integers(1, most))
    metadata = draw(st.builds(Metadata, *[st.none() | st.binary(min_size=1, max_size=20)] * 3))
    pixels = photo.pixels[:height, :width].copy()
    alpha = np.random.default_rng(height).integers(0, 256, (height, width), np.uint8)
    if draw(st.booleans()):
        pixels = np.ascontiguousarray(pixels[..., 1])
    return Picture(pixels, alpha if draw(st.booleans()) else None, metadata)


def distance(decoded: Picture, original: Picture) -> float:
    """1 - MS-SSIM."""
    return 1 - metrics.ms_ssim(decoded.rgb, original.rgb)


def check(coder: Codec, picture: Picture, hundredths: int) -> None:
    """All but the values of the pixels comes back, and the same file is made again."""
    data = coder.encode(picture, hundredths / 100)
    decoded = coder.decode(data)
    header = coder.header(data)
    assert (header.width, header.height) == (picture.width, picture.height)
    assert cmr.header(data).quality == hundredths / 100
    assert decoded.pixels.shape == picture.pixels.shape
    assert decoded.pixels.dtype == np.uint8
    assert decoded.metadata == picture.metadata
    if picture.alpha is None:
        assert decoded.alpha is None
    else:
        assert decoded.alpha is not None
        assert np.array_equal(decoded.alpha, picture.alpha)
    assert coder.encode(picture, hundredths / 100) == data

"""The encoder jpegli: what sets it apart from `jpeg`, whose tests it shares."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image

import comrec
from comrec import codec, metrics
from comrec.errors import MissingExtraError
from comrec.formats import coding, detection, segments
from comrec.picture import Picture
from comrec.standard.jpegli import distance

pytest.importorskip("ajpegli")


def test_its_files_are_plain_jpeg_and_it_has_no_sandwich(photo: Picture) -> None:
    data = comrec.encode(photo, "jpegli", 50)
    assert detection.format_of(data) == "jpeg"
    assert comrec.info(data).codec == "jpeg"
    assert not {"comrec-jpegli", "jiang2017-jpegli"} & set(comrec.codecs())


def test_its_files_declare_their_colour_by_one_jfif_segment(photo: Picture) -> None:
    for picture in (photo, Picture(photo.pixels[..., 1].copy())):
        first, *others = segments.segments(codec.get("jpegli").encode(picture, 50))
        assert first[0] == 0xE0
        assert first[1].startswith(b"JFIF\0")
        assert 0xE0 not in [marker for marker, _ in others]


def test_quality_is_that_of_jpegli() -> None:
    assert [distance(q) for q in (0, 30, 90, 100)] == pytest.approx([25, 6.4, 1, 0.01])
    steps = np.diff([distance(q / 10) for q in range(1001)])
    assert (steps < 0).all()
    assert steps.min() > -0.12


def test_it_is_better_for_the_eye_than_jpeg_at_equal_bytes(photo: Picture) -> None:
    for rate in (0.6, 1.2):
        budget = int(rate * photo.width * photo.height / 8)
        similar = []
        for codec_id in ("jpeg", "jpegli"):
            one = codec.get(codec_id)
            data = one.encode_within(photo, budget).data
            similar.append(metrics.ms_ssim(one.decode(data).pixels, photo.pixels))
        assert 1 - similar[1] < 0.97 * (1 - similar[0])


def test_low_effort_is_baseline_and_otherwise_the_smaller_is_written(photo: Picture) -> None:
    fast, usual = (codec.get("jpegli", effort=effort) for effort in (2, 3))
    baseline = fast.encode(photo, 90)
    assert not Image.open(io.BytesIO(baseline)).info.get("progressive")
    smaller = usual.encode(photo, 90)
    assert len(smaller) < len(baseline)
    assert Image.open(io.BytesIO(smaller)).info.get("progressive")
    assert np.array_equal(fast.decode(baseline).pixels, usual.decode(smaller).pixels)
    dot = Picture(np.zeros((8, 8, 3), np.uint8))
    assert usual.encode(dot, 50) == fast.encode(dot, 50)


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_chroma_is_sampled_as_asked(subsampling: str, photo: Picture) -> None:
    data = codec.get("jpegli", subsampling=subsampling).encode(photo, 50)
    assert coding.of("jpeg", data).sampling == subsampling


def test_without_the_extra_the_install_line_is_told(
    photo: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = comrec.encode(photo, "jpegli", 50)
    monkeypatch.setitem(sys.modules, "ajpegli", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'comrec\[jpegli\]'$"):
        comrec.encode(photo, "jpegli")
    assert comrec.decode(data).size == (photo.width, photo.height)

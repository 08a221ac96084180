"""Files of released versions decode for ever."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import comrec

FOLDER = Path(__file__).parent / "golden"
FILES = sorted(
    path
    for path in FOLDER.iterdir()
    if path.suffix != ".md"
    and not path.name.endswith(".decoded.png")
    and (path.suffix != ".png" or path.with_suffix(".decoded.png").exists())
)


def expected(path: Path) -> Image.Image:
    beside = path.with_suffix(".decoded.png" if path.suffix == ".png" else ".png")
    return Image.open(beside)


def test_every_codec_has_a_golden_file() -> None:
    names = {comrec.info(path.read_bytes()).codec for path in FILES}
    plain = {"jpeg-tuned", "jpegli", "msroi-jpeg", "deepn-jpeg"}  # whose files are plain JPEG
    assert names >= set(comrec.codecs()) - plain


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_golden_file_decodes_as_it_did(path: Path) -> None:
    decoded = comrec.decode(path.read_bytes())
    with expected(path) as picture:
        assert decoded.mode == picture.mode
        assert decoded.size == picture.size
        difference = np.abs(np.asarray(decoded, np.int16) - np.asarray(picture, np.int16))
    # Floating point may move a sample by one level; decoders of the standards by one more.
    exact = "exact" in path.name  # networks whose head no runtime rounds
    assert difference.max() <= (1 if exact else 2)
    assert difference.mean() < (0.001 if exact else 0.1)

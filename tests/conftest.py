"""Photographs and metadata that several tests share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import browser as browsers
import hypothesis
import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageCms
from playwright.sync_api import Browser

import comrec
import comrec.standard  # registers the codecs
from comrec.picture import Metadata, Picture
from comrec.pillow_io import PLUGIN

pytest.register_assert_rewrite("liu2018", "roundtrip")  # helpers of several tests, with assertions

# A busy machine is no failure. The rest is as it was: in continuous integration, the same examples.
hypothesis.settings.register_profile("untimed", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("untimed")

# The background of a shell ignores Ctrl-C, and so would we, and all processes that we start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def photo() -> Picture:
    """A 256x192 RGB photograph."""
    return Picture(np.ascontiguousarray(skimage.data.chelsea()[40:232, 80:336]))


@pytest.fixture(scope="session")
def gray_photo() -> Picture:
    """A 256x192 gray photograph."""
    return Picture(np.ascontiguousarray(skimage.data.camera()[100:292, 140:396]))


@pytest.fixture(scope="session")
def wide() -> Picture:
    """A 384x256 RGB photograph: large enough for MS-SSIM."""
    pixels = np.asarray(skimage.data.astronaut(), np.uint8)
    return Picture(np.ascontiguousarray(pixels[20:276, 40:424]))


@pytest.fixture(scope="session")
def odd(photo: Picture) -> Picture:
    """A 187x121 photograph: sides that are no multiple of anything."""
    return Picture(photo.pixels[30:151, 40:227].copy())


@pytest.fixture(scope="session")
def metadata() -> Metadata:
    """EXIF with an orientation and a description, an sRGB profile, an XMP packet."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a cat"
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return Metadata(
        exif.tobytes(), icc, b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\xc3\xa9</x:xmpmeta>'
    )


@pytest.fixture
def pillow() -> Iterator[None]:
    """Pillow opens our files."""
    present = PLUGIN in Image.OPEN
    comrec.register_pillow()
    yield
    if not present:
        del Image.OPEN[PLUGIN]
        Image.ID.remove(PLUGIN)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """See `browser.chromium`. Of a module: meanwhile the thread has a running event loop."""
    with browsers.chromium() as found:
        yield found

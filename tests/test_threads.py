"""Many threads, and forked processes, that use codecs at once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import comrec
from comrec import codec
from comrec.errors import DamagedFileError
from comrec.inference import session, store
from comrec.picture import Picture

THREADS = 8
EVERY = ("jpeg-tuned", "comrec-jpeg", "comrec-webp", "jiang2017-jpeg", "liu2018:effort=5",
         "rippel2017:effort=5", "toderici2017:iterations=2")  # fmt: skip

FORKED = """
import os, sys
import numpy as np
import comrec

pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
data = comrec.encode(pixels, "comrec-webp:scale=1", 30)
before = np.asarray(comrec.decode(data))
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(np.asarray(comrec.decode(data)), before) else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("text", EVERY)
def test_eight_threads_on_one_codec_do_what_one_does(text: str, photo: Picture) -> None:
    coder = codec.parse(text)
    parts = [photo.cropped(8 * at, 4 * at, 96, 80) for at in range(4)]
    files = [coder.encode(part, 30) for part in parts]
    pixels = [coder.decode(data).pixels for data in files]

    def both(at: int) -> bool:
        data = coder.encode(parts[at % 4], 30)
        return data == files[at % 4] and np.array_equal(coder.decode(data).pixels, pixels[at % 4])

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(both, range(2 * THREADS)))


def test_threads_share_one_session_of_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    make, network = session._made, store.serving("comrec", "jpeg", "rec")
    begin = threading.Barrier(THREADS)

    def counting(wanted: store.Network) -> object:
        made.append(wanted.name)
        return make(wanted)

    def ask(_: int) -> object:
        begin.wait()
        return session.session(network)

    monkeypatch.setattr(session, "_made", counting)
    session.forget()
    with ThreadPoolExecutor(THREADS) as pool:
        found = set(map(id, pool.map(ask, range(THREADS))))
    assert len(found) == len(made) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_decodes_after_its_parent_did() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], timeout=100, check=False)
    assert done.returncode == 0


def test_pillows_limit_is_as_it_was_after_a_picture_beyond_it() -> None:
    before = Image.MAX_IMAGE_PIXELS
    data = b"P5 14000 14000 255\n" + bytes(10)  # 196 megapixels
    with pytest.raises(DamagedFileError, match="cut short"):
        comrec.encode(data, "jpeg")
    assert before == Image.MAX_IMAGE_PIXELS

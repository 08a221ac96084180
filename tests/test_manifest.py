"""A damaged list of networks, and networks that ONNX Runtime cannot use, are WeightsErrors."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import comrec
from comrec.cli import main
from comrec.errors import WeightsError
from comrec.inference import session, store

WHOLE = json.loads(store.MANIFEST.read_text(encoding="utf-8"))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the manifest is looked for; there is none yet."""
    path = tmp_path / "manifest.json"
    monkeypatch.setattr(store, "MANIFEST", path)
    store.networks.cache_clear()
    yield path
    store.networks.cache_clear()


def altered(**changes: Any) -> dict[str, Any]:
    """The manifest with changes to its second network; "absent" for those that it lacks."""
    whole = copy.deepcopy(WHOLE)
    entry = whole["networks"][1]
    for name, value in changes.items():
        entry[name] = value
        if value == "absent":
            del entry[name]
    return dict(whole)


DAMAGED: list[bytes | Any] = [
    b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b"5", b"[]", b"{}", b'{"networks": {}}',
    {"networks": [5]}, {"networks": [[]]},
    altered(name="absent"), altered(tile="absent"), altered(unknown=1), altered(name=5),
    altered(name="../../etc/passwd"), altered(name="a/b"), altered(name="a\\b"), altered(name=""),
    altered(name=".hidden"), altered(name="x" * 200), altered(name="a\0b"), altered(name="\ud800"),
    altered(sha256="00"), altered(sha256="*" * 64), altered(sha256=None), altered(patch_of=5),
    altered(patch_of="../x"), altered(com=[]), altered(up=0), altered(up=True), altered(up=1.5),
    altered(up=2, down=2), altered(tile=-4), altered(tile=10**30), altered(reach=-1),
    altered(conditioned=1), altered(training=[]), altered(training={"steps": "many"}),
]  # fmt: skip


@pytest.mark.parametrize("held", DAMAGED, ids=lambda held: str(held)[-60:] if held else "empty")
def test_a_damaged_manifest_is_a_weights_error(held: Any, elsewhere: Path) -> None:
    elsewhere.write_bytes(held if isinstance(held, bytes) else json.dumps(held).encode())
    with pytest.raises(WeightsError, match=r"^manifest\.json is damaged.*reinstall"):
        store.networks()


def test_a_missing_manifest_is_a_weights_error(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        with pytest.raises(WeightsError, match=r"manifest\.json"):
            store.networks()
        for action in ("list", "verify"):
            assert main(["models", action]) == 1
            assert "manifest.json" in capsys.readouterr().err
        elsewhere.mkdir(exist_ok=True)  # then it is no file


@given(data=st.data())
@settings(max_examples=150)
def test_no_manifest_raises_anything_else(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    values = st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
        ),
        max_leaves=6,
    )
    whole = {"networks": copy.deepcopy(WHOLE["networks"][:2])}
    entry = whole["networks"][data.draw(st.integers(0, 1))]
    for name in data.draw(st.lists(st.sampled_from(sorted(entry)), min_size=1, max_size=2)):
        entry[name] = data.draw(values)
    text = bytearray(json.dumps(whole).encode())
    if data.draw(st.booleans()):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("manifest") / "manifest.json"
    path.write_bytes(bytes(text))
    try:
        found = store.manifest(path)
    except WeightsError:
        return
    assert all(network.path.parent == store.FOLDER for network in found)


def test_without_a_manifest_the_standard_codecs_work() -> None:
    program = (
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from comrec.inference import store\n"
        "store.MANIFEST = Path('nowhere')\n"
        "import comrec\n"
        "data = comrec.encode(np.zeros((8, 8), np.uint8), 'jpeg')\n"
        "print(comrec.decode(data).size, comrec.info(data).codec)\n"
        "try:\n"
        "    comrec.encode(np.zeros((8, 8), np.uint8), 'liu2018')\n"
        "except comrec.errors.WeightsError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[0] == "(8, 8) jpeg", done.stderr
    assert "missing" in done.stdout.splitlines()[1]


@pytest.mark.parametrize("content", [b"", b"no ONNX file", b"\x08\x0a\x3a\xff\xff\xff\xff\x0f"])
def test_a_network_that_the_runtime_refuses_is_a_weights_error(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "FOLDER", tmp_path)
    sha256 = hashlib.sha256(content).hexdigest()
    network = dataclasses.replace(store.networks()[0], sha256=sha256)
    network.path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"cannot be used by onnxruntime .*upgrade") as told:
        session.session(network)
    assert "\n" not in str(told.value)


def test_an_input_that_a_network_does_not_take_is_a_weights_error() -> None:
    with pytest.raises(WeightsError, match="cannot be used"):
        session.run(store.networks()[0], {"nothing": np.zeros(3, np.float32)})


def test_encoding_with_a_damaged_manifest_names_it(elsewhere: Path) -> None:
    elsewhere.write_bytes(b"{")
    with pytest.raises(WeightsError, match=r"manifest\.json is damaged"):
        comrec.encode(np.zeros((8, 8, 3), np.uint8), "comrec-jpeg")

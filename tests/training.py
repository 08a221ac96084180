"""Small photographs, recipes and schemes to train learned codecs with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from comrec.inference import session as runtime
from comrec.inference import store
from comrec.train import recipe as recipes
from comrec.train.data import PhotoStore, list_photos
from comrec.train.recipe import Recipe
from comrec.train.schemes import SCHEMES, build
from comrec.train.schemes.base import Scheme

WIDTH = 16


def sample(name: str) -> NDArray[np.uint8]:
    """One of scikit-image's photographs, (H, W, 3)."""
    return np.asarray(getattr(skimage.data, name)(), np.uint8)


def photos(folder: Path, side: int, count: int = 3) -> Path:
    """A folder with so many photographs of this height."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, name in enumerate(("astronaut", "coffee", "cat")):
        pixels = sample(name)[:side, : side + 16 * at]
        if at < count:
            Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"{at}.png")
    return folder


def small(name: str, **changes: Any) -> Recipe:
    """A shipped recipe of small networks from scratch."""
    settings = {"width": WIDTH, "crop": 192, "batch": 2, "steps": 3, "start": "", **changes}
    return dataclasses.replace(recipes.load(name), **settings)


def recipe_file(folder: Path, name: str, **changes: Any) -> str:
    """A shipped recipe in a file, small; changes are values as TOML has them."""
    text = (recipes.FOLDER / f"{name}.toml").read_text()
    small_ones = {"crop": 64, "batch": 2, "steps": 3, "width": WIDTH, "validate_every": 2}
    kept = [
        line
        for line in text.splitlines()
        if line.split(" =")[0] not in {*small_ones, *changes, "enlarged", "start"}
    ]
    kept += [f"{key} = {value}" for key, value in {**small_ones, **changes}.items()]
    path = folder / f"{name}.toml"
    path.write_text("\n".join(kept))
    return str(path)


def scheme_of(recipe: Recipe, folder: Path) -> Scheme:
    """The scheme of a recipe, with the same few photographs to train and to score with."""
    made = PhotoStore(folder / "s", list_photos(photos(folder / "in", 208)), "RGB", recipe.crop)
    torch.manual_seed(1)
    return SCHEMES[recipe.scheme](recipe, build(recipe), made, made, "cpu")


@contextmanager
def exported(folder: Path) -> Iterator[None]:
    """With the networks of a folder as those of the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "FOLDER", folder)
        patch.setattr(store, "MANIFEST", folder / "manifest.json")
        store.networks.cache_clear()
        runtime.forget()
        yield
    store.networks.cache_clear()
    runtime.forget()


@contextmanager
def beside(folder: Path) -> Iterator[None]:
    """With the networks of a folder after those of the package, as when they are shipped."""
    both = folder.parent / "both"
    both.mkdir()
    entries: list[Any] = []
    for source in (store.FOLDER, folder):
        entries += json.loads((source / "manifest.json").read_text())["networks"]
        for path in source.glob("*.onnx*"):
            (both / path.name).symlink_to(path)
    (both / "manifest.json").write_text(json.dumps({"networks": entries}))
    with exported(both):
        yield


def products(network: nn.Module, *given: Any) -> int:
    """Multiplications of a network's convolutions."""
    total = 0

    def count(conv: nn.Module, _: Any, out: Tensor) -> None:
        nonlocal total
        assert isinstance(conv, nn.Conv2d)
        total += conv.weight[0].numel() * out.numel()

    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            part.register_forward_hook(count)
    with torch.no_grad():
        network(*given)
    return total

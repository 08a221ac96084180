"""Training g_s of `liu2018` alone, on the latents that files hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray
from training import beside, photos

from comrec.cli import main
from comrec.errors import OptionError
from comrec.formats import cmr
from comrec.inference import store, tiles
from comrec.learned.hyperprior import Networks
from comrec.learned.liu2018 import Liu2018
from comrec.metrics import psnr
from comrec.picture import Picture
from comrec.train import latents, learned, recipe, run
from comrec.train.data import PhotoStore, list_photos
from comrec.train.networks import resized

SIDE, PARTS = 64, 2


def recipe_file(folder: Path, name: str = "liu2018-6-decoder", **changes: float) -> str:
    """A shipped recipe in a file, for small patches; changes are values as TOML has them."""
    text = (recipe.FOLDER / f"{name}.toml").read_text()
    small = {"crop": SIDE, "patch": SIDE, "batch": 2, "improved_quality_bins": PARTS}
    if name == "liu2018-6-decoder":
        small["steps"] = 2
    lines = [line for line in text.splitlines() if line.split(" =")[0] not in small | changes]
    path = folder / "decoder.toml"
    path.write_text("\n".join([*lines, *(f"{k} = {v}" for k, v in (small | changes).items())]))
    return str(path)


def stored(folder: Path) -> PhotoStore:
    made = PhotoStore(folder / "s", list_photos(photos(folder / "in", 96)), "RGB", SIDE, SIDE)
    latents.add(made, "mse", (0, 100), PARTS, lambda items, total, label: items)
    return made


def synthesised(y: NDArray[np.float32], quality: float) -> NDArray[np.uint8]:
    """The picture that the package's current g_s makes of latents."""
    g_s = Networks.trained_for("liu2018", "mse").g_s
    (planes,) = tiles.apply(g_s, y, quality, np.ascontiguousarray, tiles.to_pixels)
    found: NDArray[np.uint8] = planes.transpose(1, 2, 0)
    return found


def test_patches_come_with_the_latents_of_their_files(tmp_path: Path) -> None:
    made = stored(tmp_path)
    wanted = [(2, 0), (0, 1), (2, 1)]
    original, y, quality = latents.take(made, wanted)
    assert original.shape == (3, 3, SIDE, SIDE)
    assert y.shape == (3, 192, SIDE // 16, SIDE // 16)
    assert (quality[0] < 0.5) & (quality[1:] >= 0.5).all()
    for x, latent, told in zip(original, y, quality, strict=True):
        picture = Picture(np.rint(x.permute(1, 2, 0).numpy() * 255).astype(np.uint8))
        data = Liu2018().encode(picture, 100 * float(told))
        shown = Liu2018().decode(data).pixels
        assert (
            psnr(synthesised(latent.numpy(), 100 * float(told)), shown) > 60
        )  # alike, but for a rounded quality


@pytest.mark.train
def test_another_decoder_shows_the_files_of_before_as_before(tmp_path: Path) -> None:
    """At a learning rate of 0: its new blocks change nothing yet, and files name their own."""
    folder, out = photos(tmp_path / "in", 96), tmp_path / "out"
    path = recipe_file(tmp_path, rate=0, finest_blocks=6)
    arguments = ["train", path, "--data", str(folder), "-o", str(out)]
    assert main(arguments) == 0
    made = store.manifest(out / "weights" / "manifest.json")
    assert [network.role for network in made] == ["g_s", "gradient", "h_s"]
    sizes = [path.stat().st_size for path in sorted((out / "weights").glob("*.patch"))]
    g_s, gradient, h_s = sizes
    assert g_s < 1_200_000  # of 4.6 MB
    assert gradient < 50_000
    assert h_s < 150_000  # of 1.4 MB; its tables

    picture = Picture(np.asarray(skimage.data.astronaut(), np.uint8)[:96, 60:140].copy())
    plain, fast = Liu2018().encode(picture, 50), Liu2018(effort=5).encode(picture, 50)
    before = Liu2018().decode(plain).pixels
    _, y = Liu2018().latents(cmr.parse(plain))
    with beside(out / "weights"):
        assert np.array_equal(Liu2018().decode(plain).pixels, before)
        assert psnr(synthesised(y, 50)[:96, :80], before) > 55
        now = Liu2018().encode(picture, 50)
        assert cmr.header(now).network != cmr.header(plain).network
        assert psnr(Liu2018().decode(now).pixels, picture.pixels) > 30
        assert Liu2018(effort=5).encode(picture, 50) == fast  # whose latents it has not seen


@pytest.mark.train
def test_a_decoder_learns_from_refined_latents(tmp_path: Path) -> None:
    """Better on the patches that it learns from; a decoder of other latents would not be."""
    folder, out = photos(tmp_path / "in", 96), tmp_path / "out"
    common = ["--data", str(folder), "--validation", str(folder), "-o", str(out)]
    path = recipe_file(tmp_path, steps=60, validate_every=60, rate=4e-4)
    assert main(["train", path, *common]) == 0
    scores = store.manifest(out / "weights" / "manifest.json")[0].training["scores"]

    made = PhotoStore(out / "data" / "validation", list_photos(folder), "RGB", SIDE, SIDE, 0.25)
    latents.add(made, "mse", (0, 100), PARTS, lambda items, total, label: items)
    g_s = learned.Synthesis(128)
    g_s.load_state_dict(run.parameters_of("liu2018-mse", {"g_s"})["g_s"], strict=False)
    for part, name in enumerate(("psnr_25", "psnr_75")):
        original, y, quality = latents.take(made, [(patch, part) for patch in range(3)])
        with torch.no_grad():
            squares = (g_s(y, quality).clamp(0, 1) - original).square().flatten(1).mean(1)
        before = float((-10 * torch.log10(squares)).mean())
        assert scores[name] > before + 0.05


@pytest.mark.train
def test_tables_alone_are_counted_anew(tmp_path: Path) -> None:
    """They save bytes where they were counted."""
    folder, out = photos(tmp_path / "in", 96), tmp_path / "out"
    path = recipe_file(tmp_path, "liu2018-8-perceptual-tables", improved_quality_bins=8)
    arguments = ["--data", str(folder), "--validation", str(folder), "-o", str(out)]
    assert main(["train", path, *arguments]) == 0
    made = store.manifest(out / "weights" / "manifest.json")
    assert [network.role for network in made] == ["h_s"]

    before = Networks.trained_for("liu2018", "perceptual")
    counted = PhotoStore(out / "data" / "training", list_photos(folder), "RGB", SIDE, SIDE, 0.25)
    latents.add(counted, "perceptual", (0, 100), 8, lambda items, total, label: items)
    with beside(out / "weights"):
        now = Networks.trained_for("liu2018", "perceptual")
        sizes = np.zeros(2)
        for each in latents.coded(counted, before, 24):
            parts = each.y, each.z.astype(np.int32), (each.index, each.mean)
            sizes += [len(networks.encode(*parts)) for networks in (now, before)]
    assert sizes[0] < 0.95 * sizes[1]


def test_new_blocks_change_nothing() -> None:
    torch.manual_seed(0)
    small, large = learned.Synthesis(16, 3), learned.Synthesis(16, 5)
    torch.nn.init.normal_(small.tail.weight)
    large.load_state_dict(resized(small.state_dict(), large))
    y, quality = torch.randn(1, 24, 3, 4), torch.tensor([0.3])
    assert torch.allclose(large(y, quality), small(y, quality), atol=1e-6)


def test_a_recipe_that_has_no_latents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="patch of the side of the crop"):
        recipe.load(recipe_file(tmp_path, patch=128))
    with pytest.raises(OptionError, match="improved_quality_bins"):
        recipe.load(recipe_file(tmp_path, improved_quality_bins=0))

"""Training `rippel2017`: networks, what planes cost, cuts, the paper's schemes, export."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import skimage.data
import torch
from torch import Tensor, nn
from training import WIDTH, beside, exported, photos, products, recipe_file, scheme_of, small

from comrec.cli import main
from comrec.entropy.planes import LATTICES, PLANES, PlaneModel, network_of
from comrec.errors import OptionError
from comrec.inference import store
from comrec.learned.rippel2017 import Networks, Rippel2017
from comrec.metrics import psnr
from comrec.picture import Picture
from comrec.train import export, learned, plane_tables, planes, rippel2017, run, storage
from comrec.train import recipe as recipes
from comrec.train.data import PhotoStore, list_photos
from comrec.train.recipe import Recipe
from comrec.train.schemes import adaptive, bitplanes, build
from comrec.train.schemes.bitplanes import BitPlanes
from comrec.train.schemes.finer import Finer
from comrec.train.schemes.paired import Judge

RECIPES = [name for name in recipes.shipped() if name.startswith("rippel2017")]
CHANNELS = learned.latents(WIDTH)


def bit_planes(recipe: Recipe, folder: Path) -> BitPlanes:
    scheme = scheme_of(recipe, folder)
    assert isinstance(scheme, BitPlanes)
    return scheme


def shaken(module: nn.Module, seed: int = 0) -> nn.Module:
    """Parameters that are anything, as after training."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            size = parameter.abs().mean() + 0.02
            parameter.add_(0.5 * size * torch.randn_like(parameter))
    return module


def latents(height: int = 6, width: int = 8, seed: int = 0) -> Tensor:
    scale = torch.logspace(-1, 1.7, CHANNELS).view(1, -1, 1, 1)
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, CHANNELS, height, width, generator=generator) * scale


# the networks


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160)])
def test_the_networks_shapes_fit_together(height: int, width: int) -> None:
    g_a, g_s = shaken(rippel2017.Analysis(WIDTH)), shaken(rippel2017.Synthesis(WIDTH))
    y = g_a(torch.rand(2, 3, height, width))
    assert y.shape == (2, CHANNELS, height // 16, width // 16)
    assert g_s(y, torch.tensor([0.1, 1.0])).shape == (2, 3, height, width)


def test_every_scale_reaches_the_latents_and_the_picture() -> None:
    """Six scales are aligned and added; none is cut off."""
    g_a = shaken(rippel2017.Analysis(WIDTH))
    g_s = shaken(rippel2017.Synthesis(WIDTH))
    y = g_a(torch.rand(1, 3, 64, 64))
    g_s(y, torch.ones(1)).square().mean().backward()
    assert isinstance(g_a, rippel2017.Analysis)
    assert len(g_a.align) + 2 == 6  # and the first and the coarsest
    for module in (g_a, g_s):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_training_starts_as_a_transform() -> None:
    """What comes back of a smooth picture, before any step."""
    g_a, g_s = rippel2017.Analysis(128), rippel2017.Synthesis(128)
    ramp = torch.linspace(0.2, 0.8, 64).expand(1, 3, 64, 64).contiguous()
    with torch.no_grad():
        back = g_s(g_a(ramp), torch.ones(1))
    assert (back - ramp).abs().mean() < 0.01


def test_the_decoder_costs_less_than_50_kmac_a_pixel() -> None:
    g_s = rippel2017.Synthesis(128)
    total = products(g_s, torch.zeros(1, learned.latents(128), 4, 4), torch.ones(1))
    assert 30_000 < total / 64**2 < 50_000


def test_the_networks_of_liu2018_are_taken_over_unchanged() -> None:
    old = {"g_a": shaken(learned.Analysis(WIDTH)), "g_s": shaken(learned.Synthesis(WIDTH))}
    pair = nn.ModuleDict({"g_a": rippel2017.Analysis(WIDTH), "g_s": rippel2017.Synthesis(WIDTH)})
    with torch.no_grad():
        # Steps that halve from one anchor to the next, as gains do roughly.
        gains = torch.linspace(0, 3.5, 8).view(-1, 1).expand(8, CHANNELS)
        old["g_a"].get_parameter("gain.log").copy_(gains)
    rippel2017.adopt(pair, old["g_a"].state_dict(), old["g_s"].state_dict())
    x, best = torch.rand(1, 3, 64, 64), torch.ones(1)
    with torch.no_grad():
        y = old["g_a"](x, best)
        assert torch.allclose(pair["g_a"](x), y, atol=1e-4)
        assert torch.allclose(pair["g_s"](y, best), old["g_s"](y, best), atol=1e-4)
        # At a quality whose steps are twice as large, the same latents in the finest steps.
        quality = 1 - np.log(2) / 3.5
        coarse = old["g_a"](x, torch.tensor([quality]).float())
        assert torch.allclose(coarse, y / 2, atol=1e-3)
        expected = old["g_s"](coarse, torch.tensor([quality]).float())
        found = pair["g_s"](y, torch.tensor([1 - 1 / (PLANES - 1)]))
        assert torch.allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("role", ["g_a", "g_s"])
def test_a_samples_reach_is_as_stated(role: str) -> None:
    align, reach, tile = export.LEARNED_GEOMETRY["rippel2017"][role]
    assert tile % align == 0
    module = shaken(build(small(RECIPES[0]))[role])
    side = 1024 if role == "g_a" else 64
    x = torch.rand(1, 3 if role == "g_a" else CHANNELS, side, side, requires_grad=True)
    out = module(x) if role == "g_a" else module(x, torch.ones(1))
    at = out.shape[-1] // 2
    place = slice(at, at + max(1, out.shape[-1] // side))
    out[..., place, place].abs().sum().backward()
    assert x.grad is not None
    touched = x.grad.abs().sum((0, 1)).nonzero()
    centre, span = (at * side // out.shape[-1], max(1, side // out.shape[-1]))
    assert centre - reach <= touched.min()
    assert touched.max() <= centre + span - 1 + reach


# what planes cost


def predictors(seed: int = 0) -> planes.Planes:
    found = planes.Planes(CHANNELS)
    found.begin(latents())
    shaken(found, seed)
    return found


def test_the_runtime_computes_the_integers_of_the_predictors() -> None:
    module = predictors()
    session = onnxruntime.InferenceSession(
        planes.to_onnx(module, {}), providers=["CPUExecutionProvider"]
    )
    random = np.random.default_rng(0)
    for at, lattice in ((0, 0), (2, 1), (5, 3)):
        number = network_of(at, lattice)
        channels = random.permutation(CHANNELS)[:9]
        levels = np.zeros((1, 2 * CHANNELS, 9, 11), np.uint8)
        for channel in channels:
            side = random.integers(0, 2, (9, 11))
            size = random.integers(0, 128, (9, 11))
            levels[0, 2 * channel], levels[0, 2 * channel + 1] = size * side, size * (1 - side)
        feed = {"levels": levels, "number": np.array(number), "channels": channels}
        found = session.run(None, feed)
        with torch.no_grad():
            expected = module.predictors[number](torch.from_numpy(levels).float())
        for ours, theirs in zip(found, expected, strict=True):
            assert np.array_equal(ours, theirs.numpy()[:, channels])
        assert found[0].std() > 0


def test_the_estimate_is_about_what_the_coder_writes(tmp_path: Path) -> None:
    """With tables counted on the same latents, files are no longer than the Laplacians say."""
    module = predictors()
    y = latents(16, 16, seed=3)
    predict = export.predictor(planes.to_onnx(module, {}))
    crops = [crop.numpy() for crop in y]
    model = plane_tables.fit(crops, module.order.numpy(), predict, PLANES)
    with torch.no_grad():
        bits = module(y, torch.full((2,), PLANES))[0].sum()
    written = sum(8 * len(model.encode(crop, predict, 1.0)) for crop in crops)
    assert 0.5 * bits < written < 1.02 * bits
    assert PlaneModel.unpack(model.pack()).tables == model.tables


def test_predictors_learn_from_what_planes_cost() -> None:
    module = predictors()
    optimiser = torch.optim.Adam(module.parameters(), 0.01)
    y = latents(8, 8)
    y[:, :, :, 1::2] = y[:, :, :, ::2]  # neighbours tell
    costs = []
    for _ in range(25):
        bits = module(y, torch.full((2,), PLANES))[0].sum()
        optimiser.zero_grad()
        bits.backward()
        optimiser.step()
        costs.append(float(bits.detach()))
    assert costs[-1] < 0.9 * costs[0]


def test_smaller_latents_cost_less_and_the_gradient_says_so() -> None:
    module = predictors()
    y = latents().requires_grad_()
    everything = torch.full((2,), PLANES)
    module(y, everything)[0].sum().backward()
    assert y.grad is not None
    assert (y.grad * y.detach()).sum() > 0
    with torch.no_grad():
        assert module(0.7 * y, everything)[0].sum() < module(y, everything)[0].sum()


def test_planes_that_are_not_wanted_cost_nothing() -> None:
    bits, early = predictors()(latents(), torch.tensor([1, 4]))
    used = bits.sum((2, 3, 4)) > 0
    assert used.tolist() == [[True] + 5 * [False], 4 * [True] + 2 * [False]]
    assert early.dtype == torch.bool


def test_what_is_cut_off_is_unknown(tmp_path: Path) -> None:
    """At a place in a plane, first what comes early, and in that the first lattices."""
    scheme = bit_planes(small("rippel2017-1-msssim"), tmp_path)
    early = torch.rand(1, CHANNELS, 4, 4) < 0.3
    for share, lattices in ((0.125, 1), (0.25, 2), (0.5, 4)):
        coded = scheme._coded(early, torch.tensor([share]))
        expected = torch.zeros_like(early)
        for top, left in LATTICES[:lattices]:
            expected[..., top::2, left::2] = early[..., top::2, left::2]
        assert torch.equal(coded, expected)
    assert scheme._coded(early, torch.tensor([0.999])).float().mean() > 0.95
    y = latents()
    assert torch.equal(planes.truncated(y, torch.tensor(PLANES + 9)), torch.zeros_like(y))


# the schemes


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("step", [0, bitplanes.WARM_UP])
def test_a_recipe_trains_what_it_should(name: str, step: int, tmp_path: Path) -> None:
    scheme = bit_planes(small(name), tmp_path)
    loss = scheme.step_loss(np.random.default_rng(0), step)
    torch.autograd.backward(loss)
    assert loss.isfinite()
    reached = {
        role
        for role, module in scheme.pair.items()
        if any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    }
    expected = {"planes"}
    if (step and name.endswith("msssim")) or name.endswith("adaptive"):
        expected |= {"g_a", "g_s"}
    if name.endswith("perceptual"):
        expected = {"g_s", "discriminator"}  # which is not yet right
    assert reached == expected


def test_a_finer_plane_changes_none_of_those_before(tmp_path: Path) -> None:
    recipe = small("rippel2017-2-finer")
    old = build(recipe)
    for number, module in enumerate(old.values()):
        shaken(module, number)
    own = old["planes"]
    assert isinstance(own, planes.Planes)
    own.begun.fill_(True)
    x = torch.rand(1, 3, 64, 64)
    made = PhotoStore(tmp_path / "s", list_photos(photos(tmp_path / "in", 208)), "RGB", 192)
    scheme = Finer(recipe, copy.deepcopy(old), made, made, "cpu")
    assert scheme.planes.count == PLANES + 1
    with torch.no_grad():
        y = old["g_a"](x)
        assert torch.allclose(scheme.pair["g_a"](x), 2 * y, rtol=1e-4, atol=1e-4)
        for plane in range(PLANES):
            known = planes.truncated(y, torch.tensor(PLANES - 1 - plane))
            before = old["g_s"](known, torch.tensor([plane / (PLANES - 1)]))
            after = scheme.pair["g_s"](2 * known, torch.tensor([plane / PLANES]))
            assert torch.allclose(after, before, atol=1e-4)
        cost = own(y, torch.full((1,), PLANES))[0]
        finer = scheme.planes(2 * y, torch.full((1,), PLANES + 1))[0]
    assert torch.allclose(finer[:, :-1], cost, atol=1e-3)


def test_the_regulariser_follows_the_code_length() -> None:
    feedback = adaptive.Feedback()
    before = float(feedback.alpha)
    feedback.follow(torch.tensor(2.0), 1.0)
    assert float(feedback.alpha) > before
    feedback.follow(torch.tensor(0.5), 1.0)
    feedback.follow(torch.tensor(0.5), 1.0)
    assert float(feedback.alpha) == pytest.approx(before, rel=1e-3)


def test_the_papers_code_length_is_less_for_small_and_smooth_latents() -> None:
    rough = torch.randn(1, 4, 8, 8) * 8
    assert adaptive.codelength(rough / 2) < adaptive.codelength(rough)
    smooth = rough.mean((2, 3), keepdim=True).sign() * torch.full_like(rough, 6.0)
    assert adaptive.codelength(smooth) < adaptive.codelength(rough)


def test_one_rate_is_reached(tmp_path: Path) -> None:
    """The feedback drives the code length towards its target."""
    scheme = bit_planes(small("rippel2017-adaptive", bpp=0.05), tmp_path)
    feedback = scheme.pair["feedback"]
    assert isinstance(feedback, adaptive.Feedback)
    for step in range(3):
        scheme.step_loss(np.random.default_rng(step), step)
    assert float(feedback.log) == pytest.approx(np.log(1e-3) + 3 * 0.05)
    assert np.isfinite(scheme.validate()["loss"])


@pytest.mark.parametrize(
    ("accuracy", "turns"), [(0.6, [True, True]), (0.9, [True, False]), (0.97, [False, False])]
)
def test_who_learns_is_decided_by_accuracy(accuracy: float, turns: list[bool]) -> None:
    judge = Judge()
    judge.accuracy.fill_(accuracy)
    assert [judge.learns(step) for step in (0, 1)] == turns


def test_gradients_go_to_who_learns() -> None:
    judge = Judge()
    original, picture = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64, requires_grad=True)
    swapped = torch.tensor([True, False])
    torch.autograd.backward(judge.loss(original, picture, swapped, learns=True).sum())
    assert picture.grad is None
    assert all(p.grad is not None for p in judge.network.parameters())
    judge.zero_grad()
    torch.autograd.backward(judge.loss(original, picture, swapped, learns=False).sum())
    assert picture.grad is not None
    assert all(p.grad is None for p in judge.network.parameters())


def test_the_discriminator_learns_which_is_the_original() -> None:
    torch.manual_seed(0)
    judge = Judge()
    optimiser = torch.optim.Adam(judge.parameters(), 3e-3)
    random = torch.Generator().manual_seed(0)
    for _ in range(60):
        original = torch.rand(8, 3, 32, 32, generator=random)
        smooth = nn.functional.avg_pool2d(original, 3, 1, 1)
        swapped = torch.rand(8, generator=random) < 0.5
        optimiser.zero_grad()
        torch.autograd.backward(judge.loss(original, smooth, swapped, learns=True).mean())
        optimiser.step()
    assert float(judge.accuracy) > 0.95


# a run


@pytest.mark.train
def test_a_run_exports_what_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bitplanes, "_COUNTED", 3)
    folder = photos(tmp_path / "in", 208)
    recipe = recipe_file(tmp_path, "rippel2017-1-msssim", crop=192, steps=2)
    out = tmp_path / "out"
    assert main(["train", recipe, "--data", str(folder), "-o", str(out)]) == 0

    entries = json.loads((out / "weights" / "manifest.json").read_text())["networks"]
    assert [entry["role"] for entry in entries] == ["g_a", "g_s", "gradient", "planes"]
    with exported(out / "weights"):
        pixels = np.asarray(skimage.data.astronaut(), np.uint8)[:150, 60:260].copy()
        coder = Rippel2017()
        data = coder.encode(Picture(pixels), 100)
        assert psnr(coder.decode(data).pixels, pixels) > 25
        assert Networks.trained_for("rippel2017", "ms-ssim").gradient is not None
    pair = build(recipes.load(recipe))
    run.go_on_from(pair, out)


@pytest.mark.train
def test_a_decoder_of_its_own_is_exported_beside_the_networks_it_started_from(
    tmp_path: Path,
) -> None:
    """Same bits, other pictures; and little is stored twice."""
    folder = photos(tmp_path / "in", 208)
    text = (recipes.FOLDER / "rippel2017-3-perceptual.toml").read_text()
    changes = {"crop": 192, "batch": 1, "steps": 1}
    kept = [line for line in text.splitlines() if line.split(" =")[0] not in changes]
    recipe = tmp_path / "short.toml"
    recipe.write_text("\n".join([*kept, *(f"{k} = {v}" for k, v in changes.items())]))
    out = tmp_path / "out"
    assert main(["train", str(recipe), "--data", str(folder), "-o", str(out)]) == 0
    made = store.manifest(out / "weights" / "manifest.json")
    assert [network.role for network in made] == ["g_s", "planes"]
    decoder, named = sorted((out / "weights").glob("*.patch"))
    assert decoder.stat().st_size < 5e6  # after one step; 8.9 MB whole
    assert named.stat().st_size < 5000

    pixels = np.asarray(skimage.data.astronaut(), np.uint8)[:192, 60:252].copy()
    plain = Rippel2017(effort=5)  # of seven planes, not six
    with beside(out / "weights"):
        ours = Rippel2017(metric="perceptual", effort=5)
        files = [codec.encode(Picture(pixels), q) for codec, q in ((plain, 41.67), (ours, 50))]
        assert Networks.trained_for("rippel2017", "perceptual").gradient is not None
        shown = [plain.decode(data).pixels for data in files]  # which name their networks
    assert abs(len(files[0]) - len(files[1])) < 4  # the networks' names
    assert 50 < psnr(*shown) < np.inf


def test_a_start_that_is_not_there_is_refused() -> None:
    with pytest.raises(OptionError, match="no networks of the package are called 'rippel2016'"):
        run.parameters_of("rippel2016", {"g_a"})


def test_a_start_is_not_taken_for_another_whose_name_begins_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """jiang2017-jpeg is not jiang2017-jpeg2000, though that comes last."""
    jpeg, other = (store.find("jiang2017", codec, "rec", up=2) for codec in ("jpeg", "jpeg2000"))
    assert jpeg is not None
    assert other is not None
    monkeypatch.setattr(store, "networks", lambda: (jpeg, other))
    (found,) = run.parameters_of("jiang2017-jpeg", {"rec"}).values()
    expected = storage.weights_of(jpeg.load())
    assert all(torch.equal(found[name], value) for name, value in expected.items())

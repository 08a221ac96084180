"""Training `toderici2017` as published: units, networks, iterations, losses, tiles, a run."""

from __future__ import annotations

import dataclasses
import io
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from training import photos, products, recipe_file, sample, scheme_of, small

from comrec.cli import main
from comrec.errors import DamagedFileError, OptionError
from comrec.train import export, losses, residuals, residuals_onnx
from comrec.train import recipe as recipes
from comrec.train.data import PhotoStore, list_photos
from comrec.train.recipe import Recipe
from comrec.train.recurrent import UNITS, State, Unit
from comrec.train.residuals import BITS, Binariser, Decoder, Encoder
from comrec.train.schemes import SCHEMES, build
from comrec.train.schemes.recurrent import Recurrent

RECIPES = ["toderici2017-johnston", "toderici2017-published"]
RECONSTRUCTIONS = ["one-shot", "additive", "scaling"]
WIDTH = 32


def tiny(**changes: Any) -> Recipe:
    settings = {"width": WIDTH, "crop": 32, "iterations": 4, **changes}
    return small("toderici2017-published", **settings)


def made(recipe: Recipe, seed: int = 0) -> nn.ModuleDict:
    torch.manual_seed(seed)
    return build(recipe)


def picture(count: int = 2, height: int = 32, width: int = 48) -> Tensor:
    pixels = np.stack([sample("astronaut")[:height, 60 * i : 60 * i + width] for i in range(count)])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def coded(parts: nn.ModuleDict, recipe: Recipe, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Bits and pictures of all iterations."""
    with torch.no_grad():
        steps = list(residuals.code(parts.eval(), recipe, x))
    return [bits for bits, _ in steps], [shown for _, shown in steps]


def alone(parts: nn.ModuleDict, recipe: Recipe, bits: list[Tensor]) -> list[Tensor]:
    with torch.no_grad():
        return list(residuals.decode(parts.eval(), recipe, bits))


# the units


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize(("stride", "memory"), [(1, 3), (2, 1)])
def test_a_unit_keeps_the_shapes_of_its_state(name: str, stride: int, memory: int) -> None:
    unit = UNITS[name](6, 8, memory=memory, stride=stride)
    x = torch.randn(2, 6, 9, 12)
    state = unit.start(x)
    assert len(state) == unit.parts
    assert all((part == 0).all() for part in state)
    out, after = unit(x, state)
    assert out.shape == (2, 8, -(-9 // stride), 12 // stride)
    assert [part.shape for part in after] == [part.shape for part in state]
    again, _ = unit(x, after)
    assert not torch.allclose(again, out)  # the state matters


def driven(unit: Unit, steps: int = 200) -> Tensor:
    """Its outputs under strong input."""
    torch.manual_seed(0)
    state = unit.start(torch.zeros(1, 6, 4, 4))
    outputs = []
    with torch.no_grad():
        for _ in range(steps):
            out, state = unit(5 * torch.randn(1, 6, 4, 4), state)
            outputs.append(out)
    return torch.stack(outputs)


@pytest.mark.parametrize("name", ["lstm", "gru", "associative-lstm"])
def test_outputs_stay_within_one(name: str) -> None:
    torch.manual_seed(0)
    out = driven(UNITS[name](6, 8))
    if name == "associative-lstm":  # complex numbers
        out = torch.hypot(*out.chunk(2, 2))
    assert 0.1 < out.abs().max() <= 1 + 1e-5


def test_a_residual_grus_output_does_not_run_away() -> None:
    torch.manual_seed(0)
    out = driven(UNITS["residual-gru"](6, 8), 400)
    assert out.abs().max() < 5
    assert out[200:].std() == pytest.approx(float(out[:200].std()), rel=0.2)


@pytest.mark.parametrize("name", UNITS)
def test_gradients_reach_all_parameters_of_a_unit(name: str) -> None:
    torch.manual_seed(0)
    unit = UNITS[name](6, 8)
    x = torch.randn(2, 6, 5, 5)
    state: State = unit.start(x)
    for _ in range(2):
        out, state = unit(x, state)
    torch.autograd.backward(out.square().sum())
    for parameter, value in unit.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.abs().sum() > 0, parameter


# the networks


def test_the_published_networks_are_as_large_as_the_papers() -> None:
    """35 million parameters, .18 and .54 million multiplications for a pixel in an iteration."""
    recipe = recipes.load("toderici2017-published")
    assert (recipe.width, recipe.unit, recipe.iterations) == (512, "lstm", 16)
    parts = build(recipe)
    assert sum(p.numel() for p in parts.parameters()) == pytest.approx(35.4e6, rel=0.01)
    encoder, decoder = parts["encoder"], parts["decoder"]
    assert isinstance(encoder, Encoder)
    assert isinstance(decoder, Decoder)
    side = 32
    with torch.no_grad():
        x, bits = torch.zeros(1, 3, side, side), torch.zeros(1, BITS, side // 16, side // 16)
        assert products(encoder, x, encoder.start(x)) / side**2 == pytest.approx(0.18e6, rel=0.05)
        found = products(decoder, bits, decoder.start(bits)) / side**2
        assert found == pytest.approx(0.54e6, rel=0.05)


@pytest.mark.parametrize("name", RECIPES)
def test_a_published_recipe_takes_one_step(name: str, tmp_path: Path) -> None:
    """At its full width."""
    recipe = dataclasses.replace(recipes.load(name), batch=1, iterations=2)
    scheme = scheme_of(recipe, tmp_path)
    loss = scheme.step_loss(np.random.default_rng(0), 0)
    torch.autograd.backward(loss)
    assert loss.isfinite()
    for parameter, value in scheme.pair.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.abs().sum() > 0, parameter


@pytest.mark.parametrize("reconstruction", RECONSTRUCTIONS)
@pytest.mark.parametrize("unit", UNITS)
def test_every_iteration_is_an_eighth_of_a_bit_per_pixel(unit: str, reconstruction: str) -> None:
    recipe = tiny(unit=unit, reconstruction=reconstruction)
    x = picture(2, 32, 48)
    bits, pictures = coded(made(recipe), recipe, x)
    assert len(bits) == 4
    assert all(some.shape == (2, BITS, 2, 3) for some in bits)
    assert all((some.abs() == 1).all() for some in bits)
    assert sum(some[0].numel() for some in bits) / (32 * 48) == 4 / 8
    assert all(shown.shape == x.shape for shown in pictures)


@pytest.mark.parametrize("reconstruction", RECONSTRUCTIONS)
@pytest.mark.parametrize("extra", [{}, {"priming": 2}, {"diffusion": 1}])
def test_bits_alone_give_the_pictures(reconstruction: str, extra: dict[str, Any]) -> None:
    recipe = tiny(reconstruction=reconstruction, **extra)
    parts = made(recipe)
    bits, pictures = coded(parts, recipe, picture())
    for ours, theirs in zip(pictures, alone(parts, recipe, bits), strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(pictures, alone(parts, recipe, bits[:2]), strict=False):
        assert torch.equal(ours, theirs)  # any prefix decodes


@pytest.mark.parametrize("extra", [{"priming": 3}, {"diffusion": 2}])
def test_priming_changes_what_is_decoded_but_not_the_number_of_bits(extra: dict[str, Any]) -> None:
    plain = tiny()
    recipe = dataclasses.replace(plain, **extra)
    parts, x = made(plain), picture()
    bits, pictures = coded(parts, plain, x)
    more, primed = coded(parts, recipe, x)
    assert [some.shape for some in more] == [some.shape for some in bits]
    assert not torch.equal(primed[1], pictures[1])
    assert torch.equal(primed[0], pictures[0]) == ("diffusion" in extra)
    assert not torch.equal(alone(parts, recipe, bits)[1], pictures[1])


def test_reconstructions_are_the_papers() -> None:
    """From the same bits: what each iteration gives, replaced, added, or divided and added."""
    bits = [torch.randn(1, BITS, 2, 2).sign() for _ in range(3)]
    found = {}
    for reconstruction in RECONSTRUCTIONS:
        recipe = tiny(reconstruction=reconstruction)
        parts = made(recipe)
        found[reconstruction] = [shown - 0.5 for shown in alone(parts, recipe, bits)]
    assert all(shown.abs().max() <= 0.5 for shown in found["one-shot"])
    total = torch.zeros(1, 3, 32, 32)
    for given, added in zip(found["one-shot"], found["additive"], strict=True):
        total = total + given
        assert torch.allclose(added, total, atol=1e-6)
    gain = parts["gain"]
    with torch.no_grad():
        scaled, divided = torch.zeros(1, 3, 32, 32), torch.ones(1, 1, 32, 32)
        for given, shown in zip(found["one-shot"], found["scaling"], strict=True):
            scaled = scaled + given / divided
            assert torch.allclose(shown, scaled, atol=1e-6)
            divided = gain(scaled)


def test_a_gain_is_at_least_one_and_of_32_by_32_pixels() -> None:
    torch.manual_seed(0)
    gain = residuals.Gain()
    with torch.no_grad():
        for value in gain.parameters():
            value.mul_(4)
        found = gain(torch.randn(2, 3, 80, 64))
    assert found.shape == (2, 1, 80, 64)
    assert found.min() >= 1
    assert found.std() > 0
    for top in (0, 32, 64):
        for left in (0, 32):
            place = found[0, 0, top : top + 32, left : left + 32]
            assert (place == place[0, 0]).all()


def test_bits_are_drawn_in_training_and_signs_after() -> None:
    torch.manual_seed(0)
    binariser = Binariser(WIDTH)
    features = torch.randn(1, WIDTH, 1, 1, requires_grad=True)
    p = torch.tanh(binariser.conv(features)).detach()
    with torch.no_grad():
        drawn = binariser(features.expand(20000, -1, -1, -1))
        assert (drawn.abs() == 1).all()
        assert torch.allclose(drawn.mean(0), p[0], atol=0.03)  # P(1) = (1 + p) / 2
        binariser.eval()
        signs = binariser(features)
        assert torch.equal(signs, torch.where(p >= 0, 1.0, -1.0))
        assert torch.equal(signs, binariser(features))
    binariser.train()
    torch.autograd.backward(binariser(features).sum())
    (straight,) = torch.autograd.grad(torch.tanh(binariser.conv(features)).sum(), features)
    assert features.grad is not None
    assert torch.allclose(features.grad, straight)


@pytest.mark.parametrize(("field", "value"), [("codec", "mse"), ("width", 40)])
def test_what_the_networks_cannot_be_is_refused(field: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"{field} must be"):
        build(tiny(**{field: value}))


def test_recipes_of_the_scheme_are_checked(tmp_path: Path) -> None:
    for changes, says in (
        ({"iterations": 0}, "iterations must be at least 1"),
        ({"priming": -1}, "priming must be at least 0"),
        ({"tiles": -1}, "tiles must be at least 0"),
        ({"reconstruction": '"twice"'}, "reconstruction must be one of one-shot"),
        ({"unit": '"rnn"'}, "unit must be one of lstm"),
    ):
        with pytest.raises(OptionError, match=says):
            recipes.load(recipe_file(tmp_path, "toderici2017-published", **changes))


# the losses


@pytest.mark.parametrize("codec", ["l1", "ssim"])
@pytest.mark.parametrize("reconstruction", RECONSTRUCTIONS)
def test_a_batch_is_learned(codec: str, reconstruction: str, tmp_path: Path) -> None:
    recipe = tiny(codec=codec, reconstruction=reconstruction, iterations=2)
    scheme = scheme_of(recipe, tmp_path)
    optimiser = torch.optim.Adam(scheme.pair.parameters(), 3e-3)
    found = []
    for _ in range(40):
        optimiser.zero_grad()
        loss = scheme.step_loss(np.random.default_rng(0), 0)
        torch.autograd.backward(loss)
        optimiser.step()
        found.append(float(loss.detach()))
    assert found[-1] < 0.85 * found[0]


def test_the_loss_is_the_mean_absolute_error_of_all_iterations(tmp_path: Path) -> None:
    recipe = tiny()
    scheme = scheme_of(recipe, tmp_path)
    scheme.pair.eval()
    with torch.no_grad():
        loss = scheme.step_loss(np.random.default_rng(3), 0)
        x = scheme.training.crops(np.random.default_rng(3), recipe.batch, recipe.crop, "cpu")
        errors = []
        with scheme.autocast():
            for _, shown in residuals.code(scheme.pair, recipe, x):
                errors.append(float((shown - x).abs().mean()))
    assert float(loss) == pytest.approx(np.mean(errors), rel=1e-5)


def test_places_of_low_similarity_weigh_more(tmp_path: Path) -> None:
    scheme: Any = scheme_of(tiny(codec="ssim"), tmp_path)
    x = picture(1, 64, 64)
    shown = x.clone()
    shown[..., :32] = x[..., :32].mean()  # the left half loses all structure
    shown[..., 32:] += 0.02  # the right one is a little brighter
    weights = scheme.weights(torch.stack([shown, x]), x)
    assert float(weights.mean()) == pytest.approx(1, rel=1e-4)
    assert weights[0, ..., :24].mean() > 10 * weights[0, ..., 40:].mean()
    assert weights[1].abs().max() < 1e-3


def test_local_similarity_is_that_of_the_metric() -> None:
    x = picture(2, 40, 56)
    noisy = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    local = losses.local_ssim(noisy, x)
    assert local.shape == x.shape
    inner = local[..., 5:-5, 5:-5].mean((2, 3))  # where the window fits whole
    assert torch.allclose(inner, losses.ssim(noisy, x), atol=1e-5)
    assert 0.1 < float(inner.mean()) < 0.9


@pytest.mark.parametrize(("side", "has"), [(208, True), (96, False)])
def test_validation_scores_iterations(side: int, has: bool, tmp_path: Path) -> None:
    photos(tmp_path / "in", side)
    scheme = scheme_of(tiny(), tmp_path) if has else small_scheme(tmp_path, side)
    scheme.pair.eval()
    scores = scheme.validate()
    assert scores == scheme.validate()
    metrics = ["psnr", "ssim", "ms_ssim"] if has else ["psnr", "ssim"]
    assert set(scores) == {f"{metric}_i{count}" for metric in metrics for count in (1, 2, 4)}
    assert all(np.isfinite(value) for value in scores.values())


def small_scheme(folder: Path, side: int) -> Any:
    """A scheme on photographs that are too small for MS-SSIM."""
    store = PhotoStore(folder / "s", list_photos(photos(folder / "in", side)), "RGB", 32)
    recipe = tiny()
    return SCHEMES["recurrent"](recipe, made(recipe), store, store, "cpu")


# tiles


def png_size(tile: Any) -> int:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(tile)).save(buffer, "PNG")
    return buffer.tell()


def test_tiles_are_those_that_png_compresses_worst(tmp_path: Path) -> None:
    store = PhotoStore(tmp_path / "s", list_photos(photos(tmp_path / "in", 208)), "RGB", 32)
    everything: list[set[bytes]] = []
    best = 5
    for index, (height, width) in enumerate(store.shapes):
        tiles = [
            np.asarray(store.original[index][top : top + 32, left : left + 32])
            for top in range(0, height - 31, 32)
            for left in range(0, width - 31, 32)
        ]
        tiles.sort(key=png_size)
        assert png_size(tiles[-best - 1]) < png_size(tiles[-best])  # else the test says nothing
        everything.append({upright(tile) for tile in tiles[-best:]})
    expected = set.union(*everything)

    store.choose_tiles(best, 32, lambda items, total, label: items)
    crops = store.crops(np.random.default_rng(0), 200, 32, "cpu")
    pixels = (crops * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert {upright(crop) for crop in pixels} == expected


def upright(tile: Any) -> bytes:
    """A tile, however it was turned and flipped."""
    turned = [np.rot90(tile, turn) for turn in range(4)]
    return bytes(min(one[:, ::step].tobytes() for one in turned for step in (1, -1)))


def test_tiles_stay_on_disk_and_are_checked(tmp_path: Path) -> None:
    found = list_photos(photos(tmp_path / "in", 208))
    crops = []
    for _ in range(2):
        store = PhotoStore(tmp_path / "s", found, "RGB", 32)
        store.choose_tiles(9, 32, lambda items, total, label: items)
        crops.append(store.crops(np.random.default_rng(1), 6, 32, "cpu"))
    assert torch.equal(*crops)
    path = tmp_path / "s" / "tiles-9of32.json"
    places = json.loads(path.read_text())
    assert len(places) == 9 * len(store.shapes)
    damaged = [[], 3, [[0, 0]], [[0, 0, "0"]], [[9, 0, 0]], [[0, 200, 0]], [[0, 0, -1]]]
    for content in damaged:
        path.write_text(json.dumps(content))
        with pytest.raises(DamagedFileError, match=r"tiles-9of32\.json"):
            store.choose_tiles(9, 32, lambda items, total, label: items)


# export


def halved(module: nn.Module) -> nn.Module:
    """With weights as files have them."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(parameter.half().float())
    return module


@pytest.mark.parametrize("unit", UNITS)
def test_the_runtime_keeps_explicit_states_as_torch_does(unit: str) -> None:
    recipe = tiny(unit=unit)
    parts = made(recipe)
    halved(parts).eval()
    encoder, binariser, decoder = (parts[role] for role in ("encoder", "binariser", "decoder"))
    assert isinstance(encoder, Encoder)
    assert isinstance(decoder, Decoder)
    encode, show = (
        onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        for data in (residuals_onnx.encoder_to_onnx(parts), residuals_onnx.decoder_to_onnx(parts))
    )
    left = picture(1, 48, 80) - 0.5
    states = [encoder.start(left), decoder.start(torch.zeros(1, BITS, 3, 5))]
    fed = [[part.numpy() for part in state] for state in states]
    with torch.no_grad():
        for _ in range(2):
            features, states[0] = encoder(left, states[0])
            bits = binariser(features)
            out, states[1] = decoder(bits, states[1])
            found, *fed[0] = run(encode, "left", left, fed[0])
            assert np.array_equal(found, bits.numpy())
            shown, *fed[1] = run(show, "bits", bits, fed[1])
            assert np.allclose(shown, out.numpy(), atol=1e-5)
            for ours, theirs in zip(fed, states, strict=True):
                for one, other in zip(ours, theirs, strict=True):
                    assert np.allclose(one, other.numpy(), atol=1e-5)
            left = left - out
    assert out.std() > 0


def run(session: Any, name: str, given: Tensor, state: list[Any]) -> Any:
    feed = {f"state{at}": part for at, part in enumerate(state)}
    return session.run(None, {name: given.numpy(), **feed})


@pytest.mark.parametrize("role", ["encoder", "decoder", "gain"])
def test_a_samples_reach_is_as_stated(role: str) -> None:
    align, reach, tile = export.LEARNED_GEOMETRY["toderici2017"][role]
    assert tile % align == 0
    network = made(tiny(reconstruction="scaling"))[role]
    side, channels = (16, BITS) if role == "decoder" else (256, 3)
    x = torch.rand(1, channels, side, side, requires_grad=True)
    out = network(x) if role == "gain" else network(x, network.start(x))[0]  # type: ignore[operator]
    at = out.shape[-1] // 2
    span = max(1, out.shape[-1] // side)
    out[..., at : at + span, at : at + span].abs().sum().backward()
    assert x.grad is not None
    touched = x.grad.abs().sum((0, 1)).nonzero()
    centre, width = at * side // out.shape[-1], max(1, side // out.shape[-1])
    assert centre - reach <= touched.min()
    assert touched.max() <= centre + width - 1 + reach


# a run


@pytest.mark.train
@pytest.mark.parametrize("reconstruction", ["additive", "scaling"])
def test_a_run_resumes_and_exports(reconstruction: str, tmp_path: Path) -> None:
    data = str(photos(tmp_path / "in", 96))
    changes = {"crop": 32, "width": WIDTH, "iterations": 2, "validate_every": 1, "tiles": 4}
    chosen = {**changes, "reconstruction": f'"{reconstruction}"'}
    recipe = recipe_file(tmp_path, "toderici2017-published", **chosen)
    out, parts = tmp_path / "out", tmp_path / "parts"
    assert main(["train", recipe, "--data", data, "-o", str(out)]) == 0
    assert (out / "data" / "training" / "tiles-4of32.json").exists()
    assert not list((out / "data" / "validation").glob("tiles*"))

    stop_after_one(recipe, data, parts)
    assert main(["train", recipe, "--data", data, "-o", str(parts), "--resume"]) == 0
    whole, resumed = (
        torch.load(folder / "checkpoint.pt", weights_only=True)["average"]
        for folder in (out, parts)
    )
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name

    entries = json.loads((out / "weights" / "manifest.json").read_text())["networks"]
    roles = [entry["role"] for entry in entries]
    assert roles == ["encoder", "decoder"] + ["gain"] * (reconstruction == "scaling")
    assert {entry["family"] for entry in entries} == {"toderici2017"}
    assert {entry["variant"] for entry in entries} == {"l1"}


def stop_after_one(recipe: str, data: str, folder: Path) -> None:
    """As by Ctrl-C in the first step."""
    kept = Recurrent.step_loss

    def interrupted(self: Recurrent, random: np.random.Generator, step: int) -> Tensor:
        signal.raise_signal(signal.SIGINT)
        return kept(self, random, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recurrent, "step_loss", interrupted)
        assert main(["train", recipe, "--data", data, "-o", str(folder)]) != 0

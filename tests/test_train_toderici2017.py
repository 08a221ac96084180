"""Training `toderici2017`: the recurrence on features, what bits cost, export."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import skimage.data
import torch
from torch import Tensor, nn
from training import WIDTH, exported, photos, recipe_file, scheme_of, small

from comrec.cli import main
from comrec.entropy.bits import BITS, ITERATIONS, SHARES, BitModel
from comrec.learned.toderici2017 import Toderici2017
from comrec.metrics import psnr
from comrec.picture import Picture
from comrec.train import bitplan, bits_export, learned, toderici2017
from comrec.train import recipe as recipes
from comrec.train.bitmodel import BitContexts
from comrec.train.schemes import binary
from comrec.train.schemes.binary import Binary

RECIPE = "toderici2017-1-msssim"
CHANNELS = learned.latents(WIDTH) + 8
"""More than bits in an iteration."""


def latents(count: int = 2000, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(CHANNELS, n), the first ones large."""
    random = np.random.default_rng(seed)
    scale = np.logspace(1.7, -1, CHANNELS)[:, None]
    return (random.laplace(size=(CHANNELS, count)) * scale).astype(np.float32)


PLAN = bitplan.plan(latents())


def shaken(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


def begun(unit: str = "gru") -> tuple[toderici2017.Encoder, toderici2017.Decoder, BitContexts]:
    torch.manual_seed(0)
    encode = toderici2017.Encoder(CHANNELS, 8, unit)
    decode = toderici2017.Decoder(CHANNELS, 8, unit)
    contexts = BitContexts(CHANNELS)
    for module in (encode, decode, contexts):
        module.begin(PLAN)
    return encode, decode, contexts


def binary_scheme(folder: Path, **changes: Any) -> Binary:
    scheme = scheme_of(small(RECIPE, **changes), folder)
    assert isinstance(scheme, Binary)
    return scheme


# what bits say at the start


def test_each_bit_takes_error_away() -> None:
    left = latents(seed=1)
    errors = [float((left**2).sum())]
    for iteration in range(ITERATIONS):
        for bit in range(BITS):
            at = iteration, bit
            row = left[PLAN.channel[at]]
            row -= np.where(row >= PLAN.threshold[at], PLAN.on[at], PLAN.off[at])
        errors.append(float((left**2).sum()))
    assert errors == sorted(errors, reverse=True)
    assert errors[4] < 0.1 * errors[0]
    assert all(len(set(row)) == BITS for row in PLAN.channel.tolist())  # none twice


def test_training_starts_with_the_plan() -> None:
    """Encoder and decoder do what it says, without a step."""
    encode, decode, _ = begun()
    y = torch.from_numpy(latents(48, seed=2)).view(1, CHANNELS, 6, 8)
    known, left = torch.zeros_like(y), y.clone()
    mine, theirs = encode.unit.start(y), decode.unit.start(y)
    with torch.no_grad():
        for number in range(ITERATIONS):
            iteration = torch.tensor(number)
            result, mine = encode(y - known, iteration, mine)
            known, theirs = decode(toderici2017.binary(result), known, iteration, theirs)
            for bit in range(BITS):
                at = number, bit
                row = left[0, PLAN.channel[at]]
                row -= torch.where(
                    row >= float(PLAN.threshold[at]), float(PLAN.on[at]), float(PLAN.off[at])
                )
            assert torch.allclose(y - known, left, atol=1e-2)


def test_signs_pass_gradients_near_zero() -> None:
    x = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0], requires_grad=True)
    found = toderici2017.binary(x)
    assert found.tolist() == [-1, -1, 1, 1, 1]
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


# what bits cost


def test_the_estimate_is_what_the_coder_writes(tmp_path: Path) -> None:
    """To the tables' rounding: both find the same indices."""
    scheme = binary_scheme(tmp_path, width=32)
    shaken(scheme.pair["bits"])
    scheme.pair.eval()
    contexts = scheme.contexts
    predict = bits_export.predictor(bits_export.bits_to_onnx(contexts, {}))
    model = bits_export.fit(contexts, predict, [])  # the network's own chances
    assert BitModel.unpack(model.pack()).tables == model.tables
    random = np.random.default_rng(3)
    for count in (2.3, 9.0, 13.6):
        steps: list[tuple[Tensor, Tensor]] = []
        with torch.no_grad():
            y = scheme.pair["g_a"](scheme.training.crops(random, 1, 192, "cpu"))
            total = float(
                scheme.code(y, torch.tensor([count]), math.ceil(count), seen=steps.append)[1]
            )
        flags, bits = (torch.cat(parts).numpy() for parts in zip(*steps, strict=True))

        def choose(iteration: int, flags: Any = flags, bits: Any = bits) -> Any:
            return flags[iteration, 0], bits[iteration].astype(np.int8)

        height, width = y.shape[2:]
        share = round(SHARES * (count - len(flags) + 1))
        data = model.encode((height, width), predict, len(flags), share, choose)
        assert abs(8 * len(data) - total) < 0.005 * total + 70
        assert total > 500


def test_the_runtime_computes_the_integers_of_the_contexts() -> None:
    _, _, contexts = begun()
    shaken(contexts)
    running = onnxruntime.InferenceSession(
        bits_export.bits_to_onnx(contexts, {}), providers=["CPUExecutionProvider"]
    )
    random = np.random.default_rng(0)
    known = random.integers(-3000, 3000, (1, CHANNELS, 5, 7))
    size = np.minimum(np.rint(8 * np.log2(1 + np.abs(known))), 127)
    levels = np.stack([size * (known > 0), size * (known < 0)], 2).reshape(1, -1, 5, 7)
    for iteration in (0, 7, 15):
        feed = {"levels": levels.astype(np.uint8), "iteration": np.array(iteration)}
        (found,) = running.run(None, feed)
        with torch.no_grad():
            expected = contexts.base(torch.from_numpy(known).float(), iteration)
        assert np.array_equal(found, expected.numpy())
        assert found.std() > 0


def test_counted_tables_make_files_smaller(tmp_path: Path) -> None:
    scheme = binary_scheme(tmp_path, width=32)
    contexts = scheme.contexts
    shaken(contexts)
    predict = bits_export.predictor(bits_export.bits_to_onnx(contexts, {}))
    random = np.random.default_rng(0)
    flags = np.ones((ITERATIONS, 12, 12), np.bool_)
    shape = 12, 12
    bits = np.where(random.random((ITERATIONS, BITS, 12, 12)) < 0.1, 1, -1).astype(np.int8)
    coded = bits_export.Coded(flags, bits)

    def size(model: BitModel) -> int:
        return len(model.encode(shape, predict, ITERATIONS, SHARES, lambda t: (flags[t], bits[t])))

    plain, counted = (bits_export.fit(contexts, predict, crops) for crops in ([], [coded]))
    assert size(counted) < size(plain)


# training


@pytest.mark.train
def test_the_loss_falls(tmp_path: Path) -> None:
    scheme = binary_scheme(tmp_path, width=32, batch=2)
    optimiser = torch.optim.Adam(scheme.pair.parameters(), 5e-4)
    losses = []
    for step in range(24):
        optimiser.zero_grad()
        loss = scheme.step_loss(np.random.default_rng(step % 2), binary.WARM_UP + step)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


def test_at_first_only_the_entropy_model_learns(tmp_path: Path) -> None:
    scheme = binary_scheme(tmp_path)
    loss = scheme.step_loss(np.random.default_rng(0), 0)
    loss.backward()  # type: ignore[no-untyped-call]
    moved = {
        role
        for role, module in scheme.pair.items()
        if any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    }
    assert moved == {"bits"}
    scheme.step_loss(np.random.default_rng(0), binary.WARM_UP).backward()  # type: ignore[no-untyped-call]
    for role, module in scheme.pair.items():
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters()), role


@pytest.mark.train
@pytest.mark.parametrize("unit", ["gru", "lstm", "residual-gru", "associative-lstm"])
def test_the_runtime_steps_like_torch(unit: str) -> None:
    encode, decode, _ = begun(unit)
    shaken(encode)
    shaken(decode)
    y = torch.from_numpy(latents(20, seed=4)).view(1, CHANNELS, 4, 5)
    bits = torch.where(torch.rand(1, BITS, 4, 5) < 0.5, 1.0, -1.0)
    for module, planes in ((encode, {"left": y}), (decode, {"bits": bits, "known": y})):
        model = bits_export.step_to_onnx(module)
        running = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        first = next(iter(planes.values()))
        state = module.unit.start(first)
        fed = [part.numpy() for part in state]
        for number in (0, 1, 9):
            iteration = torch.tensor(number)
            with torch.no_grad():
                result, state = module(*planes.values(), iteration, state)
            feed = {name: plane.numpy() for name, plane in planes.items()}
            feed |= {f"state{at}": part for at, part in enumerate(fed)}
            found, *fed = running.run(None, {**feed, "iteration": iteration.numpy()})
            scale = float(result.abs().mean())
            assert np.abs(found - result.numpy()).max() < 0.02 * scale + 0.02  # halved weights


@pytest.mark.train
def test_a_run_makes_networks_that_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained by the command, exported, and used by the codec."""
    monkeypatch.setattr(binary, "_COUNTED", 3)
    recipe = recipe_file(tmp_path, RECIPE, crop=192, width=32)
    out = tmp_path / "run"
    data = str(photos(tmp_path / "in", 208))
    assert main(["train", recipe, "--data", data, "-o", str(out)]) == 0
    entries = json.loads((out / "weights" / "manifest.json").read_text())["networks"]
    assert [entry["role"] for entry in entries] == ["g_a", "g_s", "encode", "decode", "bits"]
    with exported(out / "weights"):
        pixels = np.ascontiguousarray(np.asarray(skimage.data.astronaut(), np.uint8)[:100, :150])
        picture = Picture(pixels)
        sizes, scores = [], []
        for quality in (0, 50, 100):
            coded = Toderici2017().encode(picture, quality)
            sizes.append(len(coded))
            scores.append(psnr(Toderici2017().decode(coded).pixels, pixels))
    assert sizes == sorted(sizes)
    assert scores[2] > scores[0] + 1


def test_the_recipe_is_of_the_package() -> None:
    recipe = recipes.load(RECIPE)
    assert (recipe.family, recipe.scheme, recipe.start) == (
        "toderici2017", "binary", "rippel2017-ms-ssim",
    )  # fmt: skip

"""Latents refined for one picture: the gradients, and what is gained."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from liu2018 import METRICS, PLAIN, large, network, photograph, symbols, tiled
from onnx import TensorProto, helper

import comrec
from comrec import metrics
from comrec.entropy.coder import Encoder
from comrec.entropy.tables import Table
from comrec.errors import OptionError
from comrec.formats import cmr
from comrec.learned import refinement
from comrec.learned.liu2018 import Liu2018, Metric
from comrec.picture import Picture
from comrec.train import export, learned, losses, rippel2017
from comrec.train import recipe as recipes
from comrec.train.gradient import differentiate

RECIPES = {"mse": "liu2018-3-rate", "ms-ssim": "liu2018-4-msssim"}
PROGRESSIVE = "rippel2017-1-msssim"
REFINING = ["liu2018", "rippel2017"]
of_each_refined = pytest.mark.parametrize("metric", RECIPES)


@pytest.fixture
def coffee() -> Picture:
    return Picture(photograph("coffee")[60:316, 40:424].copy())


def cost(metric: str, picture: Picture, data: bytes, recipe: str = "") -> float:
    """The rate-distortion cost that the networks were trained to minimise, in bits per pixel."""
    decoded = np.asarray(comrec.decode(data))
    low, high = recipes.load(recipe or RECIPES[metric]).lambdas
    weight = low * (high / low) ** (cmr.header(data).quality / 100)
    if metric == "ms-ssim":
        distortion = 1 - metrics.ms_ssim(decoded, picture.pixels)
    else:
        distortion = 255**2 / 10 ** (metrics.psnr(decoded, picture.pixels) / 10)
    return float(8 * len(data) / (picture.width * picture.height) + weight * distortion)


# --- what is gained ---------------------------------------------------------------------------


@of_each_refined
@pytest.mark.parametrize("quality", [10, 50, 90])
def test_more_effort_makes_better_files(metric: str, quality: float, coffee: Picture) -> None:
    files = [
        comrec.encode(coffee, "liu2018", quality, metric=metric, effort=e) for e in (PLAIN, 6, 7, 9)
    ]
    costs = [cost(metric, coffee, data) for data in files]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] - costs[2] > 0.02 * 8 * len(files[0]) / (coffee.width * coffee.height)


@pytest.mark.parametrize("quality", [20, 50, 80])
def test_more_effort_makes_better_bit_planes(quality: float, coffee: Picture) -> None:
    files = [comrec.encode(coffee, "rippel2017", quality, effort=e) for e in (PLAIN, 6, 9)]
    costs = [cost("ms-ssim", coffee, data, PROGRESSIVE) for data in files]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] - costs[2] > 0.03 * 8 * len(files[0]) / (coffee.width * coffee.height)


@pytest.mark.parametrize("codec", REFINING)
def test_efforts_below_six_do_not_refine(codec: str, coffee: Picture) -> None:
    assert len({comrec.encode(coffee, codec, 40, effort=e) for e in range(1, 6)}) == 1


@pytest.mark.skipif("perceptual" not in METRICS, reason="no such networks in this version")
def test_perceptual_latents_stay_as_they_are(coffee: Picture) -> None:
    plain, most = (
        comrec.encode(coffee, "liu2018", 30, metric="perceptual", effort=e) for e in (PLAIN, 10)
    )
    assert plain == most


@pytest.mark.parametrize("effort", [0, 11, 2.5, -1])
def test_efforts_out_of_range_are_refused(effort: Any) -> None:
    with pytest.raises(OptionError, match=r"effort must be in 1\.\.10"):
        comrec.codec.get("liu2018", effort=effort)


@pytest.mark.parametrize("codec", REFINING)
def test_what_is_not_cheaper_is_not_taken(
    codec: str, coffee: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the gradients wrong, files would be those without them."""
    slope = refinement._Descent._slope
    with monkeypatch.context() as without:
        without.setattr(refinement._Descent, "run", lambda _, y, steps: refinement.Refined(y, 0.0))
        plain = comrec.encode(coffee, codec, 40, effort=8)
    monkeypatch.setattr(refinement._Descent, "_slope", lambda *given: -slope(*given))
    assert comrec.encode(coffee, codec, 40, effort=8) == plain


def test_bit_planes_that_cost_more_than_was_expected_are_not_taken(
    coffee: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes for the contexts counts too."""
    plain = comrec.encode(coffee, "rippel2017", 40, effort=PLAIN)
    costs = iter([0.0, 0.0, 10.0, 9.0])  # saves nothing, then one bit

    def cost(self: refinement._Descent, y: refinement.Floats) -> refinement._Cost:
        return refinement._Cost(0.0, y, np.zeros_like(y), next(costs))

    monkeypatch.setattr(refinement._Descent, "_cost", cost)
    assert comrec.encode(coffee, "rippel2017", 40, effort=6) == plain
    monkeypatch.setattr(refinement._Descent, "_slope", lambda self, y, _: -np.sign(y))
    assert comrec.encode(coffee, "rippel2017", 40, effort=6) == plain


@of_each_refined
@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 400), (175, 200), (176, 177)])
def test_pictures_of_any_size_can_be_refined(metric: Metric, height: int, width: int) -> None:
    picture = large(height, width)
    decoded = Liu2018().decode(Liu2018(metric, effort=8).encode(picture, 60))
    assert decoded.pixels.shape == picture.pixels.shape


@pytest.mark.parametrize(("height", "width"), [(1, 1), (160, 400), (161, 162), (200, 170)])
def test_pictures_of_any_size_are_refined_in_bit_planes(height: int, width: int) -> None:
    """From 161 pixels on, which the distortion needs."""
    picture = large(height, width)
    plain, refined = (comrec.encode(picture, "rippel2017", 60, effort=e) for e in (PLAIN, 6))
    assert (refined == plain) == (min(height, width) <= 160)
    assert np.asarray(comrec.decode(refined)).shape == picture.pixels.shape


def test_tiles_cost_next_to_nothing_more_than_one_piece(
    caplog: pytest.LogCaptureFixture,
) -> None:
    picture = large(400, 560)
    coder = Liu2018(effort=8)
    costs = [cost("mse", picture, coder.encode(picture, 50))]
    with tiled(gradient=12), caplog.at_level(logging.INFO, "comrec"):
        data = coder.encode(picture, 50)
    assert caplog.messages[-1] == "quality 50: 6 of 6 tiles refined"  # stands behind progress bars
    costs.append(cost("mse", picture, data))
    plain = cost("mse", picture, Liu2018(effort=PLAIN).encode(picture, 50))
    assert costs[1] - costs[0] < 0.1 * (plain - costs[0])
    assert np.abs(symbols(data).latents).max() > 1


# --- the parts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "metric"),
    [*((name, metric) for metric, name in RECIPES.items()), (PROGRESSIVE, "ms-ssim-ycbcr")],
)
@pytest.mark.parametrize(("rows", "columns"), [(11, 16), (14, 11)])
def test_the_runtime_finds_the_gradient_that_pytorch_finds(
    name: str, metric: str, rows: int, columns: int
) -> None:
    torch.manual_seed(3)
    width = 32
    if name == PROGRESSIVE:  # which takes even sides
        rows, columns = rows + rows % 2, columns + columns % 2
        g_s: torch.nn.Module = rippel2017.Synthesis(width)
    else:
        g_s = learned.networks(width)["g_s"]
    with torch.no_grad():
        for parameter in g_s.parameters():  # that are float16, as they will be stored
            parameter.add_(0.1 * parameter.abs().mean() * torch.randn_like(parameter))
            parameter.copy_(parameter.half().float())
    recipe = dataclasses.replace(recipes.load(name), codec=metric)
    data = export.gradient_to_onnx(g_s, recipe, learned.latents(width))
    latents = torch.randn(1, learned.latents(width), rows, columns, requires_grad=True)
    quality = torch.tensor([0.4])
    picture = torch.rand(1, 3, 16 * rows, 16 * columns)
    distortion = losses.distortion(metric)(g_s(latents, quality), picture)
    worth = losses.price(quality, recipe.lambdas) * picture[0, 0].numel() * distortion
    (expected,) = torch.autograd.grad(worth.sum(), latents)
    running = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    feed = {"latents": latents, "quality": quality, "picture": picture}
    gradient, found = running.run(None, {k: v.detach().numpy() for k, v in feed.items()})
    assert found.sum() == pytest.approx(worth.item(), rel=1e-3)
    difference = np.abs(gradient - expected.numpy()).max()
    assert difference < 1e-3 * expected.abs().max()


def test_operations_without_a_rule_are_named() -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    graph = helper.make_graph([helper.make_node("Erf", ["x"], ["y"])], "g", [value], [result])
    with pytest.raises(NotImplementedError, match="Erf"):
        differentiate(helper.make_model(graph), "x")


@pytest.mark.parametrize("metric", METRICS)
def test_the_latents_own_networks_are_those_that_refine_them(metric: str) -> None:
    """A gradient is pinned by h_s, like all that was trained together."""
    properties = {
        entry.key: entry.value
        for entry in onnx.load_from_string(network(metric, "h_s").load()).metadata_props
    }
    assert ("gradient" in properties) == (metric in RECIPES)
    if metric in RECIPES:
        assert properties["gradient"] == network(metric, "gradient").id


@pytest.mark.parametrize("width", [0.3, 2.0, 15.0])
def test_what_values_cost_is_what_the_coder_writes(width: float) -> None:
    """Near the table's middle, at its ends and far outside."""
    away = np.abs(np.arange(-20, 31))
    table = Table.from_pmf(np.exp(-away / width) / (2 * width + 1), -20)
    random = np.random.default_rng(7)
    for values in (
        np.rint(random.laplace(0, width, 4000)),
        random.integers(-25, 36, 4000),
        random.integers(-3000, 3000, 4000),
    ):
        message = values.astype(np.int64)
        encoder = Encoder()
        encoder.add(message, np.zeros(message.shape, np.uint8), [table])
        assert 8 * len(encoder.finish()) == pytest.approx(table.bits(message).sum(), rel=0.01)

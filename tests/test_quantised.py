"""Networks in 8 bits: what is trained is what runs, and all kernels compute the same integers."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch import Tensor, nn

from comrec.cli import main
from comrec.errors import OptionError
from comrec.inference import session, store, tiles
from comrec.picture import Picture
from comrec.train import export, networks, quantised, storage
from comrec.train import recipe as recipes
from comrec.train.families import FAMILIES

Array = NDArray[Any]

CONDITIONS = torch.tensor([0.4]), torch.tensor([1.0])  # of whole levels: 102 and 255


def trained(kind: type[nn.Module] = networks.ComrecRec1) -> nn.Module:
    """A network whose every layer matters."""
    torch.manual_seed(3)
    module = kind()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "tail" in name:
                parameter.normal_(0, 0.01)
    return module.eval()


def tensor(pixels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def told(module: nn.Module, picture: Tensor) -> Tensor:
    count = 2 if isinstance(module, networks.ComrecRec1) else 1
    result: Tensor = module(picture, *CONDITIONS[:count])
    return result


def in_8_bits(module: nn.Module, picture: Tensor) -> nn.Module:
    made = copy.deepcopy(module)
    quantised.quantise(made, lambda: told(made, picture))
    return made


def run(data: bytes, picture: Tensor, *more: str) -> list[Array]:
    made = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [given.name for given in made.get_inputs()]
    feed = dict(zip(names, (picture.numpy(), *(c.numpy() for c in CONDITIONS)), strict=False))
    found: list[Array] = made.run(["result", *more], feed)
    return found


def levels(difference: Array | Tensor) -> float:
    """Root mean square of a difference of pictures in 0..1, in grey levels."""
    return 255 * float(np.sqrt(np.square(np.asarray(difference)).mean()))


@pytest.mark.parametrize("kind", [networks.ComrecRec1, networks.ComrecRec2])
def test_8_bits_give_nearly_the_picture_of_floats(kind: type[nn.Module], photo: Picture) -> None:
    module = trained(kind)
    picture = tensor(photo.pixels[:64, :96])
    made = in_8_bits(module, picture)
    with torch.no_grad():
        floats = told(module, picture)
        fake = told(made, picture)
        start = told(kind().eval(), picture)
    (real,) = run(export.to_onnx(made, conditioned=True, channels=3), picture)
    assert levels(real - fake.numpy()) < 0.9 * levels(fake - floats)  # it is trained as it runs
    assert 0 < levels(fake - floats) < 0.05 * levels(floats - start)


def test_weights_are_stored_in_bytes_and_read_back(photo: Picture) -> None:
    module = trained()
    made = in_8_bits(module, tensor(photo.pixels[:48, :48]))
    data = export.to_onnx(made, conditioned=True, channels=3)
    graph = onnx.load_from_string(data).graph
    inner = {tuple(t.dims) for t in graph.initializer if t.data_type == TensorProto.INT8}
    assert (48, 48, 3, 3) in inner
    assert len(data) < 0.7 * len(export.to_onnx(module, conditioned=True, channels=3))
    found = storage.weights_of(data)
    for name, value in made.state_dict().items():
        if not name.endswith("steps"):
            assert (found[name] - value).abs().max() <= value.abs().max() / 100, name


def test_all_kernels_give_the_integers_of_the_graph(photo: Picture) -> None:
    """Also where every product is as large as it gets: nothing saturates."""
    module = trained()
    picture = tensor(photo.pixels[:24, :32])
    made = in_8_bits(module, picture)
    assert isinstance(made.body, networks.Body)
    blocks = made.body.blocks
    assert isinstance(blocks, quantised.Blocks)
    with torch.no_grad():
        conv1, conv2 = quantised.convolutions(blocks)[-1]
        assert conv1.bias is not None
        conv2.weight.copy_(0.03 * torch.where(torch.rand(48, 1, 1, 1) < 0.5, 1, -1))
        conv1.weight.zero_()
        conv1.bias.fill_(10)  # its activations are all 255
        blocks.steps[-1] = torch.tensor([0.3, 0.01, 0.3])
    data = export.to_onnx(made, conditioned=True, channels=3)
    model = onnx.load_from_string(data)
    nodes = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    wanted = [(node.output[0], TensorProto.UINT8) for node in nodes]
    wanted += [(node.input[0], TensorProto.FLOAT) for node in nodes[::3]]  # what blocks are given
    for name, kind in wanted:
        model.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    _, *values = run(model.SerializeToString(), picture, *(name for name, _ in wanted))
    count = len(blocks)
    assert len(values) == 4 * count
    wholes, sums = values[: 3 * count], values[3 * count :]
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    stream = sums[0]
    for place, (along, middle, step) in enumerate(blocks.steps.numpy()):
        given, hidden, change = wholes[3 * place : 3 * place + 3]
        assert np.array_equal(sums[place], stream)
        assert np.array_equal(given, np.clip(np.rint(stream / along) + 128, 0, 255))
        name = f"body.blocks.{place}"
        planes = given.reshape(1, *hidden.shape[2:], -1).transpose(0, 3, 1, 2)
        expected = convolved(constants, f"{name}.conv1", planes, 128, along, middle, 0)
        assert np.array_equal(hidden, expected)
        expected = convolved(constants, f"{name}.conv2", hidden, 0, middle, step, 128)
        assert np.array_equal(change, expected)
        rows = change.transpose(0, 2, 3, 1).reshape(stream.shape)
        stream = stream + (rows.astype(np.float32) - 128) * step
    assert hidden.min() == 255  # the test says something
    assert len(np.unique(change)) > 2


@pytest.mark.parametrize("kind", [networks.ComrecRec1, networks.ComrecRec2])
def test_no_runtime_rounds_the_sums_of_the_head(kind: type[nn.Module], photo: Picture) -> None:
    """They are those of float64, so their order does not matter."""
    module = trained(kind)
    picture = tensor(photo.pixels[:48, :64])
    made = in_8_bits(module, picture)
    data = export.to_onnx(made, conditioned=True, channels=3)
    model = onnx.load_from_string(data)
    head = next(node for node in model.graph.node if "body.head.bias" in node.input)
    value = helper.make_tensor_value_info(head.output[0], TensorProto.FLOAT, None)
    given = helper.make_tensor_value_info(head.input[0], TensorProto.FLOAT, None)
    model.graph.output.extend([given, value])
    _, levels_given, sums = run(model.SerializeToString(), picture, given.name, value.name)
    assert np.array_equal(levels_given, np.rint(levels_given))
    stored = storage.weights_of(data)
    exact = F.conv2d(
        torch.from_numpy(levels_given).double(),
        stored["body.head.weight.per_level"].double(),
        stored["body.head.bias"].double(),
        padding=1,
    )
    assert np.array_equal(sums, exact.numpy())
    assert isinstance(made.body, networks.Body)
    with torch.no_grad():
        trained_for = made.body.head(torch.from_numpy(levels_given / 255)).numpy()
    assert np.abs(trained_for - sums).max() < 0.005 * np.abs(trained_for).max()


def convolved(
    constants: dict[str, Array],
    name: str,
    x: Array,
    zero: int,
    step: Array,
    to: Array,
    zero_to: int,
) -> Array:
    """A quantised convolution: exact sums, one scaling in float32, rounded to even at ties."""
    weight = torch.from_numpy(constants[f"{name}.weight.integers"].astype(np.float64))
    sums = F.conv2d(torch.from_numpy(x.astype(np.float64)) - zero, weight, padding=1).numpy()
    sums += constants[f"{name}.bias.integers"].reshape(-1, 1, 1)
    scale = constants[f"{name}.weight.steps"] * step / to
    scaled = sums.astype(np.float32) * scale.astype(np.float32).reshape(-1, 1, 1)
    clipped: Array = np.clip(np.rint(scaled) + zero_to, 0, 255).astype(np.uint8)
    return clipped


def test_tiles_and_threads_give_the_same_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: Picture
) -> None:
    made = in_8_bits(trained(), tensor(photo.pixels[:96, :96]))
    network = export.write(
        tmp_path, "new-rec1", made, FAMILIES["comrec"], "jpeg", "rec", 1, 3, {"steps": 1}
    )
    monkeypatch.setattr(store, "FOLDER", tmp_path)
    pixels = np.ascontiguousarray(photo.pixels[:101, :121])
    whole = tiles.run(network, pixels, 30)
    cut = tiles.run(dataclasses.replace(network, tile=48), pixels, 30)
    assert np.abs(whole.astype(int) - cut).max() <= 1
    assert (whole != cut).mean() < 0.01
    monkeypatch.setattr(session, "threads", lambda: 1)
    session.forget()
    alone = tiles.run(network, pixels, 30)
    session.forget()
    assert np.array_equal(alone, whole)


@pytest.mark.train
def test_a_run_exports_what_it_validated(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    photo: Picture,
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(4):
        crop = photo.pixels[8 * index : 8 * index + 96, 16 * index : 16 * index + 96]
        Image.fromarray(crop).save(folder / f"{index}.png")
    text = (recipes.FOLDER / "comrec-jpeg-1.toml").read_text()
    for old, new in (
        ("crop = 96", "crop = 32"),
        ("batch = 16", "batch = 2"),
        ("quality_bins = 3\nplain_quality_bins = 2", "quality_bins = 1\nplain_quality_bins = 0"),
        ("improved_quality_bins = 2\nfull_chroma = true", "improved_quality_bins = 1"),
        ("patch = 320", ""),
    ):
        assert old in text
        text = text.replace(old, new)
    recipe = tmp_path / "small.toml"
    recipe.write_text(text)
    float_run, out = tmp_path / "float", tmp_path / "run"
    common = ["--data", str(folder), "--validation", str(folder), "--steps", "2"]
    assert main(["train", str(recipe), *common, "-o", str(float_run)]) == 0
    eight = ["train", str(recipe), *common, "-o", str(out), "--int8"]
    assert main(eight) == 2
    assert "--int8 wants --from" in capsys.readouterr().err
    assert main([*eight, "--from", str(float_run)]) == 0
    assert not (out / "data").exists()  # the pictures are those of the other run
    again = ["train", str(recipe), *common, "-o", str(tmp_path / "again"), "--from", str(out)]
    assert main(again) == 2
    assert "other layers" in capsys.readouterr().err  # one in 8 bits is trained from no more
    (rec,) = store.manifest(out / "weights" / "manifest.json")
    assert rec.name == "comrec-jpeg-rec1"
    monkeypatch.setattr(store, "FOLDER", out / "weights")
    inner = onnx.load_from_string(rec.load()).graph.initializer
    assert any(tensor.data_type == TensorProto.INT8 for tensor in inner)


def test_8_bits_have_no_recipe_of_their_own(tmp_path: Path) -> None:
    text = (recipes.FOLDER / "comrec-webp-1.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace('scheme = "filter"', 'scheme = "quantised"'))
    with pytest.raises(OptionError, match="use --int8"):
        recipes.load(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize("name", ["liu2018-3-rate", "jiang2017-jpeg", "comrec-jpeg-2"])
def test_what_has_no_8_bits_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="8 bits"):
        recipes.in_8_bits(recipes.load(name))

"""Training: the codec proxy, networks, export, the loop, recipes, and a whole toy run."""

from __future__ import annotations

import copy
import csv
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import skimage.data
import torch
import torch.nn.functional as F
from degradations import halved, untouched
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import comrec
from comrec import codec
from comrec.blocks import ZIGZAG
from comrec.cli import main
from comrec.errors import DamagedFileError, InputError, OptionError
from comrec.inference import store, tiles
from comrec.inference.store import Size
from comrec.jpegtuning.tunings import TUNINGS
from comrec.picture import Picture
from comrec.train import codecs, degradation, export, networks, precision, proxy, storage
from comrec.train import recipe as recipes
from comrec.train.data import PhotoStore, QualityBins, list_photos
from comrec.train.degradation import Degradation
from comrec.train.families import FAMILIES
from comrec.train.loop import Schedule, Trainer
from comrec.train.recipe import Recipe
from comrec.train.schemes import SCHEMES, build

Pixels = NDArray[np.uint8]

OURS: list[type[nn.Module]] = [
    networks.ComrecRec1,
    networks.ComrecRec2,
    networks.ComrecCom1,
    networks.ComrecCom2,
]
PUBLISHED: list[type[nn.Module]] = [networks.Jiang2017Com, networks.Jiang2017Rec]


def sample(name: str) -> Pixels:
    """One of scikit-image's photographs, (H, W, 3)."""
    return np.asarray(getattr(skimage.data, name)(), np.uint8)


def tensor(pixels: Pixels) -> Tensor:
    """(H, W, C) uint8 to (1, C, H, W) in 0..1."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def colourful() -> Picture:
    return Picture(np.ascontiguousarray(sample("astronaut")[:192, 160:352]))


# the proxy


def raster_tables(quality: float) -> list[list[int]]:
    """Our tables as Pillow wants them."""
    out = []
    for table in TUNINGS["psnr"].tables(quality, "4:2:0"):
        raster = np.empty(64, int)
        raster[ZIGZAG] = table
        out.append(raster.tolist())
    return out


def steps(quality: float) -> Tensor:
    return proxy.raster(list(TUNINGS["psnr"].tables(quality, "4:2:0")))


@pytest.mark.parametrize("quality", [0, 5, 20, 35, 50, 65, 80, 95])
@pytest.mark.parametrize("name", ["photo", "colourful"])
def test_the_proxy_decodes_to_what_pillow_decodes(
    quality: int, name: str, request: pytest.FixtureRequest
) -> None:
    picture: Picture = request.getfixturevalue(name)
    coder = codec.get("jpeg", tables=raster_tables(quality), subsampling="4:2:0")
    real = coder.decode(coder.encode(picture, 50)).pixels
    imitated, _ = proxy.jpeg(tensor(picture.pixels), steps(quality))
    difference = (imitated * 255 - tensor(real) * 255).abs()
    assert difference.mean() < 1
    assert imitated.min() >= 0
    assert imitated.max() <= 1


def test_each_picture_of_a_batch_may_have_its_own_tables(
    photo: Picture, colourful: Picture
) -> None:
    batch = torch.cat([tensor(p.pixels[:64, :80]) for p in (photo, colourful)])
    both, rates = proxy.jpeg(batch, torch.stack([steps(10), steps(70)]))
    for index, quality in enumerate((10, 70)):
        one, rate = proxy.jpeg(batch[index : index + 1], steps(quality))
        assert torch.allclose(both[index], one[0], atol=1e-6)
        assert rates[index] == pytest.approx(float(rate), rel=1e-5)


def test_gradients_flow_through_the_proxy_even_where_it_clips_and_rounds(photo: Picture) -> None:
    picture = tensor(photo.pixels[:64, :64]) * 1.6 - 0.3  # partly outside 0..1
    picture.requires_grad_()
    decoded, rate = proxy.jpeg(picture, steps(20))
    (by_pixels,) = torch.autograd.grad(decoded.square().sum(), picture, retain_graph=True)
    (by_rate,) = torch.autograd.grad(rate.sum(), picture)
    for gradient in (by_pixels, by_rate):
        assert gradient.isfinite().all()
        assert (gradient.abs() > 0).float().mean() > 0.9


def test_descending_the_rate_makes_smaller_files(photo: Picture) -> None:
    picture = tensor(photo.pixels[:96, :96]).requires_grad_()
    coder = codec.get("jpeg", tables=raster_tables(50))
    _, before = codecs.through_codec(coder, picture, 50)
    _, rate = proxy.jpeg(picture, steps(50))
    (gradient,) = torch.autograd.grad(rate.sum(), picture)
    moved = picture.detach() - gradient / gradient.abs().mean() * 2 / 255
    _, after = codecs.through_codec(coder, moved, 50)
    assert after < 0.95 * before


def test_finer_tables_cost_more(photo: Picture) -> None:
    picture = tensor(photo.pixels)
    rates = [float(proxy.jpeg(picture, steps(q))[1]) for q in (5, 15, 30, 50, 70, 85, 95)]
    assert rates == sorted(set(rates))


@pytest.mark.parametrize("name", ["photo", "colourful"])
@pytest.mark.parametrize(("fitted", "asked"), [(30, 50), (50, 30), (60, 75), (75, 60)])
def test_the_fitted_rate_foretells_real_sizes_nearby(
    name: str, fitted: int, asked: int, request: pytest.FixtureRequest
) -> None:
    picture: Picture = request.getfixturevalue(name)
    imitated, real = [], []
    for quality in (fitted, asked):
        coder = codec.get("jpeg", tables=raster_tables(quality), subsampling="4:2:0")
        real.append(8.0 * len(coder.encode(picture, 50)))
        imitated.append(proxy.jpeg(tensor(picture.pixels), steps(quality))[1])
    scale = proxy.fit_rate(imitated[0], torch.tensor([real[0]]))
    assert scale * float(imitated[0]) == pytest.approx(real[0], rel=1e-4)
    assert scale * float(imitated[1]) == pytest.approx(real[1], rel=0.15)


def test_pixels_outside_the_range_are_penalised_in_grey_levels() -> None:
    assert proxy.outside(torch.tensor([0.0, 0.4, 1.0])) == 0
    picture = torch.tensor([-10 / 255, 0.5, 1 + 30 / 255, 1.0], requires_grad=True)
    penalty = proxy.outside(picture)
    assert float(penalty.detach()) == pytest.approx(10)
    torch.autograd.backward(penalty)
    assert picture.grad is not None
    assert picture.grad.sign().tolist() == [-1, 0, 1, 0]


def test_crops_go_through_a_real_codec_without_touching_each_other(photo: Picture) -> None:
    crops = torch.cat([tensor(photo.pixels[y : y + 32, y : y + 48]) for y in (0, 40, 96)])
    coder = codec.get("jpeg", subsampling="4:4:4")
    together, bits = codecs.through_codec(coder, crops, 40)
    for index in range(3):
        alone, own = codecs.through_codec(coder, crops[index : index + 1], 40)
        assert torch.equal(together[index], alone[0])
        assert 0 < own < bits


def test_gray_crops_go_through_real_jpeg_without_touching_each_other(gray_photo: Picture) -> None:
    plane = tensor(gray_photo.pixels[..., None])
    crops = torch.cat([plane[..., y : y + 24, 8 : 8 + 40] for y in (0, 40, 96)])
    together = codecs.jpeg_mosaic(crops, 30)
    for index in range(3):
        assert torch.equal(together[index], codecs.jpeg_mosaic(crops[index : index + 1], 30)[0])
    assert 0 < (together - crops).abs().mean() < 0.05


# the networks


def conditions(kind: type[nn.Module], quality: float = 0.3) -> dict[str, Tensor]:
    """What a network is told beside the picture."""
    if kind in PUBLISHED:
        return {}
    told = {"quality": torch.tensor([quality]), "full_chroma": torch.ones(1)}
    return told if kind is networks.ComrecRec1 else {"quality": told["quality"]}


def outputs(module: nn.Module, picture: Tensor, quality: float = 0.3) -> Tensor:
    with torch.no_grad():
        out: Tensor = module(picture, **conditions(type(module), quality))
    return out


@pytest.mark.parametrize("size", [(16, 16), (34, 50)])
@pytest.mark.parametrize("kind", OURS + PUBLISHED)
def test_networks_start_as_bicubic_or_nothing(
    kind: type[nn.Module], size: tuple[int, int], photo: Picture
) -> None:
    torch.manual_seed(3)
    channels = 3 if kind in OURS else 1
    picture = tensor(photo.pixels[: size[0], : size[1], :channels])
    module = kind().eval()
    out = outputs(module, picture)
    if kind in (networks.ComrecRec1, networks.ComrecCom1):
        assert torch.allclose(out, picture, atol=1e-6)
    elif kind in (networks.ComrecRec2, networks.Jiang2017Rec):
        assert torch.allclose(out, networks.upsample(picture), atol=1e-6)
    elif kind is networks.ComrecCom2:
        assert torch.allclose(out, networks.downsample(picture), atol=1e-6)
    else:
        assert out.shape == (1, 1, size[0] // 2, size[1] // 2)
        assert (out - F.avg_pool2d(picture, 2)).abs().mean() < 0.15


def test_the_published_compact_picture_rounds_odd_sides_up() -> None:
    out = outputs(networks.Jiang2017Com(), torch.rand(1, 1, 33, 21))
    assert out.shape == (1, 1, 17, 11)


@pytest.mark.parametrize("kind", OURS)
def test_quality_reaches_the_output_once_trained(kind: type[nn.Module]) -> None:
    module = shaken(kind)
    picture = torch.rand(1, 3, 32, 32)
    assert not torch.allclose(outputs(module, picture, 0.1), outputs(module, picture, 0.9))


def pillow_resize(plane: NDArray[np.float32], width: int, height: int) -> Tensor:
    image = Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(image).copy())


def test_resampling_is_pillows_bicubic_away_from_the_edges() -> None:
    plane = np.random.default_rng(0).random((40, 56), np.float32)
    ours = torch.from_numpy(plane)[None, None]
    down, up = networks.downsample(ours)[0, 0], networks.upsample(ours)[0, 0]
    assert down.shape == (20, 28)
    assert up.shape == (80, 112)
    inner = np.s_[4:-4, 4:-4]
    assert torch.allclose(down[inner], pillow_resize(plane, 28, 20)[inner], atol=1e-6)
    assert torch.allclose(up[inner], pillow_resize(plane, 112, 80)[inner], atol=1e-6)


def test_resampling_keeps_flat_pictures_flat_to_the_edge() -> None:
    flat = torch.full((1, 3, 10, 14), 0.37)
    assert torch.allclose(networks.downsample(flat), flat[..., :5, :7], atol=1e-6)
    assert torch.allclose(networks.upsample(flat), flat[..., :1, :1], atol=1e-6)


# export


def shaken(kind: Callable[[], nn.Module]) -> nn.Module:
    """A network whose every layer matters, as after training."""
    torch.manual_seed(5)
    module = kind()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.abs().sum() == 0 or "tail" in name:
                parameter.normal_(0, 0.01)
            elif parameter.ndim == 1 and name.endswith("weight"):  # batch normalisation
                parameter.uniform_(0.8, 1.2)
        for name, buffer in module.named_buffers():
            if "running_mean" in name:
                buffer.normal_(0, 0.1)
            elif "running_var" in name:
                buffer.uniform_(0.5, 2)
    return module.eval()


@pytest.mark.parametrize("kind", OURS + PUBLISHED)
def test_the_runtime_agrees_with_torch_to_a_grey_level(
    kind: type[nn.Module], photo: Picture
) -> None:
    module = shaken(kind)
    ours = kind in OURS
    channels = 3 if ours else 1
    data = export.to_onnx(module, conditioned=ours, channels=channels)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for height, width in ((48, 80), (66, 34)):
        picture = tensor(photo.pixels[:height, :width, :channels])
        told = {name: value.numpy() for name, value in conditions(kind).items()}
        feed = {"picture": picture.numpy(), **told}
        (found,) = session.run(None, feed)
        expected = outputs(module, picture)
        assert found.shape == tuple(expected.shape)
        assert 255 * np.abs(found - expected.numpy()).max() <= 1
    start = outputs(kind().eval(), picture)
    assert 255 * (outputs(module, picture) - start).abs().max() > 2  # so the test says something


@pytest.mark.parametrize("kind", OURS + PUBLISHED)
def test_an_exported_file_gives_the_parameters_back(kind: type[nn.Module]) -> None:
    module = shaken(kind)
    ours = kind in OURS
    found = storage.weights_of(export.to_onnx(module, conditioned=ours, channels=3 if ours else 1))
    for name, value in module.state_dict().items():
        if "num_batches_tracked" not in name:
            assert torch.allclose(found[name], value, rtol=1e-3, atol=1e-5), name


def test_every_network_has_a_geometry_that_holds() -> None:
    """A sample of the output depends on nothing farther away than the stated reach."""
    assert {kind.__name__ for kind in OURS + PUBLISHED} == set(export.GEOMETRY)
    for kind in OURS + PUBLISHED:
        align, reach, tile = export.GEOMETRY[kind.__name__]
        assert tile % align == 0
        module = shaken(kind)
        picture = torch.rand(1, 3 if kind in OURS else 1, 96, 96, requires_grad=True)
        out = module(picture, **conditions(kind))
        # The four samples in the middle: all phases of the grid.
        middle = out.shape[-1] // 2
        out[..., middle : middle + 2, middle : middle + 2].sum().backward()
        assert picture.grad is not None
        touched = picture.grad.abs().sum((0, 1)).nonzero()
        centre = middle * 96 // out.shape[-1]
        assert touched.min() >= centre - reach
        assert touched.max() <= centre + reach + 1


@pytest.mark.parametrize("size", store.SIZES)
def test_each_size_reaches_as_far_as_its_manifest_entry_says(size: Size, tmp_path: Path) -> None:
    module = shaken(lambda: networks.ComrecRec1(size))
    family = FAMILIES["comrec"]
    written = export.write(tmp_path, "one", module, family, "jpeg", "rec", 1, 3, {})
    assert written.size == size
    assert store.manifest(tmp_path / "manifest.json") == (written,)
    side = 2 * written.reach + 34
    picture = torch.rand(1, 3, side, side, requires_grad=True)
    out = module(picture, **conditions(networks.ComrecRec1))
    middle = slice(side // 2 - 1, side // 2 + 1)
    out[..., middle, middle].sum().backward()
    assert picture.grad is not None
    touched = picture.grad.abs().sum((0, 1)).nonzero()
    assert middle.start - touched.min() <= written.reach
    assert touched.max() - middle.stop + 1 <= written.reach


def test_a_larger_network_starts_as_the_smaller_one() -> None:
    small = shaken(lambda: networks.ComrecRec1("fast"))
    large = networks.ComrecRec1()
    large.load_state_dict(networks.resized(small.state_dict(), large))
    picture = torch.rand(1, 3, 32, 48)
    assert torch.allclose(outputs(large, picture), outputs(small, picture), atol=1e-6)


def test_the_best_network_gives_the_mean_of_all_mirror_images() -> None:
    best = shaken(lambda: networks.ComrecRec1("best"))
    single = copy.deepcopy(best).train()
    picture = torch.rand(1, 3, 32, 48)
    mean = torch.zeros_like(picture)
    for axes in ([], [2], [3], [2, 3]):
        mean += torch.flip(outputs(single, torch.flip(picture, axes)), axes) / 4
    assert torch.allclose(outputs(best, picture), mean, atol=1e-5)
    assert not torch.allclose(outputs(single, picture), mean, atol=1e-4)


def test_a_smaller_network_starts_with_blocks_of_the_larger_one() -> None:
    large, small = shaken(networks.ComrecRec1), networks.ComrecRec1("fast")
    small.load_state_dict(networks.resized(large.state_dict(), small))
    weights = [
        {key: value for key, value in each.state_dict().items() if key.endswith("conv1.weight")}
        for each in (large, small)
    ]
    given, kept = (list(each.values()) for each in weights)
    places = [[torch.equal(one, other) for other in given].index(True) for one in kept]
    assert places == sorted(set(places))
    assert len(places) == 3


def test_a_written_network_runs_from_its_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: Picture
) -> None:
    module = shaken(networks.ComrecRec2)
    arguments: tuple[Any, ...] = (FAMILIES["comrec"], "jpeg", "rec", 2, 3, {"steps": 7})
    first = export.write(tmp_path, "new-rec2", shaken(networks.ComrecRec1), *arguments)
    network = export.write(tmp_path, "new-rec2", module, *arguments)
    entries = json.loads((tmp_path / "manifest.json").read_text())["networks"]
    # The first stays, for the files that name it.
    assert [store.Network(**entry) for entry in entries] == [first, network]
    monkeypatch.setattr(store, "FOLDER", tmp_path)
    for one in (first, network):
        assert hashlib.sha256(one.load()).hexdigest() == one.sha256
    pixels = photo.pixels[:30, :44].copy()
    found = tiles.run(network, pixels, 30)
    padded = F.pad(tensor(pixels), (8, 8, 8, 8), mode="replicate")
    expected = outputs(module, padded)[..., 16:-16, 16:-16].clamp(0, 1) * 255
    assert found.shape == (60, 88, 3)
    assert np.abs(found - expected[0].permute(1, 2, 0).numpy()).max() <= 1


# the loop


def plain_track(counter: Iterator[int], done: int, total: int) -> Iterator[int]:
    return counter


def small_pair() -> nn.ModuleDict:
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))
    return nn.ModuleDict({"rec": net})


class Task:
    """Learn to halve noise; can be interrupted by Ctrl-C after so many steps."""

    def __init__(self, folder: Path, stop: int | None = None) -> None:
        self.pair = small_pair()
        self.stop = stop
        self.batches: list[float] = []
        self.trainer = Trainer(self.pair, Schedule(20, 1e-2, warmup=5), folder, "cpu")

    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        if self.stop is not None and step == self.stop - 1:
            signal.raise_signal(signal.SIGINT)
        x = torch.from_numpy(random.random((2, 1, 8, 8), np.float32))
        self.batches.append(float(x.mean()))
        y: Tensor = self.pair["rec"](x + 0.01 * torch.rand_like(x))
        return (y - x / 2).square().mean()

    def run(self) -> dict[str, Tensor]:
        self.trainer.run(self.step_loss, lambda: {"psnr": 1.0}, 4, plain_track)
        return self.pair.state_dict()


def test_an_interrupted_run_resumes_exactly(tmp_path: Path) -> None:
    torch.manual_seed(0)
    straight = Task(tmp_path / "straight")
    expected = straight.run()

    torch.manual_seed(0)
    first = Task(tmp_path / "parts", stop=10)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    torch.manual_seed(99)
    second = Task(tmp_path / "parts")
    assert second.trainer.resume()
    assert second.trainer.step == 10
    found = second.run()

    assert first.batches + second.batches == straight.batches
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name

    third = Task(tmp_path / "parts")
    assert third.trainer.resume()
    for name, value in third.run().items():  # nothing left to do
        assert torch.equal(expected[name], value), name
    assert third.batches == []


def test_the_curve_has_one_row_a_validation(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        Task(tmp_path, stop=9).run()
    task = Task(tmp_path)
    task.trainer.resume()
    task.run()
    with (tmp_path / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["4", "8", "12", "16", "20"]
    assert set(rows[0]) == {"step", "seconds", "loss", "psnr"}
    assert not list(tmp_path.glob("*.part"))


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path: Path) -> None:
    assert not Task(tmp_path).trainer.resume()


def test_a_checkpoint_that_cannot_be_resumed_is_refused(tmp_path: Path) -> None:
    Task(tmp_path).run()
    path = tmp_path / "checkpoint.pt"
    whole = path.read_bytes()
    good = torch.load(path, weights_only=True)

    class Call:
        """What unpickling would call, were it allowed to."""

        def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
            return os.mkdir, (str(tmp_path / "called"),)

    damaged: list[bytes | object] = [
        b"",
        b"no checkpoint",
        whole[: len(whole) // 2],
        whole[:100] + bytes(50) + whole[150:],
        [1, 2],
        {**good, "average": 3},
        {**good, "average": {"rec": "many"}},
        {**good, "step": Call()},
    ]
    for contents in damaged:
        if isinstance(contents, bytes):
            path.write_bytes(contents)
        else:
            torch.save(contents, path)
        with pytest.raises(DamagedFileError, match=r"checkpoint\.pt"):
            Task(tmp_path).trainer.resume()
    assert not (tmp_path / "called").exists()

    others: list[object] = [
        {"average": good["average"]},
        {**good, "step": "many"},
        {**good, "module": {}},
        {**good, "average": {}},
        {**good, "optimisers": []},
        {**good, "torch_rng": torch.zeros(3)},
    ]
    for state in others:
        torch.save(state, path)
        with pytest.raises(OptionError, match="this recipe"):
            Task(tmp_path).trainer.resume()
    path.write_bytes(whole)
    assert Task(tmp_path).trainer.resume()


def test_the_rate_warms_up_and_falls_to_nothing() -> None:
    schedule = Schedule(100, 1e-3, warmup=10)
    rates = [schedule.at(step) for step in range(101)]
    assert max(rates) == pytest.approx(1e-3)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0, abs=1e-9)


def test_training_learns_and_ends_with_the_averaged_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = Task(tmp_path)
    before = float(task.step_loss(np.random.default_rng(0), 0).detach())
    task.run()
    for name, value in task.pair.state_dict().items():
        assert torch.equal(value, task.trainer.average[name])
    assert float(task.step_loss(np.random.default_rng(0), 0).detach()) < before


def test_validation_sees_the_averaged_weights_in_evaluation_mode_and_changes_nothing(
    tmp_path: Path,
) -> None:
    x = torch.rand(2, 1, 8, 8)
    validated: list[dict[str, Tensor]] = []

    def validate(pair: nn.ModuleDict) -> dict[str, float]:
        assert not any(module.training for module in pair.modules())
        validated.append({k: v.clone() for k, v in pair.state_dict().items()})
        with torch.no_grad():
            return {"mean": float(pair["rec"](x).mean())}

    task = Task(tmp_path)
    task.pair.get_submodule("rec.2").eval()  # a part that the caller keeps in evaluation mode
    modes = {name: module.training for name, module in task.pair.named_modules()}
    scores = task.trainer.run(task.step_loss, lambda: validate(task.pair), 8, plain_track)
    assert len(validated) == 3  # after 8, 16 and 20 steps
    assert {name: module.training for name, module in task.pair.named_modules()} == modes
    for name, value in task.pair.state_dict().items():
        assert torch.equal(value, validated[-1][name]), name
    assert scores == validate(task.pair.eval())

    again = Task(tmp_path)
    assert again.trainer.resume()
    assert again.trainer.step == 20  # nothing is left to do; it is scored all the same
    again_scores = again.trainer.run(again.step_loss, lambda: validate(again.pair), 8, plain_track)
    assert again_scores == scores


# data


def cut_out(target: Path, count: int, side: int = 128) -> Path:
    """A folder of PNG photographs."""
    target.mkdir(parents=True, exist_ok=True)
    made = 0
    for source in map(sample, ("astronaut", "coffee", "chelsea")):
        for top in range(0, source.shape[0] - side + 1, side):
            for left in range(0, source.shape[1] - side + 1, side):
                pixels = source[top : top + side, left : left + side]
                if made < count:
                    Image.fromarray(np.ascontiguousarray(pixels)).save(target / f"{made:03}.png")
                    made += 1
    assert made == count
    return target


def quiet(items: Iterable[Any], total: int, label: str) -> Iterable[Any]:
    return items


@pytest.mark.parametrize(("degrade", "scale"), [(untouched, 1), (halved, 2)])
def test_a_sample_pairs_each_crop_with_its_coded_version(
    tmp_path: Path, degrade: Degradation, scale: int
) -> None:
    photos = list_photos(cut_out(tmp_path / "in", 3))
    made = PhotoStore(tmp_path / "store", photos, "RGB", 32)
    bins = QualityBins("x", degrade, 2, scale, lambda fraction: 1.0)
    made.add_quality_bins([bins], 1, quiet)
    original, coded, conditions = made.sample(np.random.default_rng(0), 6, 32, scale)
    assert original.shape == (6, 3, 32, 32)
    assert coded.shape == (6, 3, 32 // scale, 32 // scale)
    assert (F.avg_pool2d(original, scale) - coded).abs().max() * 255 <= 0.51
    assert ((conditions >= 0) & (conditions < 1)).all()
    assert original.std() > 0.05

    again = PhotoStore(tmp_path / "store", photos, "RGB", 32)  # from the disk
    again.add_quality_bins([bins], 1, quiet)
    same = again.sample(np.random.default_rng(0), 6, 32, scale)
    assert torch.equal(same[0], original)
    assert torch.equal(same[1], coded)

    with pytest.raises(OptionError, match="other pictures"):
        PhotoStore(tmp_path / "store", photos[1:], "RGB", 32)
    with pytest.raises(OptionError, match="other pictures"):
        PhotoStore(tmp_path / "store", photos, "RGB", 32, enlarged=0.5)
    with pytest.raises(OptionError, match="smaller than 1024"):
        PhotoStore(tmp_path / "store", photos, "RGB", 1024)
    (tmp_path / "store" / "x-1of2.json").write_text("[0.1, ")
    with pytest.raises(DamagedFileError, match=r"x-1of2\.json"):
        again.add_quality_bins([bins], 1, quiet)
    with (tmp_path / "store" / "original.u8").open("ab") as file:
        file.write(b"more")
    with pytest.raises(DamagedFileError, match=r"original\.u8"):
        PhotoStore(tmp_path / "store", photos, "RGB", 32)
    (tmp_path / "store" / "index.json").write_text("{")
    with pytest.raises(DamagedFileError, match=r"index\.json"):
        PhotoStore(tmp_path / "store", photos, "RGB", 32)


def test_bins_that_are_missing_are_coded_again_and_no_other(tmp_path: Path) -> None:
    photos = list_photos(cut_out(tmp_path / "in", 3))
    added = [
        QualityBins("x", untouched, 3, 1, lambda fraction: 1.0),
        QualityBins("y", halved, 2, 2, lambda fraction: 1.0),
    ]
    store = tmp_path / "store"
    PhotoStore(store, photos, "RGB", 32).add_quality_bins(added, 2, quiet)
    whole = {path.name: path.read_bytes() for path in store.iterdir()}
    for name in ("x-1of3", "y-0of2"):
        (store / f"{name}.json").unlink()
    told = []

    def track(items: Iterable[Any], total: int, label: str) -> Iterable[Any]:
        told.append((total, label))
        return items

    again = PhotoStore(store, photos, "RGB", 32)
    again.add_quality_bins(added, 1, track)
    assert told == [(3, "x-1of3"), (3, "y-0of2")]
    assert len(again.bins) == 5
    assert {path.name: path.read_bytes() for path in store.iterdir()} == whole


@pytest.mark.parametrize("made", ["payload", "plain"])
@pytest.mark.parametrize(
    ("family", "base", "scale", "channels", "subsampling"),
    [
        ("comrec", "jpeg", 1, 3, "4:2:0"),
        ("comrec", "jpeg", 1, 3, "4:4:4"),
        ("comrec", "bpg", 2, 3, ""),
        ("jiang2017", "jpeg2000", 2, 1, ""),
    ],
)
def test_a_real_codecs_degradation_comes_with_the_condition_of_its_files(
    photo: Picture,
    family: str,
    base: str,
    scale: int,
    channels: int,
    subsampling: str,
    made: degradation.Files,
) -> None:
    coder = degradation.RealCodec(family, base, scale, 10, 60, made, subsampling)
    pixels = photo.pixels[..., :channels]
    results = [coder(pixels, fraction) for fraction in (0.0, 1.0)]
    for coded, condition in results:
        assert coded.shape == (192 // scale, 256 // scale, channels)
        assert 0 <= condition[0] <= 1
        assert condition[1] == (subsampling == "4:4:4")
    assert results[0][1][0] < results[1][1][0]


@pytest.mark.parametrize(
    ("base", "options"),
    [
        ("jpeg", {"subsampling": "4:2:0", "tune": "psnr"}),
        ("jpeg", {"subsampling": "4:4:4", "tune": "perceptual"}),
        ("webp", {}),
    ],
)
def test_improved_files_are_those_that_the_package_makes(
    photo: Picture, base: str, options: dict[str, str]
) -> None:
    own = codec.get(f"comrec-{base}", scale="1", **options)
    viewed = comrec.decode(own.encode(photo, 45), plain=True)
    coder = degradation.RealCodec("comrec", base, 1, 10, 60, "improved", **options)
    coded, condition = coder(photo.pixels, 0.7)
    assert np.array_equal(coded, np.asarray(viewed))
    assert condition[1] == (options.get("subsampling") == "4:4:4")
    payload, _ = dataclasses.replace(coder, files="payload", tune="")(photo.pixels, 0.7)
    assert not np.array_equal(coded, payload)


def test_photos_can_be_cut_to_a_patch_and_enlarged(tmp_path: Path) -> None:
    photos = list_photos(cut_out(tmp_path / "photos", 6))
    whole = PhotoStore(tmp_path / "whole", photos, "RGB", 32)
    half = whole.shapes[0][0] // 32 * 16
    patches = PhotoStore(tmp_path / "patches", photos, "RGB", 32, patch=half)
    assert set(patches.shapes) == {(half, half)}
    for i in range(6):  # a part of the photograph, as it is
        windows = np.lib.stride_tricks.sliding_window_view(whole.original[i], (half, half, 3))
        assert (windows[:, :, 0] == patches.original[i]).all(axis=(2, 3, 4)).any()
    enlarged = PhotoStore(tmp_path / "enlarged", photos, "RGB", 32, enlarged=1.0)
    for (height, width), (before, across) in zip(enlarged.shapes, whole.shapes, strict=True):
        assert 1.1 * before <= height <= 1.9 * before + 16
        assert 1.1 * across <= width <= 1.9 * across + 16
    mixed = PhotoStore(tmp_path / "mixed", photos, "RGB", 32, enlarged=0.5)
    assert set(mixed.shapes) != set(whole.shapes) != set(enlarged.shapes)


def test_photos_are_found_below_a_folder_and_thinned_evenly(tmp_path: Path) -> None:
    cut_out(tmp_path / "a" / "b", 6)
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    assert [path.name for path in list_photos(tmp_path)] == [f"{i:03}.png" for i in range(6)]
    assert [path.name for path in list_photos(tmp_path, 3)] == ["000.png", "002.png", "004.png"]


# recipes and schemes


# Those of learned codecs are in test_train_learned.py, test_train_rippel2017.py and so on.
@pytest.mark.parametrize(
    "name",
    [
        name
        for name in recipes.shipped()
        if not name.startswith(("liu2018", "rippel2017", "toderici2017", "roi"))
    ],
)
def test_every_shipped_recipe_builds_networks_that_can_be_exported(name: str) -> None:
    recipe = recipes.load(name)
    pair = build(recipe)
    assert "rec" in pair
    assert recipe.scheme in SCHEMES
    assert codec.get(f"{recipe.family}-{recipe.codec}")
    assert recipe.crop % (8 * recipe.scale) == 0  # whole blocks in the compact crops
    low, high = recipe.quality
    assert 0 <= low < high <= 100
    assert {type(module).__name__ for module in pair.values()} <= set(export.GEOMETRY)
    if recipe.start:
        assert any(n.name.startswith(recipe.start) for n in store.networks())


def test_bad_recipes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"'nonsense'.*toy"):
        recipes.load("nonsense")
    with pytest.raises(OptionError, match="nowhere"):
        recipes.load(str(tmp_path / "nowhere.toml"))
    toy = (recipes.FOLDER / "toy.toml").read_text()
    for text, says in [
        (toy + "\ncolour = 3\n", "colour"),
        (toy.replace("crop = ", "# "), "crop"),
        (toy + "\nthis is no TOML", "mine.toml"),
        (toy.replace("steps = 400", 'steps = "many"'), r"steps must be a whole number, not 'many'"),
        (toy.replace("steps = 400", "steps = true"), "steps must be a whole number"),
        (toy.replace("steps = 400", "steps = 4.5"), "steps must be a whole number"),
        (toy.replace("steps = 400", "steps = 0"), "steps must be at least 1"),
        (toy.replace("rate = 1e-3", "rate = nan"), "rate must be a number"),
        (toy.replace("rate = 1e-3", "rate = -1"), "rate must be at least 0"),
        (toy.replace("[5, 30]", "30"), "quality must be two numbers"),
        (toy.replace("[5, 30]", "[5, 20, 30]"), "quality must be two numbers"),
        (toy.replace("[5, 30]", '[5, "best"]'), "quality must be a number"),
        (toy.replace("[5, 30]", "[30, 5]"), "ascending"),
        (toy.replace("channels = 3", "channels = 2"), "channels must be 1 or 3"),
        (toy.replace('"filter"', '"magic"'), "scheme must be one of filter"),
        (toy.replace('"filter"', "[]"), "scheme must be one of filter"),
        (toy.replace('"comrec"', '"other"'), "family must be one of jiang2017"),
        (toy.replace("scale = 1", 'scale = 2\nsize = "best"'), "at scale 1 have a size"),
        (
            toy.replace("scale = 1", "scale = 2\nimproved_quality_bins = 1"),
            "scale 1 are improved",
        ),
        (toy + "\nlambdas = [0, 1]\n", "lambdas must be two positive numbers"),
        (toy.replace('"toy-1"', '"../toy"'), "name '../toy' must be letters"),
        (toy.replace('"toy-1"', '"/tmp/toy"'), "name '/tmp/toy' must be letters"),
        (toy.replace('"toy-1"', '""'), "name '' must be letters"),
        (toy + '\nstart = "../weights"\n', "start '../weights' must be letters"),
    ]:
        (tmp_path / "mine.toml").write_text(text)
        with pytest.raises(OptionError, match=says):
            recipes.load(str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(OptionError, match=r"mine\.toml"):
        recipes.load(str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_text(toy)
    assert recipes.load(str(tmp_path / "mine.toml")) == recipes.load("toy")


def test_a_shipped_recipes_name_does_not_leave_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "toy.toml"
    outside.write_bytes((recipes.FOLDER / "toy.toml").read_bytes())
    for name in (str(tmp_path / "toy"), "../recipes/toy"):
        with pytest.raises(OptionError, match="no recipe"):
            recipes.load(name)


def test_a_scheme_is_for_the_families_that_it_can_train() -> None:
    toy = recipes.load("toy")
    for wrong in (
        dataclasses.replace(toy, family="liu2018"),
        dataclasses.replace(toy, family="jiang2017", scheme="joint"),
        dataclasses.replace(toy, scheme="alternating"),
        dataclasses.replace(toy, scheme="curriculum"),
    ):
        with pytest.raises(OptionError, match=r"the scheme \w+ trains .*, not "):
            build(wrong)


def scheme_of(recipe: Recipe, folder: Path) -> Any:
    made = PhotoStore(folder / "s", list_photos(cut_out(folder / "in", 3)), "RGB", recipe.crop)
    if recipe.channels == 1:
        made = PhotoStore(folder / "g", list_photos(folder / "in"), "L", recipe.crop)
    torch.manual_seed(1)
    return SCHEMES[recipe.scheme](recipe, build(recipe), made, made, "cpu")


def grown(module: nn.Module) -> bool:
    """Whether a backward pass has reached a module."""
    return any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_the_alternating_scheme_trains_one_network_at_a_time(tmp_path: Path) -> None:
    recipe = dataclasses.replace(recipes.load("jiang2017-jpeg"), crop=32, batch=2)
    scheme = scheme_of(recipe, tmp_path)
    com, rec = scheme.pair["com"], scheme.pair["rec"]
    nn.init.normal_(rec.body[-1].weight, 0, 0.01)
    turns = []
    for step in range(recipe.period):
        scheme.pair.zero_grad(set_to_none=True)
        loss = scheme.step_loss(np.random.default_rng(step), step)
        assert loss.isfinite()
        loss.backward()
        assert grown(com) != grown(rec)
        turns.append(grown(com))
    assert sum(turns) == recipe.com_steps
    scheme.step_loss(np.random.default_rng(0), recipe.steps - 1).backward()
    assert all(not p.requires_grad for p in com.parameters())  # RecCNN has the last word
    scores = scheme.validate()
    assert scores == scheme.validate()
    assert 10 < scores["psnr"] < 60


@pytest.mark.parametrize("name", ["comrec-jpeg-2", "comrec-jpeg-joint"])
def test_the_joint_scheme_trains_both_networks_at_once(name: str, tmp_path: Path) -> None:
    recipe = dataclasses.replace(recipes.load(name), crop=64, batch=4)
    assert recipe.scheme == "joint"
    scheme = scheme_of(recipe, tmp_path)
    loss = scheme.step_loss(np.random.default_rng(0), 0)
    assert loss.isfinite()
    loss.backward()
    assert grown(scheme.pair["com"])
    assert grown(scheme.pair["rec"])
    scores = scheme.validate()
    assert scores == scheme.validate()
    assert 10 < scores["psnr"] < 60
    assert 0 < scores["bpp"] < 24


@pytest.mark.parametrize(("has", "kind"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_cpu_trains_in_bfloat16_only_where_it_has_it(
    has: bool, kind: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: has)
    scheme = scheme_of(dataclasses.replace(recipes.load("jiang2017-jpeg"), crop=32), tmp_path)
    with scheme.autocast():
        assert nn.Conv2d(1, 1, 1)(torch.rand(1, 1, 4, 4)).dtype == kind


# the command


def recipe_file(folder: Path, name: str, **changes: object) -> Path:
    """A shipped recipe with some fields changed, as a file."""
    values = {**tomllib.loads((recipes.FOLDER / f"{name}.toml").read_text()), **changes}
    path = folder / f"{name}.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
    return path


@pytest.fixture
def sigterm() -> Iterator[None]:
    """What SIGTERM does is put back after training."""
    kept = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, kept)


@pytest.mark.train
@pytest.mark.usefixtures("sigterm")
def test_the_toy_recipe_visibly_beats_plain_jpeg(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = cut_out(tmp_path / "photos", 24)
    out = tmp_path / "run"
    arguments = ["train", "toy", "--data", str(data), "-o", str(out)]
    assert main([*arguments, "--steps", "300"]) == 0
    assert capsys.readouterr().err == ""  # no progress bar away from a terminal

    with (out / "curve.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    assert last["step"] == "300"
    assert float(last["psnr"]) > float(last["psnr_plain"]) + 0.2

    entries = json.loads((out / "weights" / "manifest.json").read_text())["networks"]
    (network,) = (store.Network(**entry) for entry in entries)
    assert (network.variant, network.role, network.up) == ("jpeg", "rec", 1)
    assert network.training["steps"] == 300
    assert network.training["recipe"] == "toy-1"
    assert {"data", "photos", "seconds", "hardware", "scores"} & set(network.training)
    monkeypatch.setattr(store, "FOLDER", out / "weights")
    photograph = Picture(np.ascontiguousarray(sample("chelsea")[100:196, 200:328]))
    coder = codec.get("jpeg")
    decoded = coder.decode(coder.encode(photograph, 12))
    reconstruction = tiles.run(network, decoded.pixels, 12)
    error = np.abs(reconstruction.astype(int) - photograph.pixels).mean()
    assert error < np.abs(decoded.pixels.astype(int) - photograph.pixels).mean()

    before = (out / "checkpoint.pt").stat().st_mtime_ns
    assert main(arguments) == 2
    assert "--resume" in capsys.readouterr().err
    assert (out / "checkpoint.pt").stat().st_mtime_ns == before
    assert main([*arguments, "--steps", "302", "--resume"]) == 0
    with (out / "curve.csv").open() as file:
        assert list(csv.DictReader(file))[-1]["step"] == "302"


@pytest.mark.train
@pytest.mark.usefixtures("sigterm")
def test_what_is_exported_is_what_was_validated(tmp_path: Path) -> None:
    data = cut_out(tmp_path / "photos", 4, side=64)
    changes = {"crop": 32, "batch": 2, "steps": 2}
    recipe = recipe_file(tmp_path, "jiang2017-jpeg", **changes)
    out = tmp_path / "run"
    common = ["--data", str(data), "--validation", str(data)]
    assert main(["train", str(recipe), *common, "-o", str(out)]) == 0

    loaded = recipes.load(str(recipe))
    pair = build(loaded)
    pair.load_state_dict(torch.load(out / "checkpoint.pt", weights_only=True)["average"])
    made = PhotoStore(out / "data" / "validation", list_photos(data), "L", loaded.crop)
    expected = SCHEMES["alternating"](loaded, pair.eval(), made, made, "cpu").validate()
    entries = json.loads((out / "weights" / "manifest.json").read_text())["networks"]
    for entry in entries:
        assert entry["training"]["scores"] == pytest.approx(expected, abs=1e-3)
    rec = store.Network(**next(entry for entry in entries if entry["role"] == "rec"))
    file = out / "weights" / store.file_name(rec.name, rec.sha256)
    exported = storage.weights_of(file.read_bytes())
    statistics = [name for name in pair["rec"].state_dict() if "running" in name]
    assert statistics
    for name in statistics:
        assert torch.allclose(exported[name], pair["rec"].state_dict()[name], rtol=1e-5), name


@pytest.mark.usefixtures("sigterm")
def test_training_data_that_cannot_be_used_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    cut_out(tmp_path / "small", 2, side=32)
    cut_out(tmp_path / "broken", 2)
    whole = (tmp_path / "broken" / "001.png").read_bytes()
    (tmp_path / "broken" / "001.png").write_bytes(whole[: len(whole) // 2])
    for name, says in [
        ("empty", "no pictures"),
        ("missing", "no pictures"),
        ("small", "64"),
        ("broken", "001.png"),
    ]:
        data, out = str(tmp_path / name), str(tmp_path / f"run-{name}")
        assert main(["train", "toy", "--data", data, "-o", out, "--steps", "2"]) == 1
        assert says in capsys.readouterr().err
    with pytest.raises(InputError):
        list_photos(tmp_path / "empty")


def test_an_unknown_recipe_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "nonsense", "--data", "."]) == 2
    assert "toy" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["torch", "onnx"])
def test_without_the_extra_training_says_what_to_install(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from comrec.cli import main; sys.exit(main(['train', 'toy', '--data', '.']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pip install 'comrec[train]'" in done.stderr
    assert "Traceback" not in done.stderr

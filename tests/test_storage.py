"""How exported networks are stored."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from comrec.inference import patch, store
from comrec.train import export, networks, storage


@pytest.fixture
def module() -> networks.Jiang2017Rec:
    torch.manual_seed(0)
    made = networks.Jiang2017Rec().eval()
    for parameter in made.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)  # the last layer starts at zero
    return made


def test_eight_bits_take_half_and_give_nearly_the_same(module: networks.Jiang2017Rec) -> None:
    half = export.to_onnx(module, False, 1)
    less = export.to_onnx(module, False, 1, eight_bits=True)
    assert len(less) < 0.55 * len(half)
    picture = np.random.default_rng(0).random((1, 1, 32, 48), np.float32)
    found, expected = (
        onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(
            None, {"picture": picture}
        )[0]
        for data in (less, half)
    )
    change = expected - np.asarray(expected).mean()
    assert np.square(found - expected).mean() < 5e-3 * np.square(change).mean()


def test_weights_in_eight_bits_are_read_back(module: networks.Jiang2017Rec) -> None:
    found = storage.weights_of(export.to_onnx(module, False, 1, eight_bits=True))
    for name, value in module.state_dict().items():
        if value.ndim > 1:
            error = (found[name] - value).square().mean()
            assert error < 0.012**2 * value.square().mean(), name


def test_a_network_is_stored_as_its_difference_from_the_most_similar_one() -> None:
    """If one has the same task."""
    base = next(n for n in store.networks() if n.name == "liu2018-mse-g_s").load()
    model = onnx.load_from_string(base)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float16:
            moved = (values * np.float16(1.01)).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(moved, tensor.name))
    data = model.SerializeToString()
    found = storage.smallest_patch("g_s", (16, 1), data)
    assert found is not None
    assert found[0] == base
    assert len(found[1]) < 0.5 * len(data)
    assert patch.apply(*found) == data
    assert storage.smallest_patch("g_s", (2, 1), data) is None


def test_a_network_is_found_by_the_one_whose_place_it_took() -> None:
    """Files name the networks that they were made with."""
    replaced = [network for network in store.networks() if network.stands_for is not None]
    assert replaced
    for network in replaced:
        assert network.stands_for is not None
        assert network.role in ("g_a", "h_a")
        assert store.by_id(network.stands_for[:20]) == store.by_id(network.id) == network

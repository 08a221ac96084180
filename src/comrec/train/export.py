"""Trained networks to ONNX files and manifest entries."""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from comrec.inference.store import Network, file_name

OPSET = 17

# align, reach and tile of each network's input, in input pixels (see `inference.tiles`).
# reach: of all layers together, in the input's pitch, rounded up.
GEOMETRY = {
    "Jiang2017Com": (2, 6, 512),
    "Jiang2017Rec": (2, 14, 256),
    "ComrecRec1": (2, 22, 1024),
    "ComrecRec2": (1, 12, 512),
    "ComrecCom1": (2, 14, 1024),
    "ComrecCom2": (2, 16, 1024),
}


def to_onnx(module: nn.Module, conditioned: bool, channels: int) -> bytes:
    """An ONNX model with dynamic height and width; weights stored as float16.

    Inputs "picture" (1, C, H, W) and, where conditioned, "quality" (1,), both in 0..1.
    """
    module = module.to("cpu").eval()
    picture = torch.rand(1, channels, 64, 64)
    inputs = (picture, torch.rand(1)) if conditioned else (picture,)
    names = ["picture", "quality"] if conditioned else ["picture"]
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The older exporter, which keeps parameter names, recommends the newer one at length.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            inputs,
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            # Keeps batch normalisation and parameter names, so that a run can start from the file.
            training=torch.onnx.TrainingMode.PRESERVE,
            input_names=names,
            output_names=["result"],
            dynamic_axes={
                "picture": {2: "height", 3: "width"},
                "result": {2: "rows", 3: "columns"},
            },
        )
    model = onnx.load_from_string(buffer.getvalue())
    _halve_weights(model)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _halve_weights(model: onnx.ModelProto) -> None:
    """Store large float32 weights as float16 with a cast, which the runtime folds away."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < 256:
            continue
        name = tensor.name
        half = numpy_helper.from_array(
            numpy_helper.to_array(tensor).astype(np.float16), f"{name}.half"
        )
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
        tensor.CopyFrom(half)
    for node in reversed(casts):
        model.graph.node.insert(0, node)


def weights_of(data: bytes) -> dict[str, torch.Tensor]:
    """The parameters inside an exported ONNX file, by their PyTorch names."""
    model = onnx.load_from_string(data)
    return {
        tensor.name.removesuffix(".half"): torch.from_numpy(
            numpy_helper.to_array(tensor).astype(np.float32)
        )
        for tensor in model.graph.initializer
    }


def write(
    folder: Path,
    name: str,
    module: nn.Module,
    family: str,
    codec: str,
    role: str,
    scale: int,
    channels: int,
    training: dict[str, Any],
) -> Network:
    """Export a network into a folder and append it to the folder's manifest."""
    conditioned = family == "comrec"
    align, reach, tile = GEOMETRY[type(module).__name__]
    data = to_onnx(module, conditioned, channels)
    network = Network(
        name=name,
        family=family,
        codec=codec,
        role=role,
        scale=scale,
        channels=channels,
        conditioned=conditioned,
        align=align,
        reach=reach,
        tile=tile,
        sha256=hashlib.sha256(data).hexdigest(),
        training=training,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file_name(name, network.sha256)).write_bytes(data)
    manifest = folder / "manifest.json"
    entries = json.loads(manifest.read_text())["networks"] if manifest.exists() else []
    entries = [e for e in entries if e["sha256"] != network.sha256] + [asdict(network)]
    part = manifest.with_suffix(".part")
    part.write_text(json.dumps({"networks": entries}, indent=1) + "\n", encoding="utf-8")
    os.replace(part, manifest)
    return network

"""Trained networks to ONNX files and manifest entries."""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import helper
from torch import Tensor, nn

from comrec.entropy.planes import Integers, PlaneModel, Predict
from comrec.entropy.tables import pack
from comrec.inference.store import DEFAULT, Network, Size, file_name, manifest, patch_name
from comrec.learned import hyperprior
from comrec.learned.rippel2017 import Networks
from comrec.roi.network import ALIGN, LONGEST, PITCH
from comrec.train import integer, losses, planes, qdq
from comrec.train.families import Family
from comrec.train.gradient import differentiate
from comrec.train.latent_tables import Tables
from comrec.train.networks import BLOCKS, ComrecRec1
from comrec.train.recipe import Recipe
from comrec.train.storage import made_patch, smallest_patch, stored

OPSET = 17

Fit = Callable[[Predict], PlaneModel]

# align, reach and tile of each network's input, in input pixels (see `inference.tiles`).
# reach: of all layers together, in the input's pitch, rounded up.
GEOMETRY = {
    "Jiang2017Com": (2, 6, 512),
    "Jiang2017Rec": (2, 14, 256),
    "ComrecRec1": (2, 38, 1024),
    "ComrecRec2": (1, 12, 512),
    "ComrecCom1": (2, 14, 1024),
    "ComrecCom2": (2, 16, 1024),
}
# The same of the learned codecs', by family and role: g_a in pixels, h_a, g_s, gradient and planes
# in latents, h_s in hyper-latents.
LEARNED_GEOMETRY = {
    "liu2018": {
        "g_a": (16, 226, 1024),
        "h_a": (4, 4, 64),
        "h_s": (1, 2, 16),
        "g_s": (1, 14, 64),
        "gradient": (1, 4, 64),  # further away it is too small to matter
    },
    "rippel2017": {
        "g_a": (32, 448, 1024),
        "g_s": (2, 26, 64),
        "gradient": (2, 4, 64),  # further away it is too small to matter
        "planes": (1, 1, 64),
    },
    "toderici2017": {
        "g_a": (32, 448, 1024),
        "g_s": (2, 26, 64),
        "encode": (1, 1, 64),
        "decode": (1, 1, 64),
        "bits": (1, 1, 64),
        # As published. In one iteration; their states reach as far again in each.
        "encoder": (16, 15, 512),
        "decoder": (1, 2, 32),
        "gain": (32, 64, 512),
    },
}

# By how much their outputs' sides are larger, or smaller, than their inputs': up, down.
LEARNED_SCALES = {
    "g_a": (1, 16),
    "h_a": (1, 4),
    "h_s": (4, 1),
    "g_s": (16, 1),
    "gradient": (1, 1),
    "planes": (1, 2),
    "encode": (1, 1),
    "decode": (1, 1),
    "bits": (1, 1),
    "encoder": (1, 16),
    "decoder": (16, 1),
    "gain": (1, 1),
}


def to_onnx(
    module: nn.Module,
    conditioned: bool,
    channels: int,
    takes: str = "picture",
    *,
    eight_bits: bool = False,
) -> bytes:
    """An ONNX model with dynamic height and width; weights stored as float16, or in 8 bits.

    Inputs "picture" (1, C, H, W), or what else it ``takes``, and, where conditioned, "quality"
    (1,), all in 0..1; of `ComrecRec1` also "full_chroma" (1,), 0 or 1. Output "result". With
    `quantised.Blocks`, a QDQ graph.
    """
    inputs = {takes: torch.rand(1, channels, 64, 64)}
    if conditioned:
        inputs["quality"] = torch.rand(1)
    if isinstance(module, ComrecRec1):
        inputs["full_chroma"] = torch.ones(1)
    model = exported(module, inputs)
    qdq.to_qdq(model, module)
    return stored(model, eight_bits=eight_bits)


def gradient_to_onnx(g_s: nn.Module, recipe: Recipe, channels: int) -> bytes:
    """The gradient of lambda * distortion with respect to latents, in bits: what refines them.

    Inputs "latents" (1, M, h, w), "quality" (1,) and "picture" (1, 3, 16h, 16w) in 0..1; outputs
    "gradient", as the latents, and "result", what it is the gradient of.
    """
    inputs = {
        "latents": torch.rand(1, channels, 16, 16),
        "quality": torch.rand(1),
        "picture": torch.rand(1, 3, 256, 256),
    }
    return stored(differentiate(exported(_Cost(g_s, recipe), inputs), "latents"))


class _Cost(nn.Module):
    """lambda * distortion of a picture, in bits."""

    def __init__(self, g_s: nn.Module, recipe: Recipe) -> None:
        super().__init__()
        self.g_s = g_s
        self.lambdas = recipe.lambdas
        self.distortion = losses.distortion(recipe.codec)

    def forward(self, latents: Tensor, quality: Tensor, picture: Tensor) -> Tensor:
        distortion = self.distortion(self.g_s(latents, quality), picture)
        pixels = picture.shape[2] * picture.shape[3]
        return losses.price(quality, self.lambdas) * pixels * distortion


def exported(
    module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str] = ("result",)
) -> onnx.ModelProto:
    """A module as an ONNX model; the inputs that are (N, C, H, W) of any height and width."""
    # The copy leaves the caller's on its device, and torch.compile behind.
    module = copy.deepcopy(module).to("cpu").eval()
    axes = {
        name: {2: f"{name}_height", 3: f"{name}_width"}
        for name, value in inputs.items()
        if value.ndim == 4
    }
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The older exporter, which keeps parameter names, recommends the newer one at length.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            # Keeps batch normalisation and parameter names, so that a run can start from the file.
            training=torch.onnx.TrainingMode.PRESERVE,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=axes,
        )
    return onnx.load_from_string(buffer.getvalue())


def step_to_onnx(module: nn.Module, inputs: Mapping[str, Tensor], state: Sequence[Tensor]) -> bytes:
    """One iteration of a recurrent module, which takes inputs and then its state.

    The state has inputs "state0", ... of its own; outputs are "result" and the next state, "next0",
    ... Height and width are dynamic; weights stored as float16.
    """
    given = dict(inputs) | {f"state{number}": part for number, part in enumerate(state)}
    outputs = ["result", *(f"next{number}" for number in range(len(state)))]
    return stored(exported(module, given, outputs))


def write(
    folder: Path,
    name: str,
    module: nn.Module,
    family: Family,
    codec: str,
    role: str,
    scale: int,
    channels: int,
    training: dict[str, Any],
) -> Network:
    """Export a network into a folder and append it to the folder's manifest."""
    return _enter(
        folder,
        to_onnx(module, family.conditioned, channels),
        training,
        name=name,
        family=family.name,
        variant=codec,
        role=role,
        up=scale if role == "rec" else 1,
        down=scale if role == "com" else 1,
        channels=channels,
        conditioned=family.conditioned,
        geometry=_geometry(module),
        size=module.size if isinstance(module, ComrecRec1) else DEFAULT,
    )


def _geometry(module: nn.Module) -> tuple[int, int, int]:
    align, reach, tile = GEOMETRY[type(module).__name__]
    if isinstance(module, ComrecRec1):  # two convolutions a block, on the half-resolution grid
        reach += 4 * (BLOCKS[module.size] - BLOCKS["default"])
        if module.size == "best":  # four images at once
            tile //= 2
    return align, reach, tile


def write_learned(
    folder: Path,
    recipe: Recipe,
    pair: nn.ModuleDict,
    tables: Tables,
    training: dict[str, Any],
) -> dict[str, Network]:
    """Export the networks of `liu2018`, as ``write`` does; by role.

    * "g_a": "picture" (1, 3, H, W) and "quality" to the latents y, in the quantiser's steps.
    * "h_a": "latents" to hyper-latents; they are rounded and clipped to -63..63.
    * "g_s": decoded "latents", which are distance + mean / 4, and "quality" to the picture.
    * "h_s": see `integer.to_onnx`. Files name this one; its metadata names the others by id, so
      that a file pins all that decodes it. There too, in base64: "hyper_tables", the tables of z by
      channel, as `entropy.tables.pack` packs them, and "contexts", how y is coded, as
      `entropy.contexts.ContextModel` packs itself.
    * "gradient", but for the perceptual metric: see `gradient_to_onnx`. It holds the weights of g_s
      and is stored as a patch of it.
    """
    g_a, h_a, h_s, g_s = (pair[role] for role in ("g_a", "h_a", "h_s", "g_s"))
    assert isinstance(h_s, integer.HyperDecoder)
    latents = h_s.conv3.out_channels // 2
    networks: dict[str, Network] = {}

    def enter(role: str, channels: int, data: bytes, base: bytes | None = None) -> None:
        networks[role] = enter_learned(folder, recipe, training, role, channels, data, base)

    enter("g_a", 3, to_onnx(g_a, True, 3, eight_bits=True))
    enter("h_a", latents, to_onnx(h_a, False, latents, "latents", eight_bits=True))
    decoder = to_onnx(g_s, True, latents, "latents")
    enter("g_s", latents, decoder)
    if recipe.codec != "perceptual":
        enter("gradient", latents, gradient_to_onnx(g_s, recipe, latents), decoder)
    metadata = {role: network.id for role, network in networks.items()} | _told(tables)
    enter("h_s", h_s.conv1.in_channels // 2, integer.to_onnx(h_s, metadata))
    return networks


def _told(tables: Tables) -> dict[str, str]:
    """Tables as metadata of h_s."""
    packed = {"hyper_tables": pack(tables.hyper), "contexts": tables.contexts.pack()}
    return {name: base64.b64encode(data).decode() for name, data in packed.items()}


def write_planes(
    folder: Path, recipe: Recipe, pair: nn.ModuleDict, training: dict[str, Any], fit: Fit
) -> list[Network]:
    """Export the networks of `rippel2017`, as ``write`` does.

    * "g_a": "picture" (1, 3, H, W) to the latents y, in finest steps.
    * "g_s": decoded "latents", and "quality", how many planes are there, to the picture.
    * "gradient", but of the scheme "adaptive": as `write_learned` has it. Being a patch of g_s, it
      is found by that (`store.gradient_of`).
    * "planes": see `planes.to_onnx`. Files name this one; its metadata names g_a and g_s by id,
      says how many "planes" there are, and has "model" in base64, how these are coded, as
      `entropy.planes.PlaneModel` packs itself.

    Args:
        fit: makes that model of what the predictors give.
    """
    g_a, g_s, predictors = (pair[role] for role in ("g_a", "g_s", "planes"))
    assert isinstance(predictors, planes.Planes)
    latents = len(predictors.order)
    model = fit(predictor(planes.to_onnx(predictors, {})))
    networks: list[Network] = []

    def enter(role: str, channels: int, data: bytes, base: bytes | None = None) -> None:
        networks.append(enter_learned(folder, recipe, training, role, channels, data, base))

    enter("g_a", 3, to_onnx(g_a, False, 3, eight_bits=True))
    decoder = to_onnx(g_s, True, latents, "latents")
    enter("g_s", latents, decoder)
    metadata = {network.role: network.id for network in networks}
    metadata["planes"] = str(predictors.count)
    metadata["model"] = base64.b64encode(model.pack()).decode()
    if recipe.scheme != "adaptive":
        enter("gradient", latents, gradient_to_onnx(g_s, recipe, latents), decoder)
    enter("planes", 2 * latents, planes.to_onnx(predictors, metadata))
    return networks


def write_paired(
    folder: Path, recipe: Recipe, g_s: nn.Module, training: dict[str, Any], start: Networks
) -> list[Network]:
    """Export another "g_s" for networks of `rippel2017`, and a "planes" that names it.

    Latents are still refined with the gradient of theirs, which "planes" names too.
    """
    decoder = to_onnx(g_s, True, start.g_s.channels, "latents")
    ours = enter_learned(folder, recipe, training, "g_s", start.g_s.channels, decoder)
    told = {"g_s": ours.id}
    if start.gradient is not None:
        told["gradient"] = start.gradient.id
    return [ours, _naming(folder, recipe, training, start.planes, told)]


def write_synthesis(
    folder: Path,
    recipe: Recipe,
    g_s: nn.Module | None,
    tables: Tables,
    training: dict[str, Any],
    start: hyperprior.Networks,
) -> list[Network]:
    """Export another "h_s" for networks of `liu2018`: with other tables; and where there is another
    "g_s", with that and its "gradient", if they have one."""
    made: list[Network] = []
    if g_s is not None:
        channels = start.g_s.channels
        decoder = to_onnx(g_s, True, channels, "latents")
        made.append(enter_learned(folder, recipe, training, "g_s", channels, decoder))
        if start.gradient is not None:
            data = gradient_to_onnx(g_s, recipe, channels)
            made.append(
                enter_learned(folder, recipe, training, "gradient", channels, data, decoder)
            )
    told = {network.role: network.id for network in made} | _told(tables)
    # Encoders refine nothing where there is no gradient.
    refined = start.h_s.refined or (g_s is not None and start.gradient is not None)
    return [*made, _naming(folder, recipe, training, start.h_s, told, refined=refined)]


def _naming(
    folder: Path,
    recipe: Recipe,
    training: dict[str, Any],
    named: Network,
    told: dict[str, str],
    *,
    refined: bool = False,
) -> Network:
    """The network that files name, with other metadata."""
    base = named.load()
    model = onnx.load_from_string(base)
    kept = {each.key: each.value for each in model.metadata_props}
    helper.set_model_props(model, kept | told)
    data = model.SerializeToString()
    channels = named.channels
    return enter_learned(
        folder, recipe, training, named.role, channels, data, base, refined=refined
    )


def write_importance(
    folder: Path, name: str, module: nn.Module, training: dict[str, Any]
) -> Network:
    """Export the network of importance maps, as ``write`` does."""
    return _enter(
        folder,
        to_onnx(module, False, 3),
        training,
        name=name,
        family="roi",
        variant="activation",
        role="map",
        up=1,
        down=PITCH,
        channels=3,
        conditioned=False,
        geometry=(ALIGN, LONGEST, LONGEST),  # it sees all of a small picture at once
    )


def predictor(model: bytes) -> Predict:
    """The predictors of an exported model."""
    running = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def predict(
        number: int, levels: NDArray[np.uint8], channels: NDArray[np.int64]
    ) -> tuple[Integers, Integers]:
        feed = {
            "levels": np.ascontiguousarray(levels[None]),
            "number": np.array(number, np.int64),
            "channels": channels,
        }
        index, lean = (np.asarray(output)[0] for output in running.run(None, feed))
        return index, lean

    return predict


def enter_learned(
    folder: Path,
    recipe: Recipe,
    training: dict[str, Any],
    role: str,
    channels: int,
    data: bytes,
    base: bytes | None = None,
    *,
    refined: bool = False,
) -> Network:
    """A network of a learned codec, whose family, variant and name are the recipe's.

    It is stored as a patch of ``base``, or else of a similar one in the package, if there is one.
    """
    up, down = LEARNED_SCALES[role]
    if base is None:
        patched = smallest_patch(role, (up, down), data)
    else:
        patched = base, made_patch(base, data)
    return _enter(
        folder,
        data,
        training,
        name=f"{recipe.name}-{role}",
        family=recipe.family,
        variant=recipe.codec,
        role=role,
        up=up,
        down=down,
        channels=channels,
        conditioned=any(
            given.name == "quality" for given in onnx.load_from_string(data).graph.input
        ),
        geometry=LEARNED_GEOMETRY[recipe.family][role],
        patched=patched,
        refined=refined,
    )


def _enter(
    folder: Path,
    data: bytes,
    training: dict[str, Any],
    *,
    name: str,
    family: str,
    variant: str,
    role: str,
    up: int,
    down: int,
    channels: int,
    conditioned: bool,
    geometry: tuple[int, int, int],
    size: Size = DEFAULT,
    patched: tuple[bytes, bytes] | None = None,
    refined: bool = False,
) -> Network:
    """Put a network into a folder and at the end of its manifest.

    Args:
        variant: the standard codec, or the metric.
        up, down: the factor by which the output's sides are larger, or smaller, than the input's.
        geometry: align, reach and tile.
        patched: the file of another network, and the patch of it as which this one is stored.
    """
    align, reach, tile = geometry
    network = Network(
        name=name,
        family=family,
        variant=variant,
        role=role,
        up=up,
        down=down,
        channels=channels,
        conditioned=conditioned,
        align=align,
        reach=reach,
        tile=tile,
        sha256=hashlib.sha256(data).hexdigest(),
        training=training,
        size=size,
        patch_of=None if patched is None else hashlib.sha256(patched[0]).hexdigest(),
        refined=refined,
    )
    folder.mkdir(parents=True, exist_ok=True)
    file = file_name(name, network.sha256)
    if patched is None:
        (folder / file).write_bytes(data)
    else:
        (folder / patch_name(file)).write_bytes(patched[1])
    path = folder / "manifest.json"
    listed = [n for n in manifest(path) if n.sha256 != network.sha256] if path.exists() else []
    entries = [
        {
            field.name: value
            for field in fields(Network)
            if (value := getattr(each, field.name)) != field.default
        }
        for each in (*listed, network)
    ]
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"networks": entries}, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)
    return network

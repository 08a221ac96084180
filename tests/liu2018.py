"""The networks of `liu2018`, and another decoder and encoder of its files."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import pytest
import skimage.data
import torch
from numpy.typing import NDArray

from comrec.entropy.coder import Decoder, Encoder
from comrec.entropy.contexts import CONTEXTS, KINDS, ContextModel, Place, walk
from comrec.entropy.tables import Table, unpack
from comrec.formats import cmr
from comrec.inference import session as runtime
from comrec.inference import store
from comrec.inference.store import Network
from comrec.learned import files as cmr_files
from comrec.learned.hyperprior import ALIGN, HYPER, Z_LIMIT
from comrec.learned.liu2018 import Metric
from comrec.picture import Picture
from comrec.train import integer, learned
from comrec.train.storage import weights_of

Integers = NDArray[np.integer[Any]]

METRICS = [m for m in get_args(Metric) if store.find("liu2018", m, "h_s", up=HYPER) is not None]
"""Those that this version has networks for; the default's are always there."""

of_each_metric = pytest.mark.parametrize("metric", METRICS)


PLAIN = 1
"""An effort that does not refine: latents are as g_a gives them."""


def network(metric: str, role: str) -> Network:
    found = next(
        n
        for n in reversed(store.networks())
        if (n.family, n.variant, n.role) == ("liu2018", metric, role)
    )
    assert found is not None
    return found


def photograph(name: str) -> NDArray[np.uint8]:
    """One of scikit-image's, (H, W, 3)."""
    return np.asarray(getattr(skimage.data, name)(), np.uint8)


def large(height: int, width: int) -> Picture:
    """A photograph repeated by reflection."""
    cat = photograph("chelsea")
    rows, columns = (-(-side // n) for side, n in zip((height, width), cat.shape[:2], strict=True))
    pixels = np.pad(
        cat,
        ((0, (rows - 1) * cat.shape[0]), (0, (columns - 1) * cat.shape[1]), (0, 0)),
        mode="symmetric",
    )
    return Picture(np.ascontiguousarray(pixels[:height, :width]))


@dataclass(frozen=True)
class Symbols:
    """What a file codes, and what it is coded under."""

    z: Integers
    latents: NDArray[np.float32]
    scale_index: Integers
    mean: Integers
    tables: tuple[Table, ...]
    contexts: ContextModel


EntropyParameters = Callable[[Integers], tuple[Integers, Integers]]
"""h_s: z, (C, h, w), to scale index and mean, (M, 4h, 4w)."""


def by_onnx(h_s: Network) -> EntropyParameters:
    def entropy_parameters(z: Integers) -> tuple[Integers, Integers]:
        scale_index, mean = runtime.session(h_s).run(
            ["index", "mean"], {"z": z[None].astype(np.int32)}
        )
        return scale_index[0], mean[0]

    return entropy_parameters


def by_torch(h_s: integer.HyperDecoder) -> EntropyParameters:
    def entropy_parameters(z: Integers) -> tuple[Integers, Integers]:
        weight = h_s.conv1.weight
        with torch.no_grad():
            outputs = h_s(torch.from_numpy(z[None]).to(weight.device, weight.dtype))
        scale_index, mean = (output[0].cpu().numpy().astype(np.int32) for output in outputs)
        return scale_index, mean

    return entropy_parameters


def tables_of(h_s: Network) -> tuple[Table, ...]:
    return unpack(base64.b64decode(metadata_of(h_s)["hyper_tables"]))


def contexts_of(h_s: Network) -> ContextModel:
    return ContextModel.unpack(base64.b64decode(metadata_of(h_s)["contexts"]))


def contexts_at_random(latents: int) -> ContextModel:
    """Fit for nothing: tables in any order, and narrow, so that values escape."""
    random = np.random.default_rng(latents)
    tables = tuple(Table.from_counts([1] * (2 * k + 1), -k, 1) for k in range(8))
    groups = (1, latents // 3, latents - 1 - latents // 3)
    coefficients = random.integers(-4096, 4097, (latents, KINDS), np.int16)
    table_of = random.integers(0, len(tables), (len(groups), CONTEXTS), np.uint8)
    return ContextModel(random.permutation(latents), groups, coefficients, table_of, tables)


def metadata_of(h_s: Network) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load_from_string(h_s.load()).metadata_props}


def grid(head: cmr.Header) -> tuple[int, int]:
    return -(-head.height // ALIGN), -(-head.width // ALIGN)


def channels(shape: Sequence[int]) -> Integers:
    return np.broadcast_to(np.arange(shape[0])[:, None, None], tuple(shape))


def symbols(data: bytes, entropy_parameters: EntropyParameters | None = None) -> Symbols:
    """What a file codes, by a whole h_s at once."""
    found = cmr.parse(data)
    h_s = store.by_id(found.header.network)
    tables = tables_of(h_s)
    height, width = grid(found.header)
    decoder = Decoder(found.payloads[0])
    z = decoder.take(channels((len(tables), -(-height // HYPER), -(-width // HYPER))), tables)
    scale_index, mean = (
        part[:, :height, :width] for part in (entropy_parameters or by_onnx(h_s))(z)
    )
    contexts = contexts_of(h_s)
    latents = contexts.decode(decoder, scale_index, mean)
    decoder.finish()
    return Symbols(z, latents, scale_index, mean, tables, contexts)


def coded(found: Symbols, residuals: Callable[[tuple[int, ...]], Integers] | None = None) -> bytes:
    """The payload; with other residuals than the latents' where a function gives them by shape."""
    encoder = Encoder()
    encoder.add(found.z, channels(found.z.shape), found.tables)
    model = found.contexts
    if residuals is None:
        model.encode(encoder, found.latents, found.scale_index, found.mean)
        return encoder.finish()

    def visit(place: Place) -> Integers:
        given = residuals(place.contexts.shape)
        encoder.add(given, model.table_of[place.group][place.contexts], model.tables)
        return given

    walk(
        model.groups,
        model.coefficients,
        found.scale_index[model.order],
        found.mean[model.order],
        visit,
    )
    return encoder.finish()


def same_symbols(a: Symbols, b: Symbols) -> bool:
    return all(
        np.array_equal(getattr(a, part), getattr(b, part))
        for part in ("z", "latents", "scale_index", "mean")
    )


def assert_same_but_for_ties(ours: Symbols, theirs: Symbols) -> None:
    """Sums of floats may fall on the other side of a half: hardly ever, and then a latent is
    another, by one, and what is predicted from it a little."""
    assert np.mean(ours.z != theirs.z) < 0.002
    assert np.abs(ours.z - theirs.z).max() <= 1
    if np.array_equal(ours.z, theirs.z):
        assert np.array_equal(ours.scale_index, theirs.scale_index)
        assert np.array_equal(ours.mean, theirs.mean)
        assert np.mean(ours.latents != theirs.latents) < 0.002
        assert np.abs(ours.latents - theirs.latents).max() <= 1


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Sessions anew, of so many threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "threads", lambda: count)
        runtime.forget()
        yield
        options = runtime.session(network(METRICS[0], "g_s")).get_session_options()
        assert options.intra_op_num_threads == count
    runtime.forget()


@contextmanager
def tiled(**sides: int) -> Iterator[None]:
    """The store's networks of `liu2018` with tiles of other sides, by role."""
    changed = tuple(
        dataclasses.replace(n, tile=sides.get(n.role, n.tile)) if n.family == "liu2018" else n
        for n in store.networks()
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "networks", lambda: changed)
        yield


@contextmanager
def other_h_s(
    folder: Path, h_s: integer.HyperDecoder, changes: dict[str, str | None]
) -> Iterator[Network]:
    """The store with one more h_s for the default metric, its metadata changed."""
    real = network(METRICS[0], "h_s")
    metadata = metadata_of(real) | changes
    needed = [store.by_id(metadata_of(real)[role]) for role in ("g_a", "h_a", "g_s", "gradient")]
    while needed:
        one = needed.pop()
        shutil.copy(one.path, folder)
        needed += [base for base in store.networks() if base.sha256 == one.patch_of]
    data = integer.to_onnx(h_s, {k: v for k, v in metadata.items() if v is not None})
    made = dataclasses.replace(real, sha256=hashlib.sha256(data).hexdigest(), patch_of=None)
    (folder / store.file_name(made.name, made.sha256)).write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        every = (*store.networks(), made)
        patch.setattr(store, "FOLDER", folder)
        patch.setattr(store, "networks", lambda: every)
        runtime.forget()
        yield made
    runtime.forget()


def in_torch(h_s: Network) -> torch.nn.ModuleDict:
    """The networks that belong to an h_s, as modules; skips where training has others by now."""
    pair = learned.networks(h_s.channels * 4 // 3)
    for role in ("g_a", "h_a"):
        weights = weights_of(store.by_id(metadata_of(h_s)[role]).load())
        if missing := pair[role].state_dict().keys() - weights.keys():
            pytest.skip(f"{h_s.name}: {role} is older than train.learned, without {min(missing)}")
        pair[role].load_state_dict({name: weights[name] for name in pair[role].state_dict()})
    pair["h_s"] = integer.from_onnx(h_s.load())
    return pair


def encoded_by_torch(picture: Picture, quality: float, h_s: Network, device: str) -> bytes:
    """The file that PyTorch's networks would write."""
    pair = in_torch(h_s).to(device)
    rows, columns = (-side % ALIGN for side in (picture.height, picture.width))
    padded = np.pad(picture.rgb, ((0, rows), (0, columns), (0, 0)), mode="edge")
    x = torch.from_numpy(padded).to(device).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        y = pair["g_a"](x, torch.tensor([quality / 100], device=device))
        z = pair["h_a"](y).round().clamp(-Z_LIMIT, Z_LIMIT)[0].cpu().numpy().astype(np.int32)
    scale_index, mean = (part[:, : y.shape[2], : y.shape[3]] for part in by_torch(pair["h_s"])(z))  # type: ignore[arg-type]
    latents = y[0].cpu().numpy()
    payload = coded(Symbols(z, latents, scale_index, mean, tables_of(h_s), contexts_of(h_s)))
    return cmr_files.write(picture, "liu2018", h_s.id, quality, [payload])


def wild(hyper: int, latents: int) -> integer.HyperDecoder:
    """Parameters that no training would give: all sizes, sums that clip at every place."""
    torch.manual_seed(7)
    h_s = integer.HyperDecoder(hyper, latents)
    with torch.no_grad():
        for conv in (h_s.conv1, h_s.conv2, h_s.conv3):
            assert conv.bias is not None
            conv.weight *= 3 * torch.exp(torch.randn(len(conv.weight), 1, 1, 1))
            conv.bias += 3 * torch.randn_like(conv.bias)
    return h_s

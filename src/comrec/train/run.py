"""comrec train: from a recipe and a folder to checkpoints, a curve and exported networks."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from comrec.errors import OptionError
from comrec.inference import store as weights
from comrec.progress import progress
from comrec.train import integer, networks, parallel, storage
from comrec.train import recipe as recipes
from comrec.train.data import PhotoStore, list_photos
from comrec.train.loop import Schedule, Trainer, read_checkpoint
from comrec.train.recipe import Recipe
from comrec.train.schemes import SCHEMES, build
from comrec.train.schemes.base import Scheme

_HELD_OUT = 16  # every nth photograph is for validation, where no folder is given for it
# Learning rates relative to the schedule's, of few parameters that have far to go.
_FACTORS = {"prior": 10.0, "contexts": 4.0, "planes": 16.0, "discriminator": 4.0,
            "encode": 8.0, "decode": 8.0, "bits": 16.0}  # fmt: skip


def train(
    recipe_name: str,
    data: Path,
    validation: Path | None,
    output: Path,
    *,
    resume: bool,
    steps: int | None,
    device: str,
    origin: Path | None = None,
    int8: bool = False,
    store: Path | None = None,
    compiled: bool = False,
) -> Path:
    """Run a recipe to its end and export the networks.

    Ctrl-C (or SIGTERM) saves a checkpoint; ``resume`` goes on from there, with the batches that
    would have come. Where torchrun started several processes, each calls this, and they train
    together (`train.parallel`).

    Args:
        origin: the folder of a run whose averaged weights this one starts from, in place of the
            recipe's own start.
        int8: bring the network of ``origin`` to 8 bits.
        store: folder of the pictures as flat files, which runs on the same pictures can share; by
            default inside ``output``, or with ``int8`` inside ``origin``.
        compiled: put the networks through torch.compile.
    Returns:
        the folder of the exported networks; ``output`` where none are exported, as a stage of the
        curriculum without a rate term cannot code pictures, and several processes have one that
        exports.
    Raises:
        OptionError: the output holds a run already, the recipe does not exist, is wrong or has
            nothing for 8 bits, these are asked for without ``origin``, the batch cannot be split
            over the processes, or the networks of ``origin`` do not fit the recipe.
        InputError: pictures or a checkpoint are missing or damaged.
    """
    run = output
    if int8:
        if origin is None:
            raise OptionError("--int8 wants --from: the run whose network is brought to 8 bits")
        run = origin
    with parallel.joined(device):
        recipe = parallel.from_first(lambda: _recipe(recipe_name, output, resume, steps, int8))
        torch.manual_seed(2017)
        pair = build(recipe)
        if origin is not None:
            go_on_from(pair, origin)
        elif recipe.start:
            SCHEMES[recipe.scheme].begin_from(pair, parameters_of(recipe.start, set(pair.keys())))

        def prepare() -> Scheme:
            training, scoring = _stores(recipe, data, validation, store or run / "data")
            return SCHEMES[recipe.scheme](recipe, pair, training, scoring, device)

        scheme = parallel.in_turns(prepare)
        parallel.align(pair)
        schedule = Schedule(recipe.steps, recipe.rate, optimiser=recipe.optimiser)
        factors = {"com": recipe.com_rate, **_FACTORS}
        trainer = Trainer(pair, schedule, output, device, factors)
        if resume:
            trainer.resume()
        if compiled:
            for module in pair.values():
                module.compile()

        def track(counter: Iterator[int], done: int, total: int) -> Iterator[int]:
            return progress(counter, total, recipe.name, parallel.rank() > 0, done)

        scores = trainer.run(scheme.step_loss, scheme.validate, recipe.validate_every, track)
        facts = _facts(recipe, trainer, scores, len(scheme.training.shapes))
        if parallel.rank():
            return output
    folder = output / "weights"
    return folder if scheme.export(folder, facts) else output


def _recipe(name: str, output: Path, resume: bool, steps: int | None, int8: bool) -> Recipe:
    recipe = recipes.load(name)
    if int8:
        recipe = recipes.in_8_bits(recipe)
    if steps is not None:
        recipe = dataclasses.replace(recipe, steps=steps)
    if (output / "checkpoint.pt").exists() and not resume:
        raise OptionError(f"{output}: holds a run already; --resume it, or choose another -o")
    processes, together = parallel.size(), SCHEMES[recipe.scheme].together(recipe)
    if processes > 1 and recipe.batch % (processes * together):
        raise OptionError(
            f"{recipe.name}: a batch of {recipe.batch} crops, {together} of them together, cannot "
            f"be split evenly over {processes} processes; start fewer"
        )
    return recipe


def parameters_of(name: str, roles: Container[str]) -> dict[str, dict[str, Tensor]]:
    """The parameters of the package's network ``name``, or of its ``name``-ROLE, by role.

    Raises:
        OptionError: the package has none of these roles.
    """
    fitting = (n for n in weights.networks() if n.name in (name, f"{name}-{n.role}"))
    found = {network.role: network for network in fitting if network.role in roles}
    if not found:
        raise OptionError(f"no networks of the package are called {name!r}")
    return {
        role: integer.from_onnx(network.load()).float().state_dict()
        if role == "h_s"
        else storage.weights_of(network.load())
        for role, network in found.items()
    }


def go_on_from(pair: nn.ModuleDict, origin: Path) -> None:
    """Load the averaged weights of another run's checkpoint into a pair.

    Networks that the other run did not have stay as they are; its networks that the pair does not
    have are left out.

    Raises:
        OptionError: there is no checkpoint, or its networks have other shapes.
        DamagedFileError: it cannot be read.
    """
    average = parallel.from_first(lambda: _average_of(origin))
    for role, module in pair.items():
        start = f"{role}."
        own = {k.removeprefix(start): v for k, v in average.items() if k.startswith(start)}
        if not own:
            continue
        try:
            module.load_state_dict(networks.resized(own, module))
        except RuntimeError:
            raise OptionError(
                f"{origin}: its {role} has other layers than this recipe's; is the width the same?"
            ) from None


def _average_of(origin: Path) -> dict[str, Tensor]:
    path = origin / "checkpoint.pt"
    if not path.exists():
        raise OptionError(f"{origin}: no checkpoint.pt; --from wants the folder of a run")
    average: dict[str, Tensor] = read_checkpoint(path)["average"]
    return average


def _stores(
    recipe: Recipe, data: Path, validation: Path | None, folder: Path
) -> tuple[PhotoStore, PhotoStore]:
    photos = list_photos(data, recipe.photos or None)
    if validation is None:
        scoring = photos[::_HELD_OUT]
        photos = [path for path in photos if path not in set(scoring)] or scoring
    else:
        scoring = list_photos(validation)
    mode = "RGB" if recipe.channels == 3 else "L"
    stores = []
    for part, paths in (("training", photos), ("validation", scoring)):
        made = PhotoStore(folder / part, paths, mode, recipe.crop, recipe.patch, recipe.enlarged)
        SCHEMES[recipe.scheme].code_beforehand(recipe, made, _track)
        stores.append(made)
    if recipe.tiles:
        stores[0].choose_tiles(recipe.tiles, recipe.crop, _track)
    return stores[0], stores[1]


def _track(items: Iterable[Any], total: int, label: str) -> Iterable[Any]:
    return progress(items, total, label)


def _facts(
    recipe: Recipe, trainer: Trainer, scores: dict[str, float], photos: int
) -> dict[str, Any]:
    processes = f"{parallel.size()} x " if parallel.size() > 1 else ""
    return {
        "recipe": recipe.name,
        "steps": trainer.step,
        "seconds": round(trainer.seconds),
        "hardware": f"{processes}{trainer.device}: {platform.processor() or platform.machine()}",
        "torch": torch.__version__,
        "photos": photos,
        "scores": {key: round(value, 4) for key, value in scores.items()},
    }

"""comrec train: train networks by a recipe on a folder of pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from comrec.errors import MissingExtraError


def add(verbs: Any) -> None:
    """Declare the command."""
    verb = verbs.add_parser("train", help="train networks", description=__doc__)
    verb.add_argument(
        "recipe", metavar="RECIPE", help="name of a recipe in the package, or a .toml file"
    )
    verb.add_argument("--data", required=True, metavar="DIR", help="folder of training pictures")
    verb.add_argument(
        "--validation",
        metavar="DIR",
        help="folder of validation pictures; by default some of the training pictures",
    )
    verb.add_argument(
        "--from", dest="origin", metavar="RUN", help="initialise with the weights of another run"
    )
    verb.add_argument(
        "--int8",
        action="store_true",
        help="bring the network of --from, a run of the same recipe, to 8 bits",
    )
    verb.add_argument(
        "--store",
        metavar="DIR",
        help="folder for the decoded pictures; by default OUTPUT/data, with --int8 that of --from",
    )
    verb.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        help="folder of the run; by default runs/RECIPE, with --int8 runs/RECIPE-int8",
    )
    verb.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    verb.add_argument("--steps", type=int, help="number of steps; by default the recipe's")
    verb.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    verb.add_argument("--compile", action="store_true", help="use torch.compile")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    try:
        from comrec.train import run as training
    except ImportError as error:
        if error.name not in ("torch", "onnx"):
            raise
        raise MissingExtraError("training", "train") from None
    usual = Path(options.recipe).stem + ("-int8" if options.int8 else "")
    training.train(
        options.recipe,
        Path(options.data),
        None if options.validation is None else Path(options.validation),
        Path(options.output or Path("runs") / usual),
        resume=options.resume,
        steps=options.steps,
        device=options.device,
        origin=None if options.origin is None else Path(options.origin),
        int8=options.int8,
        store=None if options.store is None else Path(options.store),
        compiled=options.compile,
    )
    return 0

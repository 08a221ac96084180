"""The ways to train, by the names that recipes give them."""

from __future__ import annotations

from torch import nn

from comrec.errors import OptionError
from comrec.train.recipe import Recipe
from comrec.train.schemes.adaptive import Adaptive
from comrec.train.schemes.alternating import Alternating
from comrec.train.schemes.base import Scheme
from comrec.train.schemes.binary import Binary
from comrec.train.schemes.bitplanes import BitPlanes
from comrec.train.schemes.filter import Filter
from comrec.train.schemes.finer import Finer
from comrec.train.schemes.importance import Imitation
from comrec.train.schemes.joint import Joint
from comrec.train.schemes.learned import Curriculum, Perceptual
from comrec.train.schemes.paired import Paired
from comrec.train.schemes.quantised import Quantised
from comrec.train.schemes.recurrent import Recurrent
from comrec.train.schemes.synthesis import Synthesis

SCHEMES: dict[str, type[Scheme]] = {
    "filter": Filter,
    "quantised": Quantised,
    "alternating": Alternating,
    "joint": Joint,
    "curriculum": Curriculum,
    "perceptual": Perceptual,
    "bit-planes": BitPlanes,
    "adaptive": Adaptive,
    "finer": Finer,
    "paired": Paired,
    "imitation": Imitation,
    "binary": Binary,
    "recurrent": Recurrent,
    "synthesis": Synthesis,
}


def build(recipe: Recipe) -> nn.ModuleDict:
    """The networks of a recipe by role, freshly initialised.

    Raises:
        OptionError: the scheme does not train networks of the recipe's family.
    """
    scheme = SCHEMES[recipe.scheme]
    if recipe.family not in scheme.families:
        raise OptionError(
            f"{recipe.name}: the scheme {recipe.scheme} trains {' or '.join(scheme.families)}, "
            f"not {recipe.family}"
        )
    return scheme.networks(recipe)

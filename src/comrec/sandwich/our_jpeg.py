"""JPEG between our networks: its coefficients are chosen for what RecCNN makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

from comrec.codec import Codec, Encode, effort_option
from comrec.inference import store
from comrec.inference.store import Size
from comrec.jpegtuning import tunings
from comrec.jpegtuning.tuned import TunedEncoder, TunedJpeg
from comrec.options import option
from comrec.sandwich.aware import AwareEncoder
from comrec.sandwich.contest import Sources
from comrec.sandwich.ours import ComrecSubsampled

Tune = Literal["perceptual", "psnr"]
_BEFORE_NETWORK: dict[Tune, tunings.Tune] = {
    "perceptual": "network-perceptual",
    "psnr": "network",
}

_ROUNDS = {6: 2, 7: 3, 8: 4, 9: 6, 10: 8}
"""By effort (`ComrecJpeg.rounds`); none below."""

EFFORT = "from 6 up coefficients descend on the error after the network"
"""What the option does."""


def tune_option() -> Any:
    """What is optimised."""
    return option("perceptual", "what is optimised: SSIMULACRA2 or PSNR", get_args(Tune))


def network_option() -> Any:
    """The size of the network."""
    text = "which network at scale 1: a small one, the usual one, or one that is slow and better"
    return option(store.DEFAULT, text, store.SIZES)


@dataclass(frozen=True)
class ComrecJpeg(ComrecSubsampled):
    """See `ComrecSubsampled`. With a network, too, "auto" chooses by picture and quality.

    Where a picture has an importance map, coefficients are chosen by it, and so is the candidate.

    Attributes:
        effort: below 4 a dead zone replaces the trellis; from 6 up also how long the coefficients
            are improved for RecCNN (`aware`).
        network: "fast", "default" or "best": of the networks at scale 1. Files name theirs.
        tune: "perceptual", or "psnr": see `comrec.jpegtuning.tunings`.
    """

    uses_importance = True

    base: str = "jpeg"
    effort: int = effort_option(EFFORT)
    tune: Tune = tune_option()
    network: Size = network_option()

    @cached_property
    def payload(self) -> TunedJpeg:
        tune = _BEFORE_NETWORK[self.tune]
        return TunedJpeg(effort=self.effort, tune=tune, subsampling=self.subsampling)

    @property
    def rounds(self) -> int:
        return _ROUNDS.get(self.effort, 0)

    @property
    def compact_payload(self) -> Codec:
        # RecCNN of scale 1/2 is trained on 4:2:0 alone.
        auto = self.subsampling == "auto"
        return replace(self.payload, subsampling="4:2:0") if auto else self.payload

    def improved(self, encode: Encode, sources: Sources) -> Encode:
        if not self.rounds or not isinstance(encode, TunedEncoder):
            return encode
        return AwareEncoder(encode, lambda data: sources.shown(data, 0).pixels, self.rounds)

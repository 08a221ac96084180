"""JPEG between our networks: its coefficients are chosen for what RecCNN makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from comrec.codec import Codec, Encode, effort_option
from comrec.inference import store
from comrec.jpegtuning.tuned import TunedEncoder, TunedJpeg
from comrec.options import option
from comrec.sandwich.aware import AwareEncoder
from comrec.sandwich.ours import Comrec

Tune = Literal["perceptual", "psnr"]

ROUNDS = {6: 1, 7: 3, 8: 4, 9: 6, 10: 10}
"""By effort: how often the coefficients are improved for RecCNN; never below."""


@dataclass(frozen=True)
class ComrecJpeg(Comrec):
    """See `Comrec`.

    Attributes:
        effort: below 4 a dead zone replaces the trellis; from 6 up also how long the coefficients
            are improved for RecCNN (`aware`).
        tune: "perceptual", or "psnr": see `comrec.jpegtuning.tunings`.
    """

    base: str = "jpeg"
    effort: int = effort_option("from 6 up coefficients descend on the error after the network")
    tune: Tune = option("perceptual", "what is optimised: SSIMULACRA2 or PSNR", get_args(Tune))

    @cached_property
    def payload(self) -> Codec:
        tune: Literal["network", "network-perceptual"] = (
            "network" if self.tune == "psnr" else "network-perceptual"
        )
        return TunedJpeg(effort=self.effort, tune=tune)

    def improved(self, encode: Encode) -> Encode:
        rounds = ROUNDS.get(self.effort, 0)
        gradient = store.gradient_of(store.serving(self.family, self.base, "rec"))
        if not rounds or gradient is None or not isinstance(encode, TunedEncoder):
            return encode
        return AwareEncoder(encode, gradient, rounds)

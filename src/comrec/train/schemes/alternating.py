"""ComCNN and RecCNN in turn, as Jiang et al. 2017 train them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from comrec.train import losses, networks, proxy
from comrec.train.codecs import jpeg_mosaic
from comrec.train.schemes.base import VALIDATION_SEED, Sandwich, psnr


class Alternating(Sandwich):
    """Jiang et al. 2017, section III-C: ComCNN and RecCNN in turn, the real codec between them.

    While RecCNN trains, ComCNN is fixed (equation 3); while ComCNN trains, RecCNN is fixed
    (equation 6), and the codec's gradient is taken as the identity. In the last part of the
    schedule only RecCNN trains, on the compact pictures that it will meet.
    """

    families = ("jiang2017",)
    FINAL_PART = 0.7

    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        recipe, com, rec = self.recipe, self.pair["com"], self.pair["rec"]
        in_period = step % recipe.period
        final = step >= recipe.steps * self.FINAL_PART
        com_turn = in_period >= recipe.period - recipe.com_steps and not final
        for parameter in com.parameters():
            parameter.requires_grad_(com_turn)
        for parameter in rec.parameters():
            parameter.requires_grad_(not com_turn)
        rec.train(not com_turn)

        (original, _, _) = self.draw(self.training, random, self.share)
        quality = 50 if random.random() < 0.6 else int(random.integers(*_whole(recipe.quality)))
        compact = com(original)
        decoded = self._through(compact, quality)
        with self.autocast():
            prediction = rec(decoded)
        loss = 100 * losses.half_mse(prediction, original)
        if com_turn:
            # The same minimum at a step that suits both networks, kept inside 0..255.
            loss = 0.3 * loss + 10 * (compact - compact.clamp(0, 1)).abs().mean()
        return loss

    def _through(self, compact: Tensor, quality: int) -> Tensor:
        inside = compact.clamp(0, 1)
        return proxy.straight_through(jpeg_mosaic(inside, quality), inside)

    def validate(self) -> dict[str, float]:
        random = np.random.default_rng(VALIDATION_SEED)
        scores = []
        with torch.no_grad():
            for _ in range(4):
                (original, _, _) = self.draw(self.validation, random)
                decoded = self._through(self.pair["com"](original), 50)
                reconstruction = self.pair["rec"](decoded)
                bicubic = networks.upsample(decoded)
                scores.append([psnr(reconstruction, original), psnr(bicubic, original)])
        reconstruction_db, plain_db = np.mean(scores, axis=0)
        return {"psnr": float(reconstruction_db), "psnr_bicubic": float(plain_db)}


def _whole(quality: tuple[float, float]) -> tuple[int, int]:
    return int(quality[0]), int(quality[1]) + 1

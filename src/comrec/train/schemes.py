"""The ways to train: filter, alternating, joint, ladder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from comrec.codec import Codec
from comrec.entropy.contexts import INDICES, MEAN_STEPS
from comrec.jpegtuning import tables
from comrec.learned.liu2018 import Z_LIMIT
from comrec.train import contexts, learned, losses, networks, perceptual, proxy, rate
from comrec.train.codecs import jpeg_mosaic, payload, through_codec
from comrec.train.data import PhotoStore
from comrec.train.integer import bound, rounded
from comrec.train.recipe import Recipe
from comrec.wrapped import conditions

_LUMA = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
_VALIDATION_SEED = 7


def build(recipe: Recipe) -> nn.ModuleDict:
    """The networks of a recipe, freshly initialised.

    "com" (where it has one) and "rec"; of the learned codec, those of `learned.networks`, and of
    the perceptual scheme a "critic".
    """
    if recipe.family == "liu2018":
        networks_and_critic = learned.networks(recipe.width)
        if recipe.scheme == "perceptual":
            networks_and_critic["critic"] = perceptual.Critic()
        return networks_and_critic
    com: type[nn.Module]
    rec: type[nn.Module]
    if recipe.family == "jiang2017":
        com, rec = networks.Jiang2017Com, networks.Jiang2017Rec
    elif recipe.scale == 1:
        com, rec = networks.ComrecCom1, networks.ComrecRec1
    else:
        com, rec = networks.ComrecCom2, networks.ComrecRec2
    parts: dict[str, nn.Module] = {"rec": rec()}
    if recipe.scheme != "filter":
        parts["com"] = com()
    return nn.ModuleDict(parts)


class Scheme(ABC):
    """Draws batches and gives their loss; scores the networks on fixed crops.

    Args:
        pair: the networks, by role.
        training, validation: stores to draw from.
    """

    def __init__(
        self,
        recipe: Recipe,
        pair: nn.ModuleDict,
        training: PhotoStore,
        validation: PhotoStore,
        device: str,
    ) -> None:
        self.recipe = recipe
        self.pair = pair
        self.training = training
        self.validation = validation
        self.device = device

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device, torch.bfloat16)

    def draw(self, store: PhotoStore, random: np.random.Generator) -> list[Tensor]:
        recipe = self.recipe
        batch = store.sample(random, recipe.batch, recipe.crop, recipe.scale)
        return [part.to(self.device) for part in batch]

    @abstractmethod
    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        """The loss of one batch."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """PSNR in dB (RGB, or luma), mean over fixed validation crops, and what it is against."""


class Filter(Scheme):
    """RecCNN on what the real codec gave back; ComCNN, if any, is the package's."""

    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        original, coded, condition = self.draw(self.training, random)
        if self.recipe.channels == 3:
            gray = torch.from_numpy(random.random(len(original)) < 0.12).view(-1, 1, 1, 1)
            original, coded = _some_gray(original, gray), _some_gray(coded, gray)
        with self.autocast():
            prediction = self._rebuild(coded, condition)
        return losses.mean_rmse(prediction, original)

    def _rebuild(self, coded: Tensor, condition: Tensor) -> Tensor:
        rebuilt: Tensor
        if self.recipe.family == "jiang2017":  # is not told the quality
            rebuilt = self.pair["rec"](coded)
        else:
            rebuilt = self.pair["rec"](coded, condition)
        return rebuilt

    def validate(self) -> dict[str, float]:
        random = np.random.default_rng(_VALIDATION_SEED)
        scores = []
        with torch.no_grad():
            for _ in range(4):
                original, coded, condition = self.draw(self.validation, random)
                plain = coded if self.recipe.scale == 1 else networks.upsample(coded)
                rebuilt = self._rebuild(coded, condition)
                scores.append([_psnr(rebuilt, original), _psnr(plain, original)])
        rebuilt_db, plain_db = np.mean(scores, axis=0)
        return {"psnr": float(rebuilt_db), "psnr_plain": float(plain_db)}


class Alternating(Scheme):
    """Jiang et al. 2017, section III-C: ComCNN and RecCNN in turn, the real codec between them.

    While RecCNN trains, ComCNN is fixed (equation 3); while ComCNN trains, RecCNN is fixed
    (equation 6), and the codec's gradient is taken as the identity. In the last part of the
    schedule only RecCNN trains, on the compact pictures that it will meet.
    """

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

        (original, _, _) = self.draw(self.training, random)
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
        random = np.random.default_rng(_VALIDATION_SEED)
        scores = []
        with torch.no_grad():
            for _ in range(4):
                (original, _, _) = self.draw(self.validation, random)
                decoded = self._through(self.pair["com"](original), 50)
                rebuilt = self.pair["rec"](decoded)
                bicubic = networks.upsample(decoded)
                scores.append([_psnr(rebuilt, original), _psnr(bicubic, original)])
        rebuilt_db, plain_db = np.mean(scores, axis=0)
        return {"psnr": float(rebuilt_db), "psnr_bicubic": float(plain_db)}


class Joint(Scheme):
    """ComCNN and RecCNN at once: real JPEG forward, the proxy's gradient, and a rate term.

    loss = mean RMSE + trade * w * proxy rate + penalty for compact pixels outside 0..255,
    where w follows real file sizes.
    """

    GROUPS = 4  # qualities a batch

    @cached_property
    def coder(self) -> Codec:
        return payload(self.recipe.family, self.recipe.codec)

    def _group(self, original: Tensor, quality: float) -> tuple[Tensor, Tensor, Tensor, float]:
        """Rebuilt pictures, proxy bits scaled to the real file's, penalty, real bits a pixel."""
        condition = torch.full(
            (len(original),), conditions.before("jpeg", quality) / 100, device=original.device
        )
        with self.autocast():
            compact = self.pair["com"](original, condition)
        compact = compact.float()
        steps = proxy.raster(list(tables.step_tables(quality))).to(original.device)
        imitated, rate = proxy.jpeg(compact, steps)
        decoded, bits = through_codec(self.coder, compact, quality)
        # The fixed cost of a file is no crop's fault.
        weight = proxy.fit_rate(rate.sum()[None], torch.tensor([max(bits - 5000.0, 0.0)]))
        with self.autocast():
            rebuilt = self.pair["rec"](proxy.straight_through(decoded, imitated), condition)
        return rebuilt.float(), weight * rate.sum(), proxy.outside(compact), bits

    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        original, _, _ = self.draw(self.training, random)
        losses_of_groups = []
        for part in original.chunk(self.GROUPS):
            quality = float(random.uniform(*self.recipe.quality))
            rebuilt, bits, penalty, _ = self._group(part, quality)
            distortion = losses.mean_rmse(rebuilt, part)
            pixels = part.shape[0] * part.shape[2] * part.shape[3]
            # d(RMSE)/d(rate) of a codec at work: proportional to its step.
            price = self.recipe.trade * tables.luma_step(quality) / 255
            losses_of_groups.append(distortion + price * bits / pixels + 0.01 * penalty)
        return torch.stack(losses_of_groups).mean()

    def validate(self) -> dict[str, float]:
        random = np.random.default_rng(_VALIDATION_SEED)
        scores = []
        with torch.no_grad():
            original, _, _ = self.draw(self.validation, random)
            for quality in np.linspace(*self.recipe.quality, 4):
                rebuilt, _, _, bits = self._group(original, float(quality))
                pixels = original.shape[0] * original.shape[2] * original.shape[3]
                scores.append([_psnr(rebuilt, original), bits / pixels])
        mean_db, bpp = np.mean(scores, axis=0)
        return {"psnr": float(mean_db), "bpp": float(bpp)}


class Ladder(Scheme):
    """One rung of Liu et al. 2018's way from easy to hard: distortion, quantisation, rate, metric.

    loss = (bits a pixel + lambda * distortion) / sqrt(lambda), lambda by each crop's quality. The
    root keeps the high qualities' gradients from drowning the low ones'. Without a rate term:
    the distortion.
    """

    def __init__(
        self,
        recipe: Recipe,
        pair: nn.ModuleDict,
        training: PhotoStore,
        validation: PhotoStore,
        device: str,
    ) -> None:
        super().__init__(recipe, pair, training, validation, device)
        self.priced = recipe.lambdas[1] > 0
        for role in ("g_a", "g_s"):
            # Without a price, larger gains would be a way around the noise.
            pair.get_submodule(f"{role}.gain").requires_grad_(self.priced)
        if self.priced:
            contexts.prepare(pair, training)

    def step_loss(self, random: np.random.Generator, step: int) -> Tensor:
        recipe = self.recipe
        original = self.training.crops(random, recipe.batch, recipe.crop, self.device)
        quality = torch.from_numpy(random.uniform(*recipe.quality, recipe.batch) / 100)
        quality = quality.float().to(self.device)
        noise = torch.Generator(self.device).manual_seed(int(random.integers(2**31)))
        with self.autocast():
            rebuilt, bits = self.code(original, quality, noise)
        return self.loss(original, rebuilt, bits, quality)

    def code(
        self, original: Tensor, quality: Tensor, noise: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Rebuilt pictures, and (N,) bits of each; rounded to integers where there is no noise."""
        y = self.pair["g_a"](original, quality)
        if not self.priced:
            return self.pair["g_s"](self._quantised(y, noise), quality), torch.zeros_like(quality)
        z = bound(self.pair["h_a"](y).float(), -Z_LIMIT, Z_LIMIT)
        with torch.autocast(self.device, enabled=False):
            index, mean = self.pair["h_s"](rounded(z))
            index, mean = (part[..., : y.shape[2], : y.shape[3]] for part in (index, mean))
            mean = mean / MEAN_STEPS
            distance = self._quantised(y - mean, noise)
            left, index = self.pair["contexts"](distance, index)
            scale = rate.scale_of(bound(index, 0, INDICES - 1))
            bits = rate.laplacian_bits(left, scale).flatten(1).sum(1)
            bits = bits + self.pair["prior"](self._quantised(z, noise)).flatten(1).sum(1)
        return self.pair["g_s"](distance + mean, quality), bits

    def _quantised(self, x: Tensor, noise: torch.Generator | None) -> Tensor:
        if self.recipe.quantiser == "none":
            return x
        if self.recipe.quantiser == "noise" and noise is not None:
            return x + torch.rand(x.shape, generator=noise, device=x.device) - 0.5
        return rounded(x)

    def loss(self, original: Tensor, rebuilt: Tensor, bits: Tensor, quality: Tensor) -> Tensor:
        distortion = self.distortion(rebuilt, original)
        if not self.priced:
            return distortion.mean()
        price = losses.price(quality, self.recipe.lambdas)
        bpp = bits / (original.shape[2] * original.shape[3])
        return ((bpp + price * distortion) / price.sqrt()).mean()

    def distortion(self, rebuilt: Tensor, original: Tensor) -> Tensor:
        """(N,) in the unit that the recipe's lambdas are for."""
        return losses.distortion(self.recipe.codec)(rebuilt, original)

    def validate(self) -> dict[str, float]:
        """At four qualities: bits a pixel by the entropy model, PSNR; MS-SSIM where trained for."""
        random = np.random.default_rng(_VALIDATION_SEED)
        recipe = self.recipe
        scores: dict[str, float] = {}
        original = self.validation.crops(random, 2 * recipe.batch, recipe.crop, self.device)
        for percent in np.linspace(*recipe.quality, 4):
            rows = []
            for part in original.chunk(2):
                quality = torch.full((len(part),), percent / 100, device=self.device).float()
                with torch.no_grad():
                    rebuilt, bits = self.code(part, quality, None)
                row = [float(bits.mean()) / (recipe.crop**2), _psnr(rebuilt, part)]
                if recipe.codec == "ms-ssim":
                    row.append(float(losses.ms_ssim(rebuilt.clamp(0, 1), part).mean()))
                rows.append(row)
            for name, value in zip(("bpp", "psnr", "ms_ssim"), np.mean(rows, 0), strict=False):
                scores[f"{name}_{percent:.0f}"] = float(value)
        return scores


class Perceptual(Ladder):
    """The last rung: features and a critic beside the squared error, for low rates.

    The networks and the critic learn in the same steps, each from its own loss.
    """

    # In squared grey levels. With a quarter of these, pictures stayed as those for squared error.
    FEATURES = 800.0
    FOOLED = 40.0

    @cached_property
    def features(self) -> perceptual.Features:
        return perceptual.Features().to(self.device)

    def loss(self, original: Tensor, rebuilt: Tensor, bits: Tensor, quality: Tensor) -> Tensor:
        with self.autocast():
            learned_by = self.critic.loss(original, rebuilt)
        return super().loss(original, rebuilt, bits, quality) + learned_by

    def distortion(self, rebuilt: Tensor, original: Tensor) -> Tensor:
        with self.autocast():
            distance: Tensor = self.features(rebuilt, original)
            fooled = self.critic.fooled(rebuilt)
        return (
            super().distortion(rebuilt, original) + self.FEATURES * distance + self.FOOLED * fooled
        )

    @property
    def critic(self) -> perceptual.Critic:
        critic = self.pair["critic"]
        assert isinstance(critic, perceptual.Critic)
        return critic


SCHEMES: dict[str, type[Scheme]] = {
    "filter": Filter,
    "alternating": Alternating,
    "joint": Joint,
    "ladder": Ladder,
    "perceptual": Perceptual,
}


def _some_gray(pictures: Tensor, gray: Tensor) -> Tensor:
    """Replace the chosen pictures by their luma: gray files go through the same network."""
    luma = (pictures * _LUMA.to(pictures)).sum(1, keepdim=True)
    return torch.where(gray.to(pictures.device), luma, pictures)


def _psnr(prediction: Tensor, target: Tensor) -> float:
    squares = (prediction.float().clamp(0, 1) - target).square().flatten(1).mean(1)
    return float((-10 * torch.log10(squares + 1e-6)).mean())


def _whole(quality: tuple[float, float]) -> tuple[int, int]:
    return int(quality[0]), int(quality[1]) + 1

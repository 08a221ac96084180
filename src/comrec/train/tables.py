"""Quantisation tables that a classifier is asked for: by its gradients, and by trying.

Both look at pictures as the classifier does: scaled to a shorter side of 256, the central square.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from comrec.blocks import DCT, YCC_TO_RGB, ZIGZAG
from comrec.jpegtuning import tableset
from comrec.jpegtuning.deepn import Scaled
from comrec.jpegtuning.encoder import Encoder
from comrec.jpegtuning.statistics import annex_k
from comrec.jpegtuning.tableset import Tables
from comrec.measure import bench
from comrec.measure.store import Store
from comrec.picture import Picture
from comrec.progress import progress
from comrec.train import classifier
from comrec.train.classifier import SIDE, Classifier

Float = NDArray[np.float64]
Pixels = NDArray[np.uint8]

SQUARE = 256
_MARGIN = (SQUARE - SIDE) // 2
_BATCH = 16
_QUALITIES = (15, 40)
"""Of the JPEG files whose gradients are taken: near the originals they are nearly zero."""
_BOUNDS = (1, 2, 3, 5, 7, 10)
"""Of the bands of u + v whose steps the search scales together: 0, 1, 2, 3..4, 5..6, 7..9, 10.."""
_SHARPER = 2
"""Power of the probabilities that doubt is measured with."""
_FACTOR = 1.4
"""By which the search scales the steps of a band at first."""


def square(pixels: Pixels) -> Pixels:
    """(H, W, 3) of any size to (256, 256, 3)."""
    height, width = pixels.shape[:2]
    factor = SQUARE / min(height, width)
    size = max(SQUARE, round(width * factor)), max(SQUARE, round(height * factor))
    image = Image.fromarray(pixels).convert("RGB")
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    left, top = ((side - SQUARE) // 2 for side in image.size)
    return np.asarray(image.crop((left, top, left + SQUARE, top + SQUARE)))


def squares(paths: Iterable[Path]) -> Iterator[Pixels]:
    """Of picture files.

    Raises:
        InputError: one cannot be read.
        UnsupportedPictureError: one is transparent.
    """
    return (square(bench.read(path).pixels) for path in paths)


def sensitivity(pixels: NDArray[np.uint8], quiet: bool = False) -> Float:
    """How much each coefficient matters to the classifier.

    The divergence of what it says of a coded picture from what it says of the original, derived by
    the coefficients, squared and averaged: with small independent errors of variance e in each, the
    divergence is about half the sum of these times e (they are the diagonal of Fisher's
    information).

    Args:
        pixels: (N, 256, 256, 3).
    Returns:
        (3, 64) of Y, Cb and Cr at 4:2:0, zigzag order.
    Raises:
        MissingExtraError: the classifier is not installed.
    """
    net = classifier.network()
    total = np.zeros((3, 64))
    starts = range(0, len(pixels), _BATCH)
    for at in progress(starts, len(starts), "gradients", quiet):
        batch = pixels[at : at + _BATCH]
        reference = classifier.said(net, _seen(batch))
        for quality in _QUALITIES:
            coded = np.stack([_jpeg(each, quality) for each in batch])
            total += _squared(classifier.gradients(net, _seen(coded), reference))
    return total / (len(pixels) * len(_QUALITIES))


def _seen(batch: Pixels) -> Tensor:
    inner = slice(_MARGIN, _MARGIN + SIDE)
    return torch.from_numpy(np.ascontiguousarray(batch[:, inner, inner]))


def _jpeg(pixels: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def _squared(gradients: Tensor) -> Float:
    """(N, 224, 224, 3) by samples of RGB to sums of squares by coefficients: (3, 64)."""
    ycc = torch.einsum("nhwc,ck->knhw", gradients, torch.from_numpy(YCC_TO_RGB))
    chroma = F.avg_pool2d(ycc[1:], 2) * 4  # a sample of chroma is that of four pixels
    dct = torch.from_numpy(DCT)
    found = []
    for plane in (ycc[0], *chroma):
        n, height, width = plane.shape
        blocks = plane.view(n, height // 8, 8, width // 8, 8).permute(0, 1, 3, 2, 4)
        found.append((dct @ blocks @ dct.T).square().sum((0, 1, 2)).flatten().numpy()[ZIGZAG])
    return np.stack(found).astype(np.float64)


def of_sensitivity(sensitivity: Float, blend: float, shared: bool) -> Float:
    """Steps from sensitivities, (3, 64), up to a common factor.

    Args:
        shared: luma's for all, which files then hold once.
        blend: 0 for steps of equal harm, which fall with the square root of sensitivity, 1 for
            Annex K's, geometric between. Errors of high frequencies harm less than gradients say,
            since most of these coefficients become zero in any case.
    """
    equal = 1 / np.sqrt(np.maximum(sensitivity, 1e-12 * sensitivity.max()))
    found: Float = np.exp((1 - blend) * np.log(equal) + blend * np.log(annex_k()))
    return found[[0, 0, 0]] if shared else found


class Search:
    """Scales bands of tables so that fewer bytes keep what the classifier says.

    The cost is ln(bytes) + s ln(doubt), means over the pictures, at one quality; s is the slope at
    which the first tables trade one for the other as they are scaled. Doubt is how likely something
    else is said than of the original, with sharpened probabilities: top-1 disagreement, but smooth.
    Coordinate descent: each band of luma and of chroma, or of both where they have one table, and
    Cr as a whole, is tried coarser and finer, and the change shrinks where none helps.

    Args:
        start: tables to begin with.
        pixels: (N, 256, 256, 3).
        look: the classifier.
        store: of what was tried, so that a search can continue.
        quality: at which tables are compared.
    """

    def __init__(
        self, start: Tables, pixels: Pixels, look: Classifier, store: Store, quality: float
    ) -> None:
        self._start = start.zigzag.astype(np.float64)
        self._pictures = [Picture(each) for each in pixels]
        self._look = look
        self._store = store
        self._quality = quality
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()[:16]
        self._key = f"{classifier.NAME} {digest} {Scaled.lmbda}"
        u, v = np.mgrid[0:8, 0:8]
        band = np.digitize((u + v).reshape(64)[ZIGZAG], _BOUNDS)
        one = bool((self._start == self._start[0]).all())
        groups = [(1, 1, 1)] if one else [(1, 0, 0), (0, 1, 1)]
        bands = [np.outer(group, band == at) for group in groups for at in range(len(_BOUNDS) + 1)]
        if not one:
            bands.append(np.outer((0, 0, 1), np.ones(64)))
        self._bands = np.stack(bands).astype(np.float64)

    def run(self, evaluations: int, quiet: bool = False) -> Tables:
        """The best tables after so many have been tried, at least two."""
        self._originals = [self._look(picture.pixels) for picture in self._pictures]
        at = np.zeros(len(self._bands))
        (bytes_, lost), (fewer, more) = self._tried(at, 1.0), self._tried(at, 1.5)
        slope = np.log(bytes_ / fewer) / np.log(more / lost)
        best, change = np.log(bytes_) + slope * np.log(lost), np.log(_FACTOR)
        index, again, unhelpful = 0, False, 0
        for _ in progress(range(2, evaluations), evaluations, "search", quiet, initial=2):
            # Each band coarser, then finer, unless that leads back to where it was.
            band, finer = divmod(index % (2 * len(at)), 2)
            tried = at.copy()
            tried[band] += -change if finer else change
            found = self._tried(tried, 1.0)
            cost = np.log(found[0]) + slope * np.log(found[1])
            if cost < best:
                at, best, again, unhelpful = tried, cost, True, 0
                continue
            index += 2 if again and not finer else 1
            again, unhelpful = False, unhelpful + 1
            if unhelpful == 2 * len(at):
                change, unhelpful = change / 2, 0
        return tableset.of_zigzag("", self._steps(at, 1.0))

    def _steps(self, at: Float, factor: float) -> Float:
        return factor * self._start * np.exp(np.tensordot(at, self._bands, 1))

    def _tried(self, at: Float, factor: float) -> tuple[float, float]:
        """Mean bytes and mean doubt of tables."""
        tables = tableset.of_zigzag("", self._steps(at, factor))
        key = f"{self._key} {tables.sha256} {self._quality:g}"
        if key not in self._store:
            sizes, lost = [], []
            for picture, original in zip(self._pictures, self._originals, strict=True):
                data = Encoder(picture, Scaled(tables), "4:2:0", trellis=True)(self._quality)
                with Image.open(io.BytesIO(data)) as shown:
                    said = self._look(np.asarray(shown))
                sizes.append(len(data))
                sharpened = np.exp(_SHARPER * (said - said.max()))
                lost.append(float(1 - sharpened[original.argmax()] / sharpened.sum()))
            means = {"bytes": float(np.mean(sizes)), "doubt": float(np.mean(lost))}
            self._store.add(key, means)
        found = self._store[key]
        return found["bytes"], found["doubt"]

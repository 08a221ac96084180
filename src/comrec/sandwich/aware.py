"""JPEG coefficients chosen for what RecCNN makes of them.

Jiang et al.'s equation 6, with the real codec in it, solved for one picture instead of learned for
all: the coefficients descend on

    J = squared error after RecCNN / 3 + lambda * bits

by proximal gradient steps. The gradient of the error with respect to the dequantised coefficients,
through inverse DCT, chroma upsampling and RecCNN, gives targets, which the trellis quantises; the
trellis is the proximal operator. Without the network this is the encoder of `comrec.jpegtuning`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from comrec.inference import tiles
from comrec.inference.session import session
from comrec.inference.store import Network
from comrec.jpegtuning import blocks
from comrec.jpegtuning.encoder import Coefficients, Encoder
from comrec.jpegtuning.tuned import TunedEncoder
from comrec.sandwich import conditions
from comrec.sandwich.conditions import Condition

Float = NDArray[np.float32]

_CURVATURE = 0.9
"""Kappa: by how much the error after RecCNN curves, relative to the error before it. Steps of
its inverse descend fastest on validation photographs."""
_MOMENTUM = 0.3
"""Share of the last step that is repeated (heavy ball)."""
_MARGIN = 8  # pixels of repeated edge, as `tiles.run` has it


class AwareEncoder:
    """The encoder of one picture at scale 1.

    Args:
        encoder: gives the coefficients to start from.
        gradient: network of role "gradient": of RecCNN's squared error.
        rounds: of gradient and trellis. Each takes about three times as long as decoding.
    """

    def __init__(self, encoder: TunedEncoder, gradient: Network, rounds: int) -> None:
        self._encoder = encoder
        self._rounds = rounds
        self._network = gradient

    def estimate(self, quality: float) -> float:
        """See `comrec.ratecontrol.Estimating`."""
        return self._encoder.estimate(quality)

    def __call__(self, quality: float) -> bytes:
        """The file of least J of all rounds."""
        encoder = self._encoder.at(quality)
        bit = encoder.lmbda(quality)
        levels = encoder.quantise(encoder.coefficients, quality)
        best, least = b"", np.inf
        before: Coefficients | None = None
        for left in range(self._rounds, -1, -1):
            data = encoder.write(levels, quality)
            values = encoder.dequantised(levels, quality)
            slopes, error = self._slopes(
                encoder, values, conditions.from_file("jpeg", data, quality)
            )
            cost = error + bit * 8 * len(data)
            if cost < least:
                best, least = data, cost
            if left:
                targets = _targets(encoder, values, slopes, before)
                levels, before = encoder.quantise(targets, quality), values
        return best

    def _slopes(
        self, encoder: Encoder, values: Coefficients, condition: Condition
    ) -> tuple[Coefficients, float]:
        """A third of the squared error after RecCNN: its gradient by coefficients, its value,
        weighted by what masking leaves of it."""
        original = encoder.picture.rgb
        told = tiles.conditions(self._network, *condition)
        rows, columns = (8 * side for side in values[0].shape[:2])
        slopes = [np.empty_like(part) for part in values]
        error = 0.0
        for outer, inner, place in tiles.windows(rows, columns, self._network):
            cut = [part[_in_blocks(outer, part, rows)] for part in values]
            height, width = (
                min(side.stop, limit) - side.start
                for side, limit in zip(outer, original.shape[:2], strict=True)
            )
            shown = decoded(cut, height, width)
            feed = {
                "decoded": _planes(np.clip(shown, 0, 255)),
                "picture": _planes(original[outer][:height, :width]),
                **told,
            }
            slope, squares = session(self._network).run(None, feed)
            slope = _pixels(np.asarray(slope), height, width) * np.float32(255 / 3)
            outward = ((shown < 0) & (slope > 0)) | ((shown > 255) & (slope < 0))
            slope[outward] = 0  # clipped: more of it changes nothing
            for i, part in enumerate(_by_coefficients(slope, cut)):
                kept = _in_blocks(inner, part, outer[0].stop - outer[0].start)
                slopes[i][_in_blocks(place, slopes[i], rows)] = part[kept]
            squares = _pixels(np.asarray(squares), height, width)[inner]
            sums = _by_blocks(squares.sum(axis=2))
            masking = encoder.masking[0][_in_blocks(place, values[0], rows)]
            seen = sums / masking[: sums.shape[0], : sums.shape[1]]
            error += float(seen.sum(dtype=np.float64)) * 255**2 / 3
        return slopes, error


def _targets(
    encoder: Encoder, values: Coefficients, slopes: Coefficients, before: Coefficients | None
) -> Coefficients:
    """Where a step along the gradient leads, and a share of the last step."""
    targets = []
    for i, (value, slope) in enumerate(zip(values, slopes, strict=True)):
        target = value - slope / np.float32(2 * encoder.weights[i] * _CURVATURE)
        if before is not None:
            target += np.float32(_MOMENTUM) * (value - before[i])
        targets.append(target)
    return targets


def _in_blocks(window: tiles.Window, blocks: Float, rows: int) -> tiles.Window:
    """The blocks of a component in a window of pixels that is aligned to MCUs.

    Args:
        blocks: (m, n, 64), which stand for so many ``rows`` of pixels.
    """
    side = rows // len(blocks)
    across, along = (slice(part.start // side, part.stop // side) for part in window)
    return across, along


def _by_blocks(values: Float) -> Float:
    """The sums over blocks of 8x8 pixels, those at the edges cut short."""
    height, width = values.shape
    padded = np.pad(values, ((0, -height % 8), (0, -width % 8)))
    rows, columns = padded.shape[0] // 8, padded.shape[1] // 8
    sums: Float = padded.reshape(rows, 8, columns, 8).sum(axis=(1, 3))
    return sums


def decoded(values: Coefficients, height: int, width: int) -> Float:
    """(height, width, 3) RGB in grey levels, neither rounded nor clipped; gray is repeated."""
    luma, *chroma = map(blocks.to_plane, values)
    if not chroma:
        return np.repeat(luma[:height, :width, None], 3, axis=2)
    if chroma[0].shape != luma.shape:
        chroma = [blocks.double(plane, height, width) for plane in chroma]
    full = [plane[:height, :width] for plane in (luma, *chroma)]
    centred = np.stack(full, axis=2) - np.array([0, 128, 128], np.float32)
    rgb: Float = centred @ blocks.YCC_TO_RGB.T
    return rgb


def _by_coefficients(slope: Float, values: Coefficients) -> Coefficients:
    """The adjoint of `decoded`: a gradient by RGB to one by coefficients."""
    rows, columns = (8 * side for side in values[0].shape[:2])
    padding = (0, rows - slope.shape[0]), (0, columns - slope.shape[1])
    if len(values) == 1:
        return [blocks.adjoint_of_plane(np.pad(slope.sum(axis=2), padding))]
    luma, *chroma = np.moveaxis(slope @ blocks.YCC_TO_RGB, 2, 0)
    planes = [np.pad(luma, padding)]
    if values[1].shape == values[0].shape:
        planes += [np.pad(plane, padding) for plane in chroma]
    else:
        planes += [blocks.adjoint_of_double(plane, rows // 2, columns // 2) for plane in chroma]
    return [blocks.adjoint_of_plane(plane) for plane in planes]


def _planes(pixels: NDArray[np.number]) -> Float:
    """(H, W, 3) grey levels as the network takes them: (1, 3, H', W') in 0..1, edges repeated."""
    height, width = pixels.shape[:2]
    padding = (_MARGIN, _MARGIN + height % 2), (_MARGIN, _MARGIN + width % 2), (0, 0)
    padded = np.pad(pixels, padding, mode="edge").transpose(2, 0, 1)[None]
    return np.ascontiguousarray(padded, dtype=np.float32) * np.float32(1 / 255)


def _pixels(planes: Float, height: int, width: int) -> Float:
    """The inverse of the layout of `_planes`."""
    rows, columns = slice(_MARGIN, _MARGIN + height), slice(_MARGIN, _MARGIN + width)
    return np.ascontiguousarray(planes[0, :, rows, columns].transpose(1, 2, 0))

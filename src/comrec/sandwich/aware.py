"""JPEG coefficients chosen for what RecCNN makes of them.

Jiang et al.'s equation 6, with the real codec in it, solved for one picture: the coefficients
descend on

    J = squared error after RecCNN / 3 + lambda * bits.

Each round is a proximal gradient step. The gradient of the error with respect to the dequantised
coefficients, through inverse DCT, chroma upsampling and RecCNN, moves the targets that the trellis
then quantises; the trellis is the proximal operator. Without the network this is the encoder of
`comrec.jpegtuning`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from comrec.jpegtuning import blocks, tables
from comrec.jpegtuning.encoder import WEIGHTS, Coefficients, Encoder, Levels

Float = NDArray[np.float32]
Gradient = Callable[[Float], tuple[Float, float]]
"""Of the squared error after RecCNN, by a decoded picture (H, W, 3) of grey levels, not rounded
or clipped: the gradient, (H, W, 3), and the error."""

def decoded(levels: Levels, quality: float, height: int, width: int) -> Float:
    planes = [blocks.to_plane(values) for values in dequantised(levels, quality)]
    luma, *chroma = planes
    full = [luma[:height, :width], *(blocks.double(plane, height, width) for plane in chroma)]
    ycc = np.stack(full, axis=2) - np.array([0, 128, 128], np.float32)
    return ycc @ blocks.YCC_TO_RGB.T


def dequantised(levels: Levels, quality: float) -> Coefficients:
    steps = tables.step_tables(quality)
    return [values * steps[min(i, 1)] for i, values in enumerate(levels)]


def to_gradients(gradient: Float, coefficients: Coefficients) -> Coefficients:
    ycc = gradient @ blocks.YCC_TO_RGB
    out = []
    for i, values in enumerate(coefficients):
        rows, columns = 8 * values.shape[0], 8 * values.shape[1]
        plane = ycc[..., i]
        if i == 0:
            plane = np.pad(plane, ((0, rows - plane.shape[0]), (0, columns - plane.shape[1])))
        else:
            plane = blocks.adjoint_of_double(plane, rows, columns)
        out.append(blocks.to_coefficients(plane + 128))
    return out


def solve(encoder: Encoder, quality: float, gradient: Gradient, rounds: int, kappa: float, half: bool=False, momentum=0.0, log=None):
    height, width = encoder.picture.height, encoder.picture.width
    lmbda = encoder.lmbda(quality)
    levels = encoder.quantise(encoder.coefficients, quality)
    best = (np.inf, b"")
    previous=None
    for n in range(rounds + 1):
        values = dequantised(levels, quality)
        slope, error = gradient(decoded(levels, quality, height, width))
        data = encoder.write(levels, quality)
        cost = error / 3 + lmbda * 8 * len(data)
        if log is not None: log.append((cost, error, len(data)))
        if cost < best[0]:
            best = (cost, data)
        if n == rounds:
            break
        parts = to_gradients(slope / 3, values)
        targets = [v - g / (2 * w * kappa) for v, g, w in zip(values, parts, WEIGHTS)]
        if momentum and previous is not None:
            targets=[t+momentum*(v-p) for t,v,p in zip(targets,values,previous)]
        previous=values
        new = encoder.quantise(targets, quality)
        if half:
            for old, fresh in zip(levels, new):
                r, c = np.indices(old.shape[:2])
                keep = (r + c + n) % 2 == 0
                fresh[keep] = old[keep]
        levels = new
    return best[1]

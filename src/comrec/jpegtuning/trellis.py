"""Rate-distortion optimised quantisation of 8x8 blocks.

For each block, dynamic programming over the zigzag positions chooses which coefficients
to keep, and whether to round each up or down, so that

    squared error + lambda * bits

is least, where bits are those of JPEG's (run, size) symbols. Ramchandran and Vetterli,
"Rate-distortion optimal fast thresholding with complete JPEG/MPEG decoder compatibility",
IEEE Trans. Image Processing 3(5), 1994; Crouse and Ramchandran, "Joint thresholding and
quantizer selection for transform image coding", 1997. Vectorised over blocks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Int = NDArray[np.int16]

_CHUNK = 4096  # blocks a pass: the working vectors stay in the cache
_SIZES = 12  # magnitude categories 0..11
_ZRL_RUN = 16


def magnitude_category(values: NDArray[np.number]) -> NDArray[np.uint8]:
    """JPEG's SSSS: the number of bits of |value|."""
    magnitude = np.abs(values.astype(np.float32))
    return np.frexp(magnitude)[1].astype(np.uint8)


def dead_zone(coefficients: Float, steps: Float, offset: float = 0.33) -> Int:
    """Quantise with the rounding threshold of AC coefficients moved up: the starting point."""
    scaled = coefficients / steps
    levels = np.floor(np.abs(scaled) + offset)
    levels[..., 0] = np.floor(np.abs(scaled[..., 0]) + 0.5)
    signed: Int = (np.sign(scaled) * levels).astype(np.int16)
    return signed


def symbol_bits(levels: Int) -> tuple[Float, float]:
    """Bits of each (run, size) symbol, and of end-of-block, under the blocks' own statistics.

    Args:
        levels: (N, 64) quantised coefficients in zigzag order.
    Returns:
        (64, 12) bits to code a non-zero of a category after a run of zeros, sign and
        magnitude bits included; and the bits of end-of-block.
    """
    block, position = np.nonzero(levels[:, 1:])
    size = magnitude_category(levels[block, position + 1])
    previous = np.full(len(block), -1)
    same = block[1:] == block[:-1]
    previous[1:][same] = position[:-1][same]
    run = position - previous - 1
    counts = np.zeros((_ZRL_RUN, _SIZES))
    np.add.at(counts, (run % _ZRL_RUN, size), 1)
    zrl = float((run // _ZRL_RUN).sum())
    ends = float((levels[:, 63] == 0).sum())
    # Laplace smoothing that falls with run and size keeps unseen symbols possible but dear.
    runs, sizes = np.mgrid[0:_ZRL_RUN, 0:_SIZES]
    counts += np.where(sizes > 0, 4.0 * 2.0 ** -(0.3 * runs + 1.5 * sizes), 0.0)
    total = counts.sum() + zrl + ends + 1.0
    with np.errstate(divide="ignore"):
        short = np.where(sizes > 0, -np.log2(counts / total) + sizes, np.inf)
    zrl_bits = -np.log2((zrl + 0.5) / total)
    bits = np.concatenate([short + zrl_bits * times for times in range(4)])
    return bits.astype(np.float32), float(-np.log2((ends + 0.5) / total))


def quantise(coefficients: Float, steps: Float, trade: float, passes: int = 1) -> Int:
    """Quantise blocks to the least error + lambda * bits.

    Args:
        coefficients: (N, 64) orthonormal DCT coefficients, zigzag order.
        steps: (64,) quantisation steps, zigzag order.
        trade: lambda in squared grey levels a bit.
        passes: how often the bit costs are re-estimated.
    Returns:
        (N, 64) int16 levels. DC levels are plain rounding: they are coded as differences,
        where a change would ripple.
    """
    levels = dead_zone(coefficients, steps)
    for _ in range(passes):
        bits, end_bits = symbol_bits(levels)
        levels = np.concatenate(
            [
                _best_path(coefficients[i : i + _CHUNK], steps, trade, bits, end_bits)
                for i in range(0, len(coefficients), _CHUNK)
            ]
        )
    return levels


def _best_path(
    coefficients: Float, steps: Float, trade: float, bits: Float, end_bits: float
) -> Int:
    c = np.ascontiguousarray(coefficients.T)  # (64, n): a position is a contiguous row
    n = c.shape[1]
    magnitude = np.abs(c)
    high = np.floor(magnitude / steps[:, None] + 0.5)
    high[0] = 0
    kept = np.flatnonzero(high.max(axis=1) > 0)
    with np.errstate(invalid="ignore"):  # inf * 0: sizes that no non-zero has
        cost_of_bits = bits * np.float32(trade)

    # best[i]: least cost of a path whose last non-zero is at where[i] (0: none yet),
    # relative to coding every coefficient as zero.
    best = np.full((len(kept) + 1, n), np.inf, np.float32)
    best[0] = 0.0
    source = np.zeros((len(kept) + 1, n), np.int16)
    level = np.zeros((len(kept) + 1, n), np.int16)
    where = np.concatenate([[0], kept])
    for i, k in enumerate(kept, start=1):
        some = np.flatnonzero(high[k])
        before = best[:i, some]
        runs = k - where[:i] - 1
        least = np.full(len(some), np.inf, np.float32)
        for lower in (0, 1):
            value = high[k, some] - lower
            category = magnitude_category(value)
            change = (magnitude[k, some] - value * steps[k]) ** 2 - magnitude[k, some] ** 2
            total = before + cost_of_bits[runs][:, category]
            origin = total.argmin(axis=0)
            cost = total[origin, np.arange(len(some))] + change
            better = (cost < least) & (value > 0)
            least = np.where(better, cost, least)
            source[i, some] = np.where(better, origin, source[i, some])
            level[i, some] = np.where(better, value, level[i, some])
        best[i, some] = least
    finish = best + np.float32(trade * end_bits)
    if len(kept) and kept[-1] == 63:
        finish[-1] = best[-1]
    state = finish.argmin(axis=0)

    chosen = np.zeros((n, 64), np.int16)
    index = np.arange(n)
    active = state > 0
    while active.any():
        blocks = index[active]
        states = state[active]
        chosen[blocks, where[states]] = level[states, blocks]
        state[active] = source[states, blocks]
        active = state > 0
    chosen = np.where(coefficients < 0, -chosen, chosen).astype(np.int16)
    chosen[:, 0] = np.round(coefficients[:, 0] / steps[0])
    return chosen

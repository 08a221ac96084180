"""Rate-distortion optimised quantisation of 8x8 blocks.

For each block, dynamic programming over the zigzag positions chooses which coefficients
to keep, and whether to round each up or down, so as to minimise

    squared error / lambda + bits,

where bits are those of JPEG's (run, size) symbols. Ramchandran and Vetterli,
"Rate-distortion optimal fast thresholding with complete JPEG/MPEG decoder compatibility",
IEEE Trans. Image Processing 3(5), 1994; Crouse and Ramchandran, "Joint thresholding and
quantizer selection for transform image coding", 1997. Vectorised over blocks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Int = NDArray[np.int16]

_CHUNK = 4096  # blocks per pass, so that the working set fits the cache
_SIZES = 12  # magnitude categories 0..11
_ZRL_RUN = 16
_FREE = 1e-9  # a lambda at which the cost of bits is negligible


def magnitude_category(values: NDArray[np.number]) -> NDArray[np.uint8]:
    """JPEG's SSSS category: the number of bits of |value|."""
    magnitude = np.abs(values.astype(np.float32))
    return np.frexp(magnitude)[1].astype(np.uint8)


def dead_zone(
    coefficients: Float, steps: Float, offset: float = 0.33, zero_below: Float | None = None
) -> Int:
    """Quantise: floor(|c| / step + offset) for AC coefficients, plain rounding for DC.

    Args:
        coefficients: (N, 64) orthonormal DCT coefficients, zigzag order.
        steps: (64,) quantisation steps, zigzag order.
        zero_below: (N,), of each block: AC coefficients below so many steps become 0.
    Returns:
        (N, 64) levels.
    """
    levels = np.empty(coefficients.shape, np.int16)
    for part in _parts(len(coefficients)):
        scaled = coefficients[part] / steps
        magnitudes = np.floor(np.abs(scaled) + offset)
        if zero_below is not None:
            magnitudes[np.abs(scaled) < zero_below[part, None]] = 0
        magnitudes[:, 0] = np.floor(np.abs(scaled[:, 0]) + 0.5)
        levels[part] = np.sign(scaled) * magnitudes
    return levels


def _parts(blocks: int) -> Iterator[slice]:
    """Of so many blocks, a few at a time."""
    return (slice(i, min(i + _CHUNK, blocks)) for i in range(0, blocks, _CHUNK))


def symbol_bits(levels: Int) -> tuple[Float, float]:
    """Bits of each (run, size) symbol, and of end-of-block, by the statistics of these blocks.

    Args:
        levels: (N, 64) quantised coefficients in zigzag order.
    Returns:
        (64, 12) bits to code a non-zero of a category after a run of zeros, sign and
        magnitude bits included; and the bits of end-of-block.
    """
    counts = np.zeros((4 * _ZRL_RUN, _SIZES))
    for part in _parts(len(levels)):
        counts += _symbols(levels[part])
    zrl = float(np.arange(len(counts)) // _ZRL_RUN @ counts.sum(axis=1))
    counts = counts.reshape(-1, _ZRL_RUN, _SIZES).sum(axis=0)
    ends = float((levels[:, 63] == 0).sum())
    # Laplace smoothing that falls with run and size makes unseen symbols possible but costly.
    runs, sizes = np.mgrid[0:_ZRL_RUN, 0:_SIZES]
    counts += np.where(sizes > 0, 4.0 * 2.0 ** -(0.3 * runs + 1.5 * sizes), 0.0)
    total = counts.sum() + zrl + ends + 1.0
    with np.errstate(divide="ignore"):
        short = np.where(sizes > 0, -np.log2(counts / total) + sizes, np.inf)
    zrl_bits = -np.log2((zrl + 0.5) / total)
    bits = np.concatenate([short + zrl_bits * times for times in range(4)])
    return bits.astype(np.float32), float(-np.log2((ends + 0.5) / total))


def _symbols(levels: Int) -> NDArray[np.int64]:
    """(64, 12): how many non-zeros of a category follow a run of zeros."""
    block, position = np.nonzero(levels[:, 1:])
    size = magnitude_category(levels[block, position + 1])
    previous = np.full(len(block), -1)
    same = block[1:] == block[:-1]
    previous[1:][same] = position[:-1][same]
    symbols = (position - previous - 1) * _SIZES + size
    return np.bincount(symbols, minlength=64 * _SIZES).reshape(64, _SIZES)


def estimated_bits(levels: Int) -> float:
    """Bits of (N, 64) levels, roughly: magnitudes, 4.2 per non-zero, 2 per block, DC differences.

    A twentieth of the cost of `symbol_bits`, for guesses of a file's size.
    """
    total = int(magnitude_category(np.diff(levels[:, 0])).sum(dtype=np.int64))
    kept = 0
    for part in _parts(len(levels)):
        magnitudes = magnitude_category(levels[part, 1:])
        total += int(magnitudes.sum(dtype=np.int64))
        kept += int(np.count_nonzero(magnitudes))
    return total + 4.2 * kept + 2.0 * len(levels)


def quantise(
    coefficients: Float, steps: Float, lmbda: float | Float, bits: Float, end_bits: float
) -> Int:
    """Quantise blocks, minimising squared error / lambda + bits.

    Args:
        coefficients: (N, 64) orthonormal DCT coefficients, zigzag order.
        steps: (64,) quantisation steps, zigzag order.
        lmbda: squared error per bit: one for all blocks, or (N,) one per block.
        bits, end_bits: of symbols, as of `symbol_bits`.
    Returns:
        (N, 64) int16 levels. DC levels are plain rounding: they are coded as differences
        between blocks.
    """
    levels = np.empty(coefficients.shape, np.int16)
    inverse = np.broadcast_to(1 / np.maximum(lmbda, _FREE).astype(np.float32), len(coefficients))
    for part in _parts(len(coefficients)):
        levels[part] = _best_path(coefficients[part], steps, inverse[part], bits, end_bits)
    return levels


def _best_path(
    coefficients: Float, steps: Float, inverse: Float, bits: Float, end_bits: float
) -> Int:
    c = np.ascontiguousarray(coefficients.T)  # (64, n): a position is a contiguous row
    n = c.shape[1]
    magnitude = np.abs(c)
    high = np.floor(magnitude / steps[:, None] + 0.5)
    high[0] = 0
    kept = np.flatnonzero(high.max(axis=1) > 0)

    # best[i]: least cost, in bits, of a path whose last non-zero is at where[i] (0: none yet),
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
            error = (magnitude[k, some] - value * steps[k]) ** 2 - magnitude[k, some] ** 2
            total = before + bits[runs][:, category]
            origin = total.argmin(axis=0)
            cost = total[origin, np.arange(len(some))] + inverse[some] * error
            better = (cost < least) & (value > 0)
            least = np.where(better, cost, least)
            source[i, some] = np.where(better, origin, source[i, some])
            level[i, some] = np.where(better, value, level[i, some])
        best[i, some] = least
    finish = best + np.float32(end_bits)
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

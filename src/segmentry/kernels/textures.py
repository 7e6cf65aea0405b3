"""How often two grey levels are neighbours in each object (co-occurrence), and the features of Haralick (1973).

Pixels are counted object by object, along runs chained through the slab, so that the counts of one object stay in the
processor's cache. A pair of levels has one cell whichever comes first. All counts are whole numbers: features don't
depend on the order in which pixels are seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["CELLS", "LEVELS", "N_FEATURES", "add_pairs", "chain_runs", "fill_levels", "times_logarithm"]

#: Grey levels; the level of this number is that of pixels that are not finite.
LEVELS = 32
#: Pairs of levels: the last 33 are those with a pixel that is not finite, and are counted for nothing.
CELLS = (LEVELS + 1) * (LEVELS + 2) // 2
N_FEATURES = 13


def times_logarithm(n: int) -> NDArray[np.float64]:
    """Return x log2(x) of 0 … n - 1."""
    x = np.arange(n, dtype=np.float64)
    return x * np.log2(np.maximum(x, 1))


@compiled
def fill_levels(pixels: NDArray[Any], low: float, high: float, levels: NDArray[np.uint8]) -> None:
    """Write the level of each pixel: 32 equal steps from the lowest to the highest intensity, which is in the last.

    Parameters
    ----------
    pixels : (Z, Y, X) array
    low, high
        All finite intensities lie between them. They and their distance are halved, which no float64 exceeds.
    levels : array of the same shape that is written to
    """
    bottom = 0.5 * low
    width = 0.5 * high - bottom
    depth, height, breadth = pixels.shape
    for z in range(depth):
        for y in range(height):
            row, target = pixels[z, y], levels[z, y]
            for x in range(breadth):
                value = np.float64(row[x])
                part = (0.5 * value - bottom) / width if width > 0 else 0.0
                target[x] = min(int(part * LEVELS), LEVELS - 1) if np.isfinite(value) else LEVELS


@compiled
def chain_runs(
    index: NDArray[np.uint32],
    margin: NDArray[np.int64],
    last: NDArray[np.int64],
    runs: NDArray[np.int64],
    seen: NDArray[np.int64],
) -> int:
    """List the runs of pixels of one object along rows, each with the run of the object that was found before it.

    Parameters
    ----------
    index : (Z, Y, X) array with a margin
        Number of the object at each pixel, 1 … n; 0 where there is none.
    margin : (3,) pixels on either side that are not listed
    last : (n + 1,) array of -1
        Then the number of the last run of each object.
    runs : array with three columns that is written to
        Place of the first pixel in the flat index, number of pixels, number of the run before or -1.
    seen : array that is written to
        The objects, in the order of their first pixel.

    Returns
    -------
    number of objects
    """
    depth, height, width = index.shape
    n_runs = n_seen = 0
    for z in range(margin[0], depth - margin[0]):
        for y in range(margin[1], height - margin[1]):
            row = index[z, y]
            stop = width - margin[2]
            x = margin[2]
            while x < stop:
                k = row[x]
                begin = x
                while x < stop and row[x] == k:
                    x += 1
                if k == 0:
                    continue
                if last[k] < 0:
                    seen[n_seen] = k
                    n_seen += 1
                runs[n_runs, 0] = (z * height + y) * width + begin
                runs[n_runs, 1] = x - begin
                runs[n_runs, 2] = last[k]
                last[k] = n_runs
                n_runs += 1
    return n_seen


@compiled
def add_pairs(
    index: NDArray[np.uint32],
    levels: NDArray[np.uint8],
    steps: NDArray[np.int64],
    last: NDArray[np.int64],
    runs: NDArray[np.int64],
    seen: NDArray[np.int64],
    slots: NDArray[np.int64],
    done: NDArray[np.bool_],
    counts: NDArray[Any],
    logarithms: NDArray[np.float64],
    features: NDArray[np.float64],
) -> None:
    """Count the pairs of levels of the objects of a slab, and write the features of those that end there.

    Parameters
    ----------
    index, levels
        With their margin, flattened.
    steps : (directions,) array
        How far before a pixel its neighbour in each direction lies in the flat arrays.
    last, runs, seen
        As :func:`chain_runs` gives them.
    slots : array as long as `seen`
        Where in `counts` an object has its place; 0 for objects that begin and end in this slab.
    done : array as long as `seen`
        Whether the object ends here.
    counts : (places, directions, CELLS) array of unsigned integers
        The first place is for any object in turn.
    logarithms
        As :func:`times_logarithm` gives them, of as many numbers as one likes.
    features : (n + 1, 13) array that is written to
        Untouched where there is no pair.
    """
    scratch = np.empty((3, 2 * LEVELS), np.int64)
    for at in range(seen.size):
        k = seen[at]
        mine = counts[slots[at]]
        if slots[at] == 0:
            mine[:] = 0
        run = last[k]
        while run >= 0:
            for d in range(steps.size):
                _count_run(index, levels, runs[run, 0], runs[run, 1], steps[d], mine[d])
            run = runs[run, 2]
        if done[at]:
            _mean_features(mine, logarithms, scratch, features[k])


@compiled
def _count_run(
    index: NDArray[np.uint32], levels: NDArray[np.uint8], start: int, length: int, step: int, cells: NDArray[Any]
) -> None:
    k = index[start]
    for here in range(start, start + length):
        if index[here - step] == k:
            one, other = np.int64(levels[here]), np.int64(levels[here - step])
            upper = max(one, other)
            cells[(upper * (upper + 1) >> 1) + min(one, other)] += 1


@compiled
def _mean_features(
    counts: NDArray[Any], logarithms: NDArray[np.float64], scratch: NDArray[np.int64], features: NDArray[np.float64]
) -> None:
    """Write the mean of the features over the directions in which there are pairs."""
    total = np.zeros(N_FEATURES)
    cells = np.empty(CELLS, np.int64)
    n = 0
    for d in range(counts.shape[0]):
        cells[:] = counts[d]
        n += _add_features(cells, logarithms, scratch, total)
    if n:
        features[:] = total / n


@compiled
def _add_features(
    cells: NDArray[np.int64], logarithms: NDArray[np.float64], scratch: NDArray[np.int64], features: NDArray[np.float64]
) -> int:
    """Add the features of one direction; return 1, or 0 where there are no pairs."""
    scratch[:] = 0
    single, sums, differences = scratch
    at = pairs = 0
    squares = joint = 0.0
    for upper in range(LEVELS):
        for lower in range(upper + 1):
            n = cells[at]
            at += 1
            if n == 0:
                continue
            pairs += n
            single[upper] += n
            single[lower] += n
            sums[upper + lower] += n
            differences[upper - lower] += n
            often, weight = (2 * n, 1) if upper == lower else (n, 2)
            squares += weight * float(often) * float(often)
            joint += weight * _times_logarithm(often, logarithms)
    if pairs == 0:
        return 0
    total = 2 * pairs
    _, variance = _moments(single, total)
    mean_sum, variance_sum = _moments(sums, pairs)
    _, variance_difference = _moments(differences, pairs)
    contrast = alike = 0.0
    for k in range(LEVELS):
        contrast += k * k * differences[k] / pairs
        alike += differences[k] / (1.0 + k * k) / pairs
    entropy = (_times_logarithm(total, logarithms) - joint) / total
    alone = _entropy(single, total, logarithms)
    shared = max(2 * alone - entropy, 0.0)
    features[0] += squares / (float(total) * float(total))
    features[1] += contrast
    features[2] += 1 - contrast / (2 * variance) if variance > 0 else 1.0
    features[3] += variance
    features[4] += alike
    features[5] += mean_sum
    features[6] += variance_sum
    features[7] += _entropy(sums, pairs, logarithms)
    features[8] += entropy
    features[9] += variance_difference
    features[10] += _entropy(differences, pairs, logarithms)
    features[11] += -shared / alone if alone > 0 else 0.0
    features[12] += np.sqrt(1 - np.exp(-2 * shared))
    return 1


@compiled
def _moments(counts: NDArray[np.int64], total: int) -> tuple[float, float]:
    first = np.int64(0)
    for k in range(counts.size):
        first += k * counts[k]
    mean = first / total
    squares = 0.0
    for k in range(counts.size):
        squares += counts[k] * (k - mean) * (k - mean)
    return mean, squares / total


@compiled
def _entropy(counts: NDArray[np.int64], total: int, logarithms: NDArray[np.float64]) -> float:
    """Return the entropy in bits; exactly 0 where all is one count."""
    lost = 0.0
    for n in counts:
        lost += _times_logarithm(n, logarithms)
    return (_times_logarithm(total, logarithms) - lost) / total


@compiled
def _times_logarithm(n: int, logarithms: NDArray[np.float64]) -> float:
    return float(logarithms[n]) if n < logarithms.size else float(n * np.log2(n))

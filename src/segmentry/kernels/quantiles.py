"""Quantiles of the pixels of each object, exact, while the image streams by.

The values of an object are kept from its first pixel to its last, those of integers in large objects as a histogram.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["count_values", "keep_values", "move_values", "quantiles_of_counts", "quantiles_of_values"]

#: So few values are put in order; more are divided into bins first.
FEW = 24
#: Least and greatest number of bins, powers of two.
LEAST, MOST = 32, 4096
#: Bins are wider than this, so that the number of bins per unit is finite.
TINY = 1e-300


@compiled
def keep_values(
    runs: NDArray[np.int32], pixels: NDArray[Any], row_of: NDArray[np.int64], stop: NDArray[np.int64],
    pool: NDArray[Any],
) -> None:  # fmt: skip
    """Keep the finite values of each object that has no histogram.

    Parameters
    ----------
    runs : (m, 5) array
        As :func:`segmentry.kernels.runs.find_runs` gives them.
    pixels : (Z, Y, X) array
        uint8, uint16, float32 or float64; from where the runs count.
    row_of : (n + 1,) array
        Row of the histogram of each object; -1 for those whose values go to the pool.
    stop : (n + 1,) array that is moved on
        Where in the pool the next value of each object goes.
    pool : (capacity,) array of the type of `pixels` that is written to
    """
    for run in range(len(runs)):
        k, z, y, first, last = runs[run]
        line = pixels[z, y]
        if row_of[k] >= 0:
            continue
        values = line[first:last]
        at = stop[k]
        place = pool[at : at + len(values)]
        n = 0
        for i in range(len(values)):
            place[n] = values[i]
            n += np.isfinite(values[i])
        stop[k] = at + n


@compiled
def count_values(
    runs: NDArray[np.int32], pixels: NDArray[Any], row_of: NDArray[np.int64], counts: NDArray[np.int64]
) -> None:
    """Add the values of each object that has a histogram to it.

    Parameters
    ----------
    runs, pixels, row_of
        As in :func:`keep_values`, of uint8 or uint16.
    counts : (histograms, 65536) array that is added to
    """
    for run in range(len(runs)):
        k, z, y, first, last = runs[run]
        line = pixels[z, y]
        if row_of[k] >= 0:
            count = counts[row_of[k]]
            for value in line[first:last]:
                count[value] += 1


@compiled
def move_values(
    numbers: NDArray[np.int64], fresh: NDArray[np.int64], start: NDArray[np.int64], stop: NDArray[np.int64],
    pool: NDArray[Any], other: NDArray[Any],
) -> None:  # fmt: skip
    """Move the values of some objects to new places in another pool."""
    for i in range(len(numbers)):
        k = numbers[i]
        n = stop[k] - start[k]
        for at in range(n):
            other[fresh[i] + at] = pool[start[k] + at]
        start[k], stop[k] = fresh[i], fresh[i] + n


@compiled
def quantiles_of_values(
    numbers: NDArray[np.int64], start: NDArray[np.int64], stop: NDArray[np.int64], pool: NDArray[Any],
    fractions: NDArray[np.float64], found: NDArray[np.float64],
) -> None:  # fmt: skip
    """Write quantiles of the values of some objects, interpolated linearly; the values lose their order.

    Parameters
    ----------
    numbers
        Of the objects.
    start, stop : (n + 1,) arrays
        Where in the pool the values of each object lie.
    fractions
        Which quantiles, 0 … 1.
    found : (n + 1, fractions) array that is written to
        NaN where there are no values.
    """
    longest = 0
    for k in numbers:
        longest = max(longest, stop[k] - start[k])
    scratch = np.empty(longest, pool.dtype)
    bins, finer = np.empty(MOST, np.int64), np.empty(MOST, np.int64)
    for k in numbers:
        values = pool[start[k] : stop[k]]
        base, scale, size = _divide(values, bins)
        if scale == 0:
            _sort(values)
        for f in range(len(fractions)):
            at = fractions[f] * (len(values) - 1)
            rank = int(at)
            if len(values) == 0:
                found[k, f] = np.nan
            elif scale == 0:
                found[k, f] = _between(values[rank], values[min(rank + 1, len(values) - 1)], at - rank)
            else:
                n, inner, beyond = _narrow(values, rank, np.inf, base, scale, bins[:size], scratch)
                low, high = _pair(scratch[:n], inner, beyond, finer)
                found[k, f] = _between(low, high, at - rank)


@compiled
def quantiles_of_counts(counts: NDArray[np.int64], fractions: NDArray[np.float64], found: NDArray[np.float64]) -> None:
    """Write quantiles of what a histogram counts, as :func:`quantiles_of_values`."""
    n = counts.sum()
    for f in range(len(fractions)):
        rank = int(fractions[f] * (n - 1))
        low, before = 0, counts[0]
        while before <= rank:
            low += 1
            before += counts[low]
        high = low
        while before <= min(rank + 1, n - 1):
            high += 1
            before += counts[high]
        found[f] = _between(float(low), float(high), fractions[f] * (n - 1) - rank)


@compiled
def _between(low: float, high: float, share: float) -> float:
    """Return the number that lies a share of the way between two, with the roundings of NumPy."""
    low, high = np.float64(low), np.float64(high)
    if share == 0:
        return low
    if share >= 0.5:
        return high - (high - low) * (1 - share)
    return low + (high - low) * share


@compiled
def _pair(values: NDArray[Any], rank: int, beyond: float, bins: NDArray[np.int64]) -> tuple[float, float]:
    """Return the value of a rank and the next, which is `beyond` for the last; the values lose their order."""
    n = len(values)
    base, scale, size = _divide(values, bins)
    while scale > 0:
        n, rank, beyond = _narrow(values[:n], rank, beyond, base, scale, bins[:size], values)
        base, scale, size = _divide(values[:n], bins)
    _sort(values[:n])
    return np.float64(values[rank]), np.float64(values[rank + 1]) if rank + 1 < n else beyond


@compiled
def _divide(values: NDArray[Any], bins: NDArray[np.int64]) -> tuple[float, float, int]:
    """Count values in bins of equal width; return the lowest value, bins per unit and the number of bins.

    There are 0 bins per unit where values are so few, or so alike, that they are better put in order.
    """
    n = len(values)
    if n <= FEW:
        return 0.0, 0.0, 0
    low = high = values[0]
    for i in range(n):
        low, high = min(low, values[i]), max(high, values[i])
    size = LEAST
    while size < MOST and 8 * size < n:
        size *= 2
    base = np.float64(low)
    width = (np.float64(high) - base) / (size - 1)
    if not TINY < width < np.inf:
        return 0.0, 0.0, 0
    scale = 1 / width
    counts = bins[:size]
    counts[:] = 0
    for i in range(n):
        counts[int((np.float64(values[i]) - base) * scale)] += 1
    return base, scale, size


@compiled
def _narrow(
    values: NDArray[Any], rank: int, beyond: float, base: float, scale: float, bins: NDArray[np.int64],
    found: NDArray[Any],
) -> tuple[int, int, float]:  # fmt: skip
    """Write the values of the bin that a rank lies in; return how many, the rank among them, and the next after all.

    They may be written over the values themselves.
    """
    chosen, before = 0, 0
    while before + bins[chosen] <= rank:
        before += bins[chosen]
        chosen += 1
    if rank == before + bins[chosen] - 1 and rank + 1 < len(values):
        beyond = np.inf
        for i in range(len(values)):
            value = np.float64(values[i])
            if int((value - base) * scale) > chosen:
                beyond = min(beyond, value)
    n = 0
    for i in range(len(values)):
        found[n] = values[i]
        n += int((np.float64(found[n]) - base) * scale) == chosen
    return n, rank - before, beyond


@compiled
def _sort(values: NDArray[Any]) -> None:
    """Put values in order (Shell 1959, doi:10.1145/368370.368387); one by one where they are few."""
    gap = len(values) // 16
    while True:
        gap = max(gap, 1)
        for i in range(gap, len(values)):
            value = values[i]
            j = i
            while j >= gap and values[j - gap] > value:
                values[j] = values[j - gap]
                j -= gap
            values[j] = value
        if gap == 1:
            return
        gap = gap * 4 // 9

"""How bright each object is: sums over its pixels in one channel, exact where intensities are integers.

The first value of each object is subtracted before anything is added, so that the standard deviation is right however
far from 0 the intensities lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from segmentry.kernels.jit import compiled
from segmentry.kernels.runs import ends_of_runs

__all__ = ["Statistics", "add_intensities", "add_partial", "add_weights", "empty_sums", "statistics"]

#: Numbers of objects are compared less one, so that 0, which is no object, comes after all.
NOBODY = np.uint32(2**32 - 1)


@dataclass(frozen=True)
class Statistics:
    """Numbers of the finite pixels of each object; NaN where there is none, but for `count` and `total`."""

    count: NDArray[np.float64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    total: NDArray[np.float64]


def empty_sums(kind: DTypeLike, count: int, columns: int = 6) -> NDArray[Any]:
    """Return zeros to add pixels of a type to, for `count` objects: integers for integers."""
    return np.zeros((count + 1, columns), np.float64 if np.dtype(kind).kind == "f" else np.int64)


@compiled
def add_intensities(runs: NDArray[np.int32], pixels: NDArray[Any], sums: NDArray[Any]) -> None:
    """Add intensities to the sums of their objects; values that are not finite don't count.

    Parameters
    ----------
    runs : (m, 5) array
        As :func:`segmentry.kernels.runs.find_runs` gives them.
    pixels : (Z, Y, X) array
        uint8, uint16, float32 or float64; from where the runs count.
    sums : (n + 1, 6) array that is added to, as :func:`empty_sums` makes it
        Pixels, first value, sum of differences from the first value, sum of their squares, lowest, highest.
    """
    number = sums.dtype.type
    for run in range(len(runs)):
        k, z, y, first, last = runs[run]
        line = pixels[z, y]
        held = sums[k]
        if held[0] == 0:
            while first < last and not np.isfinite(line[first]):
                first += 1
            if first == last:
                continue
            held[1] = held[4] = held[5] = number(line[first])
        base, count, total, squares, low, high = held[1], held[0], held[2], held[3], held[4], held[5]
        for i in range(first, last):
            value = number(line[i])
            if np.isfinite(value):
                count += 1
                step = value - base
                total += step
                squares += step * step
                low, high = min(low, value), max(high, value)
        held[0], held[2], held[3], held[4], held[5] = count, total, squares, low, high


def statistics(sums: NDArray[Any]) -> Statistics:
    """Return what the sums of :func:`add_intensities` say of each object, without row 0."""
    count, base, steps, squares, low, high = sums[1:].T.astype(np.float64)
    some = count > 0
    n = np.maximum(count, 1)
    mean = base + steps / n
    variance = np.maximum(squares - steps * (steps / n), 0) / n
    mean, sd, low, high = (np.where(some, values, np.nan) for values in (mean, np.sqrt(variance), low, high))
    return Statistics(count, mean, sd, low, high, count * base + steps)


@compiled
def add_weights(
    runs: NDArray[np.int32], start: NDArray[np.int64], origin: NDArray[np.int64], pixels: NDArray[Any],
    sums: NDArray[Any],
) -> None:  # fmt: skip
    """Add the positions of pixels, weighted by intensity, to the sums of their objects.

    Parameters
    ----------
    runs, pixels
        As in :func:`add_intensities`.
    start : (3,) position in the whole of what the runs count from
    origin : (n + 1, 3) position from which the pixels of each object are counted
    sums : (n + 1, 4) array that is added to, as :func:`empty_sums` makes it
        Intensities, and intensities times z, y and x.
    """
    number = sums.dtype.type
    for run in range(len(runs)):
        k, z, y, first, last = runs[run]
        line = pixels[z, y]
        total, along = number(0), number(0)
        for i in range(first, last):
            value = number(line[i])
            if np.isfinite(value):
                total += value
                along += value * (i + start[2] - origin[k, 2])
        held = sums[k]
        held[0] += total
        held[1] += total * (z + start[0] - origin[k, 0])
        held[2] += total * (y + start[1] - origin[k, 1])
        held[3] += along


@compiled
def add_partial(
    index: NDArray[np.uint32], margin: NDArray[np.int64], shares: NDArray[np.float32], sums: NDArray[np.float64]
) -> None:
    """Add the shares of pixels to the sums of their objects, or of the lowest object that a pixel of none touches.

    Parameters
    ----------
    index : (Z, Y, X) array
        Number of the object at each pixel, 1 … n; 0 where there is none.
    margin : (3,) array
        How many pixels on either side along each axis `shares` does not have; at least 1 where there is more than one.
    shares : (Z, Y, X) float32 array
    sums : (n + 1,) array that is added to
    """
    depth, height, width = shares.shape
    reach, left = np.minimum(margin, 1), margin[2]
    lowest, owner = np.empty(index.shape[2], np.uint32), np.empty(width, np.uint32)
    ends = np.empty(width, np.int64)
    for z in range(depth):
        for y in range(height):
            lowest[:] = NOBODY
            for a in range(z + margin[0] - reach[0], z + margin[0] + reach[0] + 1):
                for b in range(y + margin[1] - reach[1], y + margin[1] + reach[1] + 1):
                    other = index[a, b]
                    for x in range(len(lowest)):
                        lowest[x] = min(lowest[x], np.uint32(other[x] - np.uint32(1)))
            row = index[z + margin[0], y + margin[1], left : left + width]
            before, here = lowest[left - reach[2] : left - reach[2] + width], lowest[left : left + width]
            after = lowest[left + reach[2] : left + reach[2] + width]
            for x in range(width):
                near = min(before[x], here[x], after[x])
                owner[x] = row[x] if row[x] > 0 else np.uint32(near + np.uint32(1))
            last, line = 0, shares[z, y]
            for run in range(ends_of_runs(owner, ends)):
                first, last = last, ends[run]
                k = owner[first]
                if k > 0:
                    total = 0.0
                    for share in line[first:last]:
                        if np.isfinite(share):
                            total += share
                    sums[k] += total

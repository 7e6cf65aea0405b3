"""How high a ball can lie under an image without rising above it: the exact erosion by a ball, by branch and bound.

The ball's surface is cut into small cells. For a run of neighbouring pixels, the lowest value over a cell and the
lowest drop of the ball there bound what the cell can give; a cell that can't lower any pixel of the run is left out.
What is left is computed as it would be without bounds, so that the result is the same to the last bit.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.extremes import running_minimum
from segmentry.kernels.jit import compiled

__all__ = ["ball_erosion", "ball_opening"]

#: Pixels of a row that are done together.
RUN = 32
#: The cells of a run are taken in this order: first those that promise most, up to this share of what there is to gain.
SHARES = (np.float32(1 / 16), np.float32(1 / 4), np.float32(1))


def ball_opening(pixels: NDArray[np.float32], radius: tuple[float, ...], height: float) -> NDArray[np.float32]:
    """Return the surface that a ball rolled along under the image can touch (parameters as of `ball_erosion`)."""
    return -ball_erosion(-ball_erosion(pixels, radius, height), radius, height)


def ball_erosion(pixels: NDArray[np.float32], radius: tuple[float, ...], height: float) -> NDArray[np.float32]:
    """Return for each pixel how high the top of a ball centred there can lie.

    Parameters
    ----------
    pixels : (Y, X) or (Z, Y, X) float32 array
    radius
        Half axis of the ball along each axis, in pixels.
    height
        Half axis of the ball along the intensities.

    Returns
    -------
    float32 array of the same shape: the lowest of ``pixels[x + d] + height * (1 - sqrt(1 - |d / radius|²))`` over all
    d in the ball and the image.
    """
    volume = pixels.reshape((1,) * (3 - pixels.ndim) + pixels.shape)
    lead = (0.0,) * (3 - pixels.ndim)
    extent = tuple(min(math.floor(r), n - 1) for r, n in zip(lead + radius, volume.shape, strict=True))
    cell = _cell(extent)
    count = tuple(math.ceil((2 * e + 1) / c) for e, c in zip(extent, cell, strict=True))
    drops = _drops(lead + radius, extent, tuple(n * c for n, c in zip(count, cell, strict=True)), height)
    runs = math.ceil(volume.shape[2] / RUN)
    need = (*volume.shape[:2], runs * RUN)
    padded = np.full([n + d - 1 for n, d in zip(need, drops.shape, strict=True)], np.inf, np.float32)
    padded[tuple(slice(e, e + n) for e, n in zip(extent, volume.shape, strict=True))] = volume
    half = (cell[0] // 2, cell[1] // 2, (RUN + cell[2]) // 2)
    lowest = running_minimum(padded, half)
    corners = np.array([[i * c for i, c in zip(at, cell, strict=True)] for at in product(*map(range, count))])
    blocks = np.stack([drops[tuple(slice(a, a + c) for a, c in zip(at, cell, strict=True))] for at in corners])
    floors = blocks.min(axis=(1, 2, 3))
    order = np.argsort(floors, kind="stable")[: np.count_nonzero(np.isfinite(floors))]
    strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
    places, bounds = corners[order] @ strides, (corners[order] + half) @ strides
    found = np.empty(volume.shape, np.float32)
    _erode(padded.ravel(), lowest.ravel(), strides, places, bounds, floors[order], blocks[order], found)
    return found.reshape(pixels.shape)


def _cell(extent: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the size of a cell: larger ones are fewer to look at, and more to do where one is not left out."""
    side = 8 if max(extent) < 100 else 16
    return min(side, 2 * extent[0] + 1), min(side, 2 * extent[1] + 1), side


def _drops(
    radius: tuple[float, ...], extent: tuple[int, ...], shape: tuple[int, ...], height: float
) -> NDArray[np.float32]:
    """Return how far below its top the ball's surface lies at each offset, from ``-extent`` on; infinite beyond it."""
    squared = np.zeros((1, 1, 1))
    for axis, (r, e, n) in enumerate(zip(radius, extent, shape, strict=True)):
        share = (np.arange(-e, n - e) / max(r, 0.5)) ** 2
        squared = squared + share.reshape([-1 if i == axis else 1 for i in range(3)])
    drops = height * (1 - np.sqrt(np.maximum(1 - squared, 0)))
    return np.where(squared <= 1, drops, np.inf).astype(np.float32)


@compiled
def _erode(
    padded: NDArray[np.float32], lowest: NDArray[np.float32], strides: NDArray[np.int64], places: NDArray[np.int64],
    bounds: NDArray[np.int64], floors: NDArray[np.float32], drops: NDArray[np.float32], found: NDArray[np.float32],
) -> None:  # fmt: skip
    """Give each run first to the most promising cell, then to all that may still lower it."""
    width = found.shape[2]
    limits = np.empty(floors.size, np.float32)
    best = np.empty(RUN, np.float32)
    for z in range(found.shape[0]):
        for y in range(found.shape[1]):
            for x in range(0, width, RUN):
                start = z * strides[0] + y * strides[1] + x
                inside = min(RUN, width - x)
                best[:inside] = np.float32(np.inf)
                best[inside:] = -np.float32(np.inf)
                first = 0
                for c in range(floors.size):
                    limits[c] = lowest[start + bounds[c]] + floors[c]
                    if limits[c] < limits[first]:
                        first = c
                _lower(padded[start + places[first] :], strides, drops[first], best)
                most = _highest(best)
                low = limits[first]
                limits[first] = np.float32(np.inf)
                for share in SHARES:
                    for c in range(floors.size):
                        if limits[c] < most and limits[c] <= low + share * (most - low):
                            _lower(padded[start + places[c] :], strides, drops[c], best)
                            most = _highest(best)
                            limits[c] = np.float32(np.inf)
                found[z, y, x : x + inside] = best[:inside]


@compiled
def _lower(
    source: NDArray[np.float32], strides: NDArray[np.int64], drops: NDArray[np.float32], best: NDArray[np.float32]
) -> None:
    """Lower a run of pixels to what one cell of the ball gives, four columns at a time.

    Places are unsigned: the compiler need not think of negative ones, and does eight pixels at once.
    """
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    for z in range(drops.shape[0]):
        for y in range(drops.shape[1]):
            drop = drops[z, y]
            for x in range(0, drop.size, 4):
                a, b, c, d = drop[x], drop[x + 1], drop[x + 2], drop[x + 3]
                if min(a, b, c, d) == np.float32(np.inf):
                    continue
                start = np.uint64(z * strides[0] + y * strides[1] + x)
                for i in range(np.uint64(RUN)):
                    at = start + i
                    left = min(source[at] + a, source[at + one] + b)
                    right = min(source[at + two] + c, source[at + three] + d)
                    best[i] = min(best[i], left, right)


@compiled
def _highest(values: NDArray[np.float32]) -> float:
    """Return the highest value of a run, halving it again and again."""
    half = values.copy()
    n = RUN // 2
    while n > 4:
        low, high = half[:n], half[n:]
        for i in range(n):
            low[i] = max(low[i], high[i])
        n //= 2
    most: float = half[0]
    for i in range(1, 2 * n):
        most = max(most, half[i])
    return most

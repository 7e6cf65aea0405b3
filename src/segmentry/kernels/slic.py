"""Superpixels by k-means in space and colour, and the union of small regions with what they resemble."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.components import label_components, merge_pairs
from segmentry.kernels.jit import compiled

__all__ = ["absorb_small", "local_means"]


def local_means(
    features: NDArray[np.float32], cells: tuple[int, ...], metric: tuple[float, ...], rounds: int
) -> NDArray[np.uint32]:
    """Give each pixel to the nearest of centres that start on a grid and look no further than one cell.

    Parameters
    ----------
    features : (Z, Y, X, channels) float32 array
    cells
        How many centres there are along each axis.
    metric
        Length of a pixel along each axis, in units of colour.
    rounds
        How often the centres move to the mean of their pixels.

    Returns
    -------
    (Z, Y, X) uint32 array: the number of the centre, from 1
    """
    shape = features.shape[:3]
    places = [(np.arange(n) + 0.5) * length / n - 0.5 for n, length in zip(cells, shape, strict=True)]
    spots = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1).reshape(-1, 3)
    start = np.minimum(np.rint(spots), np.array(shape) - 1).astype(np.int64)
    centres = np.hstack([spots, features[tuple(start.T)].astype(np.float64)])
    grid = [np.minimum(np.arange(length) * n // length, n - 1) for n, length in zip(cells, shape, strict=True)]
    labels = ((grid[0][:, None, None] * cells[1] + grid[1][None, :, None]) * cells[2] + grid[2]).astype(np.int32)
    reach = np.array([-(-length // n) for n, length in zip(cells, shape, strict=True)], np.int64)
    distance = np.empty(shape, np.float32)
    for _ in range(rounds):
        _assign(features, centres, reach, np.array(metric, np.float64) ** 2, labels, distance)
        _move(features, labels, centres)
    found: NDArray[np.uint32] = (labels + 1).astype(np.uint32)
    return found


@compiled
def _assign(
    features: NDArray[np.float32], centres: NDArray[np.float64], reach: NDArray[np.int64], metric: NDArray[np.float64],
    labels: NDArray[np.int32], distance: NDArray[np.float32],
) -> None:  # fmt: skip
    """Give each pixel to the nearest centre in whose window it lies; a pixel in none keeps its centre."""
    depth, height, width, channels = features.shape
    distance[:] = np.inf
    colour = np.empty(channels, np.float32)
    for k in range(centres.shape[0]):
        cz, cy, cx = centres[k, 0], centres[k, 1], centres[k, 2]
        for c in range(channels):
            colour[c] = centres[k, 3 + c]
        for z in range(max(0, int(cz) - reach[0]), min(depth, int(cz) + reach[0] + 2)):
            for y in range(max(0, int(cy) - reach[1]), min(height, int(cy) + reach[1] + 2)):
                row = metric[0] * (z - cz) ** 2 + metric[1] * (y - cy) ** 2
                for x in range(max(0, int(cx) - reach[2]), min(width, int(cx) + reach[2] + 2)):
                    squared = np.float32(row + metric[2] * (x - cx) ** 2)
                    for c in range(channels):
                        step = features[z, y, x, c] - colour[c]
                        squared += step * step
                    if squared < distance[z, y, x]:
                        distance[z, y, x] = squared
                        labels[z, y, x] = k


@compiled
def _move(features: NDArray[np.float32], labels: NDArray[np.int32], centres: NDArray[np.float64]) -> None:
    """Move each centre to the mean place and colour of its pixels."""
    depth, height, width, channels = features.shape
    sums = np.zeros(centres.shape)
    counts = np.zeros(centres.shape[0])
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                k = labels[z, y, x]
                counts[k] += 1
                sums[k, 0] += z
                sums[k, 1] += y
                sums[k, 2] += x
                for c in range(channels):
                    sums[k, 3 + c] += features[z, y, x, c]
    for k in range(centres.shape[0]):
        if counts[k] > 0:
            centres[k] = sums[k] / counts[k]


def absorb_small(labels: NDArray[np.uint32], features: NDArray[np.float32], min_size: float) -> NDArray[np.uint32]:
    """Number the connected parts of each label, those that are too small joined with the neighbour most like them.

    Parameters
    ----------
    labels : (Z, Y, X) uint32 array, 1 or more everywhere
    features : (Z, Y, X, channels) float32 array
    min_size
        Smallest number of pixels that a part may have.

    Returns
    -------
    (Z, Y, X) uint32 array; numbers from 1
    """
    parts, count = label_components(labels, full=False)
    flat = parts.ravel()
    sizes: NDArray[Any] = np.bincount(flat, minlength=count + 1)[1:].astype(np.float64)
    channels = features.reshape(-1, features.shape[-1]).T
    sums = np.stack([np.bincount(flat, c, count + 1)[1:] for c in channels], axis=1)
    pairs = _beside(parts, count)
    number = np.arange(count)
    while count > 1 and (sizes < min_size).any():
        means = sums / sizes[:, None]
        unlike = ((means[pairs[:, 0]] - means[pairs[:, 1]]) ** 2).sum(axis=1)
        small = sizes[pairs[:, 0]] < min_size
        order = np.lexsort((pairs[small, 1], unlike[small], pairs[small, 0]))
        chosen = pairs[small][order]
        first = np.concatenate([[True], chosen[1:, 0] != chosen[:-1, 0]])
        place = np.arange(count)
        fewer = int(merge_pairs(place, chosen[first, 0].copy(), chosen[first, 1].copy()))
        place -= 1
        sizes = np.bincount(place, sizes, fewer)
        sums = np.stack([np.bincount(place, c, fewer) for c in sums.T], axis=1)
        pairs = np.unique(place[pairs], axis=0)
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        number, count = place[number], fewer
    found: NDArray[Any] = number[parts.astype(np.int64) - 1] + 1
    return found.astype(np.uint32)


def _beside(parts: NDArray[np.uint32], count: int) -> NDArray[np.int64]:
    """Return the pairs of parts that share a face, each in both orders, counted from 0."""
    keys = []
    for axis in range(parts.ndim):
        moved = np.moveaxis(parts, axis, 0)
        one, other = moved[:-1].ravel(), moved[1:].ravel()
        apart = one != other
        keys.append(np.unique((one[apart].astype(np.int64) - 1) * count + other[apart].astype(np.int64) - 1))
    every = np.unique(np.concatenate(keys))
    pairs = np.stack([every // count, every % count], axis=1)
    return np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)

"""Watershed with compactness: how far a pixel is from the seed counts as if it were height."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled
from segmentry.kernels.watershed import WALL, neighbour_offsets, walled

__all__ = ["compact_flood"]


def compact_flood(
    heights: NDArray[np.float32],
    seeds: NDArray[np.uint32],
    mask: NDArray[np.bool_],
    spacing: Sequence[float],
    compactness: float,
    full: bool = False,
) -> NDArray[np.uint32]:
    """Grow seeds through a mask, the pixel of lowest cost first; pixels of one cost in the order they are reached.

    The cost is the height of the pixel and `compactness` times its distance to the pixel of the seed from which the
    flood came (Neubert & Protzel 2014).

    Parameters
    ----------
    heights : float32 array, two- or three-dimensional
    seeds : uint32 array of the same shape
        Ids to grow from, below 4,294,967,295; 0 elsewhere.
    mask : bool array of the same shape
        Where labels may go; seeds outside it don't count.
    spacing
        Pixel size per axis; distances are in its unit.
    compactness
        Height that a unit of distance is worth; 0 gives the plain watershed.
    full
        Whether labels also grow over corners and edges (8 and 26 neighbours) instead of faces only.

    Returns
    -------
    uint32 array of the same shape; 0 outside the mask and where no seed reaches.
    """
    labels, inner = walled(seeds, mask)
    offsets = neighbour_offsets(labels.shape, full)
    lead = (1,) * (3 - labels.ndim)
    shape = np.array(lead + labels.shape, np.int64)
    steps = np.array(lead + tuple(spacing), np.float64)
    flat = labels.reshape(-1)
    _flood(np.pad(heights, 1).ravel(), flat, offsets, shape, steps, compactness)
    found = labels[inner].copy()
    found[~mask] = 0
    return found


@compiled
def _distance(a: int, b: int, shape: NDArray[np.int64], steps: NDArray[np.float64]) -> Any:
    z = (a // (shape[1] * shape[2]) - b // (shape[1] * shape[2])) * steps[0]
    y = (a // shape[2] % shape[1] - b // shape[2] % shape[1]) * steps[1]
    x = (a % shape[2] - b % shape[2]) * steps[2]
    return np.sqrt(z * z + y * y + x * x)


@compiled
def _flood(
    heights: NDArray[np.float32], labels: NDArray[np.uint32], offsets: NDArray[np.int64], shape: NDArray[np.int64],
    steps: NDArray[np.float64], compactness: float,
) -> None:  # fmt: skip
    """Fill the zeros of flat, padded labels. An entry of the heap: cost, age, pixel, pixel of the seed."""
    heap = [(0.0, 0, 0, 0)]
    heap.pop()
    least = np.full(labels.size, np.inf)
    age = 0
    for i in range(labels.size):
        if 0 < labels[i] < WALL:
            heap.append((np.float64(heights[i]), age, i, i))
            age += 1
    heapq.heapify(heap)
    while len(heap) > 0:
        _, _, i, source = heapq.heappop(heap)
        if i != source and labels[i] != 0:
            continue
        labels[i] = labels[source]
        for offset in offsets:
            j = i + offset
            if labels[j] == 0:
                cost = np.float64(heights[j]) + compactness * _distance(j, source, shape, steps)
                if cost < least[j]:
                    least[j] = cost
                    heapq.heappush(heap, (cost, age, j, source))
                    age += 1

"""Growth of regions from seeds, each down to a floor of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled
from segmentry.kernels.watershed import WALL, neighbour_offsets, push, walled

__all__ = ["grow_regions"]


def grow_regions(
    levels: NDArray[np.uint16], seeds: NDArray[np.uint32], floors: NDArray[np.uint16], climb: int
) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """Grow each seed to the connected pixels that are not below its floor, brightest pixels first.

    Parameters
    ----------
    levels : uint16 array, two- or three-dimensional
    seeds : uint32 array of the same shape
        Ids 1 … n at one pixel each.
    floors : (n + 1,) uint16 array
        Lowest level that the region of each id takes in.
    climb
        How many levels a path from the seed may rise above its lowest pixel: a region does not climb the flank of
        another object.

    Returns
    -------
    labels : uint32 array of the same shape
    margins : (n + 1,) array
        How well the regions are set off: the share of the pixels on a region's rim that lie below its floor, so that
        the region ended there by itself and not at a neighbour.
    """
    heights = np.pad(levels, 1).ravel()
    labels, inner = walled(seeds, np.ones(seeds.shape, np.bool_))
    rim = np.zeros((len(floors), 2), np.int64)
    _grow(heights, labels.reshape(-1), neighbour_offsets(labels.shape, full=False), floors, climb, rim)
    return labels[inner].copy(), rim[:, 0] / np.maximum(rim.sum(axis=1), 1)


@compiled
def _grow(
    levels: NDArray[np.uint16], labels: NDArray[np.uint32], offsets: NDArray[np.int64], floors: NDArray[np.uint16],
    climb: int, rim: NDArray[np.int64],
) -> None:  # fmt: skip
    following = np.empty(labels.size, np.int32)
    lowest = levels.copy()
    head = np.full(65_536, -1, np.int64)
    tail = np.full(65_536, -1, np.int64)
    current = np.int64(0)
    for i in range(labels.size):
        if 0 < labels[i] < WALL:
            push(head, tail, following, levels[i], i)
            current = max(current, levels[i])
    while current >= 0:
        i = head[current]
        if i < 0:
            current -= 1
            continue
        head[current] = following[i]
        region = labels[i]
        for offset in offsets:
            j = i + offset
            rise = np.int64(levels[j]) - np.int64(lowest[i])
            if labels[j] == 0 and levels[j] >= floors[region] and rise <= climb:
                labels[j] = region
                lowest[j] = min(lowest[i], levels[j])
                push(head, tail, following, levels[j], j)
                current = max(current, levels[j])
    for i in range(labels.size):
        if 0 < labels[i] < WALL:
            for offset in offsets:
                j = i + offset
                if labels[j] != WALL and labels[j] != labels[i]:
                    rim[labels[i], 0 if labels[j] == 0 else 1] += 1

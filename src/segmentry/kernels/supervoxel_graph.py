"""Graphs of supervoxels: which of them touch, how high the boundary between them is, and which pixels each has.

Supervoxels have the numbers 1 … n; everything that is said of each has n + 1 places, of which the first stays empty.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.kernels.jit import compiled

__all__ = ["SupervoxelGraph", "both_ways", "members", "paint", "touching"]


class SupervoxelGraph(NamedTuple):
    """The pairs of supervoxels that share a face of pixels, each from both sides.

    Supervoxel i touches ``neighbours[starts[i]]`` … ``neighbours[starts[i + 1] - 1]``, over boundaries of the mean
    ``heights`` at the same places.
    """

    starts: NDArray[np.int64]
    neighbours: NDArray[np.int32]
    heights: NDArray[np.uint16]


def touching(ids: NDArray[np.uint32], levels: NDArray[np.uint16], count: int) -> SupervoxelGraph:
    """Return which supervoxels touch, and how high their boundaries are.

    Parameters
    ----------
    ids : (Y, X) or (Z, Y, X) array
        The supervoxel of each pixel, 1 … count.
    levels : uint16 array of the same shape
        Height of each pixel. That of a face is the higher one of its two pixels, that of a boundary the mean of its
        faces, rounded.
    """
    volume = np.ascontiguousarray(ids).reshape((1,) * (3 - ids.ndim) + ids.shape)
    heights = np.ascontiguousarray(levels).reshape(volume.shape)
    starts = _count_faces(volume, count)
    others, highs = _faces(volume, heights, starts)
    return SupervoxelGraph(*both_ways(*_boundaries(starts, others, highs)))


def members(ids: NDArray[np.uint32], count: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return where the flat places of each supervoxel's pixels start, and these places, in raster order."""
    if ids.size >= 2**31:
        raise InputError(f"{ids.size:,} pixels at once are too many for supervoxels: crop or resample the image")
    return _members(np.ascontiguousarray(ids).reshape(-1), count)


@compiled
def paint(
    mask: NDArray[np.bool_], starts: NDArray[np.int64], places: NDArray[np.int32], which: NDArray[np.int64],
    values: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Write a value to all pixels of some supervoxels; `values` has one for every supervoxel."""
    for i in which:
        for k in range(starts[i], starts[i + 1]):
            mask[places[k]] = values[i]


@compiled
def _members(ids: NDArray[np.uint32], count: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    starts = np.zeros(count + 2, np.int64)
    for i in ids:
        starts[i + 1] += 1
    for i in range(1, count + 2):
        starts[i] += starts[i - 1]
    free = starts.copy()
    places = np.empty(ids.size, np.int32)
    for p in range(ids.size):
        places[free[ids[p]]] = p
        free[ids[p]] += 1
    return starts, places


@compiled
def _count_faces(ids: NDArray[np.uint32], count: int) -> NDArray[np.int64]:
    """Return where the faces of each supervoxel with those of higher number would start in a list."""
    depth, height, width = ids.shape
    starts = np.zeros(count + 2, np.int64)
    for z in range(depth):
        for y in range(height):
            row = ids[z, y]
            before, above = ids[z - 1 if z else 0, y], ids[z, y - 1 if y else 0]
            for x in range(width):
                i = row[x]
                if above[x] != i:
                    starts[min(i, above[x]) + 1] += 1
                if before[x] != i:
                    starts[min(i, before[x]) + 1] += 1
                if x and row[x - 1] != i:
                    starts[min(i, row[x - 1]) + 1] += 1
    for i in range(1, count + 2):
        starts[i] += starts[i - 1]
    return starts


@compiled
def _faces(
    ids: NDArray[np.uint32], levels: NDArray[np.uint16], starts: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
    """Return the supervoxel of higher number at each face, and the height of the face, listed by that of lower one."""
    depth, height, width = ids.shape
    free = starts.copy()
    others = np.empty(starts[-1], np.int32)
    heights = np.empty(starts[-1], np.uint16)
    for z in range(depth):
        for y in range(height):
            row, level = ids[z, y], levels[z, y]
            for axis in range(3):
                back = 1 if axis == 2 else 0
                there = (z - 1 if axis == 0 and z else z, y - 1 if axis == 1 and y else y)
                near, low = ids[there], levels[there]
                for x in range(back, width):
                    i, j = row[x], near[x - back]
                    if i != j:
                        at = free[min(i, j)]
                        free[min(i, j)] = at + 1
                        others[at] = max(i, j)
                        heights[at] = max(level[x], low[x - back])
    return others, heights


@compiled
def _boundaries(
    starts: NDArray[np.int64], others: NDArray[np.int32], heights: NDArray[np.uint16]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint16]]:
    """Put the faces of one boundary together, in place: boundaries listed by the supervoxel of lower number."""
    count = starts.size - 2
    ends = np.zeros(count + 2, np.int64)
    place = np.full(count + 1, -1, np.int64)
    sums, faces = np.empty(0, np.int64), np.empty(0, np.int64)
    total = 0
    for i in range(count + 1):
        first, size = total, starts[i + 1] - starts[i]
        if size > sums.size:
            sums, faces = np.empty(2 * size, np.int64), np.empty(2 * size, np.int64)
        for k in range(starts[i], starts[i + 1]):
            j = others[k]
            if place[j] < first:
                place[j] = total
                others[total] = j
                sums[total - first] = 0
                faces[total - first] = 0
                total += 1
            sums[place[j] - first] += heights[k]
            faces[place[j] - first] += 1
        for k in range(first, total):
            heights[k] = (sums[k - first] + faces[k - first] // 2) // faces[k - first]
        ends[i + 1] = total
    return ends, others[:total].copy(), heights[:total].copy()


@compiled
def both_ways(
    starts: NDArray[np.int64], others: NDArray[np.int32], heights: NDArray[np.uint16]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint16]]:
    """Return boundaries listed by both of their supervoxels."""
    count = starts.size - 2
    both = np.zeros(count + 2, np.int64)
    for i in range(count + 1):
        both[i + 1] += starts[i + 1] - starts[i]
        for k in range(starts[i], starts[i + 1]):
            both[others[k] + 1] += 1
    for i in range(1, count + 2):
        both[i] += both[i - 1]
    free = both.copy()
    neighbours, found = np.empty(both[-1], np.int32), np.empty(both[-1], np.uint16)
    for i in range(count + 1):
        for k in range(starts[i], starts[i + 1]):
            j = others[k]
            neighbours[free[i]], found[free[i]] = j, heights[k]
            neighbours[free[j]], found[free[j]] = i, heights[k]
            free[i] += 1
            free[j] += 1
    return both, neighbours, found

"""Regions of a graph of pixels whose borders are strong against what is inside (Felzenszwalb & Huttenlocher 2004)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.kernels.jit import compiled
from segmentry.kernels.watershed import neighbour_offsets

__all__ = ["graph_regions"]

#: Differences are sorted by the leading bits of their floating point number: 32,768 levels per power of two, from
#: LEAST on; what is less is the same as nothing.
LOST_BITS = 8
LEAST = 2.0**-14
LEVELS = (int(np.float32(2.0**10).view(np.int32)) - int(np.float32(LEAST).view(np.int32))) >> LOST_BITS
#: So many edges for each pixel are sorted at once; there are 4 in two dimensions and 13 in three.
AT_ONCE = 4


def graph_regions(features: NDArray[np.float32], scale: float, min_size: float) -> NDArray[np.uint32]:
    """Join pixels along edges of little difference, until the difference between regions exceeds that within them.

    Parameters
    ----------
    features : (Z, Y, X, channels) or (Y, X, channels) float32 array
        No two pixels differ by 1,024 or more.
    scale
        How large regions are: a region of n pixels stands `scale` / n more difference than there is within it.
    min_size
        Regions with fewer pixels are joined with the neighbour that differs least.

    Returns
    -------
    uint32 array without the channels: a number for each region, above 0 and with gaps
    """
    shape = features.shape[:-1]
    inner = tuple(slice(1, -1) for _ in shape)
    padded = np.pad(features, [*((1, 1) for _ in shape), (0, 0)])
    whole = padded.shape[:-1]
    valid = np.zeros(whole, np.bool_)
    valid[inner] = True
    offsets = neighbour_offsets(whole, full=True)
    if valid.size * (offsets.size // 2) >= 2**32:
        raise InputError(f"a graph of {valid.size:,} pixels is too large: resample the image")
    graph = padded.reshape(-1, features.shape[-1]), valid.ravel(), offsets[offsets > 0]
    counts = _tally(*graph)
    ranges = list(_ranges(counts, AT_ONCE * valid.size))
    parent = np.arange(valid.size).astype(np.int32)
    sizes = np.ones(valid.size, np.int32)
    limits = np.full(valid.size, scale, np.float32)
    edges = np.empty(0, np.uint32)
    for low, starts in ranges:
        del edges  # most of the memory: never two of them
        edges = _sorted_edges(*graph, low, starts.copy())
        _join(graph[0], graph[2], edges, scale, parent, sizes, limits)
    for low, starts in ranges if min_size > 1 else ():
        if len(ranges) > 1:
            del edges
            edges = _sorted_edges(*graph, low, starts.copy())
        _join_small(graph[2], edges, min_size, parent, sizes)
    return np.asarray(_roots(parent).reshape(whole)[inner] + 1, np.uint32)


def _ranges(counts: NDArray[np.int64], most: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield runs of levels that hold at most so many edges, or are one: the first, and the edges below each."""
    below = np.concatenate([[0], np.cumsum(counts)])
    low = 0
    while low < len(counts):
        high = max(low + 1, int(np.searchsorted(below, below[low] + most, side="right")) - 1)
        yield low, below[low : high + 1] - below[low]
        low = high


@compiled
def _difference(features: NDArray[np.float32], i: int, j: int) -> np.float32:
    total = np.float32(0)
    for c in range(features.shape[1]):
        step = features[i, c] - features[j, c]
        total += step * step
    return np.float32(math.sqrt(total))


@compiled
def _level(difference: np.float32) -> int:
    if difference < LEAST:
        return 0
    ahead: Any = np.float32(difference).view(np.int32) - np.float32(LEAST).view(np.int32)
    level: int = min(ahead >> LOST_BITS, LEVELS - 1)
    return level


@compiled
def _tally(features: NDArray[np.float32], valid: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many edges there are of each level of difference."""
    counts = np.zeros(LEVELS, np.int64)
    for i in range(valid.size):
        if valid[i]:
            for offset in offsets:
                if valid[i + offset]:
                    counts[_level(_difference(features, i, i + offset))] += 1
    return counts


@compiled
def _sorted_edges(
    features: NDArray[np.float32], valid: NDArray[np.bool_], offsets: NDArray[np.int64], low: int,
    starts: NDArray[np.int64],
) -> NDArray[np.uint32]:  # fmt: skip
    """Return the edges from level `low` on in order of their level, as pixel times offsets plus offset.

    ``starts[n]`` is how many of them lie below level ``low + n``; it is changed.
    """
    edges = np.empty(starts[-1], np.uint32)
    for i in range(valid.size):
        if not valid[i]:
            continue
        for m in range(offsets.size):
            if valid[i + offsets[m]]:
                level = _level(_difference(features, i, i + offsets[m])) - low
                if 0 <= level < starts.size - 1:
                    edges[starts[level]] = i * offsets.size + m
                    starts[level] += 1
    return edges


@compiled
def _root(parent: NDArray[Any], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@compiled
def _join(
    features: NDArray[np.float32], offsets: NDArray[np.int64], edges: NDArray[np.uint32], scale: float,
    parent: NDArray[np.int32], sizes: NDArray[np.int32], limits: NDArray[np.float32],
) -> None:  # fmt: skip
    """Join two regions along an edge that is below the limits of both: the largest difference within, and some."""
    for edge in edges:
        i = int(edge) // offsets.size
        j = i + offsets[int(edge) % offsets.size]
        a, b = _root(parent, i), _root(parent, j)
        if a == b:
            continue
        difference = _difference(features, i, j)
        if difference < min(limits[a], limits[b]):
            if sizes[a] < sizes[b]:
                a, b = b, a
            parent[b] = a
            sizes[a] += sizes[b]
            limits[a] = difference + scale / sizes[a]


@compiled
def _join_small(
    offsets: NDArray[np.int64], edges: NDArray[np.uint32], min_size: float, parent: NDArray[np.int32],
    sizes: NDArray[np.int32],
) -> None:  # fmt: skip
    """Join two regions along an edge where one is too small."""
    for edge in edges:
        i = int(edge) // offsets.size
        a, b = _root(parent, i), _root(parent, i + offsets[int(edge) % offsets.size])
        if a != b and (sizes[a] < min_size or sizes[b] < min_size):
            if sizes[a] < sizes[b]:
                a, b = b, a
            parent[b] = a
            sizes[a] += sizes[b]


@compiled
def _roots(parent: NDArray[np.int32]) -> NDArray[np.int32]:
    found = np.empty_like(parent)
    for i in range(parent.size):
        found[i] = _root(parent, i)
    return found

"""Flooding: watershed from seeds, and the maxima that stand out enough to be seeds.

Both work on levels (small integers) of arrays padded by one pixel and laid flat, so that one loop serves any number of
dimensions. Their results on a connected region of the mask depend on that region alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.kernels.components import unite
from segmentry.kernels.jit import compiled

#: Marks the pixels that no label may enter.
WALL = np.uint32(2**32 - 1)

__all__ = ["WALL", "deep_maxima", "flood", "neighbour_offsets", "push", "walled"]


def flood(
    levels: NDArray[np.uint16], seeds: NDArray[np.uint32], mask: NDArray[np.bool_], full: bool = False
) -> NDArray[np.uint32]:
    """Grow seeds through a mask, lowest level first, until they meet (Meyer 1991; Beucher & Meyer 1993).

    Parameters
    ----------
    levels : uint16 array, two- or three-dimensional
        Height of each pixel: low pixels are flooded first, pixels of one level in the order in which they are reached.
    seeds : uint32 array of the same shape
        Ids to grow from, below 4,294,967,295; 0 elsewhere.
    mask : bool array of the same shape
        Where labels may go; seeds outside it don't count.
    full
        Whether labels also grow over corners and edges (8 and 26 neighbours) instead of faces only.

    Returns
    -------
    uint32 array of the same shape; 0 outside the mask and where no seed reaches.
    """
    labels, inner = walled(seeds, mask)
    offsets = neighbour_offsets(labels.shape, full)
    _flood(np.pad(levels, 1).ravel(), labels.reshape(-1), offsets, int(levels.max(initial=0)) + 1)
    found = labels[inner].copy()
    found[~mask] = 0
    return found


def deep_maxima(levels: NDArray[np.uint16], mask: NDArray[np.bool_], depth: int) -> NDArray[np.uint32]:
    """Find the maxima from which one must descend by at least `depth` levels to reach a higher one.

    The highest maximum of each connected region of the mask always counts; of equal ones that are not deep enough to
    count apart, the first in raster order does. This is the dynamics of a maximum (Grimaud 1992, doi:10.1117/12.60650),
    by union-find over the pixels from high to low.

    Parameters
    ----------
    levels : uint16 array, two- or three-dimensional
    mask : bool array of the same shape
    depth
        In levels; 0 keeps every maximum (one pixel of each plateau).

    Returns
    -------
    uint32 array of the same shape: ids 1 … n in raster order at one pixel per maximum, 0 elsewhere.
    """
    padded = np.pad(levels, 1)
    inside = np.pad(mask, 1)
    peaks = np.zeros(padded.size, np.bool_)
    _peaks(padded.ravel(), inside.ravel(), neighbour_offsets(padded.shape, True), depth, peaks)
    inner = tuple(slice(1, -1) for _ in range(levels.ndim))
    found = peaks.reshape(padded.shape)[inner]
    seeds = np.zeros(levels.shape, np.uint32)
    seeds[found] = np.arange(1, np.count_nonzero(found) + 1, dtype=np.uint32)
    return seeds


def walled(seeds: NDArray[np.uint32], mask: NDArray[np.bool_]) -> tuple[NDArray[np.uint32], tuple[slice, ...]]:
    """Return seeds padded by one pixel, WALL there and outside the mask, and the region of the array in it."""
    inner = tuple(slice(1, -1) for _ in range(seeds.ndim))
    labels = np.full(tuple(n + 2 for n in seeds.shape), WALL, np.uint32)
    labels[inner] = np.where(mask, seeds, WALL)
    return labels, inner


def neighbour_offsets(shape: tuple[int, ...], full: bool) -> NDArray[np.int64]:
    """Return the distances in a flat array from a pixel to its neighbours, in raster order.

    Raises
    ------
    InputError
        When the array is so large that places in it don't fit 32 bits, of which the kernels make queues.
    """
    if math.prod(shape) >= 2**31:
        raise InputError(f"{math.prod(shape):,} pixels at once are too many to flood: use smaller tiles")
    strides = [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]
    steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * len(shape), indexing="ij"), -1).reshape(-1, len(shape))
    near = np.abs(steps).sum(axis=1)
    chosen = steps[(near >= 1) if full else (near == 1)]
    return np.asarray(chosen @ np.array(strides), np.int64)


@compiled
def push(head: NDArray[np.int64], tail: NDArray[np.int64], following: NDArray[np.int32], level: int, i: int) -> None:
    """Append a pixel to the queue of a level; each queue is a chain through `following` from its head to its tail."""
    following[i] = -1
    if head[level] < 0:
        head[level] = i
    else:
        following[tail[level]] = i
    tail[level] = i


@compiled
def _flood(levels: NDArray[np.uint16], labels: NDArray[np.uint32], offsets: NDArray[np.int64], n_levels: int) -> None:
    """Fill the zeros of flat, padded labels; one queue per level, first in first out."""
    following = np.empty(labels.size, np.int32)
    head = np.full(n_levels, -1, np.int64)
    tail = np.full(n_levels, -1, np.int64)
    for i in range(labels.size):
        if 0 < labels[i] < WALL:
            push(head, tail, following, levels[i], i)
    current = 0
    while current < n_levels:
        i = head[current]
        if i < 0:
            current += 1
            continue
        head[current] = following[i]
        for offset in offsets:
            j = i + offset
            if labels[j] == 0:
                labels[j] = labels[i]
                push(head, tail, following, levels[j], j)
                current = min(current, levels[j])


@compiled
def _by_level(levels: NDArray[np.uint16], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the flat places of the mask from the highest level to the lowest, raster order within a level."""
    start = np.zeros(65_537, np.int64)
    for i in range(levels.size):
        if mask[i]:
            start[65_535 - levels[i] + 1] += 1
    for level in range(1, 65_537):
        start[level] += start[level - 1]
    order = np.empty(start[-1], np.int32)
    for i in range(levels.size):
        if mask[i]:
            at = 65_535 - levels[i]
            order[start[at]] = i
            start[at] += 1
    return order


@compiled
def _peaks(
    levels: NDArray[np.uint16], mask: NDArray[np.bool_], offsets: NDArray[np.int64], depth: int, peaks: NDArray[Any]
) -> None:
    """Mark the peak of every basin that is still separate when it has been descended by `depth`.

    Pixels are numbered by their place in the order from high to low, so that the root of a set, its smallest number,
    is its peak.
    """
    order = _by_level(levels, mask)
    rank = np.full(levels.size, -1, np.int32)
    parent = np.arange(order.size).astype(np.int32)
    for k in range(order.size):
        i = order[k]
        rank[i] = k
        peaks[i] = True
        for offset in offsets:
            if rank[i + offset] < 0:
                continue
            a = k
            while parent[a] != a:
                a = parent[a]
            b = rank[i + offset]
            while parent[b] != b:
                parent[b] = parent[parent[b]]
                b = parent[b]
            if a == b:
                continue
            lower = order[max(a, b)]
            if np.int64(levels[lower]) - np.int64(levels[i]) < max(depth, 1):
                peaks[lower] = False
            unite(parent, a, b)

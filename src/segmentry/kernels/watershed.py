"""Flooding: watershed from seeds, and the maxima that stand out enough to be seeds.

Both work on levels (small integers) of arrays padded by one pixel and laid flat, so that one loop serves any number of
dimensions. Their results on a connected region of the mask depend on that region alone.

To flood in the order of levels is to jump about in the image, so it goes as fast as memory answers. Therefore regions
of the mask are flooded one after the other, or a few small ones at once, so that their pixels stay in the processor's
cache; what comes next in a large region is fetched in advance; and a pixel is one number: its level, then its label.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.kernels.components import connected_runs, unite
from segmentry.kernels.jit import compiled
from segmentry.kernels.prefetch import prefetch

#: Marks the pixels that no label may enter.
WALL = np.uint32(2**32 - 1)
#: Numbers from here on are pixels that have no label yet: their level is in the lower 16 bits.
OPEN = np.uint32(2**32 - 2**16)
#: Pixels of small regions that are flooded at once.
BATCH = 2**14
#: Pixels in a piece of a queue, and one more for the number of the next piece; a power of two.
PIECE_BITS = 4
PIECE = 2**PIECE_BITS
#: Place of that number within a piece.
LAST = PIECE - 1
#: How many pixels ahead of the one at hand memory is asked for.
AHEAD = 6

__all__ = ["WALL", "deep_maxima", "flood", "neighbour_offsets", "push", "walled"]


def flood(
    levels: NDArray[np.uint16], seeds: NDArray[np.uint32], mask: NDArray[np.bool_], full: bool = False
) -> NDArray[np.uint32]:
    """Grow seeds through a mask, lowest level first, until they meet (Meyer 1991; Beucher & Meyer 1993).

    Parameters
    ----------
    levels : uint16 array, two- or three-dimensional
        Height of each pixel: low pixels are flooded first, pixels of one level in the order in which they are reached
        (from the seeds in raster order, from a pixel to its neighbours in the order of :func:`neighbour_offsets`). A
        pit that is reached over higher pixels is flooded as if it were as high as those.
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
    if seeds.max(initial=0) >= OPEN:
        ids, small = np.unique(np.append(seeds, np.uint32(0)), return_inverse=True)
        found = flood(levels, small[:-1].astype(np.uint32).reshape(seeds.shape), mask, full)
        return np.asarray(ids[found], np.uint32)
    padded = tuple(n + 2 for n in levels.shape)
    offsets = np.append(neighbour_offsets(padded, full), 0)
    rows = np.append(0, neighbour_offsets(padded[:-1], full) * padded[-1])
    lowest = int(levels.min(initial=65_535))
    n_levels = int(levels.max(initial=lowest)) - lowest + 1
    volume = (1,) * (3 - levels.ndim) + levels.shape
    inside = np.ascontiguousarray(mask).reshape(volume)
    words = np.zeros(volume[: -len(padded)] + padded, np.uint32)
    _lay_out(np.ascontiguousarray(levels).reshape(volume), inside, lowest, words)
    runs = connected_runs(mask, full)
    batch, n_batches, largest = _batches(runs.start, runs.stop, runs.ids, runs.total)
    starts = np.ascontiguousarray(seeds).reshape(volume)
    places, labels, bounds = _sources(starts, inside, words.shape, runs.rows, runs.stop, runs.ids, batch, n_batches)
    store = np.empty(PIECE * (2 * n_levels + largest // (PIECE - 1) + 1), np.int32)
    _flood(words.reshape(-1), offsets, rows, places, labels, bounds, n_levels, store)
    _settle(words, inside.shape)
    return words.reshape(-1)[: levels.size].reshape(levels.shape)


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
    """Return the distances in a flat array from a pixel to its neighbours: those that share a face with it come first.

    Neighbours that are equally far follow each other in raster order.

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
    order = np.argsort(near, kind="stable")
    chosen = steps[order[(near[order] >= 1) if full else (near[order] == 1)]]
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
def _lay_out(levels: NDArray[np.uint16], mask: NDArray[np.bool_], lowest: int, words: NDArray[np.uint32]) -> None:
    """Write one number per pixel into a padded volume: its height above the lowest, or 0 where no label may go."""
    depth, height, width = mask.shape
    margin = (words.shape[0] - depth) // 2
    base = OPEN - np.uint32(lowest)
    for z in range(depth):
        for y in range(height):
            level, inside = levels[z, y], mask[z, y]
            row = words[z + margin, y + 1][1:-1]
            for x in range(width):
                row[x] = base + np.uint32(level[x]) if inside[x] else np.uint32(0)


@compiled
def _settle(words: NDArray[np.uint32], shape: Any) -> None:
    """Move the labels to the front, without the padding; pixels that nothing reached become 0."""
    depth, height, width = shape
    margin = (words.shape[0] - depth) // 2
    flat = words.ravel()
    to = 0
    for z in range(depth):
        for y in range(height):
            at = ((z + margin) * words.shape[1] + y + 1) * words.shape[2] + 1
            for x in range(width):
                word = flat[at + x]
                flat[to + x] = word if word < OPEN else np.uint32(0)
            to += width


@compiled
def _batches(
    start: NDArray[np.int32], stop: NDArray[np.int32], ids: NDArray[np.uint32], total: int
) -> tuple[NDArray[np.int32], int, int]:
    """Divide the regions, in their order, into batches of so many pixels as fit the cache, or one larger region.

    Returns the batch of each region, how many there are, and the pixels of the largest.
    """
    size = np.zeros(total + 1, np.int64)
    for run in range(start.size):
        size[ids[run]] += stop[run] - start[run]
    batch = np.zeros(total + 1, np.int32)
    current, held, largest = 0, 0, 0
    for region in range(1, total + 1):
        if held > 0 and held + size[region] > BATCH:
            current += 1
            held = 0
        held += size[region]
        largest = max(largest, held)
        batch[region] = current
    return batch, current + 1, largest


@compiled
def _sources(
    seeds: NDArray[np.uint32], mask: NDArray[np.bool_], padded: Any, rows: NDArray[np.int64], stop: NDArray[np.int32],
    ids: NDArray[np.uint32], batch: NDArray[np.int32], n_batches: int,
) -> tuple[NDArray[np.int32], NDArray[np.uint32], NDArray[np.int64]]:  # fmt: skip
    """Return the places of the seeds in the padded volume and their ids, batch by batch in raster order."""
    depth, height, width = mask.shape
    margin = (padded[0] - depth) // 2
    places, labels = np.empty(0, np.int32), np.empty(0, np.uint32)
    to = np.zeros(n_batches + 1, np.int64)
    bounds = to
    for filling in (False, True):
        if filling:
            for owner in range(n_batches):
                to[owner + 1] += to[owner]
            bounds = to.copy()
            places, labels = np.empty(bounds[-1], np.int32), np.empty(bounds[-1], np.uint32)
        for line in range(depth * height):
            z, y = line // height, line % height
            seed, inside, run = seeds[z, y], mask[z, y], rows[line]
            for begin in range(0, width if run < rows[line + 1] else 0, 16):
                some = np.uint32(0)
                for number in seed[begin : begin + 16]:
                    some |= number
                for x in range(begin, min(begin + 16, width) if some > 0 else begin):
                    if seed[x] != 0 and inside[x]:
                        while stop[run] <= x:
                            run += 1
                        owner = batch[ids[run]]
                        if filling:
                            places[to[owner]] = ((z + margin) * padded[1] + y + 1) * padded[2] + x + 1
                            labels[to[owner]] = seed[x]
                            to[owner] += 1
                        else:
                            to[owner + 1] += 1
    return places, labels, bounds


@compiled
def _flood(
    words: NDArray[np.uint32], offsets: NDArray[np.int64], rows: NDArray[np.int64], places: NDArray[np.int32],
    labels: NDArray[np.uint32], bounds: NDArray[np.int64], n_levels: int, store: NDArray[np.int32],
) -> None:  # fmt: skip
    """Flood batch after batch; one queue per level, first in first out. Seeds enter over the last offset, which is 0.

    The queue of a level lies in the store from its head up to its tail, in pieces: some pixels, then the number of the
    next piece (its own, as long as there is none). Pieces that are empty are used again: `spare` is the last of them,
    and each begins with the number of the one before. All of it is one loop because each call in it would cost more
    than the rest.
    """
    head = np.arange(n_levels) << PIECE_BITS
    for k in range(n_levels):
        store[head[k] | LAST] = k
    tail = head.copy()
    spare, unused = np.int64(-1), np.int64(n_levels)
    for batch in range(bounds.size - 1):
        level = np.int64(n_levels - 1)
        seed, end = bounds[batch], bounds[batch + 1]
        waiting = 0
        while seed < end or waiting > 0:
            if seed < end:
                i, label = places[seed], labels[seed]
                first, stop, height, seed = offsets.size - 1, offsets.size, np.int64(0), seed + 1
            else:
                at = head[level]
                if at == tail[level]:
                    level += 1
                    continue
                i = store[at]
                label = words[i]
                ahead = at + AHEAD
                if (at & LAST) + AHEAD >= LAST:
                    ahead = (np.int64(store[at | LAST]) << PIECE_BITS) + ((ahead + 1) & LAST)
                for k in range(rows.size):
                    prefetch(words, store[ahead] + rows[k])
                at += 1
                if at & LAST == LAST:
                    following = np.int64(store[at]) << PIECE_BITS
                    store[at - LAST] = spare
                    spare = at >> PIECE_BITS
                    at = following
                head[level] = at
                waiting -= 1
                first, stop, height = 0, offsets.size - 1, level
            for k in range(first, stop):
                j = np.uint32(i + offsets[k])
                word = words[j]
                if word >= OPEN:
                    words[j] = label
                    high = max(height, np.int64(word - OPEN))
                    at = tail[high]
                    store[at] = j
                    at += 1
                    if at & LAST == LAST:
                        piece = spare
                        if piece < 0:
                            piece = unused
                            unused += 1
                        else:
                            spare = np.int64(store[piece << PIECE_BITS])
                        store[at] = piece
                        at = piece << PIECE_BITS
                        store[at | LAST] = piece
                    tail[high] = at
                    waiting += 1
                    level = min(level, high)


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

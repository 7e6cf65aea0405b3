"""Connected components of equal value, by runs and union-find, in two or three dimensions.

Each row is cut into runs of one non-zero value; runs that touch in neighbouring rows are united, the root always being
the run that comes first. Components are therefore numbered in raster order of their first pixel without a sort
(Wu, Otoo & Suzuki 2009, doi:10.1007/s10044-008-0109-y, on runs).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["label_components", "merge_pairs", "unite"]


def label_components(values: NDArray[Any], full: bool = True) -> tuple[NDArray[np.uint32], int]:
    """Number the connected regions of equal, non-zero value.

    Parameters
    ----------
    values : (Y, X) or (Z, Y, X) array of bool or unsigned integers up to 32 bits
    full
        Pixels that share only a corner or an edge touch (8 and 26 neighbours); otherwise only those that share a face.

    Returns
    -------
    labels : uint32 array of the same shape, 0 where `values` is 0; ids 1 … n in raster order of the first pixel
    n : number of components
    """
    kind = np.uint8 if values.dtype in (np.bool_, np.uint8) else np.uint32
    volume = np.ascontiguousarray(values, dtype=kind).reshape((1,) * (3 - values.ndim) + values.shape)
    labels = np.zeros(volume.shape, np.uint32)
    count = int(_label(volume, full, labels))
    return labels.reshape(values.shape), count


@compiled
def unite(parent: NDArray[Any], a: int, b: int) -> None:
    """Join the sets of `a` and `b`; the smaller root becomes the root of both."""
    while parent[a] != a:
        parent[a] = parent[parent[a]]
        a = parent[a]
    while parent[b] != b:
        parent[b] = parent[parent[b]]
        b = parent[b]
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


@compiled
def _count_runs(row: NDArray[Any]) -> int:
    n = 0
    previous = row[0]
    if previous != 0:
        n = 1
    for x in range(1, row.size):
        value = row[x]
        if value != previous:
            if value != 0:
                n += 1
            previous = value
    return n


@compiled
def _touching(
    start: NDArray[np.int32], stop: NDArray[np.int32], value: NDArray[Any], parent: NDArray[np.int64],
    first: int, last: int, other: int, other_last: int, reach: int,
) -> None:  # fmt: skip
    """Unite the runs first…last of one row with the runs other…other_last of a row beside it."""
    for run in range(first, last):
        while other < other_last and stop[other] + reach <= start[run]:
            other += 1
        near = other
        while near < other_last and start[near] < stop[run] + reach:
            if value[near] == value[run]:
                unite(parent, run, near)
            near += 1


@compiled
def _label(volume: NDArray[Any], full: bool, labels: NDArray[np.uint32]) -> int:
    depth, height, width = volume.shape
    offsets = np.zeros(depth * height + 1, np.int64)
    for z in range(depth):
        for y in range(height):
            offsets[z * height + y + 1] = offsets[z * height + y] + _count_runs(volume[z, y])
    total = offsets[-1]
    start = np.empty(total, np.int32)
    stop = np.empty(total, np.int32)
    value = np.empty(total, volume.dtype)
    parent = np.arange(total)
    reach = 1 if full else 0
    for z in range(depth):
        for y in range(height):
            row = volume[z, y]
            first = offsets[z * height + y]
            run = first
            x = 0
            while x < width:
                v = row[x]
                begin = x
                while x < width and row[x] == v:
                    x += 1
                if v != 0:
                    start[run], stop[run], value[run] = begin, x, v
                    run += 1
            if y > 0:
                above = z * height + y - 1
                _touching(start, stop, value, parent, first, run, offsets[above], offsets[above + 1], reach)
            if z > 0:
                for dy in range(-reach, reach + 1):
                    if 0 <= y + dy < height:
                        behind = (z - 1) * height + y + dy
                        _touching(start, stop, value, parent, first, run, offsets[behind], offsets[behind + 1], reach)
    count = 0
    ids = np.empty(total, np.uint32)
    for run in range(total):
        if parent[run] == run:
            count += 1
            ids[run] = count
        else:
            root = parent[run]
            while parent[root] != root:
                root = parent[root]
            parent[run] = root
            ids[run] = ids[root]
    for line in range(depth * height):
        row_labels = labels[line // height, line % height]
        for run in range(offsets[line], offsets[line + 1]):
            row_labels[start[run] : stop[run]] = ids[run]
    return count


@compiled
def merge_pairs(parent: NDArray[np.int64], one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """Unite the sets of the pairs, then replace each entry of `parent` by a number 1 … n in order of the roots."""
    for i in range(one.size):
        unite(parent, one[i], other[i])
    count = 0
    number = np.zeros(parent.size, np.int64)
    for i in range(parent.size):
        root = i
        while parent[root] != root:
            root = parent[root]
        if root == i:
            count += 1
            number[i] = count
        else:
            number[i] = number[root]
    parent[:] = number
    return count

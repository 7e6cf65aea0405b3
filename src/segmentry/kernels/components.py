"""Connected components of equal value, by runs and union-find, in two or three dimensions.

Each row is cut into runs of one non-zero value; runs that touch in neighbouring rows are united, the root always being
the run that comes first. Components are therefore numbered in raster order of their first pixel without a sort
(Wu, Otoo & Suzuki 2009, doi:10.1007/s10044-008-0109-y, on runs).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["Runs", "connected_runs", "label_components", "merge_pairs", "unite"]


class Runs(NamedTuple):
    """The stretches of one non-zero value in the rows of a volume, in raster order.

    Row ``y`` of plane ``z`` has the runs ``rows[z * height + y]`` … ``rows[z * height + y + 1] - 1``; each covers the
    columns ``start`` … ``stop - 1`` and belongs to the component ``ids`` of 1 … ``total``.
    """

    rows: NDArray[np.int64]
    start: NDArray[np.int32]
    stop: NDArray[np.int32]
    ids: NDArray[np.uint32]
    total: int


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
    runs = connected_runs(values, full)
    labels = np.zeros(values.shape, np.uint32)
    _paint(*runs[:4], labels.reshape(len(runs.rows) - 1, values.shape[-1]))
    return labels, runs.total


def connected_runs(values: NDArray[Any], full: bool = True) -> Runs:
    """Return the connected regions of equal, non-zero value as the runs that they consist of.

    Parameters
    ----------
    values, full
        As for :func:`label_components`.
    """
    volume = np.ascontiguousarray(values).reshape((1,) * (3 - values.ndim) + values.shape)
    if volume.dtype == np.bool_:
        volume = volume.view(np.uint8)
    elif volume.dtype != np.uint8:
        volume = volume.astype(np.uint32, copy=False)
    return Runs(*_connected(volume, full))


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
def _longer(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Copy an array into a new one of `size`; what follows the copy is not set."""
    longer = np.empty(size, array.dtype)
    for i in range(array.size):
        longer[i] = array[i]
    return longer


@compiled
def _cut(row: NDArray[Any], start: NDArray[np.int32], stop: NDArray[np.int32], value: NDArray[Any], n: int) -> int:
    """Write the runs of a row after the first n; return how many there are then."""
    previous = row[0]
    if previous != 0:
        start[n], value[n] = 0, previous
    for x in range(1, row.size):
        here = row[x]
        if here != previous:
            if previous != 0:
                stop[n] = x
                n += 1
            if here != 0:
                start[n], value[n] = x, here
            previous = here
    if previous != 0:
        stop[n] = row.size
        n += 1
    return n


@compiled
def _touching(
    start: NDArray[np.int32], stop: NDArray[np.int32], value: NDArray[Any], parent: NDArray[np.int32],
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
def _connected(volume: NDArray[Any], full: bool) -> tuple[Any, ...]:
    depth, height, width = volume.shape
    rows = np.zeros(depth * height + 1, np.int64)
    room = volume.size // 16 + width + 1
    start, stop = np.empty(room, np.int32), np.empty(room, np.int32)
    value, parent = np.empty(room, volume.dtype), np.empty(room, np.int32)
    reach = 1 if full else 0
    n = 0
    for line in range(depth * height if width > 0 else 0):
        z, y = line // height, line % height
        if n + width >= start.size:
            room = 2 * start.size + width
            start, stop = _longer(start, room), _longer(stop, room)
            value, parent = _longer(value, room), _longer(parent, room)
        first = n
        n = _cut(volume[z, y], start, stop, value, n)
        rows[line + 1] = n
        for run in range(first, n):
            parent[run] = run
        if y > 0:
            _touching(start, stop, value, parent, first, n, rows[line - 1], first, reach)
        if z > 0:
            for behind in range(line - height - min(y, reach), line - height + min(height - 1 - y, reach) + 1):
                _touching(start, stop, value, parent, first, n, rows[behind], rows[behind + 1], reach)
    count = 0
    ids = np.empty(n, np.uint32)
    for run in range(n):
        if parent[run] == run:
            count += 1
            ids[run] = count
        else:
            ids[run] = ids[parent[run]]
    return rows, start[:n], stop[:n], ids, count


@compiled
def _paint(
    rows: NDArray[np.int64], start: NDArray[np.int32], stop: NDArray[np.int32], ids: NDArray[np.uint32],
    labels: NDArray[np.uint32],
) -> None:  # fmt: skip
    for line in range(labels.shape[0]):
        row = labels[line]
        for run in range(rows[line], rows[line + 1]):
            row[start[run] : stop[run]] = ids[run]


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

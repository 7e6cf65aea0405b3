"""How far the nearest object is, and whose pixel it is, up to a limit; in two or three dimensions, exact.

One pass per axis: each pixel looks outwards along the axis until nothing nearer can come. Squared distances are sums of
squares of whole steps, taken in one order, so that they are the same in every window of an image; of objects equally
near the lowest id wins. Made for distances of some tens of pixels; :mod:`segmentry.kernels.distance` has no limit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["distance_to_others", "grow_labels"]

#: By how much a distance may exceed the limit: numbers like 0.3 / 0.1 are not whole.
SLACK = 1 + 1e-9


def grow_labels(labels: NDArray[np.uint32], steps: Sequence[float], limit: float) -> NDArray[np.uint32]:
    """Give each pixel of no object the id of the nearest object that is no further away than a limit.

    Parameters
    ----------
    labels : (Y, X) or (Z, Y, X) array
    steps
        Distance between neighbours along each axis.
    limit
        In the same unit.
    """
    ids = np.array(labels, np.uint32)
    furthest = limit * limit * SLACK
    squared: NDArray[np.float64] = np.empty(labels.shape)
    _nearest_in_row(
        ids.reshape(-1, labels.shape[-1]), float(steps[-1]), furthest, squared.reshape(-1, labels.shape[-1])
    )
    for axis in reversed(range(labels.ndim - 1)):
        if labels.shape[axis] > 1:
            lines = _lines(labels.shape, axis)
            found, owner = np.empty(lines), np.empty(lines, np.uint32)
            _nearest(squared.reshape(lines), ids.reshape(lines), float(steps[axis]), furthest, found, owner)
            squared, ids = found, owner
    return ids.reshape(labels.shape)


def distance_to_others(labels: NDArray[np.uint32], steps: Sequence[float], limit: float) -> NDArray[np.float64]:
    """Return for each pixel of an object how far the nearest pixel is that does not belong to it.

    The edge of the array belongs to nobody.

    Parameters
    ----------
    labels : (Y, X) or (Z, Y, X) array
    steps, limit
        As in :func:`grow_labels`.

    Returns
    -------
    float64 array of the same shape; 0 where there is no object, infinite where all within the limit is the object's.
    """
    owners = np.ascontiguousarray(labels, np.uint32)
    furthest = limit * limit * SLACK
    squared = np.where(labels > 0, np.inf, 0.0)
    for axis in reversed(range(labels.ndim)):
        if labels.shape[axis] > 1:
            lines = _lines(labels.shape, axis)
            found = np.empty(lines)
            _way_out(squared.reshape(lines), owners.reshape(lines), float(steps[axis]), furthest, found)
            squared = found
    return np.asarray(np.sqrt(squared.reshape(labels.shape)))


def _lines(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    """Return the shape of an array with what comes before an axis, and what comes after it, made one axis each."""
    return int(np.prod(shape[:axis])), shape[axis], int(np.prod(shape[axis + 1 :]))


@compiled
def _nearest_in_row(ids: NDArray[np.uint32], step: float, furthest: float, squared: NDArray[np.float64]) -> None:
    height, width = ids.shape
    ahead = np.empty(width, np.int64)
    for y in range(height):
        row = ids[y]
        following = -1
        for x in range(width - 1, -1, -1):
            following = x if row[x] > 0 else following
            ahead[x] = following
        last, last_id = -1, np.uint32(0)
        for x in range(width):
            if row[x] > 0:
                last, last_id = x, row[x]
                squared[y, x] = 0.0
                continue
            best, mine = np.inf, np.uint32(0)
            if last >= 0:
                way = ((x - last) * step) * ((x - last) * step)
                if way <= furthest:
                    best, mine = way, last_id
            if ahead[x] >= 0:
                way = ((ahead[x] - x) * step) * ((ahead[x] - x) * step)
                there = row[ahead[x]]
                if way <= furthest and (way < best or (way == best and there < mine)):
                    best, mine = way, there
            squared[y, x], row[x] = best, mine


@compiled
def _nearest(
    squared: NDArray[np.float64], ids: NDArray[np.uint32], step: float, furthest: float,
    found: NDArray[np.float64], owner: NDArray[np.uint32],
) -> None:  # fmt: skip
    before, length, after = squared.shape
    for a in range(before):
        for i in range(length):
            for b in range(after):
                best, mine = squared[a, i, b], ids[a, i, b]
                k = 1
                while k < length:
                    way = (k * step) * (k * step)
                    if way > best or way > furthest:
                        break
                    for j in (i - k, i + k):
                        if 0 <= j < length and ids[a, j, b] > 0:
                            there = squared[a, j, b] + way
                            if there <= furthest and (there < best or (there == best and ids[a, j, b] < mine)):
                                best, mine = there, ids[a, j, b]
                    k += 1
                found[a, i, b], owner[a, i, b] = best, mine


@compiled
def _way_out(
    squared: NDArray[np.float64], labels: NDArray[np.uint32], step: float, furthest: float, found: NDArray[np.float64]
) -> None:
    before, length, after = squared.shape
    for a in range(before):
        for i in range(length):
            for b in range(after):
                best, mine = squared[a, i, b], labels[a, i, b]
                back, forth = True, True
                k = 1
                while k < length and (back or forth):
                    way = (k * step) * (k * step)
                    if way >= best or way > furthest:
                        break
                    if back:
                        j = i - k
                        back = j >= 0 and labels[a, j, b] == mine
                        if j >= 0:
                            best = min(best, way + (squared[a, j, b] if back else 0.0))
                    if forth:
                        j = i + k
                        forth = j < length and labels[a, j, b] == mine
                        if j < length:
                            best = min(best, way + (squared[a, j, b] if forth else 0.0))
                    k += 1
                found[a, i, b] = best if best <= furthest else np.inf

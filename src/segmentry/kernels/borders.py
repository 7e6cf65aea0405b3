"""The borders of all objects of a label image, followed along the edges between pixels.

The walk keeps a piece's pixels on its right, and turns right where two of them meet only at a corner; where one ring
would thereby pass a corner twice, it is split there. So every ring is simple, and rings touch each other in single
points at most. A corner is named by the place, in the padded image laid flat, of the pixel to its north-west.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.components import connected_runs
from segmentry.kernels.jit import compiled
from segmentry.kernels.prefetch import prefetch

__all__ = ["trace_borders"]

#: Marks, in the padded image, the pixels whose top edge was followed; the other bits are the id.
SEEN = np.uint32(2**31)
ID = np.uint32(2**31 - 1)
#: How many rows below those that are searched for borders memory is asked for: about the height of an object.
AHEAD = 32


def trace_borders(labels: NDArray[np.uint32]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Follow the borders of all objects.

    Parameters
    ----------
    labels : (Y, X) array

    Returns
    -------
    points : (N, 2) array
        The corners (y, x) of all rings, those of holes anticlockwise.
    rings : (R + 1,) array
        Ring i has the points ``rings[i]`` … ``rings[i + 1] - 1``.
    owners : (R, 3) array
        The object of each ring, the 4-connected piece of it, numbered in raster order of their first pixels, and
        whether the ring is a hole. The rings are sorted by these.
    """
    if labels.max(initial=0) >= SEEN:
        ids, fewer = np.unique(np.append(labels, np.uint32(0)), return_inverse=True)
        points, rings, owners = trace_borders(fewer[:-1].astype(np.uint32).reshape(labels.shape))
        owners[:, 0] = ids[owners[:, 0]]
        return points, rings, owners
    padded = np.zeros((labels.shape[0] + 2, labels.shape[1] + 2), np.uint32)
    padded[1:-1, 1:-1] = labels
    total = int(_count_corners(padded))
    points, path = np.empty((total, 2), np.int32), np.empty(total, np.int32)
    rings = np.zeros(total // 4 + 1, np.int64)
    owners = np.empty((total // 4, 3), np.int64)
    n = int(_trace(padded, path, points, rings, owners))
    rings, owners = rings[: n + 1], owners[:n]
    holes = owners[:, 2] == 1
    owners[~holes, 1] = np.arange(1, n + 1 - np.count_nonzero(holes))
    if holes.any():
        owners[holes, 1] = _pieces_around(labels, points, rings[:-1][holes], rings[1:][holes])
    order = np.lexsort(owners.T[::-1])
    if np.all(order[1:] > order[:-1]):
        return points, rings, owners
    arranged = np.empty_like(points)
    _arrange(points, rings, order, arranged)
    return arranged, np.append(0, np.cumsum(np.diff(rings)[order])), owners[order]


def _pieces_around(
    labels: NDArray[np.uint32], points: NDArray[np.int32], starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> NDArray[np.uint32]:
    """Return the 4-connected piece around each hole, numbered in raster order of their first pixels."""
    runs = connected_runs(labels, full=False)
    width = labels.shape[1]
    begins = np.repeat(np.arange(labels.shape[0]), np.diff(runs.rows)) * width + runs.start
    pixels = _pixels_above(labels, points, starts, stops)
    return runs.ids[np.searchsorted(begins, pixels, side="right") - 1]


@compiled
def _count_corners(padded: NDArray[np.uint32]) -> int:
    """Count the corners of all rings: two for each straight stretch along the top or the bottom of a piece."""
    stretches = 0
    for y in range(1, padded.shape[0]):
        above, above_left, below, below_left = padded[y - 1, 1:], padded[y - 1, :-1], padded[y, 1:], padded[y, :-1]
        row = 0
        for x in range(above.size):
            a, b, left, right = above[x], below[x], above_left[x], below_left[x]
            top = (b != 0) & ((right != b) | (left == b))
            bottom = (a != 0) & ((left != a) | (right == a))
            row += int((a != b) & top) + int((a != b) & bottom)
        stretches += row
    return 2 * stretches


@compiled
def _starts(padded: NDArray[np.uint32], y: int, flags: NDArray[np.uint8]) -> None:
    """Flag the corners of a row at which a straight stretch along the top of a piece begins that was not followed."""
    above, above_left, below, below_left = padded[y, 1:], padded[y, :-1], padded[y + 1, 1:], padded[y + 1, :-1]
    for x in range(above.size):
        a, b, left, right = above[x] & ID, below[x], above_left[x] & ID, below_left[x] & ID
        flags[x] = (a != b) & (b != 0) & (b < SEEN) & ((right != b) | (left == b))


@compiled
def _trace(
    padded: NDArray[np.uint32], path: NDArray[np.int32], points: NDArray[np.int32], rings: NDArray[np.int64],
    owners: NDArray[np.int64],
) -> int:  # fmt: skip
    """Follow every border once, from its first top edge in raster order; return the number of rings."""
    height, width = padded.shape
    flat = padded.ravel()
    flags = np.zeros((width + 7) // 8 * 8, np.uint8)
    eights = flags.view(np.uint64)
    visits = np.empty(flat.size, np.int32)
    n = 0
    for y in range(height - 1):
        for place in range((y + AHEAD) * width, min(y + AHEAD + 1, height) * width, 16):
            prefetch(flat, place)
        _starts(padded, y, flags)
        for eight in range(eights.size):
            if eights[eight] == 0:
                continue
            for x in range(8 * eight, 8 * eight + 8):
                number = flat[(y + 1) * width + x + 1]
                if flags[x] != 0 and number < SEEN:
                    first = n
                    n = _follow(flat, width, y * width + x, visits, path, points, rings, owners, n)
                    owners[first:n, 0] = number
    return n


@compiled
def _follow(
    flat: NDArray[np.uint32], width: int, start: int, visits: NDArray[np.int32], path: NDArray[np.int32],
    points: NDArray[np.int32], rings: NDArray[np.int64], owners: NDArray[np.int64], n: int,
) -> int:  # fmt: skip
    """Walk once around from a corner, heading east; write the rings that the walk consists of after the first n.

    `visits` need not be set: a number in it counts only if it leads to the place in the path where the corner is.
    """
    corner = start
    number = flat[start + width + 1]
    ahead, aside = 1, width  # the step in the direction of the walk, and to the right of it
    path[0] = start
    length = 1
    while True:
        # Turns come without warning, so the loop has no branch for them: it costs less to write in vain.
        flat[(corner + width + 1) * int(ahead == 1)] |= SEEN
        corner += ahead
        right = int(flat[corner + ((width + 1 + ahead + aside) >> 1)] & ID == number)
        left = int(flat[corner + ((width + 1 + ahead - aside) >> 1)] & ID == number)
        path[length] = corner
        keep, turn = right * (1 - left), 1 - right * (1 + left)
        ahead, aside = keep * ahead + turn * aside, keep * aside - turn * ahead
        if corner == start and ahead == 1:
            return _keep(path, 0, length, width, points, rings, owners, n)
        if left > right:
            # Two pixels of the object meet at this corner only: the walk may have passed it, and is split if it has.
            before = 0 if corner == start else int(visits[corner])
            if 0 <= before < length and path[before] == corner:
                n = _keep(path, before, length, width, points, rings, owners, n)
                length = before
            visits[corner] = length
        length += 1 - keep


@compiled
def _keep(
    path: NDArray[np.int32], first: int, last: int, width: int, points: NDArray[np.int32], rings: NDArray[np.int64],
    owners: NDArray[np.int64], n: int,
) -> int:  # fmt: skip
    """Write a ring after the first n; one that runs anticlockwise on the screen is a hole."""
    at = rings[n] - first
    area = 0
    before = int(path[last - 1] // width)
    for i in range(first, last):
        y = int(path[i] // width)
        x = int(path[i] - y * width)
        area += x * (y - before)
        before = y
        points[at + i, 0], points[at + i, 1] = y, x
    rings[n + 1] = at + last
    owners[n, 2] = area < 0
    return n + 1


@compiled
def _pixels_above(
    labels: NDArray[np.uint32], points: NDArray[np.int32], starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return a pixel of the object around each hole, above the hole's highest edge, as its place in the flat image."""
    pixels = np.empty(starts.size, np.int64)
    for hole in range(starts.size):
        ring = points[starts[hole] : stops[hole]]
        highest = ring[:, 0].argmin()
        y, x = np.int64(ring[highest, 0]), np.int64(ring[highest, 1])
        # The edge goes east or west from this corner, where the pixel below it is in the hole.
        hole_is_west = labels[y, x - 1] != labels[y - 1, x - 1]
        pixels[hole] = (y - 1) * labels.shape[1] + (x - 1 if hole_is_west else x)
    return pixels


@compiled
def _arrange(
    points: NDArray[np.int32], rings: NDArray[np.int64], order: NDArray[np.int64], arranged: NDArray[np.int32]
) -> None:
    at = 0
    for ring in order:
        for i in range(rings[ring], rings[ring + 1]):
            arranged[at, 0], arranged[at, 1] = points[i, 0], points[i, 1]
            at += 1

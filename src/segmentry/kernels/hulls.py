"""Convex hulls of objects, exact: of the middles of all edges of their pixels.

Of each row of an object only the first and the last pixel matter. Positions are counted in half pixels, so that they
are integers: the pixel `i` reaches from `2 i` to `2 i + 2`. Rows are counted from the first of an object's box.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.calipers import polygon_widths
from segmentry.kernels.jit import compiled

__all__ = ["add_row_ends", "outermost", "polygons"]


@compiled
def add_row_ends(
    index: NDArray[np.uint32],
    margin: NDArray[np.int64],
    start: NDArray[np.int64],
    places: NDArray[np.int64],
    ends: NDArray[np.int32],
) -> None:
    """Widen the rows of each object to the pixels of a slab.

    Parameters
    ----------
    index : (Z, Y, X) array
        Number of the object at each pixel, 1 … n; 0 where there is none.
    margin : (3,) how many pixels of `index` along each axis, on either side, don't count
    start : (3,) position in the whole of the first pixel that counts
    places : (n + 1, 2) where the row at (0, 0) of each object would be, and how many rows on each plane follows
    ends : (rows, 2) array that is changed
        First and last pixel of each row of an object's box; the highest int32 and -1 where there is none yet.
    """
    depth, height, width = index.shape
    shift, stop = start[2] - margin[2], width - margin[2]
    for z in range(margin[0], depth - margin[0]):
        for y in range(margin[1], height - margin[1]):
            row = index[z, y]
            x = margin[2]
            while x < stop:
                k = row[x]
                begin = x
                x += 1
                while x < stop and row[x] == k:
                    x += 1
                if k == 0:
                    continue
                r = places[k, 0] + (z - margin[0] + start[0]) * places[k, 1] + y - margin[1] + start[1]
                ends[r, 0] = min(ends[r, 0], begin + shift)
                ends[r, 1] = max(ends[r, 1], x - 1 + shift)


@compiled
def polygons(
    shapes: NDArray[np.int64],
    first: NDArray[np.int64],
    ends: NDArray[np.int32],
    spacing: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:
    """Measure the hull of each object of one plane.

    Parameters
    ----------
    shapes : (n + 1, 3) lengths of the box of each object
    first : (n + 1,) number of its first row
    ends : (rows, 2) as of :func:`add_row_ends`
    spacing : (3,) size of a pixel along Z, Y and X
    found : (n + 1, 3) array that is filled
        Pixels whose centre lies in the hull or on its boundary; longest and shortest distance between two parallel
        lines that hold the hull between them.
    """
    most = 0
    for k in range(1, shapes.shape[0]):
        most = max(most, 2 * shapes[k, 1] + 1)
    left, right = np.empty(most, np.int64), np.empty(most, np.int64)
    near, far = np.empty((most, 2), np.int64), np.empty((most, 2), np.int64)
    ring = np.empty((2 * most, 2), np.int64)
    for k in range(1, shapes.shape[0]):
        rows = shapes[k, 1]
        _half_pixels(ends[first[k] : first[k] + rows], left, right)
        n = _side(left[: 2 * rows + 1], 1, near)
        m = _side(right[: 2 * rows + 1], -1, far)
        found[k, 0] = rows + _outermost(near[:n], -1) + _outermost(far[:m], 1)
        for i in range(n):
            ring[i, 0], ring[i, 1] = near[i, 0], near[i, 1]
        begin = 1 if far[0, 1] == near[0, 1] else 0
        stop = m - 1 if far[m - 1, 1] == near[n - 1, 1] else m
        for i in range(stop - 1, begin - 1, -1):
            ring[n, 0], ring[n, 1] = far[i, 0], far[i, 1]
            n += 1
        found[k, 1], found[k, 2] = polygon_widths(ring[:n], spacing[1], spacing[2])


@compiled
def _half_pixels(ends: NDArray[np.int32], left: NDArray[np.int64], right: NDArray[np.int64]) -> None:
    """Find the first and last middle of an edge in each row of half pixels; -1 where there is none.

    Parameters
    ----------
    ends : (rows, 2) first and last pixel of each row; the last is -1 where there is none
    left, right : arrays that are filled, of at least 2 rows + 1
        Rows of odd number go through the centres of pixels, the others between them.
    """
    rows = len(ends)
    left[: 2 * rows + 1] = -1
    right[: 2 * rows + 1] = -1
    for y in range(rows):
        if ends[y, 1] < 0:
            continue
        a, b = 2 * ends[y, 0] + 1, 2 * ends[y, 1] + 1
        left[2 * y + 1], right[2 * y + 1] = a - 1, b + 1
        above = left[2 * y]
        left[2 * y], right[2 * y] = a if above < 0 else min(a, above), max(b, right[2 * y])
        left[2 * y + 2], right[2 * y + 2] = a, b


@compiled
def _side(ends: NDArray[np.int64], sign: int, chain: NDArray[np.int64]) -> int:
    """Find the corners of the left side of a hull (sign 1) or of its right side (sign -1), from above to below.

    This is the monotone chain of Andrew (1979, doi:10.1016/0020-0190(79)90072-3): no corner lies between two others
    on a straight line.

    Parameters
    ----------
    ends : (rows,) position of the outermost point of each row; negative where there is none
    chain : array that is filled with row and position of corners

    Returns
    -------
    How many corners there are.
    """
    n = 0
    for y in range(ends.size):
        x = ends[y]
        if x < 0:
            continue
        while n >= 2:
            y0, x0 = chain[n - 2]
            y1, x1 = chain[n - 1]
            if sign * ((y1 - y0) * (x - x0) - (x1 - x0) * (y - y0)) > 0:
                break
            n -= 1
        chain[n, 0], chain[n, 1] = y, x
        n += 1
    return n


@compiled
def _outermost(chain: NDArray[np.int64], sign: int) -> float:
    """Return the sum over all rows of the last pixel inside the right side; of minus the first one inside the left.

    A quotient of integers below 2**53 is never rounded to a whole number that it is not.
    """
    total = 0.0
    for i in range(1, len(chain)):
        y0, x0 = chain[i - 1]
        dy, dx = chain[i, 0] - y0, chain[i, 1] - x0
        for y in range(y0 | 1, y0 + dy, 2):
            total += math.floor(sign * ((x0 - 1) * dy + dx * (y - y0)) / (2 * dy))
    return total


@compiled
def outermost(ends: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the middles of voxels' faces that may be corners of a hull: the corners of the hull in each plane.

    Parameters
    ----------
    ends : (Z, Y, 2) first and last voxel of each row; the last is -1 where there is none

    Returns
    -------
    (m, 3) array of Z, Y, X in half pixels; those of the first plane come first, those of the last one last
    """
    depth, height, _ = ends.shape
    rows = 2 * height + 1
    left, right = np.empty(rows, np.int64), np.empty(rows, np.int64)
    near, far = np.empty((rows, 2), np.int64), np.empty((rows, 2), np.int64)
    points = np.empty((16 * depth + 2 * rows, 3), np.int64)
    total = 0
    for z in range(2 * depth + 1):
        if z % 2:
            _half_pixels(ends[z // 2], left, right)
        else:
            left[:], right[:] = -1, -1
            for plane in range(max(z // 2 - 1, 0), min(z // 2 + 1, depth)):
                for y in range(height):
                    if ends[plane, y, 1] >= 0:
                        a, b, at = 2 * ends[plane, y, 0] + 1, 2 * ends[plane, y, 1] + 1, 2 * y + 1
                        left[at] = a if left[at] < 0 else min(a, left[at])
                        right[at] = max(b, right[at])
        n, m = _side(left, 1, near), _side(right, -1, far)
        if total + n + m > len(points):
            grown = np.empty((2 * len(points) + n + m, 3), np.int64)
            grown[:total] = points[:total]
            points = grown
        for i in range(n + m):
            corner = near[i] if i < n else far[i - n]
            points[total + i, 0], points[total + i, 1], points[total + i, 2] = z, corner[0], corner[1]
        total += n + m
    return points[:total]

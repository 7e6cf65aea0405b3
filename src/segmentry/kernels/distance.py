"""Exact Euclidean distance to the background, in two or three dimensions, with a spacing per axis.

Steps to the background are counted along the first axis; the other axes follow one by one. Where distances are short, a
line is compared with itself, shifted further and further; else its distances are the lower envelope of parabolas
(Felzenszwalb & Huttenlocher 2012, doi:10.4086/toc.2012.v008a019), stretch by stretch between pixels of the background.
The edge of the array is not background.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["distance_to_background", "distances_at"]

#: More steps than any array has: no background was met.
FAR = np.int32(2**30)
#: Distances of up to so many pixels are found by shifts, if after the first few of them none is longer.
SHIFTS = 24
CHECK = 6
#: Some places of a line are looked at one by one if that takes fewer steps than so many times its length.
FEW = 8
#: Columns that are turned into rows at once.
BAND = 16


def distance_to_background(mask: NDArray[np.bool_], spacing: Sequence[float]) -> NDArray[np.float32]:
    """Return for each pixel of a mask how far the nearest pixel outside it is.

    Parameters
    ----------
    mask : (Y, X) or (Z, Y, X) bool array
    spacing
        Pixel size per axis; distances are in its unit.

    Returns
    -------
    float32 array of the same shape; 0 outside the mask, infinite where there is no background at all.
    """
    distance = np.empty(mask.shape, np.float32)
    if mask.size > 0:
        middle = mask.shape[1:-1] or (1,)
        volume = np.ascontiguousarray(mask).reshape(mask.shape[0], *middle, mask.shape[-1])
        found = distance.reshape(volume.shape)
        # Squares of 24 bits: sums of their multiples are exact, so that no result depends on where in the array it is.
        squares = np.array([spacing[0], spacing[-2], spacing[-1]], np.float64) ** 2
        counts = found.view(np.int32)
        _count(volume, counts)
        _measure(counts, squares.astype(np.float32).astype(np.float64), found)
    return distance


def distances_at(places: NDArray[np.bool_], mask: NDArray[np.bool_], spacing: Sequence[float]) -> NDArray[np.float64]:
    """Return for some pixels only, in raster order, how far the nearest pixel outside a mask is: in double precision.

    Parameters
    ----------
    places : (Y, X) or (Z, Y, X) bool array
        The pixels asked about.
    mask : bool array of the same shape
    spacing
        Pixel size per axis; distances are in its unit.

    Returns
    -------
    float64 array; 0 outside the mask, infinite where there is no background at all.
    """
    middle = mask.shape[1:-1] or (1,)
    volume = np.ascontiguousarray(mask).reshape(mask.shape[0], *middle, mask.shape[-1])
    asked = np.ascontiguousarray(places).reshape(volume.shape)
    per_plane = np.count_nonzero(asked, axis=(1, 2))
    found = np.empty(int(per_plane.sum()))
    if len(found):
        counts = np.empty(volume.shape, np.int32)
        _count(volume, counts)
        squares = np.array([spacing[0], spacing[-2], spacing[-1]], np.float64) ** 2
        _measure_some(counts, squares, asked, np.cumsum(per_plane) - per_plane, found)
    return found


@compiled
def _count(mask: NDArray[np.bool_], counts: NDArray[np.int32]) -> None:
    """Count the steps to the last background along the first axis."""
    depth, height, width = mask.shape
    for z in range(depth):
        for y in range(height):
            inside, row = mask[z, y], counts[z, y]
            if z == 0:
                for x in range(width):
                    row[x] = FAR if inside[x] else np.int32(0)
            else:
                before = counts[z - 1, y]
                for x in range(width):
                    row[x] = before[x] + np.int32(1) if inside[x] else np.int32(0)


@compiled
def _measure(counts: NDArray[np.int32], squares: NDArray[np.float64], distance: NDArray[np.float32]) -> None:
    """Turn counts, back to front, into the distances that take their place."""
    depth, height, width = counts.shape
    carried = np.full((height, width), FAR, np.int32)
    plane = np.empty((height, width))
    best = np.empty(width)
    scratch = np.empty((3, max(height, width) + 3))
    for z in range(depth - 1, -1, -1):
        _square(counts[z], carried, squares, plane, scratch)
        for y in range(height):
            _nearest(plane[y], squares[2], best, scratch)
            row = distance[z, y]
            for x in range(width):
                row[x] = np.sqrt(best[x])


@compiled
def _measure_some(
    counts: NDArray[np.int32],
    squares: NDArray[np.float64],
    asked: NDArray[np.bool_],
    first: NDArray[np.int64],
    found: NDArray[np.float64],
) -> None:
    """Turn counts, back to front, into the distances of the pixels asked about; `first` is the first of each plane."""
    depth, height, width = counts.shape
    carried = np.full((height, width), FAR, np.int32)
    plane = np.empty((height, width))
    best = np.empty(width)
    scratch = np.empty((3, max(height, width) + 3))
    for z in range(depth - 1, -1, -1):
        _square(counts[z], carried, squares, plane, scratch)
        n = first[z]
        for y in range(height):
            row, line = asked[z, y], plane[y]
            steps = _steps(row, line, squares[2])
            if steps < 0:
                continue
            if steps > FEW * width:
                _nearest(line, squares[2], best, scratch)
            for x in range(width):
                if row[x]:
                    found[n] = np.sqrt(best[x] if steps > FEW * width else _nearest_to(line, squares[2], x))
                    n += 1


@compiled
def _steps(asked: NDArray[np.bool_], line: NDArray[np.float64], square: float) -> float:
    """Return how many places need to be seen to find the nearest to each place asked about; -1 where there is none."""
    steps = -1.0
    for x in range(line.size):
        if asked[x]:
            steps = max(steps, 0.0) + min(np.sqrt(line[x] / square), line.size)
    return steps


@compiled
def _nearest_to(line: NDArray[np.float64], square: float, x: int) -> float:
    """Find for one place of a line the smallest sum of a value and the squared distance to it, from near to far."""
    least = line[x]
    shift = 1
    while shift * shift * square < least and (shift <= x or x + shift < line.size):
        if shift <= x:
            least = min(least, line[x - shift] + shift * shift * square)
        if x + shift < line.size:
            least = min(least, line[x + shift] + shift * shift * square)
        shift += 1
    return float(least)


@compiled
def _square(
    counts: NDArray[np.int32],
    carried: NDArray[np.int32],
    squares: NDArray[np.float64],
    plane: NDArray[np.float64],
    scratch: NDArray[np.float64],
) -> None:
    """Find the squared distances of a plane along all axes but the last, given the counts carried from behind it."""
    height, width = plane.shape
    for y in range(height):
        here, carry, row = counts[y], carried[y], plane[y]
        for x in range(width):
            n = min(here[x], carry[x] + np.int32(1))
            carry[x] = n
            row[x] = np.inf if n >= FAR else np.float64(n) * np.float64(n) * squares[0]
    if height > 1:
        _columns(plane, squares[1], scratch)


@compiled
def _columns(plane: NDArray[np.float64], square: float, scratch: NDArray[np.float64]) -> None:
    height, width = plane.shape
    band = np.empty((BAND, height))
    best = np.empty(height)
    for left in range(0, width, BAND):
        n = min(BAND, width - left)
        for y in range(height):
            for k in range(n):
                band[k, y] = plane[y, left + k]
        for k in range(n):
            _nearest(band[k], square, best, scratch)
            for y in range(height):
                band[k, y] = best[y]
        for y in range(height):
            for k in range(n):
                plane[y, left + k] = band[k, y]


@compiled
def _nearest(line: NDArray[np.float64], square: float, best: NDArray[np.float64], scratch: NDArray[np.float64]) -> None:
    """Find for each place of a line the smallest sum of a value and the squared distance to it."""
    for x in range(line.size):
        best[x] = line[x]
    shift = 1
    while shift < line.size:
        if shift % CHECK == 1:
            if not _exceeds(best, shift * shift * square):
                return
            if shift > CHECK and _exceeds(best, SHIFTS * SHIFTS * square):
                _envelopes(line, square, best, scratch)
                return
        _shorten(best[shift:], line[: line.size - shift], shift * shift * square)
        _shorten(best[: line.size - shift], line[shift:], shift * shift * square)
        shift += 1


@compiled
def _exceeds(line: NDArray[np.float64], limit: float) -> bool:
    found = False
    for x in range(line.size):
        found |= line[x] > limit
    return found


@compiled
def _shorten(best: NDArray[np.float64], line: NDArray[np.float64], further: float) -> None:
    for x in range(best.size):
        best[x] = min(best[x], line[x] + further)


@compiled
def _envelopes(
    line: NDArray[np.float64], square: float, best: NDArray[np.float64], scratch: NDArray[np.float64]
) -> None:
    """Do so for each stretch of values above 0, together with the 0 at either end."""
    x = 0
    while x < line.size:
        if line[x] == 0:
            x += 1
            continue
        first = max(x - 1, 0)
        while x < line.size and line[x] > 0:
            x += 1
        last = min(x + 1, line.size)
        _envelope(line[first:last], square, best[first:last], scratch)


@compiled
def _envelope(
    line: NDArray[np.float64], square: float, best: NDArray[np.float64], scratch: NDArray[np.float64]
) -> None:
    """Find the lower envelope of the parabolas that stand on the values of a line, and read it at each place."""
    apex, begin, height = scratch[0], scratch[1], scratch[2]
    top = -1
    for x in range(line.size):
        if line[x] == np.inf:
            continue
        own = line[x] / square + x * x
        start = -1.0
        while top >= 0:
            start = (own - height[top]) / (2 * (x - apex[top]))
            if start > begin[top]:
                break
            top -= 1
            start = -1.0
        top += 1
        apex[top], begin[top], height[top] = x, start, own
    if top < 0:
        return
    begin[top + 1] = np.inf
    k = 0
    for x in range(line.size):
        while begin[k + 1] < x:
            k += 1
        away = x - apex[k]
        best[x] = away * away * square + line[int(apex[k])]

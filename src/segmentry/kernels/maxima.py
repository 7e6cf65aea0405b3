"""Local maxima: the pixels of an array that nothing in a box around them exceeds.

A pixel is first compared with its nearest neighbours, which few survive; the box around those is searched outwards from
the middle, until something higher is met. So the cost hardly depends on the size of the box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.errors import InputError
from segmentry.kernels.jit import compiled

__all__ = ["local_maxima"]

#: The kernel loops over this many axes; arrays of fewer get leading axes of one.
AXES = 4


def local_maxima(values: NDArray[np.float32], radius: Sequence[int], threshold: float = -math.inf) -> NDArray[np.int64]:
    """Find the pixels that are the highest of a box around them.

    A pixel counts when it lies above the threshold, no pixel of the box exceeds it, and no pixel of the box that comes
    before it in raster order equals it. So no maximum lies in the box of another, a plateau counts once (at its first
    pixel; a bent one that is wider than the box, at the first pixel of each of its arms), and whether a pixel counts
    depends on its box alone. The box is cut off at the edges of the array. NaN is neither a maximum nor an obstacle.

    Parameters
    ----------
    values : float32 array of one to four dimensions
        For instance (Y, X), (Z, Y, X), or a stack of scales (S, Z, Y, X).
    radius
        How far the box reaches from its middle pixel along each axis, in pixels; 0 compares nothing along it.
    threshold
        Maxima are higher than this.

    Returns
    -------
    (n, dimensions) int64 array of positions in raster order.

    Raises
    ------
    InputError
        When the array has more than four dimensions, or the radii are not one number ≥ 0 for each of them.

    Examples
    --------
    >>> local_maxima(np.array([[1, 3, 3, 0, 2]], np.float32), radius=(1, 1)).tolist()
    [[0, 1], [0, 4]]
    """
    if not 1 <= values.ndim <= AXES:
        raise InputError(f"local maxima are found in one to {AXES} dimensions, not in {values.ndim}")
    if len(radius) != values.ndim or min(radius) < 0:
        raise InputError(f"local maxima in {values.ndim} dimensions need as many radii of 0 or more, not {radius}")
    lead = (1,) * (AXES - values.ndim)
    stack = np.ascontiguousarray(values, np.float32).reshape(lead + values.shape)
    reach = np.array((0,) * len(lead) + tuple(radius), np.int64)
    peaks = np.zeros(stack.shape, np.bool_)
    _mark(stack, reach, np.float32(threshold), peaks)
    return np.stack(np.unravel_index(np.flatnonzero(peaks), values.shape), axis=1)


@compiled
def _mark(values: NDArray[np.float32], reach: NDArray[np.int64], threshold: Any, peaks: NDArray[np.bool_]) -> None:
    frames, depth, height, width = values.shape
    nothing = np.full(width, np.nan, np.float32)
    flags = np.zeros((width + 7) // 8 * 8, np.uint8)
    eights = flags.view(np.uint64)
    for t in range(frames):
        for z in range(depth):
            for y in range(height):
                row = values[t, z, y]
                above = values[t, z, y - 1] if reach[2] > 0 and y > 0 else nothing
                below = values[t, z, y + 1] if reach[2] > 0 and y + 1 < height else nothing
                _candidates(row, above, below, threshold, flags)
                if reach[3] > 0:
                    _drop_lower(row[:-1], row[1:], flags)
                for eight in range(eights.size):
                    if eights[eight] != 0:
                        for x in range(8 * eight, min(8 * eight + 8, width)):
                            peaks[t, z, y, x] = flags[x] != 0 and _is_highest(values, reach, t, z, y, x)


@compiled
def _candidates(
    row: NDArray[np.float32], above: NDArray[np.float32], below: NDArray[np.float32], threshold: Any,
    flags: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Flag what is above the threshold and higher than the pixels above and below it."""
    for x in range(row.size):
        value = row[x]
        flags[x] = np.uint8(value > threshold) & np.uint8(not above[x] >= value) & np.uint8(not below[x] > value)


@compiled
def _drop_lower(left: NDArray[np.float32], right: NDArray[np.float32], flags: NDArray[np.uint8]) -> None:
    """Take back what the pixel beside it exceeds, or equals when it comes first."""
    ours, theirs = flags[1:], flags[:-1]
    for x in range(left.size):
        ours[x] &= np.uint8(not left[x] >= right[x])
    for x in range(left.size):
        theirs[x] &= np.uint8(not right[x] > left[x])


@compiled
def _outwards(k: int) -> int:
    """Count away from zero on both sides: 0, -1, 1, -2, 2 for k from 0 to 4."""
    return -((k + 1) // 2) if k % 2 else k // 2


@compiled
def _is_highest(values: NDArray[np.float32], reach: NDArray[np.int64], t: int, z: int, y: int, x: int) -> bool:
    """Search the box around a pixel, row by row from its middle, for one that exceeds it, or equals it and is first."""
    frames, depth, height, width = values.shape
    value = values[t, z, y, x]
    start, stop = max(0, x - reach[3]), min(width, x + reach[3] + 1)
    for i in range(2 * reach[0] + 1):
        t2 = t + _outwards(i)
        if not 0 <= t2 < frames:
            continue
        for j in range(2 * reach[1] + 1):
            z2 = z + _outwards(j)
            if not 0 <= z2 < depth:
                continue
            for k in range(2 * reach[2] + 1):
                y2 = y + _outwards(k)
                if not 0 <= y2 < height:
                    continue
                lines = ((t2 - t) * depth + z2 - z) * height + y2 - y
                # What comes before this place in the row comes before the pixel in raster order.
                here = x if lines == 0 else (stop if lines < 0 else start)
                for x2 in range(start, here):
                    if values[t2, z2, y2, x2] >= value:
                        return False
                for x2 in range(here, stop):
                    if values[t2, z2, y2, x2] > value:
                        return False
    return True

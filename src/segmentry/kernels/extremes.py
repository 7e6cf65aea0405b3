"""Lowest and highest values in the box around each pixel, at the same cost for a box of any size.

Along rows by doubling (the lowest of 2, 4, 8 … neighbours), along other axes by van Herk's scheme (1992,
doi:10.1016/0167-8655(92)90069-C): three comparisons a pixel, many columns at once. A box is cut off where the array
ends, which is the same as mirrored edges.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["running_maximum", "running_minimum"]

#: Columns that are done together.
BLOCK = 512


def running_minimum(pixels: NDArray[np.float32], radius: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the lowest value in the box around each pixel.

    Parameters
    ----------
    pixels : float32 array
    radius
        Half the width of the box along each axis; it may exceed the array.
    """
    return _running(pixels, radius, 1)


def running_maximum(pixels: NDArray[np.float32], radius: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the highest value in the box around each pixel (parameters as of `running_minimum`)."""
    return _running(pixels, radius, -1)


def _running(pixels: NDArray[np.float32], radius: tuple[int, ...], sign: int) -> NDArray[np.float32]:
    """Return the lowest values, or the highest where the sign is -1: these are the lowest of the image turned over."""
    extreme = np.ascontiguousarray(pixels)
    for axis, reach in enumerate(radius):
        n = pixels.shape[axis]
        r = min(reach, n - 1)
        if r < 1:
            continue
        source = extreme.reshape(-1, n, int(np.prod(pixels.shape[axis + 1 :])))
        found = np.empty_like(source)
        if source.shape[2] == 1:
            _along_rows(source.reshape(-1, n), r, np.float32(sign), found.reshape(-1, n))
        else:
            _along_columns(source, r, np.float32(sign), found)
        extreme = found.reshape(pixels.shape)
    return extreme


@compiled
def _along_rows(source: NDArray[np.float32], radius: int, sign: np.float32, found: NDArray[np.float32]) -> None:
    n = source.shape[1]
    full = 2 * radius + 1
    size = n + 2 * radius
    lows = np.full((2, size), np.float32(np.inf), np.float32)
    for y in range(source.shape[0]):
        row, out = source[y], found[y]
        now = 0
        start = lows[now]
        start[:radius] = np.float32(np.inf)
        start[radius + n :] = np.float32(np.inf)
        for x in range(n):
            start[radius + x] = sign * row[x]
        length = 1
        while 2 * length <= full:
            count = size - 2 * length + 1
            here, there, target = lows[now], lows[now][length:], lows[1 - now]
            for x in range(count):
                target[x] = min(here[x], there[x])
            now = 1 - now
            length *= 2
        here, there = lows[now], lows[now][full - length :]
        for x in range(n):
            out[x] = sign * min(here[x], there[x])


@compiled
def _along_columns(source: NDArray[np.float32], radius: int, sign: np.float32, found: NDArray[np.float32]) -> None:
    """Go along the middle axis in chunks as long as a box: a box is the end of one chunk and the start of the next."""
    outer, n, inner = source.shape
    full = 2 * radius + 1
    ends = np.empty((full, BLOCK), np.float32)
    start = np.empty(BLOCK, np.float32)
    for o in range(outer):
        for first in range(0, inner, BLOCK):
            width = min(BLOCK, inner - first)
            for chunk in range(0, n, full):
                before = start[:width]
                before[:] = np.float32(np.inf)
                for j in range(full - 1, -1, -1):
                    y = chunk + j - radius
                    end = ends[j][:width]
                    if 0 <= y < n:
                        row = source[o, y][first : first + width]
                        for x in range(width):
                            end[x] = min(before[x], sign * row[x])
                    else:
                        end[:] = before
                    before = end
                after = start[:width]
                after[:] = np.float32(np.inf)
                for j in range(min(full, n - chunk)):
                    end = ends[j][:width]
                    out = found[o, chunk + j][first : first + width]
                    for x in range(width):
                        out[x] = sign * min(end[x], after[x])
                    y = chunk + j + radius + 1
                    if y < n:
                        row = source[o, y][first : first + width]
                        for x in range(width):
                            after[x] = min(after[x], sign * row[x])

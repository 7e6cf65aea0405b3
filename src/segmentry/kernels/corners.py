"""How the pixels around each corner of pixels belong to objects: what crossings of lines and holes are counted from.

The pixels that meet at a corner are a window of 2 x 2, or in three dimensions 2 x 2 x 2. Its pattern for an object has
a bit for each pixel of the window, in raster order, that is of the object. Windows inside an object, where all pixels
are the same, are passed over: they add nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled
from segmentry.kernels.marks import marked

__all__ = ["count_cubes", "count_quads"]


@compiled
def count_quads(
    index: NDArray[np.uint32], margin: NDArray[np.int64], last: NDArray[np.int64], counts: NDArray[np.int64]
) -> None:
    """Add, for each object, the windows of each pattern in a plane.

    Parameters
    ----------
    index : (1, Y, X) array
        Number of the object at each pixel, 1 … n; 0 where there is none.
    margin : (3,) array
        How many pixels along each axis, on either side, are there only to be looked at: at least one along Y and X.
    last : (3,) array
        Per axis, 1 where the corners behind the last pixels are counted too, those of the far edge of the image.
    counts : (n + 1, 16) array that is added to
        Row 0 means nothing.
    """
    _, height, width = index.shape
    flat = index.ravel()
    size = width - 2 * margin[2] + last[2]
    marks, places = np.empty(size, np.uint8), np.empty(size + 1, np.int64)
    for y in range(margin[1], height - margin[1] + last[1]):
        begin = y * width + margin[2]
        marks[:] = 0
        _mark(flat, begin, begin - width, marks)
        for t in range(marked(marks, places)):
            i = begin + places[t]
            _count_quad(flat[i - width - 1], flat[i - width], flat[i - 1], flat[i], counts)


@compiled
def _mark(flat: NDArray[np.uint32], begin: int, before: int, marks: NDArray[np.uint8]) -> None:
    """Mark where the pixels of two rows, with those to the left of them, are not all the same."""
    size = marks.size
    here, left = flat[begin : begin + size], flat[begin - 1 : begin - 1 + size]
    there, aside = flat[before : before + size], flat[before - 1 : before - 1 + size]
    for x in range(size):
        marks[x] |= (left[x] != here[x]) | (there[x] != here[x]) | (aside[x] != here[x])


@compiled
def _count_quad(a: int, b: int, c: int, d: int, counts: NDArray[np.int64]) -> None:
    """Count a window of pixels that are not all the same, of which there are mostly two kinds."""
    same_a, same_b, same_c = int(a == d), int(b == d), int(c == d)
    other = (c if same_b else b) if same_a else a
    pattern = same_a | same_b << 1 | same_c << 2 | 8
    others = int(a == other) | int(b == other) << 1 | int(c == other) << 2
    counts[d, pattern] += 1
    counts[other, others] += 1
    left = 15 - pattern - others
    if left:
        # A third kind has c, unless c is of another; a fourth can only be c.
        third = b if left & 2 else c
        pattern = int(b == third) << 1 | int(c == third) << 2
        counts[third, pattern] += 1
        if left != pattern:
            counts[c, 4] += 1


@compiled
def count_cubes(
    index: NDArray[np.uint32], margin: NDArray[np.int64], last: NDArray[np.int64], table: NDArray[np.int8],
    counts: NDArray[np.int64],
) -> None:  # fmt: skip
    """Add, for each object, what the patterns of its windows in space stand for.

    Parameters
    ----------
    index : (Z, Y, X) array
        Number of the object at each pixel, 1 … n; 0 where there is none.
    margin, last
        As in :func:`count_quads`, with a margin along Z too.
    table : (256, m) array
        What each pattern adds.
    counts : (n + 1, m) array that is added to
    """
    depth, height, width = index.shape
    flat = index.ravel()
    plane = height * width
    size = width - 2 * margin[2] + last[2]
    marks, places = np.empty(size, np.uint8), np.empty(size + 1, np.int64)
    window = np.empty(8, np.uint32)
    lowest = np.zeros(256, np.int64)
    for pattern in range(2, 256, 2):
        lowest[pattern] = lowest[pattern >> 1] + 1
    for z in range(margin[0], depth - margin[0] + last[0]):
        for y in range(margin[1], height - margin[1] + last[1]):
            begin = (z * height + y) * width + margin[2]
            marks[:] = 0
            for before in (begin - width, begin - plane, begin - plane - width):
                _mark(flat, begin, before, marks)
            for t in range(marked(marks, places)):
                i = begin + places[t]
                window[0], window[1] = flat[i - plane - width - 1], flat[i - plane - width]
                window[2], window[3] = flat[i - plane - 1], flat[i - plane]
                window[4], window[5] = flat[i - width - 1], flat[i - width]
                window[6], window[7] = flat[i - 1], flat[i]
                _count_cube(window, lowest, table, counts)


@compiled
def _count_cube(
    window: NDArray[np.uint32], lowest: NDArray[np.int64], table: NDArray[np.int8], counts: NDArray[np.int64]
) -> None:
    left = 0
    for bit in range(8):
        left |= int(window[bit] != 0) << bit
    while left:
        k = window[lowest[left]]
        pattern = 0
        for bit in range(8):
            pattern |= int(window[bit] == k) << bit
        left &= ~pattern
        for m in range(table.shape[1]):
            counts[k, m] += table[pattern, m]

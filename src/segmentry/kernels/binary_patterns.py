"""Local binary patterns (Ojala 2002): how the eight neighbours of a pixel compare with it, counted by object.

Diagonal neighbours lie on the circle of radius 1, between four pixels. Only differences from the pixel are weighed, by
whole numbers, so that equal pixels are equal wherever they lie.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["N_CODES", "count_patterns", "uniform_codes"]

N_CODES = 10
#: The square root of 1/2 to five decimals, and what is left of 1, as whole numbers.
FAR, NEAR = 70_711.0, 29_289.0
#: The pattern of a pixel that is not finite, or has such a neighbour.
UNKNOWN = 256


def uniform_codes() -> NDArray[np.uint8]:
    """Return the code of each of the 256 patterns of eight bits in a circle, and 10 for what is not known.

    Where the bits change at most twice around the circle it is the number of bits that are set, otherwise 9.
    """
    bits = np.arange(UNKNOWN)[:, None] >> np.arange(8) & 1
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    return np.append(np.where(changes <= 2, bits.sum(axis=1), N_CODES - 1), N_CODES).astype(np.uint8)


@compiled
def count_patterns(
    index: NDArray[np.uint32],
    margin: NDArray[np.int64],
    pixels: NDArray[Any],
    inset: NDArray[np.int64],
    codes: NDArray[np.uint8],
    counts: NDArray[np.int64],
) -> None:
    """Add how often each code occurs in each object, in planes along Y and X.

    Parameters
    ----------
    index : (Z, Y, X) array with a margin
        Number of the object at each pixel, 1 … n; 0 where there is none.
    margin : (3,) pixels of `index` on either side that are not counted
    pixels : (Z, Y, X) array
        Intensities of what is counted, and of a pixel on each side along Y and X, or not where the image ends: beyond
        it is 0.
    inset : (3,) place in `pixels` of the first pixel that is counted
    codes : as :func:`uniform_codes` gives them
    counts : (n + 1, 11) array that is added to
    """
    depth, height, width = index.shape
    height, width = height - 2 * margin[1], width - 2 * margin[2]
    rows = np.empty((3, width + 2))
    patterns = np.empty(width, np.uint16)
    for z in range(depth - 2 * margin[0]):
        plane = pixels[z + inset[0]]
        _load(plane, inset[1] - 1, inset[2] - 1, rows[0])
        _load(plane, inset[1], inset[2] - 1, rows[1])
        for y in range(height):
            _load(plane, inset[1] + y + 1, inset[2] - 1, rows[(y + 2) % 3])
            numbers = index[z + margin[0], y + margin[1], margin[2] : margin[2] + width]
            first, stop = 0, width
            while first < stop and numbers[first] == 0:
                first += 1
            while stop > first and numbers[stop - 1] == 0:
                stop -= 1
            if first == stop:
                continue
            _find_patterns(rows[y % 3], rows[(y + 1) % 3], rows[(y + 2) % 3], first, stop, patterns)
            for x in range(first, stop):
                if numbers[x]:
                    counts[numbers[x], codes[patterns[x]]] += 1


@compiled
def _load(plane: NDArray[Any], y: int, left: int, row: NDArray[np.float64]) -> None:
    """Copy a row of pixels from column `left` on, 0 beyond the image, NaN where they are not finite."""
    row[:] = 0
    if 0 <= y < plane.shape[0]:
        source = plane[y]
        for x in range(max(0, -left), min(row.size, source.size - left)):
            value = np.float64(source[x + left])
            row[x] = value if np.isfinite(value) else np.nan


@compiled
def _find_patterns(
    above: NDArray[np.float64],
    here: NDArray[np.float64],
    below: NDArray[np.float64],
    first: int,
    stop: int,
    patterns: NDArray[np.uint16],
) -> None:
    for x in range(first, stop):
        own = here[x + 1]
        west, east, north, south = here[x] - own, here[x + 2] - own, above[x + 1] - own, below[x + 1] - own
        northeast = FAR * (above[x + 2] - own) + NEAR * (north + east)
        northwest = FAR * (above[x] - own) + NEAR * (north + west)
        southwest = FAR * (below[x] - own) + NEAR * (south + west)
        southeast = FAR * (below[x + 2] - own) + NEAR * (south + east)
        bits = (east >= 0) | (northeast >= 0) << 1 | (north >= 0) << 2 | (northwest >= 0) << 3
        bits |= (west >= 0) << 4 | (southwest >= 0) << 5 | (south >= 0) << 6 | (southeast >= 0) << 7
        patterns[x] = UNKNOWN if np.isnan(northeast + northwest + southwest + southeast) else bits

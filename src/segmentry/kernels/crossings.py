"""How often straight lines through the pixels of an image enter or leave each object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["count_crossings"]


def count_crossings(
    index: NDArray[np.uint32], margin: tuple[int, ...], steps: NDArray[np.int64], counts: NDArray[np.int64]
) -> None:
    """Add, for each object and each direction, the pixels whose next neighbour that way is not of the object.

    Parameters
    ----------
    index : (Z, Y, X) array
        Number of the object at each pixel, 1 … n; 0 where there is none.
    margin
        How many pixels along each axis, on either side, are there only to be looked at; no step is longer.
    steps : (m, 3) array
        From a pixel to the next on a line, along Z, Y and X; both ways are gone.
    counts : (n + 1, m) array that is added to
    """
    _, height, width = index.shape
    offsets = (steps[:, 0] * height + steps[:, 1]) * width + steps[:, 2]
    _count(np.ascontiguousarray(index), np.array(margin, np.int64), offsets, counts)


@compiled
def _count(
    index: NDArray[np.uint32], margin: NDArray[np.int64], offsets: NDArray[np.int64], counts: NDArray[np.int64]
) -> None:
    depth, height, width = index.shape
    flat = index.ravel()
    for z in range(margin[0], depth - margin[0]):
        for y in range(margin[1], height - margin[1]):
            row = (z * height + y) * width
            for i in range(row + margin[2], row + width - margin[2]):
                k = flat[i]
                if k == 0:
                    continue
                for m in range(offsets.size):
                    if flat[i + offsets[m]] != k:
                        counts[k, m] += 1
                    if flat[i - offsets[m]] != k:
                        counts[k, m] += 1

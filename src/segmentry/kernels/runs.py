"""Runs of equal numbers along rows: most pixels of an object are told in one go."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["ends_of_runs", "find_runs"]


def find_runs(index: NDArray[np.uint32], margin: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return a row (number, z, y, start, stop) for each run of pixels of one object, in raster order.

    Parameters
    ----------
    index : (Z, Y, X) array
        Number of the object at each pixel, 1 … n; 0 where there is none.
    margin : (3,) array
        How many pixels on either side along each axis are left out; positions count from the first that is not.
    """
    runs, n = _find(index, margin)
    return runs[:n]


@compiled
def _find(index: NDArray[np.uint32], margin: NDArray[np.int64]) -> tuple[NDArray[np.int32], int]:
    depth, height, width = index.shape
    size = width - 2 * margin[2]
    ends = np.empty(size, np.int64)
    runs = np.empty((4096 + size, 5), np.int32)
    n = 0
    for z in range(depth - 2 * margin[0]):
        for y in range(height - 2 * margin[1]):
            row = index[z + margin[0], y + margin[1], margin[2] : margin[2] + size]
            if n + size > len(runs):
                runs = np.concatenate((runs, np.empty((len(runs) + size, 5), np.int32)))
            last = 0
            for run in range(ends_of_runs(row, ends)):
                first, last = last, ends[run]
                if row[first] > 0:
                    runs[n, 0], runs[n, 1], runs[n, 2] = row[first], z, y
                    runs[n, 3], runs[n, 4] = first, last
                    n += 1
    return runs, n


@compiled
def ends_of_runs(row: NDArray[np.uint32], ends: NDArray[np.int64]) -> int:
    """Write where each run of equal numbers of a row ends, and return how many runs there are.

    Without a branch, so that it takes the same short time however short the runs are.
    """
    n = 0
    for x in range(len(row) - 1):
        ends[n] = x + 1
        n += row[x] != row[x + 1]
    ends[n] = len(row)
    return n + 1

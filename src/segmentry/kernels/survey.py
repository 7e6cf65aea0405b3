"""Which ids a label image holds, how often, where first and in which box: in one pass, for any ids."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["survey_labels"]


def survey_labels(
    labels: NDArray[np.uint32],
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return what is there of each id of a label image.

    Parameters
    ----------
    labels : (Z, Y, X) uint32 array

    Returns
    -------
    ids : (n,) uint32 array, in order of first occurrence, without 0
    sizes : (n,) number of pixels
    first : (n,) flat index of the first pixel in raster order
    boxes : (n, 6) array: start along Z, Y, X and stop along Z, Y, X
    """
    ids, table, n = _survey(np.ascontiguousarray(labels))
    return ids[:n], table[:n, 0].copy(), table[:n, 1].copy(), table[:n, 2:].copy()


@compiled
def _slot(keys: NDArray[np.int64], ids: NDArray[np.uint32], label: int) -> np.int64:
    """Return where in the hash table a label is, or would go."""
    mask = keys.size - 1
    at = (np.int64(label) * 2654435761) & mask
    while keys[at] >= 0 and ids[keys[at]] != label:
        at = (at + 1) & mask
    return at


@compiled
def _survey(labels: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.int64], int]:
    depth, height, width = labels.shape
    capacity = 1024
    ids = np.empty(capacity, np.uint32)
    table = np.empty((capacity, 8), np.int64)
    keys = np.full(4 * capacity, -1, np.int64)
    n = 0
    for z in range(depth):
        for y in range(height):
            row = labels[z, y]
            x = 0
            while x < width:
                label = row[x]
                begin = x
                while x < width and row[x] == label:
                    x += 1
                if label == 0:
                    continue
                at = _slot(keys, ids, label)
                k = keys[at]
                if k < 0:
                    if n == capacity:
                        capacity *= 2
                        ids = np.concatenate((ids, np.empty(n, np.uint32)))
                        table = np.concatenate((table, np.empty((n, 8), np.int64)))
                        keys = np.full(4 * capacity, -1, np.int64)
                        for old in range(n):
                            keys[_slot(keys, ids, ids[old])] = old
                        at = _slot(keys, ids, label)
                    k = n
                    n += 1
                    keys[at] = k
                    ids[k] = label
                    table[k, 0] = 0
                    table[k, 1] = (z * height + y) * width + begin
                    table[k, 2], table[k, 3], table[k, 4] = z, y, begin
                    table[k, 5], table[k, 6], table[k, 7] = z + 1, y + 1, x
                entry: Any = table[k]
                entry[0] += x - begin
                entry[4] = min(entry[4], begin)
                entry[5], entry[6] = z + 1, max(entry[6], y + 1)
                entry[3] = min(entry[3], y)
                entry[7] = max(entry[7], x)
    return ids, table, n

"""How many pixels each object of one labelling shares with each of another: sparse, in one pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["count_overlaps"]


def count_overlaps(a: NDArray[np.uint32], b: NDArray[np.uint32], n_a: int) -> NDArray[np.int64]:
    """Return a row (number in `a`, number in `b`, shared pixels) per pair of objects that meet.

    Parameters
    ----------
    a, b : flat arrays of one length
        Numbers 1 … n, 0 where there is no object.
    n_a
        The highest number in `a`.
    """
    return np.asarray(_count(np.ascontiguousarray(a), np.ascontiguousarray(b), n_a))


@compiled
def _count(a: NDArray[np.uint32], b: NDArray[np.uint32], n_a: int) -> NDArray[np.int64]:
    head = np.full(n_a + 1, -1, np.int64)
    capacity = 2 * n_a + 1024
    pairs = np.empty((capacity, 3), np.int64)
    following = np.empty(capacity, np.int64)
    n = 0
    i = 0
    while i < a.size:
        one, other = a[i], b[i]
        begin = i
        while i < a.size and a[i] == one and b[i] == other:
            i += 1
        if one == 0 or other == 0:
            continue
        at = head[one]
        while at >= 0 and pairs[at, 1] != other:
            at = following[at]
        if at < 0:
            if n == capacity:
                capacity *= 2
                pairs = np.concatenate((pairs, np.empty((n, 3), np.int64)))
                following = np.concatenate((following, np.empty(n, np.int64)))
            at = n
            n += 1
            pairs[at, 0], pairs[at, 1], pairs[at, 2] = one, other, 0
            following[at] = head[one]
            head[one] = at
        pairs[at, 2] += i - begin
    return pairs[:n]

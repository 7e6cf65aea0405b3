"""How many pixels each id of one labelling shares with each of another: sparse, in one pass, for any ids.

Runs of one pair of ids are added up in a hash table that is carried from block to block, so that memory grows with the
pairs that meet, not with the pixels nor with the square of the objects.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["Overlaps", "count_overlaps"]


class Overlaps(NamedTuple):
    """The pairs of ids that meet, ascending by the first id, then by the second; 0 counts as an id.

    Parameters
    ----------
    first, second : (m,) uint32
        The id in either labelling.
    shared : (m,) int64
        Number of pixels that have both.
    """

    first: NDArray[np.uint32]
    second: NDArray[np.uint32]
    shared: NDArray[np.int64]


def count_overlaps(blocks: Iterable[tuple[NDArray[np.uint32], NDArray[np.uint32]]]) -> Overlaps:
    """Return all pairs of ids that meet, with the number of pixels they share.

    Parameters
    ----------
    blocks
        The two labellings, part by part; both arrays of a part have one shape.
    """
    # The bits of a pair of ids are its key. The pair of no object and no object has key 0, as have empty slots: it is
    # counted apart.
    keys = np.zeros(1 << 12, np.uint64)
    counts = np.zeros(1 << 12, np.int64)
    held = empty = 0
    for one, other in blocks:
        a, b = np.ascontiguousarray(one).ravel(), np.ascontiguousarray(other).ravel()
        keys, counts, held, background = _count(a, b, keys, counts, held)
        empty += background
    used = np.flatnonzero(keys)
    used = used[np.argsort(keys[used])]
    keys, counts = keys[used], counts[used]
    if empty:
        keys = np.concatenate((np.zeros(1, np.uint64), keys))
        counts = np.concatenate((np.array([empty], np.int64), counts))
    return Overlaps((keys >> np.uint64(32)).astype(np.uint32), keys.astype(np.uint32), counts)


@compiled
def _count(
    a: NDArray[np.uint32], b: NDArray[np.uint32], keys: NDArray[np.uint64], counts: NDArray[np.int64], held: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64], int, int]:
    """Add the runs of each pair to a table of `held` keys; return the table, its keys, and the pixels of no object."""
    empty = 0
    i = 0
    while i < a.size:
        one, other = a[i], b[i]
        begin = i
        i += 1
        while i < a.size and a[i] == one and b[i] == other:
            i += 1
        key = (np.uint64(one) << np.uint64(32)) | np.uint64(other)
        if key == 0:
            empty += i - begin
            continue
        at = _slot(keys, key)
        if keys[at] == 0:
            held += 1
            if 2 * held > keys.size:
                keys, counts = _doubled(keys, counts)
                at = _slot(keys, key)
            keys[at] = key
        counts[at] += i - begin
    return keys, counts, held, empty


@compiled
def _slot(keys: NDArray[np.uint64], key: np.uint64) -> np.int64:
    """Return where in a table (a power of 2 long) a key is, or would go."""
    mixed = key * np.uint64(0x9E3779B97F4A7C15)
    at = np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(keys.size - 1))
    while keys[at] != 0 and keys[at] != key:
        at = (at + 1) & (keys.size - 1)
    return at


@compiled
def _doubled(keys: NDArray[np.uint64], counts: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    larger = np.zeros(2 * keys.size, np.uint64)
    moved = np.zeros(2 * keys.size, np.int64)
    for i in range(keys.size):
        if keys[i] != 0:
            at = _slot(larger, keys[i])
            larger[at], moved[at] = keys[i], counts[i]
    return larger, moved

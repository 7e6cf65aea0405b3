"""Which objects touch, and how many faces of pixels they share: kept for the pairs that do touch only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled
from segmentry.kernels.marks import marked

__all__ = ["add_contacts", "no_contacts"]

#: Slots in the table for each pair that there is room for: so full it is at most that a search is short.
SLOTS = 4


def no_contacts(room: int = 1024) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64], int]:
    """Return the table of no pairs, to be added to; its parts are what :func:`add_contacts` returns."""
    return np.empty((room, 2), np.uint32), np.zeros((room, 3), np.int64), np.full(SLOTS * room, -1, np.int64), 0


@compiled
def add_contacts(
    index: NDArray[np.uint32], margin: NDArray[np.int64], pairs: NDArray[np.uint32], faces: NDArray[np.int64],
    slots: NDArray[np.int64], n: int,
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64], int]:  # fmt: skip
    """Add the faces between each pixel and those before it along Z, Y and X where both are of objects, but not of one.

    Parameters
    ----------
    index : (Z, Y, X) array
        Number of the object at each pixel, 1 … n; 0 where there is none.
    margin : (3,) array
        How many pixels along each axis, on either side, are there only to be looked at. Along an axis without margin
        no faces are counted.
    pairs : (room, 2) array
        The numbers of two objects that touch, the smaller first.
    faces : (room, 3) array
        How many faces across Z, Y and X they share.
    slots : (4 * room,) array
        Where each pair is found, by a hash of its numbers; -1 where there is none. The room is a power of two.
    n
        How many pairs there are.

    Returns
    -------
    pairs, faces, slots, n
        With more room where it was needed.
    """
    depth, height, width = index.shape
    flat = index.ravel()
    size = width - 2 * margin[2]
    back = (height * width * min(margin[0], 1), width * min(margin[1], 1), min(margin[2], 1))
    marks, places = np.empty(size, np.uint8), np.empty(size + 1, np.int64)
    for z in range(margin[0], depth - margin[0]):
        for y in range(margin[1], height - margin[1]):
            begin = (z * height + y) * width + margin[2]
            here = flat[begin : begin + size]
            marks[:] = 0
            for step in back:
                if step:
                    _mark(here, flat[begin - step : begin - step + size], marks)
            found = marked(marks, places)
            while n + 3 * found > pairs.shape[0]:
                pairs, faces, slots = _grown(pairs, faces, n)
            for axis, step in enumerate(back):
                if step:
                    before = flat[begin - step : begin - step + size]
                    n = _add_row(here, before, places[:found], pairs, faces[:, axis], slots, n)
    return pairs, faces, slots, n


@compiled
def _mark(here: NDArray[np.uint32], before: NDArray[np.uint32], marks: NDArray[np.uint8]) -> None:
    for x in range(marks.size):
        marks[x] |= (here[x] != before[x]) & (here[x] != 0) & (before[x] != 0)


@compiled
def _add_row(
    here: NDArray[np.uint32], before: NDArray[np.uint32], places: NDArray[np.int64], pairs: NDArray[np.uint32],
    faces: NDArray[np.int64], slots: NDArray[np.int64], n: int,
) -> int:  # fmt: skip
    """Add the faces between two rows at some places, for which there is room; return how many pairs there are."""
    at = 0
    for x in places:
        a, b = before[x], here[x]
        if a == b or not a:
            continue
        low, high = min(a, b), max(a, b)
        # The face before was mostly of the same pair.
        if n == 0 or pairs[at, 0] != low or pairs[at, 1] != high:
            slot = _slot(pairs, slots, low, high)
            if slots[slot] < 0:
                slots[slot] = n
                pairs[n, 0], pairs[n, 1] = low, high
                n += 1
            at = slots[slot]
        faces[at] += 1
    return n


@compiled
def _slot(pairs: NDArray[np.uint32], slots: NDArray[np.int64], a: int, b: int) -> np.int64:
    """Return where in the hash table a pair is, or would go."""
    mixed = np.int64(a) * 2654435761 + np.int64(b) * 2246822519
    at = (mixed ^ mixed >> 15) & (slots.size - 1)
    while slots[at] >= 0 and (pairs[slots[at], 0] != a or pairs[slots[at], 1] != b):
        at = (at + 1) & (slots.size - 1)
    return np.int64(at)


@compiled
def _grown(
    pairs: NDArray[np.uint32], faces: NDArray[np.int64], n: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
    """Return a table of n pairs with twice the room."""
    pairs = np.concatenate((pairs, np.empty_like(pairs)))
    faces = np.concatenate((faces, np.zeros_like(faces)))
    slots = np.full(SLOTS * pairs.shape[0], -1, np.int64)
    for i in range(n):
        slots[_slot(pairs, slots, pairs[i, 0], pairs[i, 1])] = i
    return pairs, faces, slots

"""The borders of all objects of a label image, followed along the edges between pixels.

One pass over the image notes for each corner of pixels in which directions borders leave it. Only these notes are
walked on, one byte each. The walk keeps a piece's pixels on its right, and turns right where two of them meet only at a
corner; where one ring would thereby pass a corner twice, it is split there. So every ring is simple, and rings touch
each other in single points at most.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.components import connected_runs
from segmentry.kernels.jit import compiled
from segmentry.kernels.prefetch import prefetch

__all__ = ["trace_borders"]

#: Bits of a corner's note. Borders go east, south, west and north (1, 2, 4, 8), and the pixels of one object face each
#: other: north-west and south-east, or north-east and south-west. Then, the top of an object begins here eastwards.
FALLING, RISING, TOP = np.uint8(16), np.uint8(32), np.uint8(64)
#: The same of eight corners.
TOPS = np.uint64(0x4040404040404040)
#: Bits of a turn, besides the new heading: whether the walk turns, and whether it may have passed the corner before.
TURNED, PINCHED = 4, 8
#: How many rows below the one that is searched for borders memory is asked for: about the height of an object.
AHEAD = 32


def trace_borders(labels: NDArray[np.uint32]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Follow the borders of all objects.

    Parameters
    ----------
    labels : (Y, X) array

    Returns
    -------
    points : (N, 2) array
        The corners (y, x) of all rings, those of holes anticlockwise.
    rings : (R + 1,) array
        Ring i has the points ``rings[i]`` … ``rings[i + 1] - 1``.
    owners : (R, 3) array
        The object of each ring, the 4-connected piece of it, numbered in raster order of their first pixels, and
        whether the ring is a hole. The rings are sorted by these.
    """
    labels = np.ascontiguousarray(labels)
    notes = np.zeros((labels.shape[0] + 1, (labels.shape[1] + 8) // 8 * 8), np.uint8)
    total = int(_note(labels, notes))
    points, path = np.empty((total, 2), np.int32), np.empty(total + 1, np.int32)
    rings = np.zeros(total // 4 + 1, np.int64)
    owners = np.empty((total // 4, 3), np.int64)
    n = int(_trace(labels, notes, _turns(), path, points, rings, owners))
    rings, owners = rings[: n + 1], owners[:n]
    holes = owners[:, 2] == 1
    owners[~holes, 1] = np.arange(1, n + 1 - np.count_nonzero(holes))
    if holes.any():
        owners[holes, 1] = _pieces(labels, owners[holes, 1])
    order = np.lexsort(owners.T[::-1])
    if np.all(order[1:] > order[:-1]):
        return points, rings, owners
    arranged = np.empty_like(points)
    _arrange(points, rings, order, arranged)
    return arranged, np.append(0, np.cumsum(np.diff(rings)[order])), owners[order]


def _turns() -> NDArray[np.uint8]:
    """Return how the walk goes on at a corner, for each heading (east, south, west, north) and each note."""
    turns = np.zeros((4, 64), np.uint8)
    for heading in range(4):
        for note in range(64):
            turn = next((t for t in (1, 0, 3) if note & 1 << (heading + t) % 4), 2)
            facing = note & (FALLING if heading % 2 else RISING)
            turns[heading, note] = (heading + turn) % 4 | (turn != 0) * TURNED | (turn == 1 and facing > 0) * PINCHED
    return turns


def _pieces(labels: NDArray[np.uint32], places: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return the 4-connected pieces that pixels lie in, numbered in raster order of their first pixels."""
    runs = connected_runs(labels, full=False)
    begins = np.repeat(np.arange(labels.shape[0]), np.diff(runs.rows)) * labels.shape[1] + runs.start
    return runs.ids[np.searchsorted(begins, places, side="right") - 1]


@compiled
def _note(labels: NDArray[np.uint32], notes: NDArray[np.uint8]) -> int:
    """Write the notes; return how many corners all rings have: two for each straight stretch from east to west."""
    height, width = labels.shape
    rows = np.zeros((2, width + 2), np.uint32)
    stretches = 0
    for y in range(height + 1):
        above, below = rows[y % 2], rows[1 - y % 2]
        if y < height:
            below[1:-1] = labels[y]
        else:
            below[:] = 0
        stretches += _note_row(above[:-1], above[1:], below[:-1], below[1:], notes[y])
    return 2 * stretches


@compiled
def _note_row(
    north_west: NDArray[np.uint32], north_east: NDArray[np.uint32], south_west: NDArray[np.uint32],
    south_east: NDArray[np.uint32], notes: NDArray[np.uint8],
) -> int:  # fmt: skip
    stretches = 0
    for x in range(north_west.size):
        a, b, c, d = north_west[x], north_east[x], south_west[x], south_east[x]
        east, south, west, north = b != d, c != d, a != c, a != b
        top = east & (d != 0) & (south | (a == d))
        bottom = east & (b != 0) & (north | (b == c))
        borders = np.uint8(east) | np.uint8(south) << 1 | np.uint8(west) << 2 | np.uint8(north) << 3
        notes[x] = borders | np.uint8(a == d) << 4 | np.uint8(b == c) << 5 | np.uint8(top) << 6
        stretches += int(top) + int(bottom)
    return stretches


@compiled
def _trace(
    labels: NDArray[np.uint32], notes: NDArray[np.uint8], turns: NDArray[np.uint8], path: NDArray[np.int32],
    points: NDArray[np.int32], rings: NDArray[np.int64], owners: NDArray[np.int64],
) -> int:  # fmt: skip
    """Follow every border once, from its first top edge in raster order; return the number of rings.

    Until the pieces are known, rings are given the place of a pixel of theirs.
    """
    height, width = notes.shape
    flat = notes.ravel()
    eights = flat.view(np.uint64)
    visits = np.empty(flat.size, np.int32)
    n = 0
    for y in range(height):
        for place in range((y + AHEAD) * width, min(y + AHEAD + 1, height) * width, 64):
            prefetch(flat, place)
        for eight in range(y * width // 8, (y + 1) * width // 8):
            if eights[eight] & TOPS == 0:
                continue
            for corner in range(8 * eight, 8 * eight + 8):
                if flat[corner] & TOP != 0:
                    first = n
                    n = _follow(flat, width, corner, turns, visits, path, points, rings, owners, n)
                    x = corner - y * width
                    owners[first:n, 0] = labels[y, x]
                    owners[first:n, 1] = y * labels.shape[1] + x
    return n


@compiled
def _follow(
    notes: NDArray[np.uint8], width: int, start: int, turns: NDArray[np.uint8], visits: NDArray[np.int32],
    path: NDArray[np.int32], points: NDArray[np.int32], rings: NDArray[np.int64], owners: NDArray[np.int64], n: int,
) -> int:  # fmt: skip
    """Walk once around from a corner, heading east; write the rings that the walk consists of after the first n.

    `visits` need not be set: a number in it counts only if it leads to the place in the path where the corner is.
    """
    corner = start
    heading = 0
    path[0] = start
    length = 1
    while True:
        # Turns come without warning, so the loop has no branch for them: it costs less to write in vain.
        corner += (1 - (heading & 2)) * (width if heading & 1 else 1)
        note = notes[corner]
        turn = int(turns[heading, note & 63])
        heading = turn & 3
        path[length] = corner
        if turn & 7 == TURNED:
            notes[corner] = note & ~TOP
            if corner == start:
                return _keep(path, 0, length, width, points, rings, owners, n)
        if turn & PINCHED:
            # Two pixels of the object meet at this corner only: the walk may have passed it, and is split if it has.
            before = 0 if corner == start else int(visits[corner])
            if 0 <= before < length and path[before] == corner:
                n = _keep(path, before, length, width, points, rings, owners, n)
                length = before
            visits[corner] = length
        length += turn >> 2 & 1


@compiled
def _keep(
    path: NDArray[np.int32], first: int, last: int, width: int, points: NDArray[np.int32], rings: NDArray[np.int64],
    owners: NDArray[np.int64], n: int,
) -> int:  # fmt: skip
    """Write a ring after the first n; one that runs anticlockwise on the screen is a hole."""
    at = rings[n] - first
    area = 0
    before = int(path[last - 1] // width)
    for i in range(first, last):
        y = int(path[i] // width)
        x = int(path[i] - y * width)
        area += x * (y - before)
        before = y
        points[at + i, 0], points[at + i, 1] = y, x
    rings[n + 1] = at + last
    owners[n, 2] = area < 0
    return n + 1


@compiled
def _arrange(
    points: NDArray[np.int32], rings: NDArray[np.int64], order: NDArray[np.int64], arranged: NDArray[np.int32]
) -> None:
    at = 0
    for ring in order:
        for i in range(rings[ring], rings[ring + 1]):
            arranged[at, 0], arranged[at, 1] = points[i, 0], points[i, 1]
            at += 1

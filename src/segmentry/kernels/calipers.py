"""The longest and the shortest distance between two parallel lines or planes that hold a convex hull between them.

Corners of hulls are integers, in half pixels. Which of them are opposite to each other does not depend on how long a
pixel is along each axis, so that this is found with integers; the distances are those in space.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["BESIDE", "OFFSET", "polygon_widths", "widths"]

#: Where in a face the faces beyond its edges are, after its corners; where in a plane its place along the normal is.
BESIDE, OFFSET = 3, 3


@compiled
def polygon_widths(ring: NDArray[np.int64], dy: float, dx: float) -> tuple[float, float]:
    """Return the longest and the shortest distance between parallel lines around a convex polygon.

    The shortest is found with a line along an edge, the longest between opposite corners (Shamos 1978).
    """
    n = len(ring)
    longest, shortest = 0.0, np.inf
    j = 1
    for i in range(n):
        after = i + 1 if i + 1 < n else 0
        y, x = ring[after, 0] - ring[i, 0], ring[after, 1] - ring[i, 1]
        while True:
            beyond = j + 1 if j + 1 < n else 0
            gain = y * (ring[beyond, 1] - ring[j, 1]) - x * (ring[beyond, 0] - ring[j, 0])
            if gain <= 0:
                break
            j = beyond
        height = y * (ring[j, 1] - ring[i, 1]) - x * (ring[j, 0] - ring[i, 0])
        shortest = min(shortest, height * dy * dx / math.sqrt((y * dy) ** 2 + (x * dx) ** 2))
        for far in (j, beyond) if gain == 0 else (j, j):
            for near in (i, after):
                along, across = (ring[near, 0] - ring[far, 0]) * dy, (ring[near, 1] - ring[far, 1]) * dx
                longest = max(longest, along * along + across * across)
    return math.sqrt(longest) / 2, shortest / 2


@compiled
def widths(
    points: NDArray[np.int64], faces: NDArray[np.int32], planes: NDArray[np.int64], spacing: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the longest and the shortest distance between parallel planes around a hull.

    Parameters
    ----------
    points, faces, planes
        As of :func:`segmentry.kernels.polyhedra.make_hull`.
    spacing : (3,) size of a pixel along Z, Y and X
    """
    starts, neighbours = _neighbours(len(points), faces)
    return _longest(points, starts, spacing), _shortest(points, faces, planes, starts, neighbours, spacing)


@compiled
def _neighbours(size: int, faces: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return where the neighbours of each corner start, and the neighbours of all corners one after another."""
    starts = np.zeros(size + 1, np.int32)
    for f in range(len(faces)):
        for j in range(3):
            starts[faces[f, j] + 1] += 1
    for i in range(size):
        starts[i + 1] += starts[i]
    ends = starts[:size].copy()
    neighbours = np.empty(3 * len(faces), np.int32)
    for f in range(len(faces)):
        for j in range(3):
            p = faces[f, j]
            neighbours[ends[p]] = faces[f, (j + 1) % 3]
            ends[p] += 1
    return starts, neighbours


@compiled
def _longest(points: NDArray[np.int64], starts: NDArray[np.int32], spacing: NDArray[np.float64]) -> float:
    """Return the longest distance between two corners of a hull, which are the points that have neighbours."""
    corners = np.flatnonzero(starts[1:] > starts[:-1])
    z, y, x = (points[corners] * (spacing / 2)).T.copy()
    farthest = np.zeros(corners.size)
    for i in range(corners.size):
        for j in range(i):
            dz, dy, dx = z[j] - z[i], y[j] - y[i], x[j] - x[i]
            square = dz * dz + dy * dy + dx * dx
            farthest[j] = square if square > farthest[j] else farthest[j]
    return math.sqrt(farthest.max())


@compiled
def _shortest(
    points: NDArray[np.int64],
    faces: NDArray[np.int32],
    planes: NDArray[np.int64],
    starts: NDArray[np.int32],
    neighbours: NDArray[np.int32],
    spacing: NDArray[np.float64],
) -> float:
    """Return the shortest distance between parallel planes that hold a hull between them.

    It lies between a face and a corner or between two edges. As a plane rolls over an edge, from one face to the next,
    the plane on the other side rolls from corner to corner: all edges that are opposite to each other are met when each
    edge is rolled over once.
    """
    opposite = np.full(len(faces), -1, np.int32)
    done = np.zeros(len(faces), np.bool_)
    waiting = np.zeros(len(faces), np.int32)
    opposite[0] = _lowest(points, faces, planes[0])
    waits = 1
    shortest = np.inf
    while waits > 0:
        waits -= 1
        f = waiting[waits]
        done[f] = True
        v = opposite[f]
        height = planes[f, OFFSET] - _along(planes[f], points[v])
        shortest = min(shortest, height / _length(planes[f, 0], planes[f, 1], planes[f, 2], spacing))
        for j in range(3):
            g = faces[f, BESIDE + j]
            if done[g]:
                continue
            w = v
            if _along(planes[g], points[faces[f, j - 1 if j > 0 else 2]]) < planes[g, OFFSET]:
                edge = (faces[f, j], faces[f, j + 1 if j < 2 else 0])
                w, width = _roll(points, edge, v, planes[f], planes[g], starts, neighbours, spacing)
                shortest = min(shortest, width)
            if opposite[g] < 0:
                opposite[g] = w
                waiting[waits] = g
                waits += 1
    return shortest / 2


@compiled
def _along(plane: NDArray[np.int64], point: NDArray[np.int64]) -> int:
    """Return where a point lies along the normal of a plane."""
    return int(plane[0] * point[0] + plane[1] * point[1] + plane[2] * point[2])


@compiled
def _length(z: int, y: int, x: int, spacing: NDArray[np.float64]) -> float:
    """Return the length of a normal in space."""
    dz, dy, dx = z / spacing[0], y / spacing[1], x / spacing[2]
    return math.sqrt(dz * dz + dy * dy + dx * dx)


@compiled
def _lowest(points: NDArray[np.int64], faces: NDArray[np.int32], plane: NDArray[np.int64]) -> int:
    """Return the corner of the hull that lies farthest behind a plane."""
    best = faces[0, 0]
    for f in range(len(faces)):
        if _along(plane, points[faces[f, 0]]) < _along(plane, points[best]):
            best = faces[f, 0]
    return int(best)


@compiled
def _roll(
    points: NDArray[np.int64],
    edge: tuple[int, int],
    v: int,
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    starts: NDArray[np.int32],
    neighbours: NDArray[np.int32],
    spacing: NDArray[np.float64],
) -> tuple[int, float]:
    """Roll a plane over an edge, from one face to the next, and meet the corners on the other side, from `v` on.

    Returns
    -------
    The last of these corners, and the shortest distance between planes through the edge and an edge opposite to it.
    """
    p, q = edge
    uz, uy, ux = points[q, 0] - points[p, 0], points[q, 1] - points[p, 1], points[q, 2] - points[p, 2]
    shortest = np.inf
    while True:
        z, y, x = points[v, 0], points[v, 1], points[v, 2]
        chosen, earliest = -1, np.inf
        for i in range(starts[v], starts[v + 1]):
            w = neighbours[i]
            dz, dy, dx = points[w, 0] - z, points[w, 1] - y, points[w, 2] - x
            ahead = -(after[0] * dz + after[1] * dy + after[2] * dx)
            if ahead <= 0:
                continue
            now = -(before[0] * dz + before[1] * dy + before[2] * dx)
            time = -now / (ahead - now) if now < 0 else -1.0
            if time < earliest:
                chosen, earliest = w, time
        if chosen < 0:
            return v, shortest
        dz, dy, dx = points[chosen, 0] - z, points[chosen, 1] - y, points[chosen, 2] - x
        nz, ny, nx = uy * dx - ux * dy, ux * dz - uz * dx, uz * dy - uy * dz
        height = abs(nz * (points[p, 0] - z) + ny * (points[p, 1] - y) + nx * (points[p, 2] - x))
        if height > 0:
            shortest = min(shortest, height / _length(nz, ny, nx, spacing))
        v = chosen

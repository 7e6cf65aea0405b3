"""Convex hulls of objects in three dimensions: exact polyhedra, what lies in them, how long and how thin they are.

A hull is grown from a tetrahedron by the point farthest from one of its faces, until no point is outside (Quickhull,
Barber, Dobkin & Huhdanpaa 1996, doi:10.1145/235815.235821). Points are integers (half pixels), so that it is known
on which side of a face a point lies; a point in the plane of a face is not outside. All faces are triangles.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.calipers import BESIDE, OFFSET, widths
from segmentry.kernels.hulls import outermost
from segmentry.kernels.jit import compiled

__all__ = ["make_hull", "polyhedra", "room_for"]

#: Columns of a face: its three corners, counterclockwise from outside; from BESIDE, the faces beyond the edges that
#: lead from each corner to the next; the first of the points outside it and the farthest of these; the last round in
#: which it was seen; whether it waits to be looked at.
HEAD, FARTHEST, SEEN, WAITS, COLUMNS = 6, 7, 8, 9, 10
#: Columns of its plane: outward normal; at OFFSET, where it lies along this; how far outside its farthest point is.
HEIGHT = 4


@compiled
def polyhedra(
    shapes: NDArray[np.int64],
    first: NDArray[np.int64],
    ends: NDArray[np.int32],
    spacing: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:
    """Measure the hull of each object.

    Parameters
    ----------
    shapes : (n + 1, 3) lengths of the box of each object
    first : (n + 1,) number of its first row
    ends : (rows, 2) as of :func:`segmentry.kernels.hulls.add_row_ends`
    spacing : (3,) size of a pixel along Z, Y and X
    found : (n + 1, 3) array that is filled
        Pixels whose centre lies in the hull or on its boundary; longest and shortest distance between two parallel
        planes that hold the hull between them.
    """
    faces, planes, room = room_for(1000)
    for k in range(1, shapes.shape[0]):
        depth, height = shapes[k, 0], shapes[k, 1]
        points = outermost(ends[first[k] : first[k] + depth * height].reshape(depth, height, 2))
        if 2 * len(points) > len(faces):
            faces, planes, room = room_for(len(points))
        n = make_hull(points, faces, planes, room)
        found[k, 0] = _count_inside(points, faces[:n], planes, depth, height)
        found[k, 1], found[k, 2] = widths(points, faces[:n], planes, spacing)


@compiled
def room_for(size: int) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]:
    """Return arrays in which the hull of so many points can be made: faces, planes and room to work in."""
    most = 2 * size
    return np.empty((most, COLUMNS), np.int32), np.empty((most, 5), np.int64), np.empty((10, most), np.int32)


@compiled
def make_hull(
    points: NDArray[np.int64], faces: NDArray[np.int32], planes: NDArray[np.int64], room: NDArray[np.int32]
) -> int:
    """Make the faces of the convex hull of points.

    Parameters
    ----------
    points : (m, 3) array
        Not all in one plane, the first different from the last; 0 … 2**19.
    faces, planes, room : arrays that are filled, as of :func:`room_for`
        A face: three corners, then the faces beyond the edges that start at them. A plane: its normal, and where it
        lies along this.

    Returns
    -------
    How many faces there are.
    """
    after, at, seen, fresh, loose, spare, waiting = room[0], room[1], room[2], room[3], room[4], room[5], room[6]
    horizon = room[7:]
    _tetrahedron(points, faces)
    total, spares, round_ = 4, 0, 0
    for i in range(4):
        fresh[i] = i
        faces[i, SEEN] = faces[i, WAITS] = 0
    for p in range(len(points)):
        after[p] = p + 1
    after[len(points) - 1] = -1
    loose[0] = 0
    _lay(points, fresh, 4, faces, planes)
    _share(points, loose, 1, fresh, 4, faces, planes, after)
    waits = _wait(fresh, 4, faces, waiting, 0)
    while waits > 0:
        waits -= 1
        f = waiting[waits]
        faces[f, WAITS] = 0
        if faces[f, HEAD] < 0:
            continue
        round_ += 1
        eye = faces[f, FARTHEST]
        n_seen, edges = _look(points, eye, f, round_, faces, planes, seen, horizon)
        for i in range(n_seen):
            loose[i] = faces[seen[i], HEAD]
            faces[seen[i], HEAD] = faces[seen[i], 0] = -1
        for i in range(n_seen):
            spare[spares + i] = seen[i]
        spares += n_seen
        for i in range(edges):
            if spares > 0:
                spares -= 1
                fresh[i] = spare[spares]
            else:
                fresh[i] = total
                faces[total, SEEN] = faces[total, WAITS] = 0
                total += 1
        _join(eye, horizon, edges, fresh, at, faces)
        _lay(points, fresh, edges, faces, planes)
        _share(points, loose, n_seen, fresh, edges, faces, planes, after)
        waits = _wait(fresh, edges, faces, waiting, waits)
    return _compact(faces, planes, total)


@compiled
def _tetrahedron(points: NDArray[np.int64], faces: NDArray[np.int32]) -> None:
    """Make the first four faces: of two points, the one farthest from their line, the one farthest from that plane."""
    a, b, c, d = 0, len(points) - 1, -1, -1
    z, y, x = points[a, 0], points[a, 1], points[a, 2]
    uz, uy, ux = points[b, 0] - z, points[b, 1] - y, points[b, 2] - x
    nz = ny = nx = best = 0
    for i in range(len(points)):
        vz, vy, vx = points[i, 0] - z, points[i, 1] - y, points[i, 2] - x
        cz, cy, cx = uy * vx - ux * vy, ux * vz - uz * vx, uz * vy - uy * vz
        size = abs(cz) + abs(cy) + abs(cx)
        if size > best:
            c, best, nz, ny, nx = i, size, cz, cy, cx
    level, best = nz * z + ny * y + nx * x, 0
    for i in range(len(points)):
        height = nz * points[i, 0] + ny * points[i, 1] + nx * points[i, 2] - level
        if abs(height) > abs(best):
            d, best = i, height
    if best > 0:
        b, c = c, b
    corners = ((a, b, c), (b, a, d), (c, b, d), (a, c, d))
    beside = ((1, 2, 3), (0, 3, 2), (0, 1, 3), (0, 2, 1))
    for f in range(4):
        for i in range(3):
            faces[f, i] = corners[f][i]
            faces[f, BESIDE + i] = beside[f][i]


@compiled
def _lay(
    points: NDArray[np.int64], fresh: NDArray[np.int32], count: int, faces: NDArray[np.int32], planes: NDArray[np.int64]
) -> None:
    """Work out the planes of new faces; no point is outside them yet."""
    for i in range(count):
        f = fresh[i]
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        z, y, x = points[a, 0], points[a, 1], points[a, 2]
        uz, uy, ux = points[b, 0] - z, points[b, 1] - y, points[b, 2] - x
        vz, vy, vx = points[c, 0] - z, points[c, 1] - y, points[c, 2] - x
        nz, ny, nx = uy * vx - ux * vy, ux * vz - uz * vx, uz * vy - uy * vz
        planes[f, 0], planes[f, 1], planes[f, 2] = nz, ny, nx
        planes[f, OFFSET] = nz * z + ny * y + nx * x
        planes[f, HEIGHT] = 0
        faces[f, HEAD] = -1


@compiled
def _share(
    points: NDArray[np.int64],
    loose: NDArray[np.int32],
    chains: int,
    fresh: NDArray[np.int32],
    count: int,
    faces: NDArray[np.int32],
    planes: NDArray[np.int64],
    after: NDArray[np.int32],
) -> None:
    """Give each point to the first new face that it is outside of; a point that is outside of none is in the hull.

    `loose` are the first points of chains, in which `after` leads from each to the next.
    """
    for k in range(chains):
        p = loose[k]
        while p >= 0:
            following = after[p]
            z, y, x = points[p, 0], points[p, 1], points[p, 2]
            for i in range(count):
                f = fresh[i]
                height = planes[f, 0] * z + planes[f, 1] * y + planes[f, 2] * x - planes[f, OFFSET]
                if height > 0:
                    after[p] = faces[f, HEAD]
                    faces[f, HEAD] = p
                    if height > planes[f, HEIGHT]:
                        planes[f, HEIGHT] = height
                        faces[f, FARTHEST] = p
                    break
            p = following


@compiled
def _wait(
    fresh: NDArray[np.int32], count: int, faces: NDArray[np.int32], waiting: NDArray[np.int32], waits: int
) -> int:
    """Put the new faces with points outside on the stack of those that wait, unless they are there."""
    for i in range(count):
        f = fresh[i]
        if faces[f, HEAD] >= 0 and not faces[f, WAITS]:
            faces[f, WAITS] = 1
            waiting[waits] = f
            waits += 1
    return waits


@compiled
def _look(
    points: NDArray[np.int64],
    eye: int,
    f: int,
    now: int,
    faces: NDArray[np.int32],
    planes: NDArray[np.int64],
    seen: NDArray[np.int32],
    horizon: NDArray[np.int32],
) -> tuple[int, int]:
    """Find the faces that a point is outside of, starting at one, and the edges around them with the face beyond."""
    z, y, x = points[eye, 0], points[eye, 1], points[eye, 2]
    seen[0] = f
    faces[f, SEEN] = now
    count, edges, i = 1, 0, 0
    while i < count:
        face = seen[i]
        i += 1
        for j in range(3):
            g = faces[face, BESIDE + j]
            if faces[g, SEEN] == now:
                continue
            if planes[g, 0] * z + planes[g, 1] * y + planes[g, 2] * x > planes[g, OFFSET]:
                faces[g, SEEN] = now
                seen[count] = g
                count += 1
            else:
                horizon[0, edges], horizon[2, edges] = faces[face, j], g
                horizon[1, edges] = faces[face, j + 1 if j < 2 else 0]
                edges += 1
    return count, edges


@compiled
def _join(
    eye: int,
    horizon: NDArray[np.int32],
    edges: int,
    fresh: NDArray[np.int32],
    at: NDArray[np.int32],
    faces: NDArray[np.int32],
) -> None:
    """Make a face from each edge of the horizon to the point; beside it lie the one beyond, the next and the last."""
    for i in range(edges):
        a, b, beyond, f = horizon[0, i], horizon[1, i], horizon[2, i], fresh[i]
        faces[f, 0], faces[f, 1], faces[f, 2], faces[f, BESIDE] = a, b, eye, beyond
        at[a] = f
        for j in range(3):
            if faces[beyond, j] == b:
                faces[beyond, BESIDE + j] = f
    for i in range(edges):
        f, following = fresh[i], at[horizon[1, i]]
        faces[f, BESIDE + 1] = following
        faces[following, BESIDE + 2] = f


@compiled
def _compact(faces: NDArray[np.int32], planes: NDArray[np.int64], total: int) -> int:
    """Drop the places of faces that are no more; return how many faces there are."""
    n = 0
    for f in range(total):
        if faces[f, 0] < 0:
            continue
        faces[f, HEAD] = n
        n += 1
    for f in range(total):
        if faces[f, 0] >= 0:
            for j in range(BESIDE, BESIDE + 3):
                faces[f, j] = faces[faces[f, j], HEAD]
    n = 0
    for f in range(total):
        if faces[f, 0] < 0:
            continue
        for j in range(HEAD):
            faces[n, j] = faces[f, j]
        for j in range(HEIGHT):
            planes[n, j] = planes[f, j]
        n += 1
    return n


@compiled
def _count_inside(
    points: NDArray[np.int64], faces: NDArray[np.int32], planes: NDArray[np.int64], depth: int, height: int
) -> float:
    """Count the voxels whose centre lies in the hull: each face ends the rows of voxels that go through it.

    A quotient of integers below 2**53 is never rounded to a whole number that it is not.
    """
    begins, stops = np.zeros((depth, height)), np.zeros((depth, height))
    for f in range(len(faces)):
        plane = planes[f]
        if plane[2] == 0:
            continue
        a, b, c = points[faces[f, 0]], points[faces[f, 1]], points[faces[f, 2]]
        top = min(a[0], b[0], c[0])
        for z in range(top | 1, max(a[0], b[0], c[0]) + 1, 2):
            low, high = height, -1
            for s, t in ((a, b), (b, c), (c, a)):
                dz = t[0] - s[0]
                if dz == 0 or z < min(s[0], t[0]) or z > max(s[0], t[0]):
                    continue
                row = ((s[1] - 1) * dz + (t[1] - s[1]) * (z - s[0])) / (2 * dz)
                low, high = min(low, math.ceil(row)), max(high, math.floor(row))
            rest = plane[OFFSET] - plane[0] * z - plane[1] - plane[2]
            for y in range(low, high + 1):
                x = (rest - 2 * y * plane[1]) / (2 * plane[2])
                if plane[2] < 0:
                    begins[z // 2, y] = math.ceil(x)
                else:
                    stops[z // 2, y] = math.floor(x) + 1
    return float(stops.sum() - begins.sum())

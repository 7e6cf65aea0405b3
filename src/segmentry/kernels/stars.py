"""Star-convex shapes: which of many are the objects, and which pixels are theirs.

All arrays have three axes here, the first of which has one place for a plane. A shape is a point and its lengths along
rays; it is the union of the simplices that the point spans with the faces between neighbouring rays
(Schmidt 2018, doi:10.1007/978-3-030-00934-2_30; Weigert 2020, doi:10.1109/WACV45572.2020.9093435).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["Stars", "paint_stars", "unsuppressed"]


class Stars(NamedTuple):
    """Star-convex shapes.

    Parameters
    ----------
    points : (n, 3) float64 array
        Where they are, in pixels: z, y, x.
    lengths : (n, rays) float32 array
        How far each ray reaches, in lengths of its direction.
    """

    points: NDArray[np.float64]
    lengths: NDArray[np.float32]


def unsuppressed(
    stars: Stars, directions: NDArray[np.float64], faces: NDArray[np.int64], max_overlap: float
) -> NDArray[np.int64]:
    """Return which shapes, best first as they are given, overlap none of those that are kept before them too much.

    Parameters
    ----------
    stars
        The best first.
    directions, faces : (rays, 3) float64 array, (faces, axes) int64 array
        Rays, and those that span a face.
    max_overlap
        Pixels that two have in common, as a share of the smaller one's.
    """
    if not len(stars.points):
        return np.zeros(0, np.int64)
    reach = float((stars.lengths.max(axis=0) * np.linalg.norm(directions, axis=1)).max())
    lower = stars.points.min(axis=0)
    cells = np.floor((stars.points - lower) / (2 * reach + 1)).astype(np.int64)
    return _suppress(stars.points, stars.lengths, directions, faces, cells, cells.max(axis=0) + 1, max_overlap)


def paint_stars(
    stars: Stars,
    ids: NDArray[np.uint32],
    directions: NDArray[np.float64],
    faces: NDArray[np.int64],
    start: Sequence[int],
    labels: NDArray[np.uint32],
) -> None:
    """Write the ids of shapes to their pixels; where several lie on each other, the one that comes first is seen.

    Parameters
    ----------
    stars, ids
        Shapes and what they are called.
    start
        Position of the first pixel of the array, along its own axes.
    labels : (Y, X) or (Z, Y, X) uint32 array
        Zeros, or what must not be painted over.
    """
    lead = 3 - labels.ndim
    corner = np.array((0,) * lead + tuple(start), np.int64)
    if len(ids):
        volume = labels.reshape((1,) * lead + labels.shape)
        _paint(stars.points, stars.lengths, ids, directions, faces, corner, volume)


@compiled
def _suppress(
    points: NDArray[np.float64],
    lengths: NDArray[np.float32],
    directions: NDArray[np.float64],
    faces: NDArray[np.int64],
    cells: NDArray[np.int64],
    grid: NDArray[np.int64],
    most: float,
) -> NDArray[np.int64]:
    """Return the numbers of the shapes that are kept; those in neighbouring cells are compared, by runs of pixels."""
    kept, count = np.empty(len(points), np.int64), 0
    head, following = np.full(grid[0] * grid[1] * grid[2], -1, np.int64), np.empty(len(points), np.int64)
    runs, first, sizes = np.empty((1024, 4), np.int32), np.zeros(len(points) + 1, np.int64), np.empty(len(points))
    box = np.zeros(1, np.uint8)
    for i in range(len(points)):
        lower, box, shape = _rasterised(points[i], lengths[i], directions, faces, box)
        begin = first[count]
        runs, end = _runs(box, shape, lower, runs, begin)
        size = 0
        for r in range(begin, end):
            size += runs[r, 3] - runs[r, 2]
        fine = size > 0
        cz, cy, cx = cells[i]
        for z in range(max(cz - 1, 0), min(cz + 2, grid[0])):
            for y in range(max(cy - 1, 0), min(cy + 2, grid[1])):
                for x in range(max(cx - 1, 0), min(cx + 2, grid[2])):
                    j = head[(z * grid[1] + y) * grid[2] + x]
                    while fine and j >= 0:
                        shared = _shared(runs, begin, end, first[j], first[j + 1])
                        fine = shared <= most * min(size, sizes[j])
                        j = following[j]
        if fine:
            cell = (cz * grid[1] + cy) * grid[2] + cx
            following[count], head[cell] = head[cell], count
            kept[count], sizes[count] = i, size
            count += 1
            first[count] = end
    return kept[:count]


@compiled
def _shared(runs: NDArray[np.int32], a: int, a_end: int, b: int, b_end: int) -> int:
    """Return how many pixels two shapes have in common, whose runs are in raster order."""
    total = 0
    while a < a_end and b < b_end:
        one, other = runs[a], runs[b]
        rows = one[0] - other[0] if one[0] != other[0] else one[1] - other[1]
        if rows == 0:
            total += max(0, min(one[3], other[3]) - max(one[2], other[2]))
            rows = one[3] - other[3]
        if rows <= 0:
            a += 1
        else:
            b += 1
    return total


@compiled
def _runs(
    box: NDArray[np.uint8], shape: tuple[int, int, int], lower: tuple[int, int, int], runs: NDArray[np.int32], at: int
) -> tuple[NDArray[np.int32], int]:
    """Append the stretches of pixels in the rows of a box: z, y, first x, and the x beyond the last."""
    depth, height, width = shape
    for z in range(depth):
        for y in range(height):
            row = box[(z * height + y) * width : (z * height + y + 1) * width]
            x = 0
            while x < width:
                if row[x] == 0:
                    x += 1
                    continue
                start = x
                while x < width and row[x] != 0:
                    x += 1
                if at == len(runs):
                    longer = np.empty((2 * len(runs), 4), np.int32)
                    longer[:at] = runs
                    runs = longer
                runs[at, 0], runs[at, 1] = z + lower[0], y + lower[1]
                runs[at, 2], runs[at, 3] = start + lower[2], x + lower[2]
                at += 1
    return runs, at


@compiled
def _paint(
    points: NDArray[np.float64],
    lengths: NDArray[np.float32],
    ids: NDArray[np.uint32],
    directions: NDArray[np.float64],
    faces: NDArray[np.int64],
    corner: NDArray[np.int64],
    labels: NDArray[np.uint32],
) -> None:
    box = np.zeros(1, np.uint8)
    for i in range(len(points)):
        at, box, shape = _rasterised(points[i], lengths[i], directions, faces, box)
        lower = (at[0] - corner[0], at[1] - corner[1], at[2] - corner[2])
        for z in range(max(-lower[0], 0), min(shape[0], labels.shape[0] - lower[0])):
            for y in range(max(-lower[1], 0), min(shape[1], labels.shape[1] - lower[1])):
                row = labels[z + lower[0], y + lower[1]]
                start = (z * shape[1] + y) * shape[2]
                for x in range(max(-lower[2], 0), min(shape[2], labels.shape[2] - lower[2])):
                    if box[start + x] != 0 and row[x + lower[2]] == 0:
                        row[x + lower[2]] = ids[i]


@compiled
def _rasterised(
    point: NDArray[np.float64],
    lengths: NDArray[np.float32],
    directions: NDArray[np.float64],
    faces: NDArray[np.int64],
    box: NDArray[np.uint8],
) -> tuple[tuple[int, int, int], NDArray[np.uint8], tuple[int, int, int]]:
    """Mark the pixels whose middle lies in a shape, in a box around it, and return where that starts and its shape.

    All is computed around the pixel of the point, so that a shape is the same wherever it lies.
    """
    ends = np.empty((len(lengths), 3))
    pixel = np.floor(point)
    within = point - pixel
    low, high = within.copy(), within.copy()
    for k in range(len(lengths)):
        for a in range(3):
            ends[k, a] = within[a] + lengths[k] * directions[k, a]
            low[a], high[a] = min(low[a], ends[k, a]), max(high[a], ends[k, a])
    lower = (int(np.ceil(low[0])), int(np.ceil(low[1])), int(np.ceil(low[2])))
    shape = (
        max(int(np.floor(high[0])) - lower[0] + 1, 0),
        max(int(np.floor(high[1])) - lower[1] + 1, 0),
        max(int(np.floor(high[2])) - lower[2] + 1, 0),
    )
    size = shape[0] * shape[1] * shape[2]
    if len(box) < size:
        box = np.zeros(2 * size, np.uint8)
    else:
        box[:size] = 0
    sides, corners = np.empty((4, 4)), np.empty((4, 3))
    for f in range(len(faces)):
        corners[0] = within
        for a in range(faces.shape[1]):
            corners[a + 1] = ends[faces[f, a]]
        if _sides(corners, faces.shape[1] + 1, sides):
            _fill(corners, sides, faces.shape[1] + 1, lower, shape, box)
    start = (lower[0] + int(pixel[0]), lower[1] + int(pixel[1]), lower[2] + int(pixel[2]))
    return start, box, shape


@compiled
def _sides(corners: NDArray[np.float64], n: int, sides: NDArray[np.float64]) -> bool:
    """Write, of each side of a triangle (n = 3; in y and x) or a tetrahedron, what is not above 0 within it.

    Return whether it has an inside.
    """
    for i in range(n):
        p, q, other = corners[(i + 1) % n], corners[(i + 2) % n], corners[i]
        if n == 3:
            a, b, c = 0.0, q[2] - p[2], p[1] - q[1]
        else:
            r = corners[(i + 3) % n]
            uz, uy, ux = q[0] - p[0], q[1] - p[1], q[2] - p[2]
            vz, vy, vx = r[0] - p[0], r[1] - p[1], r[2] - p[2]
            a, b, c = uy * vx - ux * vy, ux * vz - uz * vx, uz * vy - uy * vz
        d = -(a * p[0] + b * p[1] + c * p[2])
        value = a * other[0] + b * other[1] + c * other[2] + d
        if value == 0:
            return False
        sign = -1.0 if value > 0 else 1.0
        sides[i, 0], sides[i, 1], sides[i, 2], sides[i, 3] = sign * a, sign * b, sign * c, sign * d
    return True


@compiled
def _fill(
    corners: NDArray[np.float64],
    sides: NDArray[np.float64],
    n: int,
    lower: tuple[int, int, int],
    shape: tuple[int, int, int],
    box: NDArray[np.uint8],
) -> None:
    """Mark the pixels whose middle lies in a triangle or tetrahedron, row by row."""
    z0, z1, y0, y1 = np.inf, -np.inf, np.inf, -np.inf
    for i in range(n):
        z0, z1 = min(z0, corners[i, 0]), max(z1, corners[i, 0])
        y0, y1 = min(y0, corners[i, 1]), max(y1, corners[i, 1])
    for z in range(int(np.ceil(z0)), int(np.floor(z1)) + 1):
        for y in range(int(np.ceil(y0)), int(np.floor(y1)) + 1):
            left, right = -np.inf, np.inf
            for i in range(n):
                rest = sides[i, 0] * z + sides[i, 1] * y + sides[i, 3]
                if sides[i, 2] > 0:
                    right = min(right, -rest / sides[i, 2])
                elif sides[i, 2] < 0:
                    left = max(left, -rest / sides[i, 2])
                elif rest > 0:
                    right = -np.inf
            if left <= right:
                start = ((z - lower[0]) * shape[1] + y - lower[1]) * shape[2] - lower[2]
                for x in range(
                    max(int(np.ceil(left)), lower[2]), min(int(np.floor(right)), lower[2] + shape[2] - 1) + 1
                ):
                    box[start + x] = 1

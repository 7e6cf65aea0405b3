"""Gaussian smoothing of a slab of a volume with a margin around it, as the features of pixels need it.

One axis after the other; the two pixels at the same distance are added first, so that a mirrored place has the very
bits of its origin, and the sum of a pixel does not depend on where the slab begins. Edges are mirrored about the
outermost pixel, which is not repeated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["MARGIN", "smooth_slab"]

#: How far around the slab the smoothed pixels are needed.
MARGIN = 3


@compiled
def smooth_slab(
    source: NDArray[np.float32],
    curves: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    first: tuple[int, int, int],
    shape: tuple[int, int, int],
    margin: tuple[int, int, int],
    out: NDArray[np.float32],
) -> None:
    """Smooth a part of a volume and a margin around it.

    Parameters
    ----------
    source : (Z, Y, X) float32 array
    curves
        Weights along each axis, from the middle of the bell curve to its end.
    first, shape
        Where the part begins, and its shape.
    margin
        Pixels on each side along each axis; at places outside the volume stands what a mirror would show.
    out : array of at least the shape with its margin
    """
    along_z, along_y, along_x = curves
    top, left = first[1] - margin[1], first[2] - margin[2]
    height, width = shape[1] + 2 * margin[1], shape[2] + 2 * margin[2]
    border_y, border_x = len(along_y) - 1, len(along_x) - 1
    row_first, row_last = max(top - border_y, 0), min(top + height + border_y, source.shape[1])
    begin, end = max(left - border_x, 0), min(left + width + border_x, source.shape[2])
    plane = np.empty((row_last - row_first, end - begin), np.float32)
    line = np.empty(width + 2 * border_x, np.float32)
    origin = left - border_x
    lines = source.reshape(len(source), source.shape[1] * source.shape[2])
    for i in range(shape[0] + 2 * margin[0]):
        z = first[0] - margin[0] + i
        for y in range(row_first, row_last):
            at = y * source.shape[2] + begin
            _fold_rows(lines, at, 0, z, len(source), along_z, plane[y - row_first])
        for j in range(height):
            _fold_rows(plane, 0, row_first, top + j, source.shape[1], along_y, line[begin - origin : end - origin])
            for x in range(origin, begin):
                line[x - origin] = line[mirrored(x, source.shape[2]) - origin]
            for x in range(end, origin + line.size):
                line[x - origin] = line[mirrored(x, source.shape[2]) - origin]
            _fold_line(line, along_x, out[i, j][:width])


@compiled
def mirrored(place: int, length: int) -> int:
    """Return the place in an axis that a mirror at its outermost pixels shows at any place."""
    if length == 1:
        return 0
    place = abs(place) % (2 * length - 2)
    return min(place, 2 * length - 2 - place)


@compiled
def _fold_rows(
    rows: NDArray[np.float32],
    begin: int,
    first: int,
    at: int,
    length: int,
    curve: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Average rows around row `at` of an axis of some length, from column `begin` on; `rows` begins with row `first`.

    Rows are taken whole before they are cut: what numba knows to be contiguous is five times as fast.
    """
    _begin(rows[mirrored(at, length) - first][begin:], curve[0], out)
    k = 1
    while k + 3 < len(curve):
        _add_four(
            rows[mirrored(at - k, length) - first][begin:],
            rows[mirrored(at + k, length) - first][begin:],
            rows[mirrored(at - k - 1, length) - first][begin:],
            rows[mirrored(at + k + 1, length) - first][begin:],
            rows[mirrored(at - k - 2, length) - first][begin:],
            rows[mirrored(at + k + 2, length) - first][begin:],
            rows[mirrored(at - k - 3, length) - first][begin:],
            rows[mirrored(at + k + 3, length) - first][begin:],
            curve[k : k + 4],
            out,
        )
        k += 4
    while k < len(curve):
        before = rows[mirrored(at - k, length) - first][begin:]
        _add_one(before, rows[mirrored(at + k, length) - first][begin:], curve[k], out)
        k += 1


@compiled
def _fold_line(line: NDArray[np.float32], curve: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Average each place of a line with its neighbours; the line is longer than `out` by the curve on both sides."""
    middle = len(curve) - 1
    _begin(line[middle:], curve[0], out)
    k = 1
    while k + 3 < len(curve):
        _add_four(
            line[middle - k :],
            line[middle + k :],
            line[middle - k - 1 :],
            line[middle + k + 1 :],
            line[middle - k - 2 :],
            line[middle + k + 2 :],
            line[middle - k - 3 :],
            line[middle + k + 3 :],
            curve[k : k + 4],
            out,
        )
        k += 4
    while k < len(curve):
        _add_one(line[middle - k :], line[middle + k :], curve[k], out)
        k += 1


@compiled
def _begin(line: NDArray[np.float32], weight: np.float32, out: NDArray[np.float32]) -> None:
    for x in range(len(out)):
        out[x] = weight * line[x]


@compiled
def _add_one(
    before: NDArray[np.float32], after: NDArray[np.float32], weight: np.float32, out: NDArray[np.float32]
) -> None:
    for x in range(len(out)):
        out[x] += weight * (before[x] + after[x])


@compiled
def _add_four(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    c: NDArray[np.float32],
    d: NDArray[np.float32],
    e: NDArray[np.float32],
    f: NDArray[np.float32],
    g: NDArray[np.float32],
    h: NDArray[np.float32],
    weights: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    one, two, three, four = weights[0], weights[1], weights[2], weights[3]
    for x in range(len(out)):
        sides = one * (a[x] + b[x]) + two * (c[x] + d[x])
        out[x] += sides + (three * (e[x] + f[x]) + four * (g[x] + h[x]))

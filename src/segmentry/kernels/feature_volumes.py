"""Features of the pixels of a volume at one scale, from the smoothed volume: as those of planes, along three axes.

The axes are filtered in the order Z, Y, X; lines that the next rows or planes need again are kept in rings.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.eigenvalues import eigenvalues
from segmentry.kernels.feature_bank import BLOCK, STRIDE, WIDE, copied, turn_ends, turned
from segmentry.kernels.jit import compiled

__all__ = ["volume_features"]

#: Rows worked on at once: what is kept of five planes of them fits a processor's cache.
ROWS = 32

# Lines after the filter along Z, and after that along Y: bell curve, slope, curvature and narrower bell along each.
_FLAT, _STEEP, _CURVED, _NARROW = (i * STRIDE for i in range(4))
_FF, _FS, _FC, _SF, _SS, _CF, _NN = (i * STRIDE for i in range(7))
_SMOOTH, _LAPLACIAN, _GRADIENT, _DIFFERENCE = (i * STRIDE for i in range(7, 11))
_LINES = 12
_XX, _YY, _ZZ, _XY, _XZ, _YZ = (i * STRIDE for i in range(6))


@compiled
def volume_features(
    smooth: NDArray[np.float32],
    shape: tuple[int, int, int],
    room: tuple[int, int, int, int, int, int],
    weights: NDArray[np.float32],
    where: NDArray[np.int64],
    first: tuple[int, int],
    out: NDArray[np.float32],
) -> None:
    """Write the features of a slab.

    Parameters
    ----------
    smooth : (planes + 6, rows + 6, padded width) float32 array
        The smoothed slab with a margin of 3 pixels.
    shape
        Planes, rows and columns of the slab.
    room
        How many planes of the image lie before and after the slab, how many rows, and how many columns.
    weights
        Those of the filters along Z, Y and X.
    where
        The planes of `out` for smoothed, Laplacian, gradient, difference, the tensor's three eigenvalues and Hessian's;
        -1 for what is not wanted.
    first, out
        Plane and row of `out`, a (features, Z, Y, X) array, that the slab's first row is written to.
    """
    tensor = where[4:7].max() >= 0
    others = where[:4].max() >= 0 or where[7:].max() >= 0
    for top in range(0, shape[1], ROWS):
        rows = (top, min(top + ROWS, shape[1]))
        for begin in range(0, shape[2], BLOCK):
            if others:
                _derivatives(smooth, shape, rows, begin, weights, where, first, out)
            if tensor:
                _tensor(smooth, shape, rows, begin, room, weights, where, first, out)


@compiled
def _derivatives(
    smooth: NDArray[np.float32],
    shape: tuple[int, int, int],
    rows: tuple[int, int],
    begin: int,
    weights: NDArray[np.float32],
    where: NDArray[np.int64],
    first: tuple[int, int],
    out: NDArray[np.float32],
) -> None:
    """Write all features but the tensor's for a block of rows and columns in each plane."""
    ring, scratch = np.zeros((5, 4 * STRIDE), np.float32), np.zeros(_LINES * STRIDE, np.float32)
    hessian, values = np.zeros((6, STRIDE), np.float32), np.zeros((3, STRIDE), np.float32)
    count = min(BLOCK, shape[2] - begin)
    for z in range(shape[0]):
        for y in range(rows[0] - 2, rows[1] + 2):
            _along_z(smooth, z + 1, y + 3, begin + 1, weights[0], ring[(y + 2) % 5])
            if y < rows[0] + 2:
                continue
            _along_y(ring, y - 2, weights[1], scratch)
            _along_x(weights[2], scratch, hessian.reshape(6 * STRIDE))
            at = first[1] + y - 2
            for k in range(4):
                copied(scratch, (7 + k) * STRIDE, count, where[k], first[0] + z, at, begin, out)
            if where[7:].max() >= 0:
                eigenvalues(hessian, count, values)
                for k in range(3):
                    copied(values[k], 0, count, where[7 + k], first[0] + z, at, begin, out)


@compiled
def _tensor(
    smooth: NDArray[np.float32],
    shape: tuple[int, int, int],
    rows: tuple[int, int],
    begin: int,
    room: tuple[int, int, int, int, int, int],
    weights: NDArray[np.float32],
    where: NDArray[np.int64],
    first: tuple[int, int],
    out: NDArray[np.float32],
) -> None:
    """Write the eigenvalues of the structure tensor for a block of rows and columns in each plane."""
    slopes, products = np.zeros((3, 2 * STRIDE), np.float32), np.zeros((5, 6 * STRIDE), np.float32)
    scratch, stack = np.zeros(6 * STRIDE, np.float32), np.zeros((ROWS, 5, 6 * STRIDE), np.float32)
    matrices, values = np.zeros((6, STRIDE), np.float32), np.zeros((3, STRIDE), np.float32)
    count = min(BLOCK, shape[2] - begin)
    for z in range(-2, shape[0] + 2):
        deep = z < -room[0] or z >= shape[0] + room[1]
        for y in range(rows[0] - 3, rows[1] + 3):
            _slopes_along_z(smooth, z + 2, y + 3, begin, weights[0], slopes[(y + 3) % 3])
            if y < rows[0] - 1:
                continue
            middle = y - 1
            line = products[(middle + 2) % 5]
            _slopes_along_y(slopes, y - 2 + 3, weights[1], scratch)
            _multiplied(weights[2], scratch, line)
            high = middle < -room[2] or middle >= shape[1] + room[3]
            for start, outside, ends in ((_XY, high, True), (_XZ, deep, True), (_YZ, high != deep, False)):
                if outside:
                    turned(line[start:])
                if ends:
                    turn_ends(line[start:], begin, shape[2], room[4:])
            if middle >= rows[0] + 2:
                _fold_lines(products, middle - 2, weights[1], scratch)
                _fold_along(weights[2], scratch, stack[middle - 2 - rows[0], (z + 2) % 5])
        if z < 2:
            continue
        for y in range(rows[0], rows[1]):
            _fold_lines(stack[y - rows[0]], z - 2, weights[0], matrices.reshape(6 * STRIDE))
            eigenvalues(matrices, count, values)
            for k in range(3):
                copied(values[k], 0, count, where[4 + k], first[0] + z - 2, first[1] + y, begin, out)


@compiled
def _along_z(
    smooth: NDArray[np.float32], z: int, y: int, begin: int, weights: NDArray[np.float32], line: NDArray[np.float32]
) -> None:
    a0, a1, a2, b1, b2 = weights[0], weights[1], weights[2], weights[3], weights[4]
    c0, c1, c2, n0, n1 = weights[5], weights[6], weights[7], weights[8], weights[9]
    p0, p1, p2 = smooth[z, y][begin:], smooth[z + 1, y][begin:], smooth[z + 2, y][begin:]
    p3, p4 = smooth[z + 3, y][begin:], smooth[z + 4, y][begin:]
    for x in range(WIDE):
        middle, near, far = p2[x], p1[x] + p3[x], p0[x] + p4[x]
        line[x + _FLAT] = a0 * middle + a1 * near + a2 * far
        line[x + _STEEP] = b1 * (p3[x] - p1[x]) + b2 * (p4[x] - p0[x])
        line[x + _CURVED] = c0 * middle + c1 * near + c2 * far
        line[x + _NARROW] = n0 * middle + n1 * near


@compiled
def _along_y(ring: NDArray[np.float32], y: int, weights: NDArray[np.float32], s: NDArray[np.float32]) -> None:
    a0, a1, a2, b1, b2 = weights[0], weights[1], weights[2], weights[3], weights[4]
    c0, c1, c2, n0, n1 = weights[5], weights[6], weights[7], weights[8], weights[9]
    r0, r1, r2, r3, r4 = ring[y % 5], ring[(y + 1) % 5], ring[(y + 2) % 5], ring[(y + 3) % 5], ring[(y + 4) % 5]
    for x in range(WIDE):
        middle, near, far = r2[x], r1[x] + r3[x], r0[x] + r4[x]
        s[x + _FF] = a0 * middle + a1 * near + a2 * far
        s[x + _FS] = b1 * (r3[x] - r1[x]) + b2 * (r4[x] - r0[x])
        s[x + _FC] = c0 * middle + c1 * near + c2 * far
        near, far = r1[x + _STEEP] + r3[x + _STEEP], r0[x + _STEEP] + r4[x + _STEEP]
        s[x + _SF] = a0 * r2[x + _STEEP] + a1 * near + a2 * far
        s[x + _SS] = b1 * (r3[x + _STEEP] - r1[x + _STEEP]) + b2 * (r4[x + _STEEP] - r0[x + _STEEP])
        near, far = r1[x + _CURVED] + r3[x + _CURVED], r0[x + _CURVED] + r4[x + _CURVED]
        s[x + _CF] = a0 * r2[x + _CURVED] + a1 * near + a2 * far
        s[x + _NN] = n0 * r2[x + _NARROW] + n1 * (r1[x + _NARROW] + r3[x + _NARROW])


@compiled
def _along_x(weights: NDArray[np.float32], s: NDArray[np.float32], hessian: NDArray[np.float32]) -> None:
    a0, a1, a2, b1, b2 = weights[0], weights[1], weights[2], weights[3], weights[4]
    c0, c1, c2, n0, n1 = weights[5], weights[6], weights[7], weights[8], weights[9]
    for x in range(BLOCK):
        near, far = s[x + (_FF + 1)] + s[x + (_FF + 3)], s[x + _FF] + s[x + (_FF + 4)]
        smooth = a0 * s[x + (_FF + 2)] + a1 * near + a2 * far
        xx = c0 * s[x + (_FF + 2)] + c1 * near + c2 * far
        slope_x = b1 * (s[x + (_FF + 3)] - s[x + (_FF + 1)]) + b2 * (s[x + (_FF + 4)] - s[x + _FF])
        near, far = s[x + (_FS + 1)] + s[x + (_FS + 3)], s[x + _FS] + s[x + (_FS + 4)]
        slope_y = a0 * s[x + (_FS + 2)] + a1 * near + a2 * far
        near, far = s[x + (_FC + 1)] + s[x + (_FC + 3)], s[x + _FC] + s[x + (_FC + 4)]
        yy = a0 * s[x + (_FC + 2)] + a1 * near + a2 * far
        near, far = s[x + (_SF + 1)] + s[x + (_SF + 3)], s[x + _SF] + s[x + (_SF + 4)]
        slope_z = a0 * s[x + (_SF + 2)] + a1 * near + a2 * far
        near, far = s[x + (_SS + 1)] + s[x + (_SS + 3)], s[x + _SS] + s[x + (_SS + 4)]
        hessian[x + _YZ] = a0 * s[x + (_SS + 2)] + a1 * near + a2 * far
        near, far = s[x + (_CF + 1)] + s[x + (_CF + 3)], s[x + _CF] + s[x + (_CF + 4)]
        zz = a0 * s[x + (_CF + 2)] + a1 * near + a2 * far
        hessian[x + _XX], hessian[x + _YY], hessian[x + _ZZ] = xx, yy, zz
        hessian[x + _XY] = b1 * (s[x + (_FS + 3)] - s[x + (_FS + 1)]) + b2 * (s[x + (_FS + 4)] - s[x + _FS])
        hessian[x + _XZ] = b1 * (s[x + (_SF + 3)] - s[x + (_SF + 1)]) + b2 * (s[x + (_SF + 4)] - s[x + _SF])
        s[x + _SMOOTH] = smooth
        s[x + _LAPLACIAN] = xx + yy + zz
        s[x + _GRADIENT] = math.sqrt(slope_x * slope_x + slope_y * slope_y + slope_z * slope_z)
        s[x + _DIFFERENCE] = smooth - (n0 * s[x + (_NN + 2)] + n1 * (s[x + (_NN + 1)] + s[x + (_NN + 3)]))


@compiled
def _slopes_along_z(
    smooth: NDArray[np.float32], z: int, y: int, begin: int, weights: NDArray[np.float32], line: NDArray[np.float32]
) -> None:
    f0, f1, g1 = weights[10], weights[11], weights[12]
    p0, p1, p2 = smooth[z, y][begin:], smooth[z + 1, y][begin:], smooth[z + 2, y][begin:]
    for x in range(WIDE):
        line[x + _FLAT] = f0 * p1[x] + f1 * (p0[x] + p2[x])
        line[x + _STEEP] = g1 * (p2[x] - p0[x])


@compiled
def _slopes_along_y(slopes: NDArray[np.float32], y: int, weights: NDArray[np.float32], s: NDArray[np.float32]) -> None:
    f0, f1, g1 = weights[10], weights[11], weights[12]
    r0, r1, r2 = slopes[y % 3], slopes[(y + 1) % 3], slopes[(y + 2) % 3]
    for x in range(WIDE):
        s[x + _FF] = f0 * r1[x] + f1 * (r0[x] + r2[x])
        s[x + _FS] = g1 * (r2[x] - r0[x])
        s[x + _FC] = f0 * r1[x + _STEEP] + f1 * (r0[x + _STEEP] + r2[x + _STEEP])


@compiled
def _multiplied(weights: NDArray[np.float32], s: NDArray[np.float32], line: NDArray[np.float32]) -> None:
    f0, f1, g1 = weights[10], weights[11], weights[12]
    for x in range(WIDE):
        slope_x = g1 * (s[x + (_FF + 2)] - s[x + _FF])
        slope_y = f0 * s[x + (_FS + 1)] + f1 * (s[x + _FS] + s[x + (_FS + 2)])
        slope_z = f0 * s[x + (_FC + 1)] + f1 * (s[x + _FC] + s[x + (_FC + 2)])
        line[x + _XX], line[x + _YY], line[x + _ZZ] = slope_x * slope_x, slope_y * slope_y, slope_z * slope_z
        line[x + _XY], line[x + _XZ], line[x + _YZ] = slope_x * slope_y, slope_x * slope_z, slope_y * slope_z


@compiled
def _fold_lines(lines: NDArray[np.float32], at: int, weights: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Smooth across the lines of a ring of five, of which line `at` comes first."""
    a0, a1, a2 = weights[0], weights[1], weights[2]
    r0, r1, r2, r3, r4 = (
        lines[at % 5],
        lines[(at + 1) % 5],
        lines[(at + 2) % 5],
        lines[(at + 3) % 5],
        lines[(at + 4) % 5],
    )
    for x in range(6 * STRIDE):
        out[x] = a0 * r2[x] + a1 * (r1[x] + r3[x]) + a2 * (r0[x] + r4[x])


@compiled
def _fold_along(weights: NDArray[np.float32], s: NDArray[np.float32], line: NDArray[np.float32]) -> None:
    """Smooth along all lines at once; what runs from the end of one into the next is not looked at."""
    a0, a1, a2 = weights[0], weights[1], weights[2]
    for x in range(6 * STRIDE - 4):
        line[x] = a0 * s[x + 2] + a1 * (s[x + 1] + s[x + 3]) + a2 * (s[x] + s[x + 4])

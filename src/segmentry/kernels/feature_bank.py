"""Features of the pixels of a plane at one scale, from the smoothed plane: what a pixel classifier looks at.

Rows are worked on in blocks of columns that have always the same length, on lines of one scratch array at distances
known at compile time: only so can a compiler see that many lines in one loop don't overlap, and use vectors. What lies
beyond the end of a row is computed too and never looked at.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["BLOCK", "STRIDE", "WEIGHTS", "WIDE", "copied", "padded_width", "plane_features", "turn_ends", "turned"]

#: Columns in a block, with what is needed around them, and from one line of the scratch array to the next.
BLOCK = 256
WIDE = BLOCK + 16
STRIDE = BLOCK + 32

#: Weights along one axis: bell curve (3), slope (2), curvature (3), narrower bell (2), fine bell (2), fine slope (1).
WEIGHTS = 13

_FLAT, _STEEP, _CURVED, _NARROW = (i * STRIDE for i in range(4))
_XX, _XY, _YY = (i * STRIDE for i in range(3))
_SMOOTH, _LAPLACIAN, _GRADIENT, _DIFFERENCE, _TENSOR, _TENSOR_LAST, _HESSIAN, _HESSIAN_LAST = (
    i * STRIDE for i in range(4, 12)
)
_LINES = 13
_HALF = np.float32(0.5)


def padded_width(width: int) -> int:
    """Return how long the rows of a smoothed plane must be, margins included, for blocks of full length."""
    return -(-width // BLOCK) * BLOCK + WIDE - BLOCK


@compiled
def plane_features(
    smooth: NDArray[np.float32],
    shape: tuple[int, int],
    room: tuple[int, int, int, int],
    along_y: NDArray[np.float32],
    along_x: NDArray[np.float32],
    where: NDArray[np.int64],
    first: tuple[int, int],
    out: NDArray[np.float32],
) -> None:
    """Write the features of a strip of rows.

    Parameters
    ----------
    smooth : (rows + 6, padded width) float32 array
        The smoothed strip with a margin of 3 pixels.
    shape
        Rows and columns of the strip.
    room
        How many rows of the image lie before and after the strip, and how many columns.
    along_y, along_x
        The weights of the filters, see `WEIGHTS`.
    where
        The planes of `out` for smoothed, Laplacian, gradient, difference, the tensor's eigenvalues and Hessian's;
        -1 for what is not wanted.
    first, out
        Plane and row of `out`, a (features, Z, Y, X) array, that the strip's first row is written to.
    """
    scratch = np.zeros(_LINES * STRIDE, np.float32)
    products = np.zeros((5, 3 * STRIDE), np.float32)
    tensor = where[4] >= 0 or where[5] >= 0
    others = where[:4].max() >= 0 or where[6:].max() >= 0
    rows, width = shape
    for begin in range(0, width, BLOCK):
        count = min(BLOCK, width - begin)
        for y in range(-2, rows + 2):
            if others and 0 <= y < rows:
                _down(smooth, y + 1, begin + 1, along_y, scratch)
                _along(along_x, scratch)
                for k in range(8):
                    if k not in (4, 5):
                        copied(scratch, (4 + k) * STRIDE, count, where[k], first[0], first[1] + y, begin, out)
            if tensor:
                line = products[(y + 2) % 5]
                _slopes(smooth, y + 2, begin, along_y, scratch)
                _multiplied(along_x, scratch, line)
                turn_ends(line[STRIDE:], begin, width, room[2:])
                if y < -room[0] or y >= rows + room[1]:
                    turned(line[STRIDE:])
            if tensor and y >= 2:
                _down_products(products, y - 2, along_y, scratch)
                _along_products(along_x, scratch)
                for k in range(4, 6):
                    copied(scratch, (4 + k) * STRIDE, count, where[k], first[0], first[1] + y - 2, begin, out)


@compiled
def turn_ends(line: NDArray[np.float32], begin: int, width: int, room: tuple[int, int]) -> None:
    """Turn the sign of what lies outside the image: a product of two slopes is mirrored there, though one slope turns.

    The line begins two places before the block that begins at column `begin` of the strip.
    """
    for x in range(2 - room[0] - begin):
        line[x] = -line[x]
    for x in range(width + room[1] - begin + 2, min(width - begin + 4, WIDE)):
        line[x] = -line[x]


@compiled
def turned(line: NDArray[np.float32]) -> None:
    """Turn the sign of a whole line."""
    for x in range(WIDE):
        line[x] = -line[x]


@compiled
def copied(
    scratch: NDArray[np.float32], start: int, count: int, plane: int, z: int, y: int, x: int, out: NDArray[np.float32]
) -> None:
    """Copy a line of the scratch array to where it is wanted, if it is."""
    if plane >= 0:
        source, target = scratch[start:], out[plane, z, y][x:]
        for i in range(count):
            target[i] = source[i]


@compiled
def _down(
    rows: NDArray[np.float32], y: int, begin: int, weights: NDArray[np.float32], scratch: NDArray[np.float32]
) -> None:
    a0, a1, a2, b1, b2 = weights[0], weights[1], weights[2], weights[3], weights[4]
    c0, c1, c2, n0, n1 = weights[5], weights[6], weights[7], weights[8], weights[9]
    r0, r1, r2, r3, r4 = (
        rows[y][begin:],
        rows[y + 1][begin:],
        rows[y + 2][begin:],
        rows[y + 3][begin:],
        rows[y + 4][begin:],
    )
    for x in range(WIDE):
        middle, near, far = r2[x], r1[x] + r3[x], r0[x] + r4[x]
        scratch[x + _FLAT] = a0 * middle + a1 * near + a2 * far
        scratch[x + _STEEP] = b1 * (r3[x] - r1[x]) + b2 * (r4[x] - r0[x])
        scratch[x + _CURVED] = c0 * middle + c1 * near + c2 * far
        scratch[x + _NARROW] = n0 * middle + n1 * near


@compiled
def _along(weights: NDArray[np.float32], s: NDArray[np.float32]) -> None:
    a0, a1, a2, b1, b2 = weights[0], weights[1], weights[2], weights[3], weights[4]
    c0, c1, c2, n0, n1 = weights[5], weights[6], weights[7], weights[8], weights[9]
    for x in range(BLOCK):
        middle, near = s[x + (_FLAT + 2)], s[x + (_FLAT + 1)] + s[x + (_FLAT + 3)]
        far = s[x + _FLAT] + s[x + (_FLAT + 4)]
        smooth = a0 * middle + a1 * near + a2 * far
        slope_x = b1 * (s[x + (_FLAT + 3)] - s[x + (_FLAT + 1)]) + b2 * (s[x + (_FLAT + 4)] - s[x + _FLAT])
        xx = c0 * middle + c1 * near + c2 * far
        near, far = s[x + (_STEEP + 1)] + s[x + (_STEEP + 3)], s[x + _STEEP] + s[x + (_STEEP + 4)]
        slope_y = a0 * s[x + (_STEEP + 2)] + a1 * near + a2 * far
        xy = b1 * (s[x + (_STEEP + 3)] - s[x + (_STEEP + 1)]) + b2 * (s[x + (_STEEP + 4)] - s[x + _STEEP])
        near, far = s[x + (_CURVED + 1)] + s[x + (_CURVED + 3)], s[x + _CURVED] + s[x + (_CURVED + 4)]
        yy = a0 * s[x + (_CURVED + 2)] + a1 * near + a2 * far
        narrow = n0 * s[x + (_NARROW + 2)] + n1 * (s[x + (_NARROW + 1)] + s[x + (_NARROW + 3)])
        s[x + _SMOOTH] = smooth
        s[x + _LAPLACIAN] = xx + yy
        s[x + _GRADIENT] = math.sqrt(slope_x * slope_x + slope_y * slope_y)
        s[x + _DIFFERENCE] = smooth - narrow
        mean, half = _HALF * (xx + yy), _HALF * (xx - yy)
        apart = math.sqrt(half * half + xy * xy)
        s[x + _HESSIAN] = mean + apart
        s[x + _HESSIAN_LAST] = mean - apart


@compiled
def _slopes(
    rows: NDArray[np.float32], y: int, begin: int, weights: NDArray[np.float32], scratch: NDArray[np.float32]
) -> None:
    f0, f1, g1 = weights[10], weights[11], weights[12]
    r0, r1, r2 = rows[y][begin:], rows[y + 1][begin:], rows[y + 2][begin:]
    for x in range(WIDE):
        scratch[x + _FLAT] = f0 * r1[x] + f1 * (r0[x] + r2[x])
        scratch[x + _STEEP] = g1 * (r2[x] - r0[x])


@compiled
def _multiplied(weights: NDArray[np.float32], s: NDArray[np.float32], line: NDArray[np.float32]) -> None:
    f0, f1, g1 = weights[10], weights[11], weights[12]
    for x in range(WIDE):
        slope_x = g1 * (s[x + (_FLAT + 2)] - s[x + _FLAT])
        slope_y = f0 * s[x + (_STEEP + 1)] + f1 * (s[x + _STEEP] + s[x + (_STEEP + 2)])
        line[x] = slope_x * slope_x
        line[x + STRIDE] = slope_x * slope_y
        line[x + 2 * STRIDE] = slope_y * slope_y


@compiled
def _down_products(lines: NDArray[np.float32], y: int, weights: NDArray[np.float32], s: NDArray[np.float32]) -> None:
    a0, a1, a2 = weights[0], weights[1], weights[2]
    r0, r1, r2, r3, r4 = lines[y % 5], lines[(y + 1) % 5], lines[(y + 2) % 5], lines[(y + 3) % 5], lines[(y + 4) % 5]
    for x in range(3 * STRIDE):
        s[x] = a0 * r2[x] + a1 * (r1[x] + r3[x]) + a2 * (r0[x] + r4[x])


@compiled
def _along_products(weights: NDArray[np.float32], s: NDArray[np.float32]) -> None:
    a0, a1, a2 = weights[0], weights[1], weights[2]
    for x in range(BLOCK):
        near, far = s[x + (_XX + 1)] + s[x + (_XX + 3)], s[x + _XX] + s[x + (_XX + 4)]
        xx = a0 * s[x + (_XX + 2)] + a1 * near + a2 * far
        near, far = s[x + (_XY + 1)] + s[x + (_XY + 3)], s[x + _XY] + s[x + (_XY + 4)]
        xy = a0 * s[x + (_XY + 2)] + a1 * near + a2 * far
        near, far = s[x + (_YY + 1)] + s[x + (_YY + 3)], s[x + _YY] + s[x + (_YY + 4)]
        yy = a0 * s[x + (_YY + 2)] + a1 * near + a2 * far
        mean, half = _HALF * (xx + yy), _HALF * (xx - yy)
        apart = math.sqrt(half * half + xy * xy)
        s[x + _TENSOR] = mean + apart
        s[x + _TENSOR_LAST] = mean - apart

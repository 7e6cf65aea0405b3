"""Where the pixels of each object lie: sums of positions and of their products, and the axes that follow from them.

Sums are those of whole runs, by the formulas for sums of powers of consecutive integers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["CUBES", "SQUARES", "add_cubes", "add_positions", "axis_lengths", "covariances", "principal_axes"]

#: Which axes (0: Z, 1: Y, 2: X) the products are of, in the order of the sums.
SQUARES = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
CUBES = (
    (0, 0, 0), (1, 1, 1), (2, 2, 2), (0, 0, 1), (0, 0, 2), (0, 1, 1), (1, 1, 2), (0, 2, 2), (1, 2, 2), (0, 1, 2),
)  # fmt: skip

#: Variances below this share of the largest are rounding errors of 0.
NOTHING = 1e-14
#: Coordinates of unit vectors below this are rounding errors of 0.
ALONG = 1e-9
#: Tensors of three axes need about six rounds to be diagonal to this precision.
ROUNDS, PRECISION = 30, 1e-16


@compiled
def add_positions(
    runs: NDArray[np.int32], start: NDArray[np.int64], origin: NDArray[np.int64],
    sums: NDArray[np.int64],
) -> None:  # fmt: skip
    """Add the positions of pixels, and the products of two of their coordinates, to the sums of their objects.

    Parameters
    ----------
    runs : (m, 5) array
        As :func:`segmentry.kernels.runs.find_runs` gives them.
    start : (3,) position in the whole of what the runs count from
    origin : (n + 1, 3) position from which the pixels of each object are counted, near it so that sums stay small
    sums : (n + 1, 10) array that is added to
        Pixels; z, y, x; zz, yy, xx; zy, zx, yx.
    """
    for run in range(len(runs)):
        k, first, last = runs[run, 0], np.int64(runs[run, 3]), np.int64(runs[run, 4])
        z, y = np.int64(runs[run, 1]), np.int64(runs[run, 2])
        n = last - first
        dz = z + start[0] - origin[k, 0]
        dy = y + start[1] - origin[k, 1]
        a = first + start[2] - origin[k, 2]
        b = a + n
        line = n * (a + b - 1) // 2
        total = sums[k]
        total[0] += n
        total[1] += n * dz
        total[2] += n * dy
        total[3] += line
        total[4] += n * dz * dz
        total[5] += n * dy * dy
        total[6] += ((b - 1) * b * (2 * b - 1) - (a - 1) * a * (2 * a - 1)) // 6
        total[7] += n * dz * dy
        total[8] += line * dz
        total[9] += line * dy


@compiled
def add_cubes(
    runs: NDArray[np.int32], start: NDArray[np.int64], origin: NDArray[np.int64],
    sums: NDArray[np.float64],
) -> None:  # fmt: skip
    """Add the products of three coordinates to the sums of their objects, as :func:`add_positions` those of two.

    Parameters
    ----------
    sums : (n + 1, 10) array that is added to, in the order of `CUBES`
        Whole numbers: exact up to 2**53.
    """
    for run in range(len(runs)):
        k, first, last = runs[run, 0], np.int64(runs[run, 3]), np.int64(runs[run, 4])
        z, y = np.int64(runs[run, 1]), np.int64(runs[run, 2])
        dz = np.float64(z + start[0] - origin[k, 0])
        dy = np.float64(y + start[1] - origin[k, 1])
        a = np.float64(first + start[2] - origin[k, 2])
        n = np.float64(last - first)
        b = a + n
        line = n * (a + b - 1) / 2
        square = ((b - 1) * b * (2 * b - 1) - (a - 1) * a * (2 * a - 1)) / 6
        total = sums[k]
        total[0] += n * dz * dz * dz
        total[1] += n * dy * dy * dy
        total[2] += (b * (b - 1) / 2) ** 2 - (a * (a - 1) / 2) ** 2
        total[3] += n * dz * dz * dy
        total[4] += line * dz * dz
        total[5] += n * dz * dy * dy
        total[6] += line * dy * dy
        total[7] += square * dz
        total[8] += square * dy
        total[9] += line * dz * dy


def covariances(sums: NDArray[np.int64], spacing: Sequence[float]) -> NDArray[np.float64]:
    """Return how the pixel centres of each object spread along the axes, and with each other.

    Parameters
    ----------
    sums : (n, 10) array
        As :func:`add_positions` gives them, of two or three dimensions.
    spacing
        Per axis.

    Returns
    -------
    (n, axes, axes) array, of squares of the unit of `spacing`
    """
    ndim = len(spacing)
    count = np.maximum(sums[:, 0], 1).astype(np.float64)
    mean = sums[:, 1:4] / count[:, None]
    product = np.zeros((len(sums), 3, 3))
    for k, (i, j) in enumerate(SQUARES):
        product[:, i, j] = product[:, j, i] = sums[:, 4 + k] / count - mean[:, i] * mean[:, j]
    scale = np.array(spacing, np.float64)
    return np.ascontiguousarray(product[:, 3 - ndim :, 3 - ndim :] * (scale[:, None] * scale[None, :]))


def principal_axes(tensors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the eigenvalues of symmetric tensors that have none below 0, largest first, and the eigenvectors.

    Parameters
    ----------
    tensors : (n, axes, axes) array

    Returns
    -------
    values : (n, axes) array
        Those that differ from 0 by rounding errors are 0.
    vectors : (n, axes, axes) array
        ``vectors[i, :, k]`` belongs to ``values[i, k]``; its first coordinate that is not 0 is positive.
    """
    turned, vectors = tensors.copy(), np.zeros(tensors.shape)
    _diagonalise(turned, vectors)
    values = np.diagonal(turned, axis1=1, axis2=2)
    order = np.argsort(-values, axis=1, kind="stable")
    values = np.take_along_axis(values, order, axis=1)
    values = np.where(values > NOTHING * values[:, :1], values, 0.0)
    vectors = np.take_along_axis(vectors, order[:, None, :], axis=2)
    first = np.argmax(np.abs(vectors) > ALONG, axis=1)[:, None, :]
    return values, vectors * np.where(np.take_along_axis(vectors, first, axis=1) < 0, -1.0, 1.0)


def axis_lengths(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the full lengths of the axes of the ellipse or ellipsoid with these variances along its axes.

    Parameters
    ----------
    values : (n, 2) or (n, 3) array
    """
    return np.asarray(np.sqrt(values * (16 if values.shape[1] == 2 else 20)))


@compiled
def _diagonalise(tensors: NDArray[np.float64], vectors: NDArray[np.float64]) -> None:
    """Turn each tensor about two axes at a time until it is diagonal (Jacobi 1846, doi:10.1515/crll.1846.30.51)."""
    size = tensors.shape[1]
    for i in range(len(tensors)):
        tensor, vector = tensors[i], vectors[i]
        for p in range(size):
            vector[p, p] = 1.0
        turned, rounds = True, 0
        while turned and rounds < ROUNDS:
            turned = False
            rounds += 1
            for p in range(size - 1):
                for q in range(p + 1, size):
                    if abs(tensor[p, q]) > PRECISION * np.sqrt(abs(tensor[p, p] * tensor[q, q])):
                        _turn(tensor, vector, p, q)
                        turned = True


@compiled
def _turn(tensor: NDArray[np.float64], vector: NDArray[np.float64], p: int, q: int) -> None:
    """Turn a tensor in the plane of two axes so that they no longer depend on each other."""
    shared = tensor[p, q]
    ratio = (tensor[q, q] - tensor[p, p]) / (2 * shared)
    tangent = 1 / (abs(ratio) + np.sqrt(ratio * ratio + 1))
    if ratio < 0:
        tangent = -tangent
    cosine = 1 / np.sqrt(tangent * tangent + 1)
    sine = tangent * cosine
    tensor[p, p] -= tangent * shared
    tensor[q, q] += tangent * shared
    tensor[p, q] = tensor[q, p] = 0.0
    for k in range(len(tensor)):
        if k not in (p, q):
            one, other = tensor[k, p], tensor[k, q]
            tensor[k, p] = tensor[p, k] = cosine * one - sine * other
            tensor[k, q] = tensor[q, k] = sine * one + cosine * other
        one, other = vector[k, p], vector[k, q]
        vector[k, p] = cosine * one - sine * other
        vector[k, q] = sine * one + cosine * other

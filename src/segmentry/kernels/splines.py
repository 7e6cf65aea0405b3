"""Smooth fields: cubic B-splines whose few coefficients stand on a lattice over the whole image.

Along each axis the first pixel's centre lies at the start of the first piece and the last one's at the end of the last,
so a lattice of ``pieces + 3`` coefficients per axis says what the field is in any window, to the last bit.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["at_points", "evaluate", "fit", "taps", "through"]


def taps(position: NDArray[np.float64], pieces: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which coefficients a point depends on and with which weights, both as (4, points).

    `position` runs from 0 to `pieces`.
    """
    first = np.clip(np.floor(position).astype(np.int64), 0, pieces - 1)
    t = position - first
    s = 1 - t
    weight = np.stack([s * s * s, 4 - 6 * t * t + 3 * t * t * t, 4 - 6 * s * s + 3 * s * s * s, t * t * t]) / 6
    return first + np.arange(4)[:, None], weight


def evaluate(lattice: NDArray[np.float64], shape: Sequence[int], region: Sequence[slice]) -> NDArray[np.float32]:
    """Return the field in a region (start and stop per axis) of an image of this shape."""
    places = [np.arange(part.start, part.stop) / max(n - 1, 1) for n, part in zip(shape, region, strict=True)]
    for axis, place in enumerate(places):
        lattice = _along(lattice, axis, place)
        if axis == len(places) - 2:
            lattice = lattice.astype(np.float32)
    return np.asarray(lattice, np.float32)


def at_points(lattice: NDArray[np.float64], places: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the field on a grid of points, which lie along each axis between 0 and 1."""
    for axis, place in enumerate(places):
        lattice = _along(lattice, axis, place)
    return lattice


def _along(field: NDArray[Any], axis: int, place: NDArray[np.float64]) -> NDArray[Any]:
    """Return a field whose coefficients along one axis are replaced by its values there."""
    pieces = field.shape[axis] - 3
    at, weight = taps(place * pieces, pieces)
    weight = weight.astype(field.dtype).reshape(4, -1, *(1,) * (field.ndim - axis - 1))
    total = np.take(field, at[0], axis) * weight[0]
    for i, w in zip(at[1:], weight[1:], strict=True):
        total += np.take(field, i, axis) * w
    return np.asarray(total)


def fit(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    places: Sequence[NDArray[np.float64]],
    pieces: int,
    stiffness: float,
) -> NDArray[np.float64]:
    """Return the lattice of the field that is nearest to weighted values on a grid (penalised least squares).

    Parameters
    ----------
    places
        Where the values lie along each axis, 0 … 1.
    stiffness
        How much the squared second difference of neighbouring coefficients weighs, relative to all values together.
    """
    from scipy.linalg import solveh_banded

    n = pieces + 3
    bases = [_basis(place, pieces) for place in places]
    right, left = weights * values, weights
    for basis in bases:  # each pass takes the first axis away and adds one of coefficients at the end
        right = np.tensordot(right, basis, axes=(0, 0))
        left = np.tensordot(left, (basis[:, :, None] * basis[:, None, :]).reshape(len(basis), -1), axes=(0, 0))
    ndim = len(bases)
    order = [*range(0, 2 * ndim, 2), *range(1, 2 * ndim, 2)]
    matrix = left.reshape((n, n) * ndim).transpose(order).reshape(n**ndim, n**ndim)
    bend = np.diff(np.eye(n), 2, axis=0)
    penalty: NDArray[np.float64] = np.zeros_like(matrix)
    for axis in range(ndim):
        parts = [bend.T @ bend if k == axis else np.eye(n) for k in range(ndim)]
        penalty += functools.reduce(lambda a, b: np.asarray(np.kron(a, b)), parts)
    scale = float(weights.sum()) / n**ndim
    matrix = matrix + (stiffness * penalty + 1e-9 * np.eye(n**ndim)) * scale
    wide = 3 * sum(n**k for k in range(ndim))  # a piece has four coefficients: none meets one further away than this
    band = np.zeros((wide + 1, len(matrix)))
    for k in range(wide + 1):
        band[k, : len(matrix) - k] = np.diagonal(matrix, -k)
    return np.asarray(solveh_banded(band, right.ravel(), lower=True)).reshape((n,) * ndim)


def through(values: NDArray[np.float64], places: Sequence[NDArray[np.float64]], pieces: int) -> NDArray[np.float64]:
    """Return the lattice of a field of which at least ``pieces + 3`` values along each axis are known exactly."""
    for place in places:
        values = np.tensordot(values, np.linalg.pinv(_basis(place, pieces)), axes=(0, 1))
    return values


def _basis(place: NDArray[np.float64], pieces: int) -> NDArray[np.float64]:
    """Return the weight of each coefficient at each point, as (points, coefficients)."""
    at, weight = taps(place * pieces, pieces)
    basis = np.zeros((len(place), pieces + 3))
    np.put_along_axis(basis, at.T, weight.T, axis=1)
    return basis

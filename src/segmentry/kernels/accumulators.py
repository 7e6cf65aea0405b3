"""Scatter of points around the centre of their region, and its axes, in the order of operations that VIGRA has.

Regions that are as wide as high have axes by rounding alone: to point where VIGRA lets them point, sums must be rounded
as there.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["eigensystems", "scatter"]

_ROUNDS = 50
_EPSILON = 2.0**-52


@compiled
def scatter(
    points: NDArray[np.float64],
    region: NDArray[np.int64],
    weights: NDArray[np.float64],
    totals: NDArray[np.float64],
    sums: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:
    """Add points to the sums of their regions, and how they lie around the centre that these have so far.

    Parameters
    ----------
    points : (m, d) array, in raster order within each region
    region : (m,) number of the region of each point
    weights : (m,) how much each counts
    totals, sums, found : (n,), (n, d) and (n, d, d) arrays of 0 to write to
        Weights, points times weights, and products of two of their deviations from the centre.
    """
    d = points.shape[1]
    apart = np.empty(d)
    for i in range(len(points)):
        k, weight = region[i], weights[i]
        totals[k] += weight
        total = totals[k]
        for a in range(d):
            sums[k, a] += weight * points[i, a]
        if total > weight:
            share = total * weight / (total - weight)
            for a in range(d):
                apart[a] = sums[k, a] / total - points[i, a]
            for a in range(d):
                for b in range(a, d):
                    found[k, a, b] += share * apart[b] * apart[a]
    for k in range(len(found)):
        for a in range(d):
            for b in range(a):
                found[k, a, b] = found[k, b, a]


@compiled
def eigensystems(matrices: NDArray[np.float64], values: NDArray[np.float64]) -> None:
    """Replace symmetric matrices by their eigenvectors, as columns, and write the eigenvalues, the largest first.

    Householder's reduction to three diagonals, then the QL algorithm (Bowdler, Martin, Reinsch & Wilkinson 1968), which
    fix the signs of the vectors. A matrix with numbers that are not finite gives such.

    Parameters
    ----------
    matrices : (n, d, d) array
    values : (n, d) array to write to
    """
    beside = np.empty(matrices.shape[1])
    for k in range(len(matrices)):
        _reduce(matrices[k], values[k], beside)
        _iterate(matrices[k], values[k], beside)


@compiled
def _reduce(a: NDArray[np.float64], d: NDArray[np.float64], e: NDArray[np.float64]) -> None:
    n = len(d)
    d[:] = a[n - 1]
    for i in range(n - 1, 0, -1):
        size = 0.0
        for k in range(i):
            size = size + abs(d[k])
        h = 0.0
        if size == 0.0:
            e[i] = d[i - 1]
            for j in range(i):
                d[j] = a[i - 1, j]
                a[i, j] = 0.0
                a[j, i] = 0.0
        else:
            h = _mirror(a, d, e, i, size)
        d[i] = h
    for i in range(n - 1):
        a[n - 1, i] = a[i, i]
        a[i, i] = 1.0
        h = d[i + 1]
        if h != 0.0:
            for k in range(i + 1):
                d[k] = a[k, i + 1] / h
            for j in range(i + 1):
                g = 0.0
                for k in range(i + 1):
                    g += a[k, i + 1] * a[k, j]
                for k in range(i + 1):
                    a[k, j] -= g * d[k]
        for k in range(i + 1):
            a[k, i + 1] = 0.0
    for j in range(n):
        d[j] = a[n - 1, j]
        a[n - 1, j] = 0.0
    a[n - 1, n - 1] = 1.0
    e[0] = 0.0


@compiled
def _mirror(
    a: NDArray[np.float64], d: NDArray[np.float64], e: NDArray[np.float64], i: int, size: float
) -> float:  # fmt: skip
    """Apply the reflection that clears row `i` but for one element."""
    h = 0.0
    for k in range(i):
        d[k] /= size
        h += d[k] * d[k]
    f = d[i - 1]
    g = -math.sqrt(h) if f > 0 else math.sqrt(h)
    e[i] = size * g
    h -= f * g
    d[i - 1] = f - g
    e[:i] = 0.0
    for j in range(i):
        f = d[j]
        a[j, i] = f
        g = e[j] + a[j, j] * f
        for k in range(j + 1, i):
            g += a[k, j] * d[k]
            e[k] += a[k, j] * f
        e[j] = g
    f = 0.0
    for j in range(i):
        e[j] /= h
        f += e[j] * d[j]
    half = f / (h + h)
    for j in range(i):
        e[j] -= half * d[j]
    for j in range(i):
        f, g = d[j], e[j]
        for k in range(j, i):
            a[k, j] -= f * e[k] + g * d[k]
        d[j] = a[i - 1, j]
        a[i, j] = 0.0
    return float(h)


@compiled
def _iterate(z: NDArray[np.float64], d: NDArray[np.float64], e: NDArray[np.float64]) -> None:
    n = len(d)
    for i in range(1, n):
        e[i - 1] = e[i]
    e[n - 1] = 0.0
    shift, largest = 0.0, 0.0
    for first in range(n):
        largest = max(largest, abs(d[first]) + abs(e[first]))
        last = first
        while last < n and abs(e[last]) > _EPSILON * largest:
            last += 1
        if last == n:  # only where numbers are not finite
            d[:] = np.nan
            return
        for _ in range(_ROUNDS if last > first else 0):
            shift += _sweep(z, d, e, first, last)
            if not abs(e[first]) > _EPSILON * largest:
                break
        d[first] += shift
        e[first] = 0.0
    for i in range(n - 1):
        k = i
        for j in range(i + 1, n):
            if d[k] < d[j]:
                k = j
        if k != i:
            d[k], d[i] = d[i], d[k]
            for j in range(n):
                z[j, k], z[j, i] = z[j, i], z[j, k]


@compiled
def _sweep(
    z: NDArray[np.float64], d: NDArray[np.float64], e: NDArray[np.float64], first: int, last: int
) -> float:  # fmt: skip
    """Make the elements beside the diagonal smaller by one implicit QL step; return its shift."""
    n = len(d)
    g = d[first]
    p = (d[first + 1] - g) / (2.0 * e[first])
    r = math.hypot(p, 1.0)
    r = -r if p < 0 else r
    d[first] = e[first] / (p + r)
    d[first + 1] = e[first] * (p + r)
    after = d[first + 1]
    moved = g - d[first]
    for i in range(first + 2, n):
        d[i] -= moved
    p = d[last]
    c, c2, c3, s, s2 = 1.0, 1.0, 1.0, 0.0, 0.0
    beside = e[first + 1]
    for i in range(last - 1, first - 1, -1):
        c3 = c2
        c2 = c
        s2 = s
        g = c * e[i]
        h = c * p
        r = math.hypot(p, e[i])
        e[i + 1] = s * r
        s = e[i] / r
        c = p / r
        p = c * d[i] - s * g
        d[i + 1] = h + s * (c * g + s * d[i])
        for k in range(n):
            h = z[k, i + 1]
            z[k, i + 1] = s * z[k, i] + c * h
            z[k, i] = c * z[k, i] - s * h
    p = -s * s2 * c3 * beside * e[first] / after
    e[first] = s * p
    d[first] = c * p
    return float(moved)

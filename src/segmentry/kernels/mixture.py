"""Mixtures of normal densities, with pixels that hold two classes in any proportion between them.

A model has k classes and p pairs of classes. Class c is normal with mean ``means[c]`` and a covariance whose Cholesky
factor has the inverse ``whitening[c]``. Pair q stands for points ``(1 - t) a + t b`` with noise, a and b being the
means of its two classes and t uniform from 0 to 1 (Santago & Gage 1993); its noise is ``whitening[k + q]``. ``level``
is the logarithm of the share of each class or pair over the root of the determinant of its covariance.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["expect", "posterior"]

ROOT_TWO = math.sqrt(2)
ROOT_TWO_PI = math.sqrt(2 * math.pi)
#: Where a normal density is cut off further out than this its own tail says how it goes on.
FAR = 30.0


@compiled
def _whiten(
    point: NDArray[np.float64], mean: NDArray[np.float64], whitening: NDArray[np.float64], out: NDArray[np.float64]
) -> float:
    """Write a point as seen from a mean in units of the spread; return its squared length."""
    total = 0.0
    for row in range(out.size):
        value = 0.0
        for column in range(row + 1):
            value += whitening[row, column] * (point[column] - mean[column])
        out[row] = value
        total += value * value
    return total


@compiled
def _tail(low: float, high: float) -> tuple[float, float]:
    """Return the logarithm of the mass of the standard normal density from `low` to `high`, and the mean there."""
    if low > FAR:
        return -low * low / 2 - math.log(low * ROOT_TWO_PI), low + 1 / low
    if low > 0:
        mass = (math.erfc(low / ROOT_TWO) - math.erfc(high / ROOT_TWO)) / 2
    else:
        mass = (math.erf(high / ROOT_TWO) - math.erf(low / ROOT_TWO)) / 2
    return math.log(mass), (math.exp(-low * low / 2) - math.exp(-high * high / 2)) / (ROOT_TWO_PI * mass)


@compiled
def _between(ahead: float, width: float) -> tuple[float, float]:
    """Return log mass and mean of t, uniform on 0 … 1, seen at `ahead` / `width` with the spread 1 / `width`."""
    low, high = -ahead, width - ahead
    if low + high < 0:
        mass, mean = _tail(-high, -low)
        return mass, min(max((ahead - mean) / width, 0.0), 1.0)
    mass, mean = _tail(low, high)
    return mass, min(max((ahead + mean) / width, 0.0), 1.0)


@compiled
def _shares(
    point: NDArray[np.float64], means: NDArray[np.float64], whitening: NDArray[np.float64], level: NDArray[np.float64],
    pairs: NDArray[np.int64], steps: NDArray[np.float64], out: NDArray[np.float64], part: NDArray[np.float64],
    white: NDArray[np.float64],
) -> float:  # fmt: skip
    """Write the posterior share of each class and pair, and the part of each pair's second class; return log density.

    ``steps`` (p, d) leads from the first mean of each pair to the second, in units of the spread.
    """
    k = means.shape[0]
    best = -np.inf
    for c in range(level.size):
        if c < k:
            out[c] = level[c] - _whiten(point, means[c], whitening[c], white) / 2
        else:
            q = c - k
            squared = _whiten(point, means[pairs[q, 0]], whitening[c], white)
            along, length = 0.0, 0.0
            for axis in range(white.size):
                along += white[axis] * steps[q, axis]
                length += steps[q, axis] * steps[q, axis]
            if length < 1e-12:
                out[c], part[q] = -np.inf, 0.5
                continue
            width = math.sqrt(length)
            mass, part[q] = _between(along / width, width)
            aside = max(squared - along * along / length, 0.0)
            out[c] = level[c] - aside / 2 + mass + math.log(ROOT_TWO_PI / width)
        best = max(best, out[c])
    total = 0.0
    for c in range(out.size):
        out[c] = math.exp(out[c] - best)
        total += out[c]
    for c in range(out.size):
        out[c] /= total
    return best + math.log(total)


@compiled
def expect(
    points: NDArray[np.float64], weights: NDArray[np.float64], means: NDArray[np.float64],
    whitening: NDArray[np.float64], level: NDArray[np.float64], pairs: NDArray[np.int64], steps: NDArray[np.float64],
    totals: NDArray[np.float64], firsts: NDArray[np.float64], seconds: NDArray[np.float64],
) -> float:  # fmt: skip
    """Add up what the next model needs; return the log likelihood of the weighted points.

    Parameters
    ----------
    points, weights : (n, d) and (n,) arrays
    means, whitening, level, pairs, steps
        The model: (k, d), (k + p, d, d), (k + p,), (p, 2), (p, d).
    totals : (k + p,) array that is added to
        Weight of each class and pair.
    firsts, seconds : (k, d) and (k, d, d) arrays that are added to
        Sums over each class of the points, and of their products, both as seen from its mean.
    """
    k, d = means.shape
    share = np.empty(level.size)
    part = np.empty(max(pairs.shape[0], 1))
    white = np.empty(d)
    total = 0.0
    for i in range(points.shape[0]):
        total += weights[i] * _shares(points[i], means, whitening, level, pairs, steps, share, part, white)
        for c in range(level.size):
            weight = weights[i] * share[c]
            totals[c] += weight
            if c < k and weight > 0:
                for row in range(d):
                    ahead = points[i, row] - means[c, row]
                    firsts[c, row] += weight * ahead
                    for column in range(row + 1):
                        seconds[c, row, column] += weight * ahead * (points[i, column] - means[c, column])
    return total


@compiled
def posterior(
    points: NDArray[np.float64], means: NDArray[np.float64], whitening: NDArray[np.float64],
    level: NDArray[np.float64], pairs: NDArray[np.int64], steps: NDArray[np.float64],
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:  # fmt: skip
    """Return the most probable class of each point, and the probability of each class, classes first.

    The share of a pair goes to its two classes in the proportion that is expected of the point.
    """
    k, d = means.shape
    n = points.shape[0]
    classes = np.empty(n, np.uint8)
    found = np.empty((k, n), np.float32)
    share = np.empty(level.size)
    part = np.empty(max(pairs.shape[0], 1))
    white = np.empty(d)
    for i in range(n):
        _shares(points[i], means, whitening, level, pairs, steps, share, part, white)
        for q in range(pairs.shape[0]):
            share[pairs[q, 0]] += share[k + q] * (1 - part[q])
            share[pairs[q, 1]] += share[k + q] * part[q]
        best = 0
        for c in range(k):
            found[c, i] = share[c]
            if share[c] > share[best]:
                best = c
        classes[i] = best
    return classes, found

"""Groups of points: k-means, and the colours that an image holds, each once.

Points are rows of float64. Sums run over them in their order, so that the same points give the same groups on any
machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["fuzzy_memberships", "fuzzy_sums", "lloyd", "palette"]


def palette(rows: NDArray[np.float32], most: int) -> tuple[NDArray[np.int64], NDArray[np.int32]] | None:
    """Find the distinct rows of an array.

    Parameters
    ----------
    rows : (n, d) float32 array
    most
        How many distinct rows are worth it; ``None`` is returned when there are more.

    Returns
    -------
    first : (m,) place at which each distinct row occurs first, ascending
    number : (n,) int32 array, which of the m rows stands at each place
    """
    bits = 4
    while 1 << bits < 2 * most:
        bits += 1
    number = np.empty(len(rows), np.int32)
    first = np.empty(most, np.int64)
    # The bits are compared: adding zero turns -0 into 0.
    found = _palette((rows + np.float32(0)).view(np.uint32), first, number, bits)
    return None if found < 0 else (first[:found].copy(), number)


@compiled
def _same(rows: NDArray[np.uint32], one: int, other: int) -> bool:
    same = True
    for axis in range(rows.shape[1]):
        same = same and rows[one, axis] == rows[other, axis]
    return same


@compiled
def _palette(rows: NDArray[np.uint32], first: NDArray[np.int64], number: NDArray[np.int32], bits: int) -> int:
    slots = np.full(1 << bits, -1, np.int32)
    mask = (1 << bits) - 1
    shift = np.uint64(64 - bits)
    found = 0
    for i in range(rows.shape[0]):
        if i > 0 and _same(rows, i, i - 1):
            number[i] = number[i - 1]
            continue
        key = np.uint64(0)
        for axis in range(rows.shape[1]):
            key = (key ^ np.uint64(rows[i, axis])) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(29)
        at = np.int64(key * np.uint64(0xBF58476D1CE4E5B9) >> shift)
        while slots[at] >= 0 and not _same(rows, i, first[slots[at]]):
            at = (at + 1) & mask
        if slots[at] < 0:
            if found == first.size:
                return -1
            slots[at] = found
            first[found] = i
            found += 1
        number[i] = slots[at]
    return found


@compiled
def _squared(points: NDArray[np.float64], i: int, centres: NDArray[np.float64], c: int) -> float:
    total = 0.0
    for axis in range(points.shape[1]):
        step = points[i, axis] - centres[c, axis]
        total += step * step
    return total


@compiled
def lloyd(
    points: NDArray[np.float64], weights: NDArray[np.float64], centres: NDArray[np.float64], rounds: int
) -> tuple[NDArray[np.int64], float]:
    """Move centres to the weighted mean of the points nearest to them until they rest (Lloyd 1982).

    Of each point it is known how far its centre lies at most and the others at least; where that settles which is
    nearest, no distance is computed (Hamerly 2010, doi:10.1137/1.9781611972801.12).

    Parameters
    ----------
    points : (n, d) array
    weights : (n,) array
    centres : (k, d) array that is changed; a centre without points stays where it is
    rounds
        How many times they are moved at most.

    Returns
    -------
    nearest : (n,) number of the nearest centre
    spread : weighted sum of squared distances to it
    """
    n, k = points.shape[0], centres.shape[0]
    nearest = np.zeros(n, np.int64)
    own = np.full(n, np.inf)
    others = np.zeros(n)
    for turn in range(rounds + 1):
        changed = _nearest(points, centres, nearest, own, others)
        if turn == rounds or (turn > 0 and changed == 0):
            break
        before = centres.copy()
        _to_means(points, weights, nearest, centres)
        moved = np.zeros(k)
        for c in range(k):
            moved[c] = np.sqrt(_squared(before, c, centres, c))
        furthest = moved.max()
        for i in range(n):
            own[i] += moved[nearest[i]]
            others[i] -= furthest
    spread = 0.0
    for i in range(n):
        spread += weights[i] * _squared(points, i, centres, nearest[i])
    return nearest, spread


@compiled
def _nearest(
    points: NDArray[np.float64], centres: NDArray[np.float64], nearest: NDArray[np.int64], own: NDArray[np.float64],
    others: NDArray[np.float64],
) -> int:  # fmt: skip
    """Find the nearest centre of each point for which it is in doubt; return how many changed."""
    changed = 0
    for i in range(points.shape[0]):
        if own[i] < others[i]:
            continue
        own[i] = np.sqrt(_squared(points, i, centres, nearest[i]))
        if own[i] < others[i]:
            continue
        best, least, second = 0, np.inf, np.inf
        for c in range(centres.shape[0]):
            squared = _squared(points, i, centres, c)
            if squared < least:
                best, least, second = c, squared, least
            elif squared < second:
                second = squared
        own[i], others[i] = np.sqrt(least), np.sqrt(second)
        if best != nearest[i]:
            nearest[i] = best
            changed += 1
    return changed


@compiled
def _to_means(
    points: NDArray[np.float64], weights: NDArray[np.float64], nearest: NDArray[np.int64], centres: NDArray[np.float64]
) -> None:
    """Move each centre to the mean of its points."""
    sums = np.zeros(centres.shape)
    shares = np.zeros(centres.shape[0])
    for i in range(points.shape[0]):
        c = nearest[i]
        shares[c] += weights[i]
        for axis in range(points.shape[1]):
            sums[c, axis] += weights[i] * points[i, axis]
    for c in range(centres.shape[0]):
        if shares[c] > 0:
            for axis in range(centres.shape[1]):
                centres[c, axis] = sums[c, axis] / shares[c]


@compiled
def _memberships(
    point: NDArray[np.float64], centres: NDArray[np.float64], power: float, out: NDArray[np.float64]
) -> int:
    """Write how much a point belongs to each centre; return the nearest."""
    best, least = 0, np.inf
    for c in range(centres.shape[0]):
        squared = 0.0
        for axis in range(point.size):
            step = point[axis] - centres[c, axis]
            squared += step * step
        out[c] = squared
        if squared < least:
            best, least = c, squared
    if least == 0:
        out[:] = 0
        out[best] = 1
        return best
    total = 0.0
    for c in range(out.size):
        out[c] = least / out[c] if power == 1 else (least / out[c]) ** power
        total += out[c]
    for c in range(out.size):
        out[c] /= total
    return best


@compiled
def fuzzy_sums(
    points: NDArray[np.float64], weights: NDArray[np.float64], centres: NDArray[np.float64], fuzziness: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the points summed by membership to the power of the fuzziness, and the memberships so summed."""
    k, d = centres.shape
    sums = np.zeros((k, d))
    shares = np.zeros(k)
    share = np.empty(k)
    for i in range(points.shape[0]):
        _memberships(points[i], centres, 1 / (fuzziness - 1), share)
        for c in range(k):
            part = weights[i] * share[c] ** fuzziness
            shares[c] += part
            for axis in range(d):
                sums[c, axis] += part * points[i, axis]
    return sums, shares


@compiled
def fuzzy_memberships(
    points: NDArray[np.float64], centres: NDArray[np.float64], fuzziness: float
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the nearest centre of each point, and how much it belongs to each, centres first (Bezdek 1981)."""
    n = points.shape[0]
    nearest = np.empty(n, np.uint8)
    found = np.empty((centres.shape[0], n), np.float32)
    share = np.empty(centres.shape[0])
    for i in range(n):
        nearest[i] = _memberships(points[i], centres, 1 / (fuzziness - 1), share)
        for c in range(share.size):
            found[c, i] = share[c]
    return nearest, found

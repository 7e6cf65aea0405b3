"""Oblivious trees: every node of a level asks the same question, so that the answers are the number of the leaf.

A pixel goes down a tree without a branch and without looking where to go next: the comparisons of all levels are made
for many pixels at once, and their bits number a row of a table (Kohavi & Li 1995; boosted: Prokhorenkova et al. 2018,
arXiv:1706.09516). The tables hold whole numbers, those of three classes in one of 64 bits, so that one addition serves
three classes and sums don't depend on their order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["grow_trees", "packed_tables", "predict_trees"]

#: So many pixels go through all trees before the next, so that their features stay in the cache.
BLOCK = 512
#: Levels whose questions are answered in one go, by :func:`_answer`.
TOGETHER = 6
LANES = 3
WIDTH = 21
_MASK = np.uint64((1 << WIDTH) - 1)

_ONE, _HALF, _LEAST = np.float32(1), np.float32(0.5), np.float32(-87)
_LOG2E, _LN2_HIGH, _LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
_E5, _E4 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3)
_E3, _E2 = np.float32(8.3334519073e-3), np.float32(4.1665795894e-2)
_E1, _E0 = np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)


def packed_tables(tables: NDArray[np.float32]) -> tuple[NDArray[np.uint64], np.float32]:
    """Return the tables of trees in whole numbers, three classes in each, and what these are multiplied with.

    Parameters
    ----------
    tables : (n_trees, leaves, n_classes) array, finite

    Returns
    -------
    packed : (n_trees, groups of classes, leaves) array
    scale
        Scores are sums of these numbers times it, but for what is the same for all classes.
    """
    n_trees, leaves, n_classes = tables.shape
    exact = tables.astype(np.float64)
    lowest = exact.min(axis=(1, 2), keepdims=True)
    whole = float((exact - lowest).max(axis=(1, 2)).sum())
    scale = np.float32(whole / (2**WIDTH - 1 - n_trees)) if whole else _ONE
    numbers = np.rint((exact - lowest) / scale).astype(np.uint64)
    groups = -(-n_classes // LANES)
    packed = np.zeros((n_trees, groups, leaves), np.uint64)
    for c in range(n_classes):
        packed[:, c // LANES] |= numbers[:, :, c] << np.uint64(WIDTH * (c % LANES))
    return packed, scale


@compiled
def predict_trees(
    features: NDArray[np.float32], chosen: NDArray[np.int32], thresholds: NDArray[np.float32],
    packed: NDArray[np.uint64], scale: np.float32, out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Write the probability of each class: the sums of the tables, through a softmax.

    Parameters
    ----------
    features : (n_features, n) array
    chosen, thresholds : (n_trees, depth) arrays
        Level d of a tree adds 2^d to the number of the leaf where the feature lies above the threshold.
    packed, scale
        From :func:`packed_tables`.
    out : (n_classes, n) array
    """
    n_features, n = features.shape
    n_trees, depth = chosen.shape
    groups = packed.shape[1]
    # Questions that are lacking are those that nothing answers with yes.
    asked = np.zeros((n_trees, max(depth, TOGETHER)), np.int32)
    limits = np.full(asked.shape, np.inf, np.float32)
    asked[:, :depth], limits[:, :depth] = chosen, thresholds
    # The last block is worked on whole, and as much of it is written as there are pixels.
    block = np.zeros((n_features, BLOCK), np.float32)
    at = np.empty(BLOCK, np.int32)
    total = np.empty((groups, BLOCK), np.uint64)
    scores = np.empty((out.shape[0], BLOCK), np.float32)
    for start in range(0, n, BLOCK):
        count = min(BLOCK, n - start)
        for f in range(n_features):
            block[f, :count] = features[f, start : start + count]
        total[:] = 0
        for t in range(n_trees):
            _answer(block, asked[t], limits[t], at)
            for d in range(TOGETHER, depth):
                values, threshold, bit = block[chosen[t, d]], thresholds[t, d], np.int32(1 << d)
                for p in range(BLOCK):
                    at[p] |= bit if values[p] > threshold else np.int32(0)
            for g in range(groups):
                table = packed[t, g]
                for p in range(BLOCK):
                    total[g, p] += table[np.uint32(at[p])]
        for c in range(scores.shape[0]):
            shift = np.uint64(WIDTH * (c % LANES))
            for p in range(BLOCK):
                scores[c, p] = np.float32(np.int64((total[c // LANES, p] >> shift) & _MASK)) * scale
        _softmax(scores)
        for c in range(scores.shape[0]):
            for p in range(count):
                out[c, start + p] = scores[c, p]


@compiled
def _answer(
    values: NDArray[np.float32], asked: NDArray[np.int32], limits: NDArray[np.float32], at: NDArray[np.int32]
) -> None:
    """Write the answers of the first six levels as bits."""
    one, two, three = values[asked[0]], values[asked[1]], values[asked[2]]
    four, five, six = values[asked[3]], values[asked[4]], values[asked[5]]
    a, b, c, d, e, f = limits[0], limits[1], limits[2], limits[3], limits[4], limits[5]
    no = np.int32(0)
    for p in range(at.size):
        bits = np.int32(1) if one[p] > a else no
        bits |= np.int32(2) if two[p] > b else no
        bits |= np.int32(4) if three[p] > c else no
        bits |= np.int32(8) if four[p] > d else no
        bits |= np.int32(16) if five[p] > e else no
        bits |= np.int32(32) if six[p] > f else no
        at[p] = bits


@compiled
def _softmax(scores: NDArray[np.float32]) -> None:
    """Turn scores into probabilities, in place; the classes come first."""
    highest = scores[0].copy()
    total = np.zeros(scores.shape[1], np.float32)
    for c in range(1, scores.shape[0]):
        for p in range(highest.size):
            highest[p] = max(highest[p], scores[c, p])
    for c in range(scores.shape[0]):
        for p in range(highest.size):
            scores[c, p] = _exponential(scores[c, p] - highest[p])
            total[p] += scores[c, p]
    for c in range(scores.shape[0]):
        for p in range(highest.size):
            scores[c, p] /= total[p]


@compiled
def _exponential(x: np.float32) -> np.float32:
    """Return e to the power of a number that isn't positive: the same bits on any machine, to 1e-7 of the value."""
    x = max(x, _LEAST)
    k = np.floor(x * _LOG2E + _HALF)
    r = x - k * _LN2_HIGH - k * _LN2_LOW
    y = ((((_E5 * r + _E4) * r + _E3) * r + _E2) * r + _E1) * r + _E0
    power: np.float32 = np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)
    value: np.float32 = (y * r * r + r + _ONE) * power
    return value


@compiled
def grow_trees(
    bins: NDArray[np.uint8], n_bins: NDArray[np.int64], edges: NDArray[np.float32], classes: NDArray[np.int64],
    weights: NDArray[np.float64], start: NDArray[np.float64], tables: NDArray[np.float32], rate: float,
    shrinkage: float, shares: tuple[float, float], seed: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:  # fmt: skip
    """Grow trees one after the other, each on what those before it got wrong (gradient boosting, Friedman 2001).

    Parameters
    ----------
    bins : (n_features, n) array, the bin of each feature of a sample
    n_bins : (n_features,) array
    edges : (n_features, most bins) array, the threshold between a bin and the next
    classes : (n,) array
    weights : (n,) array with a mean of 1
    start : (n_classes,) array of the scores before the first tree
    tables : (n_trees, 2^depth, n_classes) array that is written
    rate
        How much of a correction is taken.
    shrinkage
        So many samples that speak for nothing are added to each leaf.
    shares
        Of the samples that a tree sees, and of the features that a level chooses from.
    seed
        Of both choices.

    Returns
    -------
    chosen : (n_trees, depth) array, the feature of each level; -1 where none helps
    cut : (n_trees, depth) array, the last bin that isn't above the threshold
    gains : (n_features,) array, how much each feature helped
    """
    n_features, n = bins.shape
    n_trees, leaves, n_classes = tables.shape
    depth = 0
    while 1 << depth < leaves:
        depth += 1
    chosen, cut = np.full((n_trees, depth), -1, np.int32), np.zeros((n_trees, depth), np.int32)
    gains = np.zeros(n_features)
    scores = np.empty((n_classes, n), np.float32)
    for c in range(n_classes):
        scores[c] = start[c]
    pulls = np.empty((n, n_classes + 1), np.float32)
    sums = np.empty((leaves // 2 if depth else 1, n_bins.max(), n_classes + 1), np.float32)
    seen = np.empty(n, np.int64)
    for t in range(n_trees):
        _pull(scores, classes, weights, pulls)
        leaf = np.zeros(n, np.uint8)
        count = 0
        for i in range(n):
            if _chance(seed, 2 * t, i) < shares[0]:
                seen[count] = i
                count += 1
        for d in range(depth):
            most = 0.0
            looked, wanted = 0, max(np.ceil(shares[1] * n_features), min(3, n_features))
            for f in range(n_features):
                # So many features are drawn, each as likely as the others.
                if _chance(seed, 2 * t + 1, d * n_features + f) * (n_features - f) >= wanted - looked:
                    continue
                looked += 1
                _sum_bins(bins[f], leaf, seen[:count], pulls, sums[: 1 << d, : n_bins[f]])
                gain, place = _best_cut(sums[: 1 << d, : n_bins[f]], edges[f], shrinkage, _chance(seed + 1, t, d))
                if gain > most:
                    most, chosen[t, d], cut[t, d] = gain, f, place
            if chosen[t, d] >= 0:
                gains[chosen[t, d]] += most
                for i in range(n):
                    if bins[chosen[t, d], i] > cut[t, d]:
                        leaf[i] |= np.uint8(1 << d)
        _settle(leaf, pulls, rate, shrinkage, tables[t], scores)
    return chosen, cut, gains


@compiled
def _pull(
    scores: NDArray[np.float32], classes: NDArray[np.int64], weights: NDArray[np.float64], pulls: NDArray[np.float32]
) -> None:
    """Write how far each sample is from its class, per class, and at last how uncertain it is."""
    shares = scores.copy()
    _softmax(shares)
    for i in range(classes.size):
        doubt = 0.0
        for c in range(shares.shape[0]):
            share = shares[c, i]
            doubt += share * (1 - share)
            pulls[i, c] = weights[i] * ((1.0 if classes[i] == c else 0.0) - share)
        pulls[i, -1] = weights[i] * doubt


@compiled
def _sum_bins(
    bins: NDArray[np.uint8], leaf: NDArray[np.uint8], seen: NDArray[np.int64], pulls: NDArray[np.float32],
    sums: NDArray[np.float32],
) -> None:  # fmt: skip
    sums[:] = 0
    for i in seen:
        for c in range(pulls.shape[1]):
            sums[leaf[i], bins[i], c] += pulls[i, c]


@compiled
def _best_cut(
    sums: NDArray[np.float32], edges: NDArray[np.float32], shrinkage: float, chance: float
) -> tuple[float, int]:
    """Return how much the best cut of all leaves at one place gains, and the last bin below it.

    Of neighbouring places that part the samples alike, that nearest to a number drawn from the
    middle of them is taken.
    """
    leaves, n_bins, width = sums.shape
    gains = np.zeros(n_bins)
    whole, below = np.empty(width), np.empty(width)
    for leaf in range(leaves):
        whole[:] = 0
        for b in range(n_bins):
            for c in range(width):
                whole[c] += sums[leaf, b, c]
        if whole[-1] <= 0:
            continue
        alone = _strength(whole, shrinkage)
        below[:] = 0
        for b in range(n_bins - 1):
            low, high = 0.0, 0.0
            for c in range(width - 1):
                below[c] += sums[leaf, b, c]
                low += below[c] * below[c]
                high += (whole[c] - below[c]) ** 2
            below[-1] += sums[leaf, b, -1]
            rest = max(whole[-1] - below[-1], 0.0)
            gains[b] += low / (below[-1] + shrinkage) + high / (rest + shrinkage) - alone
    best = 0
    for b in range(1, n_bins - 1):
        if gains[b] > gains[best]:
            best = b
    last = best
    while last + 1 < n_bins - 1 and gains[last + 1] == gains[best]:
        last += 1
    aim = edges[best] + (0.25 + chance / 2) * (edges[last] - edges[best])
    place = best
    for b in range(best, last + 1):
        if abs(edges[b] - aim) < abs(edges[place] - aim):
            place = b
    return gains[best], place


@compiled
def _strength(whole: NDArray[np.float64], shrinkage: float) -> float:
    total = 0.0
    for c in range(whole.size - 1):
        total += whole[c] * whole[c]
    strength: float = total / (whole[-1] + shrinkage)
    return strength


@compiled
def _settle(
    leaf: NDArray[np.uint8], pulls: NDArray[np.float32], rate: float, shrinkage: float, table: NDArray[np.float32],
    scores: NDArray[np.float32],
) -> None:  # fmt: skip
    """Write what the leaves of a tree add to the scores, and add it to those of the samples."""
    sums = np.zeros((table.shape[0], pulls.shape[1]))
    for i in range(leaf.size):
        for c in range(pulls.shape[1]):
            sums[leaf[i], c] += pulls[i, c]
    for row in range(table.shape[0]):
        for c in range(table.shape[1]):
            table[row, c] = rate * sums[row, c] / (sums[row, -1] + shrinkage)
    for i in range(leaf.size):
        for c in range(table.shape[1]):
            scores[c, i] += table[leaf[i], c]


@compiled
def _chance(seed: int, kind: int, number: int) -> float:
    """Return a number from 0 to below 1 that depends on three others (SplitMix64, Steele et al. 2014)."""
    mixed = np.uint64(seed)
    for part in (kind, number):
        mixed += np.uint64(part) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return np.float64(mixed >> np.uint64(11)) / 9007199254740992.0

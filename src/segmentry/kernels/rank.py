"""The median of the box around each pixel, exactly, in two or three dimensions; edges are mirrored.

Small boxes go through a sorting network that keeps only the comparisons on which the median depends: first down the
columns, which neighbours share, then column by column (odd-even merging, Batcher 1968, doi:10.1145/1468075.1468121).
Many pixels take each comparison at once. Large boxes slide along the rows with a histogram of ranks (Huang et al. 1979,
doi:10.1109/TASSP.1979.1163188).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["median"]

#: Boxes of up to this many pixels go through a network.
NETWORK_PIXELS = 150
#: Pixels of a row that go through a network together.
RUN = 128
#: Ranks are counted one by one, and in blocks of 2 to this power.
BLOCK_BITS = 6
#: What a comparison writes: the lower value to the first place, the higher to the second.
LOWER, HIGHER = 1, 2

Comparisons = list[tuple[int, int]]


def median(pixels: NDArray[np.float32], radius: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the median of the box around each pixel.

    Parameters
    ----------
    pixels : (Y, X) or (Z, Y, X) float32 array
    radius
        Half the width of the box along each axis; it may exceed the array.
    """
    padded = np.pad(pixels, [(r, r) for r in radius], mode="symmetric")
    padded = padded.reshape((1,) * (3 - pixels.ndim) + padded.shape)
    found = np.empty((1,) * (3 - pixels.ndim) + pixels.shape, np.float32)
    deep, tall, wide = (0,) * (3 - pixels.ndim) + radius
    length = (2 * deep + 1) * (2 * tall + 1)
    if length * (2 * wide + 1) <= NETWORK_PIXELS:
        column, box, place = _network(length, 2 * wide + 1)
        _by_network(padded, deep, tall, wide, column, box, place, found)
        return found.reshape(pixels.shape)
    # In pieces about as long as the box, so that there are few ranks between the median of a box and that of the next.
    for z, y in product(range(0, found.shape[0], 4 * deep + 1), range(0, found.shape[1], 4 * tall + 1)):
        part = found[z : z + 4 * deep + 1, y : y + 4 * tall + 1]
        ranks, values = _ranked(padded[z : z + 6 * deep + 1, y : y + 6 * tall + 1])
        order = np.empty(part.shape, np.int32)
        _by_histogram(ranks, len(values), deep, tall, wide, order)
        part[...] = values[order]
    return found.reshape(pixels.shape)


def _ranked(pixels: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return small whole numbers that stand in the order of the pixels, and the intensity that each means."""
    low, high = pixels.min(), pixels.max()
    if high - low < 2**16 and np.array_equal(pixels, np.rint(pixels)):
        return (pixels - low).astype(np.int32), np.arange(low, high + 1, dtype=np.float32)
    values, ranks = np.unique(pixels, return_inverse=True)
    return ranks.reshape(pixels.shape).astype(np.int32), values


@lru_cache(maxsize=64)
def _network(length: int, columns: int) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return the comparisons that sort a column, those that find the median of sorted columns, and where it stands."""
    sorting: Comparisons = []
    order = _sort(list(range(length)), sorting)
    merging: Comparisons = []
    lists = [[c * length + place for place in order] for c in range(columns)]
    while len(lists) > 1:
        rest = lists[len(lists) // 2 * 2 :]
        lists = [_merge(a, b, merging) for a, b in zip(lists[::2], lists[1::2], strict=False)] + rest
    place = lists[0][length * columns // 2]
    return _needed(sorting, set(order)), _needed(merging, {place}), place


def _sort(places: list[int], comparisons: Comparisons) -> list[int]:
    """Append what sorts the values at some places; return the places in the order of what then stands there."""
    if len(places) < 2:
        return places
    half = len(places) // 2
    return _merge(_sort(places[:half], comparisons), _sort(places[half:], comparisons), comparisons)


def _merge(one: list[int], other: list[int], comparisons: Comparisons) -> list[int]:
    """Append what merges two sorted lists; return the places in the order of what then stands there."""
    if not one or not other:
        return one + other
    if len(one) == len(other) == 1:
        comparisons.append((one[0], other[0]))
        return [one[0], other[0]]
    first = _merge(one[::2], other[::2], comparisons)
    second = _merge(one[1::2], other[1::2], comparisons)
    merged = [first[0]]
    for low, high in zip(second, first[1:], strict=False):
        comparisons.append((low, high))
        merged += [low, high]
    return merged + second[len(first) - 1 :] + first[len(second) + 1 :]


def _needed(comparisons: Comparisons, wanted: set[int]) -> NDArray[np.int64]:
    """Return the comparisons, with what each has to write, on which the values at the wanted places depend."""
    kept = []
    live = set(wanted)
    for low, high in reversed(comparisons):
        writes = LOWER * (low in live) + HIGHER * (high in live)
        if writes:
            kept.append((low, high, writes))
            live |= {low, high}
    return np.array(kept[::-1], np.int64).reshape(-1, 3)


@compiled
def _compare(values: NDArray[np.float32], comparisons: NDArray[np.int64], run: int) -> None:
    """Send `run` pixels through a network; row k of the values holds what stands at place k."""
    for k in range(len(comparisons)):
        one, other = values[comparisons[k, 0]][:run], values[comparisons[k, 1]][:run]
        if comparisons[k, 2] == LOWER:
            for x in range(run):
                one[x] = min(one[x], other[x])
        elif comparisons[k, 2] == HIGHER:
            for x in range(run):
                other[x] = max(one[x], other[x])
        else:
            for x in range(run):
                low, high = min(one[x], other[x]), max(one[x], other[x])
                one[x] = low
                other[x] = high


@compiled
def _by_network(
    padded: NDArray[np.float32], deep: int, tall: int, wide: int,
    column: NDArray[np.int64], box: NDArray[np.int64], place: int, found: NDArray[np.float32],
) -> None:  # fmt: skip
    length = (2 * deep + 1) * (2 * tall + 1)
    columns = np.empty((length, RUN + 2 * wide), np.float32)
    values = np.empty((length * (2 * wide + 1), RUN), np.float32)
    for z in range(found.shape[0]):
        for y in range(found.shape[1]):
            for x in range(0, found.shape[2], RUN):
                run = min(RUN, found.shape[2] - x)
                for k in range(length):
                    row = padded[z + k // (2 * tall + 1), y + k % (2 * tall + 1)]
                    columns[k, : run + 2 * wide] = row[x : x + run + 2 * wide]
                _compare(columns, column, run + 2 * wide)
                for c in range(2 * wide + 1):
                    for k in range(length):
                        values[c * length + k, :run] = columns[k, c : c + run]
                _compare(values, box, run)
                found[z, y, x : x + run] = values[place, :run]


@compiled
def _by_histogram(
    ranks: NDArray[np.int32], count: int, deep: int, tall: int, wide: int, found: NDArray[np.int32]
) -> None:
    half = (2 * deep + 1) * (2 * tall + 1) * (2 * wide + 1) // 2
    counts = np.zeros(count + (1 << BLOCK_BITS), np.int32)
    blocks = np.zeros((count >> BLOCK_BITS) + 2, np.int32)
    # The block in which the median lies, and how many values of the box lie in the blocks before it.
    block, before = 0, 0
    for z in range(found.shape[0]):
        for y in range(found.shape[1]):
            for x in range(-2 * wide, found.shape[2] + 2 * wide + 1):
                for dz in range(2 * deep + 1):
                    for dy in range(2 * tall + 1):
                        row = ranks[z + dz, y + dy]
                        if x + 2 * wide < row.size:
                            new = row[x + 2 * wide]
                            counts[new] += 1
                            blocks[new >> BLOCK_BITS] += 1
                            before += (new >> BLOCK_BITS) < block
                        if x > 0:
                            old = row[x - 1]
                            counts[old] -= 1
                            blocks[old >> BLOCK_BITS] -= 1
                            before -= (old >> BLOCK_BITS) < block
                if 0 <= x < found.shape[2]:
                    while before > half:
                        block -= 1
                        before -= blocks[block]
                    while before + blocks[block] <= half:
                        before += blocks[block]
                        block += 1
                    at = block << BLOCK_BITS
                    passed = before + counts[at]
                    while passed <= half:
                        at += 1
                        passed += counts[at]
                    found[z, y, x] = at

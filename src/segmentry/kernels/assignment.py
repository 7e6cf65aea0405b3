"""The one-to-one choice of pairs with the largest total weight, in a sparse table of rows and columns.

Rows join one by one, each along the path on which the total gains most (shortest augmenting paths with dual prices, as
Jonker and Volgenant 1987, doi:10.1007/BF02278710). A path only touches rows and columns that compete for each other, so
that the cost grows with the number of pairs as long as those groups are small.
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from segmentry.kernels.jit import compiled

__all__ = ["best_assignment"]


def best_assignment(
    pairs: NDArray[np.int64], weights: NDArray[np.float64], n_rows: int, n_columns: int
) -> NDArray[np.int64]:
    """Return which pairs to take, ascending, so that no two share a row or a column and their weights add up to most.

    Parameters
    ----------
    pairs : (m, 2) array, ascending
        Row and column of each.
    weights : (m,) array
        Above 0.
    """
    starts = np.searchsorted(pairs[:, 0], np.arange(n_rows + 1)).astype(np.int64)
    columns = np.ascontiguousarray(pairs[:, 1], np.int64)
    taken = _assign(starts, columns, np.ascontiguousarray(weights, np.float64), n_columns)
    return np.asarray(taken[taken >= 0])


@compiled
def _assign(
    starts: NDArray[np.int64], columns: NDArray[np.int64], weights: NDArray[np.float64], n_columns: int
) -> NDArray[np.int64]:
    """Return the pair that each row takes, or -1.

    A row's gain and a column's price together are never below the weight of a pair, and equal it in a pair that is
    taken; what they exceed it by is the length of the way from the row to the column. Rows without a pair gain 0.
    """
    n_rows = len(starts) - 1
    taken, gain = np.full(n_rows, -1, np.int64), np.zeros(n_rows)
    owner, price = np.full(n_columns, -1, np.int64), np.zeros(n_columns)
    distance, done = np.full(n_columns, np.inf), np.zeros(n_columns, np.bool_)
    origin, via = np.full(n_columns, -1, np.int64), np.full(n_columns, -1, np.int64)
    for row in range(n_rows):
        for k in range(starts[row], starts[row + 1]):
            gain[row] = max(gain[row], weights[k] - price[columns[k]])
        touched = [-1]
        heap = [(np.inf, -1)]
        # A path ends at a free column, or at a row that goes without one; so far: the row itself.
        length, last = gain[row], -1
        here, at = 0.0, row
        while True:
            for k in range(starts[at], starts[at + 1]):
                column = int(columns[k])
                reached = here + max(gain[at] + price[column] - weights[k], 0.0)
                if not done[column] and reached < distance[column] and reached < length:
                    touched.append(column)
                    distance[column], origin[column], via[column] = reached, at, k
                    heapq.heappush(heap, (reached, column))
            here, nearest = heapq.heappop(heap)
            while nearest >= 0 and done[nearest]:
                here, nearest = heapq.heappop(heap)
            if here >= length:
                break
            done[nearest] = True
            at = int(owner[nearest])
            if at < 0 or here + gain[at] < length:
                last = nearest
                length = here if at < 0 else here + gain[at]
            if at < 0:
                break
        _reprice(row, length, touched, distance, done, owner, gain, price)
        _hand_over(row, last, columns, taken, owner, origin, via)
    return taken


@compiled
def _reprice(
    row: int,
    length: float,
    touched: list[int],
    distance: NDArray[np.float64],
    done: NDArray[np.bool_],
    owner: NDArray[np.int64],
    gain: NDArray[np.float64],
    price: NDArray[np.float64],
) -> None:
    """Change gains and prices so that the path has no length, and forget the distances."""
    gain[row] -= length
    for i in range(1, len(touched)):
        column = touched[i]
        if done[column] and distance[column] < length:
            price[column] += length - distance[column]
            gain[owner[column]] -= length - distance[column]
        distance[column], done[column] = np.inf, False


@compiled
def _hand_over(
    row: int,
    last: int,
    columns: NDArray[np.int64],
    taken: NDArray[np.int64],
    owner: NDArray[np.int64],
    origin: NDArray[np.int64],
    via: NDArray[np.int64],
) -> None:
    """Give each column of the path that ends at column `last` to the row it was reached from."""
    if last < 0:
        return
    if owner[last] >= 0:
        taken[owner[last]] = -1
    column = last
    while True:
        taker = origin[column]
        before = taken[taker]
        taken[taker], owner[column] = via[column], taker
        if taker == row:
            return
        column = columns[before]

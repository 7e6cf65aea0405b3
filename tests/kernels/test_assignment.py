import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from segmentry.kernels.assignment import best_assignment


def test_the_total_is_that_of_a_dense_table():
    rng = np.random.default_rng(0)
    for trial in range(400):
        shape = tuple(rng.integers(0, 12, 2))
        weights = rng.integers(1, 5, shape) / 8 if trial % 2 else rng.random(shape)
        table = np.where(rng.random(shape) < rng.random(), weights, 0)
        pairs = np.argwhere(table)
        taken = best_assignment(pairs, table[table > 0], *shape)
        rows, columns = pairs[taken].T
        assert len(set(rows)) == len(set(columns)) == len(taken)
        assert (np.diff(taken) > 0).all()
        best = table[linear_sum_assignment(table, maximize=True)].sum()
        assert table[rows, columns].sum() == pytest.approx(best, abs=1e-12)


def test_the_total_is_that_of_a_large_sparse_table():
    """Two grids of objects, one moved by half an object: all compete with all."""
    side = 60
    y, x = np.indices((side, side)).reshape(2, -1)
    near = [np.minimum(y + dy, side - 1) * side + np.minimum(x + dx, side - 1) for dy in (0, 1) for dx in (0, 1)]
    pairs = np.unique(np.stack((np.tile(y * side + x, 4), np.concatenate(near)), axis=1), axis=0)
    n = side * side
    weights = 0.1 + 0.05 * np.random.default_rng(0).random(len(pairs))
    taken = best_assignment(pairs, weights, n, n)
    # Each row may also go without a column: a column of its own, of weight 0. All weights are raised by 1.
    own = np.arange(n)
    where = np.concatenate((pairs[:, 0], own)), np.concatenate((pairs[:, 1], n + own))
    table = csr_array((np.concatenate((weights + 1, np.ones(n))), where), shape=(n, 2 * n))
    best = table[min_weight_full_bipartite_matching(table, maximize=True)].sum() - n
    assert weights[taken].sum() == pytest.approx(best, abs=1e-9)

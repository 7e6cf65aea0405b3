"""Scatter and axes of points are those of NumPy, whose vectors may point the other way."""

import numpy as np
import pytest

from segmentry.kernels.accumulators import eigensystems, scatter


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_eigensystems_are_those_of_numpy(d):
    rng = np.random.default_rng(d)
    matrices = rng.normal(size=(200, d, d)) * 10.0 ** rng.integers(-5, 5, (200, 1, 1))
    matrices[:50] = np.round(matrices[:50])
    matrices[50:60] *= np.eye(d)
    matrices = matrices @ matrices.transpose(0, 2, 1)
    vectors, values = matrices.copy(), np.empty((200, d))
    eigensystems(vectors, values)
    largest = np.abs(matrices).max(axis=(1, 2))[:, None] + 1e-300
    assert np.abs((values - np.linalg.eigvalsh(matrices)[:, ::-1]) / largest).max() < 1e-13
    assert np.abs(vectors.transpose(0, 2, 1) @ vectors - np.eye(d)).max() < 1e-13
    again = (vectors * values[:, None]) @ vectors.transpose(0, 2, 1)
    assert (np.abs(again - matrices).max(axis=(1, 2)) / largest[:, 0]).max() < 1e-13


def test_numbers_that_are_not_finite_come_to_an_end():
    vectors = np.full((3, 3, 3), np.nan)
    vectors[1] = np.inf
    vectors[2] = np.eye(3)
    values = np.empty((3, 3))
    eigensystems(vectors, values)
    assert not np.isfinite(values[:2]).all(axis=1).any()
    assert values[2].tolist() == [1, 1, 1]


def test_scatter_is_that_of_numpy():
    rng = np.random.default_rng(0)
    points, region = rng.normal(100, 3, (500, 3)), np.sort(rng.integers(0, 7, 500))
    weights = rng.integers(0, 4, 500).astype(np.float64)
    total, sums, found = np.zeros(7), np.zeros((7, 3)), np.zeros((7, 3, 3))
    scatter(points, region, weights, total, sums, found)
    for k in range(7):
        mine, weight = points[region == k], weights[region == k]
        assert np.isclose(total[k], weight.sum())
        assert np.allclose(sums[k], weight @ mine)
        assert np.allclose(found[k], np.cov(mine.T, fweights=weight.astype(int), bias=True) * weight.sum())

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.linalg import spsolve

from segmentry.kernels.laplace import solve_laplace


def exact(weights, held, n_classes):
    """The same equations, assembled edge by edge and solved directly."""
    size = held.size
    number = np.arange(size).reshape(held.shape)
    tails, heads, values = [], [], []
    for axis in range(held.ndim):
        one, other = number.swapaxes(0, axis)[:-1].ravel(), number.swapaxes(0, axis)[1:].ravel()
        weight = weights[axis].swapaxes(0, axis)[:-1].ravel().astype(float)
        tails += [one, other, one, other]
        heads += [other, one, one, other]
        values += [-weight, -weight, weight, weight]
    matrix = coo_array((np.concatenate(values), (np.concatenate(tails), np.concatenate(heads))), (size, size)).tocsr()
    free = np.flatnonzero(held.ravel() < 0)
    found = np.stack([(held.ravel() == k).astype(float) for k in range(n_classes)])
    rows = matrix[free]
    for k in range(n_classes):
        source = -rows @ (held.ravel() == k).astype(float)
        found[k, free] = spsolve(rows[:, free].tocsc(), source)
    return found.reshape(n_classes, *held.shape)


def scattered(shape, n, rng):
    held = np.full(shape, -1, np.int32)
    held.ravel()[rng.choice(held.size, n, replace=False)] = np.arange(n) % 3
    return held


@pytest.mark.parametrize("shape", [(70, 83), (9, 24, 31), (1, 400), (500, 1)])
@pytest.mark.parametrize("decades", [0, 4])
def test_probabilities_are_those_of_a_direct_solver(shape, decades):
    rng = np.random.default_rng(0)
    weights = (10.0 ** rng.uniform(-decades, 0, (len(shape), *shape))).astype(np.float32)
    held = scattered(shape, 12, rng)
    found = solve_laplace(weights, held, 3)
    assert found == pytest.approx(exact(weights, held, 3), abs=2e-3)
    assert found.sum(axis=0) == pytest.approx(1, abs=1e-6)


def test_regions_behind_weak_links_take_the_class_that_leaks_in():
    # Four rooms with walls that hardly conduct, the first wall better; seeds stand in the outer two.
    weights = np.ones((2, 60, 60), np.float32)
    for wall, leak in ((14, 1e-5), (29, 1e-8), (44, 1e-8)):
        weights[1, :, wall] = leak
    held = np.full((60, 60), -1, np.int32)
    held[30, 5], held[30, 55] = 1, 0
    found = solve_laplace(weights, held, 2)
    assert found == pytest.approx(exact(weights, held, 2), abs=1e-3)
    assert found[1, 10, 20] > 0.99
    assert found[1, 10, 50] < 0.01
    assert found[1, 10, 35] == pytest.approx(0.5, abs=0.01)


def test_between_two_held_ends_probability_falls_evenly():
    held = np.full((1, 1001), -1, np.int32)
    held[0, 0], held[0, -1] = 1, 0
    found = solve_laplace(np.ones((2, 1, 1001), np.float32), held, 2)
    assert found[1, 0] == pytest.approx(np.linspace(1, 0, 1001), abs=1e-3)


def test_single_unknowns_between_held_pixels_are_the_mean_of_their_neighbours():
    held = np.where(np.indices((40, 40)).sum(axis=0) % 2, np.indices((40, 40))[1] // 20, -1).astype(np.int32)
    found = solve_laplace(np.ones((2, 40, 40), np.float32), held, 2)
    assert found[1, 10, 10] == 0
    assert found[1, 11, 31] == 1
    assert found[1, 10, 20] == pytest.approx(0.75)


def test_where_all_is_held_nothing_is_solved():
    held = np.array([[0, 1], [1, 0]], np.int32)
    assert np.array_equal(solve_laplace(np.ones((2, 2, 2), np.float32), held, 2)[1], held)

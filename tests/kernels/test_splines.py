import numpy as np
import pytest
from scipy.interpolate import BSpline

from segmentry.kernels.splines import at_points, evaluate, fit, through


def whole(shape):
    return tuple(slice(0, n) for n in shape)


def test_the_field_is_the_b_spline_of_scipy():
    rng = np.random.default_rng(0)
    lattice = rng.normal(size=(7, 11))
    shape = (30, 41)
    expected = lattice
    for axis, n in enumerate(shape):
        pieces = lattice.shape[axis] - 3
        knots = np.arange(-3, pieces + 4)
        expected = BSpline(knots, np.moveaxis(expected, axis, 0), 3)(np.linspace(0, pieces, n))
        expected = np.moveaxis(expected, 0, axis)
    assert evaluate(lattice, shape, whole(shape)) == pytest.approx(expected, abs=1e-6)
    places = [np.linspace(0, 1, n) for n in shape]
    assert at_points(lattice, places) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shape", [(50, 61), (9, 20, 31), (1, 8)])
def test_a_window_of_the_field_is_the_field_in_that_window(shape):
    rng = np.random.default_rng(1)
    lattice = rng.normal(size=(6,) * len(shape))
    field = evaluate(lattice, shape, whole(shape))
    for _ in range(20):
        starts = [int(rng.integers(0, n)) for n in shape]
        window = tuple(slice(a, int(rng.integers(a + 1, n + 1))) for a, n in zip(starts, shape, strict=True))
        assert np.array_equal(evaluate(lattice, shape, window), field[window])


def test_equal_coefficients_are_a_constant_field():
    assert evaluate(np.ones((11, 11)), (37, 53), whole((37, 53))) == pytest.approx(1, abs=2e-7)


def test_planes_pass_the_penalty_unchanged():
    y, x = np.meshgrid(np.linspace(0, 1, 20), np.linspace(0, 1, 25), indexing="ij")
    plane = 1 + 2 * y - 3 * x
    places = [np.linspace(0, 1, 20), np.linspace(0, 1, 25)]
    lattice = fit(plane, np.ones_like(plane), places, 5, stiffness=1e4)
    assert at_points(lattice, places) == pytest.approx(plane, abs=1e-5)


def test_values_without_weight_are_not_seen():
    rng = np.random.default_rng(2)
    truth = at_points(rng.normal(size=(6, 6)), [np.linspace(0, 1, 30)] * 2)
    values, weights = truth.copy(), np.ones_like(truth)
    values[10:14, 3:9], weights[10:14, 3:9] = 1e6, 0
    found = fit(values, weights, [np.linspace(0, 1, 30)] * 2, 3, stiffness=0)
    assert at_points(found, [np.linspace(0, 1, 30)] * 2) == pytest.approx(truth, abs=1e-4)


def test_a_lattice_is_found_again_from_its_field():
    lattice = np.random.default_rng(3).normal(size=(5, 5, 5))
    places = [np.linspace(0, 1, n) for n in (9, 11, 12)]
    assert through(at_points(lattice, places), places, 2) == pytest.approx(lattice, abs=1e-10)

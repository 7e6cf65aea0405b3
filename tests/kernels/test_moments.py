import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segmentry.kernels.moments import (
    CUBES,
    SQUARES,
    add_cubes,
    add_positions,
    axis_lengths,
    covariances,
    principal_axes,
)
from segmentry.kernels.runs import ends_of_runs, find_runs

NOTHING = np.zeros(3, np.int64)


def half_axes(half, spacing):
    """Return the pixels of an ellipse or ellipsoid as (Z, Y, X)."""
    shape = [2 * int(h / s) + 3 for h, s in zip(half, spacing, strict=True)]
    places = np.indices(shape) - (np.array(shape) // 2).reshape(-1, *(1,) * len(shape))
    scale = (np.array(spacing) / np.array(half)).reshape(-1, *(1,) * len(shape))
    inside = ((places * scale) ** 2).sum(axis=0) <= 1
    return inside.astype(np.uint32).reshape((1,) * (3 - len(shape)) + inside.shape)


@given(
    arrays(np.uint32, (4, 5, 9), elements=st.sampled_from([0, 1, 1, 1, 2])),
    st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 4)),
    st.integers(-1000, 1000),
)
def test_sums_over_runs_are_those_over_pixels_without_the_margin(index, margin, far):
    start, origin = np.array([far, 7, -far]), np.array([[0, 0, 0], [far + 1, 5, -3], [0, 9, far]])
    sums, cubes = np.zeros((3, 10), np.int64), np.zeros((3, 10))
    add_positions(find_runs(index, np.array(margin)), start, origin, sums)
    add_cubes(find_runs(index, np.array(margin)), start, origin, cubes)
    core = index[tuple(slice(m, n - m) for m, n in zip(margin, index.shape, strict=True))]
    for k in (1, 2):
        at = np.argwhere(core == k) + start - origin[k]
        squares = [(at[:, i] * at[:, j]).sum() for i, j in SQUARES]
        assert sums[k].tolist() == [len(at), *at.sum(axis=0), *squares]
        assert cubes[k].tolist() == [at[:, list(axes)].prod(axis=1).sum() for axes in CUBES]
    assert not sums[0].any()
    assert not cubes[0].any()


def test_sums_of_a_wide_object_do_not_overflow():
    width = 100_000
    index = np.ones((1, 2, width), np.uint32)
    origin = np.array([[0, 0, 0], [0, 40_000, width // 2]])
    sums = np.zeros((2, 10), np.int64)
    add_positions(find_runs(index, NOTHING), NOTHING, origin, sums)
    x = np.arange(width, dtype=object) - width // 2
    assert sums[1, 6] == 2 * (x * x).sum()
    assert covariances(sums[1:], (1.0, 1.0))[0, 1, 1] == pytest.approx((width**2 - 1) / 12, rel=1e-12)


@given(arrays(np.uint32, st.integers(1, 30), elements=st.sampled_from([0, 1, 2])))
def test_runs_end_where_the_number_changes(row):
    ends = np.empty(len(row), np.int64)
    n = ends_of_runs(row, ends)
    assert ends[:n].tolist() == [*(np.flatnonzero(np.diff(row)) + 1), len(row)]


@pytest.mark.parametrize("size", [2, 3])
def test_principal_axes_are_those_of_lapack(size):
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(500, size, size)) * 10.0 ** rng.integers(-6, 7, (500, 1, 1))
    tensors = roots @ roots.transpose(0, 2, 1)
    values, vectors = principal_axes(tensors)
    expected = np.linalg.eigvalsh(tensors)[:, ::-1]
    assert np.abs(values - expected).max(axis=1) == pytest.approx(np.zeros(500), abs=1e-13 * expected.max())
    assert np.all(np.abs(values - expected) <= 1e-13 * expected[:, :1])
    rebuilt = (vectors * values[:, None, :]) @ vectors.transpose(0, 2, 1)
    assert np.all(np.abs(rebuilt - tensors) <= 1e-13 * expected[:, :1, None])
    assert np.all(vectors[:, 0] >= 0)


def test_lines_have_no_width_in_any_direction():
    for step, spacing in itertools.product([(1, 1), (1, 2), (3, 7)], [(1, 1), (0.3, 0.7)]):
        at = np.arange(101)[:, None] * np.array(step)
        spread = np.cov((at * np.array(spacing)).T, bias=True)
        values, vectors = principal_axes(spread[None])
        assert values[0, 1] == 0
        along = np.array(step) * np.array(spacing)
        assert vectors[0, :, 0] == pytest.approx(along / np.hypot(*along))


@pytest.mark.parametrize(
    ("half", "spacing"),
    [((10, 24), (1, 1)), ((10, 24), (2, 0.5)), ((8, 12, 20), (1, 1, 1)), ((12, 16, 30), (2, 1, 1))],
)
def test_axis_lengths_of_an_ellipse_and_an_ellipsoid_are_its_own(half, spacing):
    index = half_axes(half, spacing)
    sums = np.zeros((2, 10), np.int64)
    add_positions(find_runs(index, NOTHING), NOTHING, np.zeros((2, 3), np.int64), sums)
    values, _ = principal_axes(covariances(sums[1:], spacing))
    expected = sorted((2 * h for h in half), reverse=True)
    assert axis_lengths(values)[0] == pytest.approx(expected, rel=0.06)

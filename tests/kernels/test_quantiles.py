import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segmentry.kernels.quantiles import quantiles_of_counts, quantiles_of_values

FRACTIONS = (0.0, 0.05, 1 / 3, 0.5, 0.75, 0.951, 1.0)


def quantiles(values, fractions=FRACTIONS):
    found = np.zeros((2, len(fractions)))
    ends = np.array([0, 3]), np.array([0, 3 + len(values)])
    pool = np.concatenate([np.zeros(3, values.dtype), values, np.zeros(2, values.dtype)])
    quantiles_of_values(np.array([1]), *ends, pool, np.array(fractions), found)
    assert not pool[:3].any()
    assert not pool[-2:].any()
    return found[1]


def awkward(kind, rng):
    """Yield values that are hard to divide into bins of equal width."""
    yield rng.normal(1e6, 1, 5000).astype(kind)
    yield rng.lognormal(0, 8, 5000).astype(kind)
    yield np.append(rng.random(999), 1e30).astype(kind)
    yield np.append(rng.random(500), -np.full(500, 1e30)).astype(kind)
    yield np.full(700, 3.7, kind)
    yield np.sort(rng.random(3000)).astype(kind)
    yield np.linspace(0, 1e-40, 300).astype(kind)
    yield np.repeat(np.array([1.0, 2.0, 4.0], kind), 400)
    yield rng.permutation(np.geomspace(1e-300, 1e300, 2000)).astype(kind) if kind == np.float64 else np.ones(1, kind)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_quantiles_of_awkward_values_are_those_of_numpy(kind):
    for values in awkward(kind, np.random.default_rng(0)):
        assert np.array_equal(quantiles(values), np.quantile(values.astype(float), FRACTIONS))
        assert quantiles(values, (0.5,))[0] == np.quantile(values.astype(float), 0.5)


def test_the_widest_range_of_numbers_is_divided():
    values = np.linspace(-1, 1, 501) * np.finfo(float).max
    assert quantiles(values, (0.5,))[0] == 0


@given(
    arrays(np.uint16, st.integers(1, 80), elements=st.sampled_from([0, 1, 2, 3, 500, 60_000, 65_535])),
    st.lists(st.floats(0, 1), min_size=1, max_size=4),
)
def test_quantiles_of_integers_are_those_of_numpy_from_values_and_from_counts(values, fractions):
    expected = np.quantile(values.astype(float), fractions)
    assert np.array_equal(quantiles(values, fractions), expected)
    found = np.zeros(len(fractions))
    quantiles_of_counts(np.bincount(values, minlength=65_536), np.array(fractions), found)
    assert np.array_equal(found, expected)


def test_nothing_has_no_quantiles():
    assert np.isnan(quantiles(np.zeros(0, np.float32))).all()

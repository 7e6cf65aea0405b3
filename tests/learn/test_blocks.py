"""Numbers of blocks, stored in their pixels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segmentry.learn.blocks import block_means, packed, unpacked

shapes = st.lists(st.integers(0, 9), min_size=2, max_size=3)


@given(shapes, st.integers(1, 3), st.integers(0, 100))
def test_numbers_come_back(shape, maps, seed):
    blocks = [n // 2 for n in shape]
    numbers = np.random.default_rng(seed).random((maps * 2 ** len(shape), *blocks), np.float32)
    held = packed(numbers, shape, np.nan)
    assert held.shape == (maps, *shape)
    assert np.isfinite(held).sum() == numbers.size
    np.testing.assert_array_equal(unpacked(held), numbers)


@given(shapes, st.integers(0, 100))
def test_means_are_those_of_what_is_known(shape, seed):
    rng = np.random.default_rng(seed)
    values, known = rng.random((3, *shape), np.float32), rng.random(shape) < 0.7
    found = block_means(values * known, known)
    for place in np.ndindex(*(n // 2 for n in shape)):
        block = tuple(slice(2 * i, 2 * i + 2) for i in place)
        inner = values[:, *block][:, known[block]]
        if inner.size:
            np.testing.assert_allclose(found[:, *place], inner.mean(axis=1), rtol=1e-5)
        else:
            assert np.isnan(found[:, *place]).all()

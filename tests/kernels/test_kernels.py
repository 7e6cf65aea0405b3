import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter
from scipy.ndimage import label as scipy_label
from skimage.measure import label
from skimage.morphology import h_maxima

from segmentry.kernels.components import label_components
from segmentry.kernels.watershed import deep_maxima

SHAPES = st.one_of(st.tuples(*[st.integers(1, 14)] * 2), st.tuples(*[st.integers(1, 7)] * 3))


@given(arrays(np.uint8, SHAPES, elements=st.integers(0, 2)), st.booleans())
def test_components_are_those_of_scikit_image_in_raster_order(values, full):
    found, count = label_components(values, full)
    expected = label(values, background=0, connectivity=values.ndim if full else 1)
    assert count == expected.max()
    # scikit-image numbers the components of thin volumes in another order.
    ids, first = np.unique(expected.ravel(), return_index=True)
    order = np.argsort(first[ids > 0])
    assert np.array_equal(found, np.append(0, np.argsort(order) + 1)[expected])


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("shape", [(300, 310), (30, 60, 70)])
def test_components_of_large_masks_are_those_of_scipy(shape, full):
    mask = gaussian_filter(np.random.default_rng(7).random(shape), 1) > 0.5
    expected, count = scipy_label(mask, np.ones((3,) * len(shape)) if full else None)
    found, n = label_components(mask, full)
    assert n == count
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (2, 0, 3)])
def test_an_empty_array_has_no_components(shape):
    found, count = label_components(np.ones(shape, np.bool_))
    assert (found.shape, count) == (shape, 0)


@pytest.mark.parametrize("shape", [(150, 140), (30, 40, 35)])
@pytest.mark.parametrize("depth", [1, 8, 30])
def test_deep_maxima_are_the_h_maxima(shape, depth):
    rng = np.random.default_rng(2)
    levels = np.rint(gaussian_filter(rng.random(shape), 2) * 20_000).astype(np.uint16)
    found = deep_maxima(levels, np.ones(shape, np.bool_), depth)
    regions, count = label_components(h_maxima(levels.astype(np.int32), depth).astype(np.uint8))
    inside = regions[found > 0]
    assert (inside > 0).all()
    assert len(np.unique(inside)) == len(inside) == found.max()
    # scikit-image keeps every one of several equally high peaks that no deep valley parts; here one of them stays.
    assert len(inside) <= count <= 1.1 * len(inside) + 1


def test_a_valley_of_the_asked_depth_parts_two_peaks():
    levels = np.array([[9, 5, 8, 3, 9]], np.uint16)
    mask = np.ones((1, 5), np.bool_)
    assert deep_maxima(levels, mask, 3).tolist() == [[1, 0, 2, 0, 3]]
    assert deep_maxima(levels, mask, 4).tolist() == [[1, 0, 0, 0, 2]]
    assert deep_maxima(levels, mask, 7).tolist() == [[1, 0, 0, 0, 0]]


LOADED = """
import sys
import numpy as np
from segmentry.kernels.components import label_components
assert label_components(np.ones((4, 4), dtype=bool))[1] == 1
assert "scipy.linalg" not in sys.modules, "all that compiles was loaded"
import numba
twice = numba.njit(lambda values: np.linalg.norm(values) * 2)
assert twice(np.array([3.0, 4.0])) == 10.0
"""


def test_a_loop_that_was_compiled_before_is_loaded_alone_and_others_can_still_be_compiled():
    label_components(np.ones((4, 4), np.bool_))
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

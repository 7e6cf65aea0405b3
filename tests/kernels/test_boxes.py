import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage
from skimage.restoration import ellipsoid_kernel, rolling_ball

from segmentry.kernels.equalise import equalise
from segmentry.kernels.extremes import running_maximum, running_minimum
from segmentry.kernels.local_statistics import box_statistics, decide, quantised
from segmentry.kernels.rank import median
from segmentry.kernels.rolling_ball import ball_erosion

SHAPES = st.one_of(st.tuples(*[st.integers(1, 14)] * 2), st.tuples(*[st.integers(1, 7)] * 3))
RADII = st.lists(st.integers(0, 6), min_size=3, max_size=3)


def boxes(values, radius):
    """Every box, its pixels along the last axis."""
    padded = np.pad(values, [(r, r) for r in radius], mode="symmetric")
    return sliding_window_view(padded, [2 * r + 1 for r in radius]).reshape(*values.shape, -1)


@given(arrays(np.uint16, SHAPES), RADII)
@settings(max_examples=40)
def test_mean_and_spread_are_those_of_the_box(values, radius):
    radius = tuple(radius[: values.ndim])
    mean, sd = box_statistics(values, radius)
    expected = boxes(values.astype(np.float64), radius)
    assert mean == pytest.approx(expected.mean(axis=-1), rel=1e-6)
    assert sd == pytest.approx(expected.std(axis=-1), rel=1e-4, abs=1e-3)


def test_strips_of_rows_and_planes_join_without_a_seam():
    values = np.random.default_rng(0).integers(0, 65_536, (3, 90, 1000)).astype(np.uint16)
    mean, _ = box_statistics(values, (1, 4, 7))
    sums = values.astype(np.float64)
    for axis, r in enumerate((1, 4, 7)):
        sums = ndimage.uniform_filter1d(sums, 2 * r + 1, axis=axis, mode="reflect")
    assert np.abs(mean / sums - 1).max() < 1e-5


def test_a_box_of_equal_values_has_no_spread():
    for value in (1, 12_345, 65_535):
        mean, sd = box_statistics(np.full((40, 50), value, np.uint16), (25, 25))
        assert (mean == value).all()
        assert not sd.any()


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, np.float64])
def test_steps_go_from_the_lowest_to_the_highest_intensity_or_back(kind):
    pixels = np.array([[3, 28, 53], [103, 200, 0]], kind)
    assert quantised(pixels, 3, 103, False).tolist() == [[0, 16_384, 32_768], [65_535, 65_535, 0]]
    assert quantised(pixels, 3, 103, True).tolist() == [[65_535, 49_151, 32_768], [0, 0, 65_535]]
    assert not quantised(np.full((2, 2), 7, kind), 7, 7, False).any()


def test_the_probability_is_the_logistic_curve_of_the_distance_in_spreads():
    far = np.linspace(-8, 8, 161, dtype=np.float32)[None]
    steps = np.full(far.shape, 30_000, np.uint16)
    classes, confidence = np.empty(far.shape, np.uint8), np.empty(far.shape, np.uint16)
    decide(np.float32(30_000 / 65_535) + far * np.float32(0.01), np.full_like(far, 0.01), steps, classes, confidence)
    assert np.array_equal(classes[far != 0], far[far != 0] > 0)
    assert confidence / 65_535 == pytest.approx(1 / (1 + np.exp(-1.7 * np.abs(far))), abs=1e-3)


@given(arrays(np.float32, SHAPES, elements=st.integers(-9, 9)), RADII)
@settings(max_examples=40)
def test_extremes_and_medians_are_those_of_scipy(values, radius):
    radius = tuple(radius[: values.ndim])
    size = [2 * r + 1 for r in radius]
    assert np.array_equal(running_minimum(values, radius), ndimage.minimum_filter(values, size))
    assert np.array_equal(running_maximum(values, radius), ndimage.maximum_filter(values, size))
    assert np.array_equal(median(values, radius), np.median(boxes(values, radius), axis=-1))


@pytest.mark.parametrize("radius", [(1, 1), (2, 2), (5, 4), (0, 3), (9, 0), (9, 12)])
@pytest.mark.parametrize("whole", [True, False])
def test_medians_of_intensities_are_exact(radius, whole):
    values = np.random.default_rng(0).normal(1000, 300, (70, 300)).astype(np.float32)
    values = np.rint(values) if whole else values
    expected = ndimage.median_filter(values, [2 * r + 1 for r in radius], mode="reflect")
    assert np.array_equal(median(values, radius), expected)


def test_extremes_of_wide_boxes_are_exact():
    values = np.random.default_rng(0).random((130, 700), np.float32)
    for r in (1, 20, 64, 200):
        assert np.array_equal(running_minimum(values, (r, r)), ndimage.minimum_filter(values, 2 * r + 1))


@pytest.mark.parametrize("scale", [1, 50, 20_000])
@pytest.mark.parametrize(("shape", "radius"), [((60, 75), 9), ((5, 70), 12), ((40, 45), 4.5), ((12, 20, 40), 4)])
def test_a_ball_lies_as_high_as_scikit_image_says(shape, radius, scale):
    values = ndimage.gaussian_filter(np.random.default_rng(0).random(shape, np.float32), 1) * np.float32(scale)
    found = ball_erosion(values, (float(radius),) * len(shape), float(radius))
    assert np.allclose(found, rolling_ball(values, radius=radius), rtol=1e-5, atol=1e-5)


def test_a_ball_may_be_flat():
    values = np.random.default_rng(0).random((12, 40, 50), np.float32) * 50
    found = ball_erosion(values, (3.0, 10.0, 10.0), 12.0)
    assert np.allclose(found, rolling_ball(values, kernel=ellipsoid_kernel((7, 21, 21), 12.0)), rtol=1e-5)


@given(arrays(np.uint8, SHAPES, elements=st.integers(0, 100)), RADII, st.sampled_from([0.02, 0.2, 1.0]))
@settings(max_examples=40)
def test_equalising_is_its_definition(values, radius, clip):
    radius = tuple(radius[: values.ndim])
    found = equalise((values / 100).astype(np.float32), radius, 25, clip)
    place = (values / 100).astype(np.float32) * np.float32(25)
    bins = np.minimum(place.astype(int), 24)
    around = boxes(bins, radius)
    counts = np.stack([(around == b).sum(axis=-1) for b in range(25)], axis=-1)
    size = around.shape[-1]
    kept = np.minimum(counts, max(1, int(clip * size)))
    edges = np.concatenate([np.zeros((*values.shape, 1)), np.cumsum(kept, axis=-1)], axis=-1)
    below = np.take_along_axis(edges, bins[..., None], -1)[..., 0]
    own = np.take_along_axis(kept, bins[..., None], -1)[..., 0]
    expected = (below + (place - bins) * own + (size - kept.sum(axis=-1)) * place / 25) / size
    assert found == pytest.approx(expected, abs=1e-5)
    assert (found <= 1.00001).all()

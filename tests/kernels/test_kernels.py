import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.measure import label
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from segmentry.kernels.components import label_components
from segmentry.kernels.distance import distance_to_background
from segmentry.kernels.overlap import count_overlaps
from segmentry.kernels.watershed import deep_maxima, flood

SHAPES = st.one_of(st.tuples(*[st.integers(1, 14)] * 2), st.tuples(*[st.integers(1, 7)] * 3))
MASKS = arrays(np.bool_, SHAPES)


@given(MASKS, st.lists(st.sampled_from([0.3, 1.0, 2.5]), min_size=3, max_size=3))
def test_distances_are_those_of_scipy(mask, spacing):
    found = distance_to_background(mask, spacing[: mask.ndim])
    if mask.all():
        assert np.isinf(found).all()
    else:
        assert found == pytest.approx(distance_transform_edt(mask, spacing[: mask.ndim]), rel=1e-6)


@given(arrays(np.uint8, SHAPES, elements=st.integers(0, 2)), st.booleans())
def test_components_are_those_of_scikit_image_in_raster_order(values, full):
    found, count = label_components(values, full)
    expected = label(values, background=0, connectivity=values.ndim if full else 1)
    assert count == expected.max()
    assert np.array_equal(found, expected)


def blobs(shape, seed):
    noise = gaussian_filter(np.random.default_rng(seed).random(shape), 3)
    mask = noise > np.median(noise)
    distance = distance_transform_edt(mask)
    return mask, np.rint(distance * 16).astype(np.uint16)


@pytest.mark.parametrize("shape", [(200, 180), (40, 50, 60)])
def test_flooding_agrees_with_scikit_image(shape):
    mask, levels = blobs(shape, 0)
    seeds = deep_maxima(levels, mask, 8)
    heights = np.uint16(65_535) - levels
    found = flood(heights, seeds, mask)
    expected = watershed(heights.astype(np.int32), seeds.astype(np.int32), mask=mask)
    assert np.array_equal(found > 0, expected > 0)
    # Pixels of one level that two labels reach at once may go to either.
    assert (found == expected)[mask].mean() > 0.97


def test_on_a_ramp_without_ties_flooding_is_scikit_images():
    rng = np.random.default_rng(1)
    heights = rng.permutation(3600).reshape(60, 60).astype(np.uint16)
    seeds = np.zeros((60, 60), np.uint32)
    seeds[rng.integers(0, 60, 12), rng.integers(0, 60, 12)] = np.arange(1, 13)
    mask = np.ones((60, 60), np.bool_)
    expected = watershed(heights.astype(np.int32), seeds.astype(np.int32))
    assert np.array_equal(flood(heights, seeds, mask), expected)


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


@given(arrays(np.uint32, 60, elements=st.integers(0, 5)), arrays(np.uint32, 60, elements=st.integers(0, 2000)))
def test_overlaps_are_all_pairs_counted(one, other):
    found = {(a, b): n for a, b, n in count_overlaps(one, other, 5).tolist()}
    pairs, counts = np.unique(np.stack([one, other])[:, (one > 0) & (other > 0)], axis=1, return_counts=True)
    assert found == {tuple(map(int, pair)): int(n) for pair, n in zip(pairs.T, counts, strict=True)}

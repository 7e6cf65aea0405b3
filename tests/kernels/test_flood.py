"""Flooding against a plain priority queue, and against scikit-image."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.data import coins
from skimage.segmentation import watershed

from segmentry.kernels.components import label_components
from segmentry.kernels.watershed import deep_maxima, flood

SHAPES = st.one_of(st.tuples(*[st.integers(1, 14)] * 2), st.tuples(*[st.integers(1, 7)] * 3))


def plainly(
    levels: NDArray[np.uint16], seeds: NDArray[np.uint32], mask: NDArray[np.bool_], full: bool
) -> NDArray[np.uint32]:
    """Flood pixel by pixel in order of level and then of age, nearest neighbours first."""
    steps = [s for s in np.ndindex((3,) * levels.ndim) if full or np.abs(np.array(s) - 1).sum() == 1]
    steps.sort(key=lambda s: int(np.abs(np.array(s) - 1).sum()))
    labels = np.where(mask, seeds, 0).astype(np.uint32)
    waiting = [(int(levels[at]), age, at) for age, at in enumerate(zip(*np.nonzero(labels), strict=True))]
    heapq.heapify(waiting)
    age = labels.size
    while waiting:
        level, _, at = heapq.heappop(waiting)
        for step in steps:
            near = tuple(int(p) + s - 1 for p, s in zip(at, step, strict=True))
            if all(0 <= p < n for p, n in zip(near, labels.shape, strict=True)) and mask[near] and labels[near] == 0:
                labels[near] = labels[at]
                age += 1
                heapq.heappush(waiting, (max(level, int(levels[near])), age, near))
    return labels


@given(st.data())
def test_pixels_are_reached_in_order_of_level_and_age(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    levels = data.draw(arrays(np.uint16, shape, elements=st.sampled_from([0, 1, 2, 7, 300, 65_535])))
    seeds = data.draw(arrays(np.uint32, shape, elements=st.sampled_from([0, 0, 0, 0, 1, 2, 900, 2**32 - 2])))
    mask = data.draw(arrays(np.bool_, shape))
    full = data.draw(st.booleans())
    assert np.array_equal(flood(levels, seeds, mask, full), plainly(levels, seeds, mask, full))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("shape", [(120, 90), (20, 24, 30)])
def test_long_queues_keep_their_order(shape: tuple[int, ...], full: bool) -> None:
    rng = np.random.default_rng(3)
    levels = (gaussian_filter(rng.random(shape), 2) * 40).astype(np.uint16)
    seeds = np.where(rng.random(shape) < 0.01, rng.integers(1, 2**32 - 2, shape), 0).astype(np.uint32)
    mask = gaussian_filter(rng.random(shape), 3) > 0.49
    assert np.array_equal(flood(levels, seeds, mask, full), plainly(levels, seeds, mask, full))


def distances(shape: tuple[int, ...], seed: int) -> tuple[NDArray[np.bool_], NDArray[np.uint16]]:
    noise = gaussian_filter(np.random.default_rng(seed).random(shape), 3)
    mask = noise > np.median(noise)
    return mask, np.rint(distance_transform_edt(mask) * 16).astype(np.uint16)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("shape", [(300, 280), (40, 50, 60)])
def test_with_seeds_in_a_clear_order_labels_are_those_of_scikit_image(shape: tuple[int, ...], full: bool) -> None:
    mask, levels = distances(shape, 0)
    seeds = deep_maxima(levels, mask, 8)
    heights = np.uint16(65_535) - levels
    # scikit-image gives all seeds the same age, so that the order of equally low ones is left to chance.
    heights[seeds > 0] = seeds[seeds > 0]
    found = flood(heights, seeds, mask, full)
    connectivity = len(shape) if full else 1
    expected = watershed(heights.astype(np.int32), seeds.astype(np.int32), connectivity, mask=mask)
    assert np.array_equal(found, expected)


def test_on_a_real_image_labels_are_those_of_scikit_image() -> None:
    smooth = gaussian_filter(coins().astype(np.float32), 2)
    heights = np.rint((255 - smooth) * 200).astype(np.uint16)
    mask = smooth > 100
    seeds = deep_maxima(np.uint16(65_535) - heights, mask, 800)
    assert seeds.max() > 20
    expected = watershed(heights.astype(np.int32), seeds.astype(np.int32), mask=mask)
    assert (flood(heights, seeds, mask) == expected)[mask].mean() > 0.999
    everywhere = watershed(heights.astype(np.int32), seeds.astype(np.int32))
    assert (flood(heights, seeds, np.ones_like(mask)) == everywhere).mean() > 0.999


def test_a_region_does_not_depend_on_what_lies_around_it() -> None:
    mask, levels = distances((400, 420), 5)
    seeds = np.where(np.random.default_rng(5).random(mask.shape) < 0.02, levels, 0).astype(np.uint32)
    whole = flood(levels, seeds, mask)
    regions, count = label_components(mask)
    assert count > 10
    for number in range(1, count + 1):
        own = regions == number
        rows, columns = (slice(max(0, c.min() - 2), c.max() + 2) for c in np.nonzero(own))
        alone = flood(levels[rows, columns], seeds[rows, columns], own[rows, columns])
        assert np.array_equal(alone[own[rows, columns]], whole[own])


def test_arrays_that_are_views_are_flooded_as_their_copies() -> None:
    mask, levels = distances((60, 80), 6)
    seeds = deep_maxima(levels, mask, 8)
    turned = flood(levels.T, seeds.T, mask.T)
    assert turned.flags.c_contiguous
    assert np.array_equal(turned, flood(levels.T.copy(), seeds.T.copy(), mask.T.copy()))


@pytest.mark.parametrize("shape", [(1, 1), (0, 4), (3, 0), (2, 0, 3)])
def test_the_smallest_images(shape: tuple[int, ...]) -> None:
    levels, inside = np.zeros(shape, np.uint16), np.ones(shape, np.bool_)
    assert np.array_equal(flood(levels, np.full(shape, 7, np.uint32), inside), np.full(shape, 7))
    assert not flood(levels, np.zeros(shape, np.uint32), inside).any()
    assert not flood(levels, np.full(shape, 7, np.uint32), ~inside).any()


def test_without_a_way_in_pixels_stay_free() -> None:
    mask = np.array([[True, True, False, True, True]])
    seeds = np.array([[0, 4, 0, 0, 0]], np.uint32)
    assert flood(np.zeros((1, 5), np.uint16), seeds, mask).tolist() == [[4, 4, 0, 0, 0]]
